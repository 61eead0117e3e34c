"""Carriers that come and go, or lie; and what a sender and a recipient make of that."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from functools import partial

import pytest

from chattor_bridge.errors import LimitReached, OnionNotAuthorised, UsageError
from chattor_bridge.ids import OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying import agreements
from chattor_bridge.node.carrying.records import CarryPolicy, Target
from chattor_bridge.node.happenings import CARRY_ASKED, CARRY_ENDED, CARRY_OFFERED, CarriersLost, EventArrived
from chattor_bridge.protocol.carrying import ShelfOpen
from chattor_bridge.protocol.deposit import DepositorEnd, auth_key
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.limits import BLOCK_SIZE, LINK_ONION_LIFETIME, SHELF_LIFETIME
from chattor_bridge.storage.transaction import sql
from tests.carrying.circle_of_three import Three, until, until_hosted, until_many
from tests.node.world import PATIENCE, Person, World


def _notices(person: Person) -> list[tuple[str, object]]:
    bodies = [one.event.body for one in person.of(EventArrived)]
    return [(body.type, dict(body.fields)) for body in bodies if isinstance(body, Unknown)]


async def test_both_are_told_what_was_agreed_and_when_it_ends(three: Three) -> None:
    assert _notices(three.carl) == [(CARRY_ASKED, {})]
    assert _notices(three.rita) == [(CARRY_OFFERED, {"wanted": True})]
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.stop(tx, three.with_carl)
    await three.rita.until(lambda: (CARRY_ENDED, {"ours": False}) in _notices(three.rita))
    await until_many(three.targets, 0)  # Sam is told that there is no place any more
    assert three.sam.of(CarriersLost) == [CarriersLost(three.with_sam, 0)]
    with pytest.raises(UsageError, match="do not carry"):
        async with three.carl.house.store.transaction() as tx:
            await three.carl.node.carrying.stop(tx, three.with_carl)


async def test_who_is_asked_again_and_again_is_told_once(three: Three) -> None:
    for _ in range(3):
        async with three.rita.house.store.transaction() as tx:
            await three.rita.node.carrying.ask(tx, three.with_sam)
    await three.rita.until(lambda: len(three.rita.delivered()) >= 7)
    assert _notices(three.sam) == [(CARRY_ASKED, {})]


async def test_what_is_on_a_shelf_that_is_given_up_is_collected_all_the_same(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "still there")
    await three.until_held(1)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.stop(tx, three.with_carl)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: three.rita.texts() == ["still there"], time_passes=True)
    await three.until_held(0)


async def test_nobody_deposits_at_a_shelf_that_is_given_up(three: Three) -> None:
    [target] = await three.targets()
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.stop(tx, three.with_carl)
    await asyncio.wait_for(_gone(three.carl.house.world, target.deposit.onion), PATIENCE)
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "too late")
    await three.sam.until(lambda: not three.sam.online(three.with_sam))
    await three.sam.house.world.clock.pass_slowly(900)
    assert await three.held() == 0


async def test_a_blocked_friend_has_no_shelf_any_more(three: Three) -> None:
    [shelf] = await three.shelves()
    assert shelf.onion is not None
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.block(tx, three.with_sam)
    world = three.rita.house.world
    await world.clock.pass_until(_gone(world, shelf.onion), step=600)


@pytest.mark.parametrize("how", ["block", "forget", "retire"])
async def test_who_is_wanted_no_more_keeps_no_place_that_was_shared(world: World, how: str) -> None:
    """The others are told of another at once, and it is closed when they have heard."""
    three = await Three.meet(world)
    olga = await world.person("Olga")
    with_olga = await three.rita.befriend(olga)
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 1, 8)
    await until_many(three.targets, 1)
    await until_many(lambda: _targets(olga, with_olga), 1)
    [shared] = await three.shelves()
    assert len(shared.senders) == 2
    assert shared.onion is not None
    async with three.rita.house.store.transaction() as tx:
        await getattr(three.rita.node, how)(tx, three.with_sam)
    async with asyncio.timeout(PATIENCE):
        while [one.deposit for one in await _targets(olga, with_olga)] == [shared.deposit]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await world.clock.pass_until(_gone(world, shared.onion), step=600)
    [target] = await _targets(olga, with_olga)
    assert target.deposit.capability != shared.capability
    await three.rita.house.stop()
    await olga.say(with_olga, "by the other")
    await three.until_held(1)
    await olga.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: "by the other" in three.rita.texts(), time_passes=True)


async def _gone(world: World, onion: OnionKey) -> None:
    while world.network.hosts(onion):  # noqa: ASYNC110 - a memory network tells nobody
        await asyncio.sleep(0.02)


async def test_whoever_shares_no_shelf_shares_no_address(world: World) -> None:
    three = await Three.meet(world)
    other = await world.person("Olga")
    with_olga = await three.rita.befriend(other)
    await three.agree()
    shelves = [shelf for shelf in await three.shelves() if shelf.deposit is not None]
    await until_many(lambda: _targets(other, with_olga), 1)
    shelves = await three.shelves()
    assert {shelf.senders for shelf in shelves} == {(three.with_sam,), (with_olga,)}
    values = [value for shelf in shelves for value in (shelf.onion, shelf.static, shelf.capability, shelf.shelf_id)]
    assert len(set(values)) == 8


async def _targets(person: Person, peer_id: PeerId) -> list[Target]:
    async with person.house.store.transaction() as tx:
        return await person.house.store.deposits.targets(tx, person.node_id, peer_id)


async def test_friends_beyond_the_shelves_share_the_last(world: World) -> None:
    three = await Three.meet(world)
    others = [await world.person(name) for name in ("Olga", "Paul")]
    ids = [await three.rita.befriend(other) for other in others]
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 2, 8)
    for other, peer_id in zip(others, ids, strict=True):
        await until_many(partial(_targets, other, peer_id), 1)
    await until_many(three.targets, 1)
    assert sorted(len(shelf.senders) for shelf in await three.shelves()) == [1, 2]
    await three.rita.house.stop()
    for number, (other, peer_id) in enumerate(zip(others, ids, strict=True)):
        await other.say(peer_id, f"from {number}")
    await three.sam.say(three.with_sam, "from 2")
    await three.until_held(3)
    for person in (three.sam, *others):
        await person.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.texts()) == 3, time_passes=True)
    assert sorted(three.rita.texts()) == ["from 0", "from 1", "from 2"]


async def test_a_carrier_that_loses_blocks_costs_no_message(world: World) -> None:
    """Sam finds out by what Rita acknowledges, at a carrier of his own, without ever meeting her."""
    three, olga, with_olga = await _and_a_carrier_of_sams(world)
    await three.rita.house.stop()
    texts = [f"word {number}" for number in range(20)]
    await three.sam.say(three.with_sam, *texts)
    await three.until_held(2)
    await _lose_first_block(three)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.until_held(0)
    assert three.rita.texts() == []  # what came is held behind what did not
    await world.clock.pass_until(_until_holds(olga, with_olga, 1))
    await three.rita.house.stop()
    await three.sam.house.start()
    await three.until_held(1)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.texts()) == 20, time_passes=True)
    assert three.rita.texts() == texts


async def test_what_was_collected_is_acknowledged_although_the_program_ended_before_it_could(world: World) -> None:
    three, olga, with_olga = await _and_a_carrier_of_sams(world)
    await three.rita.house.stop()
    said = await three.sam.say(three.with_sam, "while you were away")
    await three.until_held(1)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.until_held(0)  # before anything was due at Olga
    await three.rita.house.stop()
    await three.carl.house.stop()  # who would hand it over again
    await three.rita.house.start()
    await world.clock.pass_until(_until_holds(olga, with_olga, 1))
    await three.rita.house.stop()
    await three.sam.house.start()
    await three.sam.until(lambda: said[0] in three.sam.delivered(), time_passes=True)


async def test_what_was_acknowledged_in_another_way_is_not_left_at_a_carrier(world: World) -> None:
    three, *_ = await _and_a_carrier_of_sams(world)
    store, node_id = three.rita.house.store, three.rita.node_id
    for how in ("by link", "in an envelope"):
        async with store.transaction() as tx:
            await store.deposits.owe(tx, node_id, three.with_sam)
            assert await store.deposits.owed(tx, node_id, three.with_sam)
        if how == "by link":
            await three.sam.house.stop()
            await three.sam.house.start()
            await three.rita.until(lambda: three.rita.online(three.with_sam), time_passes=True)
        else:
            await three.rita.say(three.with_sam, "something")
        async with asyncio.timeout(PATIENCE):
            while await _owed(three):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)


async def _owed(three: Three) -> dict[bytes, int]:
    store = three.rita.house.store
    async with store.transaction() as tx:
        return await store.deposits.owed(tx, three.rita.node_id, three.with_sam)


async def _and_a_carrier_of_sams(world: World) -> tuple[Three, Person, PeerId]:
    three = await Three.meet(world)
    olga = await world.person("Olga")
    with_olga = await three.sam.befriend(olga)
    await three.agree()
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.carrying.ask(tx, with_olga)
    async with olga.house.store.transaction() as tx:
        await olga.node.carrying.offer(tx, with_olga, 4, 4)
    await until_many(lambda: _targets(three.rita, three.with_sam), 1)
    return three, olga, with_olga


async def _lose_first_block(three: Three) -> None:
    store = three.carl.house.store
    async with store.transaction() as tx:
        [shelf] = await store.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        await store.carriages.collected(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 1)


async def _until_holds(carrier: Person, peer_id: PeerId, blocks: int) -> None:
    while True:
        async with carrier.house.store.transaction() as tx:
            if await carrier.house.store.carriages.count(tx, carrier.node_id, peer_id) == blocks:
                return
        await asyncio.sleep(0.02)


async def test_what_a_carrier_makes_up_is_collected_and_counted(three: Three) -> None:
    store, shelf_id = three.carl.house.store, (await three.shelves())[0].shelf_id
    async with store.transaction() as tx:
        blocks = [secrets.token_bytes(BLOCK_SIZE), bytes(BLOCK_SIZE)]
        await store.carriages.keep(
            tx, three.carl.node_id, three.with_carl, shelf_id, blocks, three.carl.node.work.mailbox.now()
        )
    three.carl.node.work.carrying._kept(three.with_carl)
    await until_many(lambda: _held_list(three), 0)
    assert three.rita.node.work.counters.undecryptable == 2
    assert three.rita.online(three.with_carl)


async def _held_list(three: Three) -> list[int]:
    return list(range(await three.held()))


async def test_a_block_handed_over_twice_is_shown_once(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "once")
    await three.until_held(1)
    store = three.carl.house.store
    async with store.transaction() as tx:
        [shelf] = await store.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await store.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
        await store.carriages.keep(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, [held.block], 1 << 40)
    await three.rita.house.start()
    await three.until_held(0)
    assert three.rita.texts() == ["once"]
    assert three.rita.node.work.counters.duplicates >= 1


async def test_a_full_shelf_keeps_what_it_has_and_the_sender_the_rest(three: Three) -> None:
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 1, 2)
    await three.rita.house.stop()
    texts = [f"word {number}" for number in range(70)]
    await three.sam.say(three.with_sam, *texts)
    await three.until_held(2)
    await three.rita.house.start()
    await three.rita.until(lambda: three.rita.texts() == texts, time_passes=True)


async def test_nobody_without_the_capability_gets_in(three: Three) -> None:
    """Whoever learnt the address, from tor's directories perhaps, and the key besides."""
    [target] = await three.targets()
    world = three.sam.house.world
    await world.clock.pass_until(until_hosted(world, target.deposit.onion))
    transport = three.sam.house.world.network.transport()
    for key in (None, secrets.token_bytes(32)):
        with pytest.raises(OnionNotAuthorised):
            await transport.dial(target.deposit.onion, client_key=key, isolation="x", timeout=PATIENCE)
    wrong = replace(target.deposit, capability=secrets.token_bytes(32))
    stream = await transport.dial(
        target.deposit.onion,
        client_key=auth_key(target.deposit.capability, target.deposit.onion),
        isolation="x",
        timeout=PATIENCE,
    )
    await stream.write(DepositorEnd(wrong, secrets.token_bytes).data_to_send())
    assert await stream.read() == b""
    await stream.close()
    assert three.carl.node.work.counters.strangers == 1
    assert await three.held() == 0


async def test_what_nobody_collects_is_forgotten_and_left_again(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "patience")
    await three.until_held(1)
    for house, query in (
        (three.carl.house, "UPDATE held_blocks SET kept_at = kept_at - $1"),
        (three.sam.house, "UPDATE deposited SET left_at = left_at - $1"),
    ):
        async with house.store.transaction() as tx:
            await sql(tx).execute(query, SHELF_LIFETIME + 1)
    three.carl.node.work.carrying.look_again()
    await three.until_held(0)
    three.sam.node.work.carrying.wake(three.with_sam)
    await three.until_held(1)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: three.rita.texts() == ["patience"], time_passes=True)


async def test_a_friend_cannot_open_more_shelves_than_it_was_offered(three: Three) -> None:
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 1, 1)
    async with three.rita.house.store.transaction() as tx:
        for _ in range(5):
            opened = ShelfOpen(ShelfId(secrets.token_bytes(16)), secrets.token_bytes(32))
            await three.rita.node.send(tx, three.with_carl, opened)
    await three.rita.until(lambda: len(three.rita.delivered()) >= 8)
    async with three.carl.house.store.transaction() as tx:
        assert len(await three.carl.house.store.carriages.shelves(tx, three.carl.node_id)) == 2


async def test_only_so_much_is_offered(three: Three) -> None:
    for shelves, blocks in ((0, 1), (17, 1), (1, 0), (1, 129)):
        with pytest.raises(UsageError, match="can be offered"):
            async with three.carl.house.store.transaction() as tx:
                await three.carl.node.carrying.offer(tx, three.with_carl, shelves, blocks)


async def test_who_asks_later_gets_something_and_who_asks_last_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two shelves that the process has, the first gets one, and so does the second."""
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 2)
    carl, sam = await world.person("Carl"), await world.person("Sam")
    others = [await world.person(name) for name in ("Rita", "Dora", "Eve")]
    with_carl = [await one.befriend(carl) for one in others]
    for one in others:
        await one.befriend(sam)
    for one, peer_id in zip(others[:2], with_carl[:2], strict=True):
        async with one.house.store.transaction() as tx:
            await one.node.carrying.ask(tx, peer_id)
        async with carl.house.store.transaction() as tx:
            await carl.node.carrying.offer(tx, peer_id)
        await asyncio.wait_for(until(partial(_own_shelf, one), bool), PATIENCE)
        [info] = await one.node.carrying.overview()
        assert info.carrier is not None
        assert info.carrier.shelves == 1
    with pytest.raises(LimitReached, match="as many as it can"):
        async with carl.house.store.transaction() as tx:
            await carl.node.carrying.offer(tx, with_carl[2])
    carl.node.carrying._policy = CarryPolicy(automatic=True)
    async with others[2].house.store.transaction() as tx:
        await others[2].node.carrying.ask(tx, with_carl[2])
    await carl.until(lambda: any(_says(one, CARRY_ASKED, with_carl[2]) for one in carl.of(EventArrived)))
    async with carl.house.store.transaction() as tx:
        await carl.node.carrying.offer(tx, with_carl[0], 2)  # who has one may be offered another number


async def test_those_for_whom_a_carrier_has_no_room_share_what_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = await Three.meet(world)
    olga = await world.person("Olga")
    with_olga = await three.rita.befriend(olga)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl)
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 0)
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    await until_many(three.shelves, 2)
    [info] = await three.rita.node.carrying.overview()
    assert info.in_words == ("is willing to hold your mail, and has had no room for it yet",)
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 1)

    async def targets() -> list[object]:
        return [one.deposit for one in [*await three.targets(), *await _targets(olga, with_olga)]]

    await world.clock.pass_until(until(targets, lambda found: len(found) == 2), step=6 * 3600)
    assert len(set(await targets())) == 1
    [info] = await three.rita.node.carrying.overview()
    assert info.in_words == ("holds your mail on up to 16 shelves of 128 blocks",)
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 2)
    await world.clock.pass_until(until(targets, lambda found: len(set(found)) == 2), step=6 * 3600)
    [lent] = [shelf for shelf in await three.shelves() if len(shelf.senders) == 2]
    async with three.rita.house.store.transaction() as tx:  # a month later: it is old
        aged = replace(lent, opened_at=lent.opened_at - LINK_ONION_LIFETIME)
        await three.rita.house.store.carriers.save_shelf(tx, three.rita.node_id, aged)
    await three.rita.node.carrying.settle()
    open_now = [shelf for shelf in await three.shelves() if shelf.superseded_at is None]
    assert sorted(shelf.senders for shelf in open_now) == sorted([(three.with_sam,), (with_olga,)])


@pytest.mark.parametrize("heard", [True, False])
async def test_an_offer_said_again_lends_no_shelf_to_those_for_whom_another_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, *, heard: bool
) -> None:
    """Whether the carrier had left the first asking unanswered, or is about to answer it."""
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 1)
    three = await Three.meet(world)
    await three.rita.befriend(await world.person("Olga"))
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 2)  # one more than there is
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    await until_many(three.shelves, 2)
    if heard:
        await asyncio.wait_for(
            until(partial(_waits_for, three.rita, three.with_carl), lambda waits: not waits), PATIENCE
        )
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 2)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 2)
    await asyncio.wait_for(until(three.shelves, lambda found: all(one.deposit for one in found)), PATIENCE)
    assert [len(shelf.senders) for shelf in await three.shelves()] == [1, 1]


async def _waits_for(person: Person, peer_id: PeerId) -> bool:
    """Whether something is on its way to this friend."""
    return any(contact.queued for contact in await person.node.contacts() if contact.peer_id == peer_id)


async def test_a_shelf_that_is_just_being_replaced_is_lent_to_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replacement would be asked for again and again, and take the place of others'."""
    monkeypatch.setattr(agreements, "MAX_CARRIED_SHELVES", 1)
    three = await Three.meet(world)
    await three.rita.befriend(await world.person("Olga"))
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 2)  # one more than there is
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    await until_many(three.shelves, 2)
    await asyncio.wait_for(until(partial(_own_shelf, three.rita), bool), PATIENCE)
    async with three.rita.house.store.transaction() as tx:  # a month later: one is old, and one was never answered
        await sql(tx).execute("UPDATE own_shelves SET opened_at = opened_at - $1", LINK_ONION_LIFETIME)
    await three.rita.node.carrying.settle()
    [old] = [shelf for shelf in await three.shelves() if shelf.deposit is not None]
    assert old.superseded_at is not None


async def _own_shelf(person: Person) -> bool:
    async with person.house.store.transaction() as tx:
        shelves = await person.house.store.carriers.shelves(tx, person.node_id)
    return any(shelf.deposit is not None for shelf in shelves)


def _says(arrived: EventArrived, what: str, peer_id: PeerId) -> bool:
    body = arrived.event.body
    return isinstance(body, Unknown) and body.type == what and arrived.peer_id == peer_id
