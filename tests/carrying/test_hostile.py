"""Friends who use carrying against us."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from chattor_bridge.ids import NodeId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.allowance import DAY
from chattor_bridge.node.carrying import agreements
from chattor_bridge.node.carrying.pacing import ANSWERED_AGAIN
from chattor_bridge.node.carrying.records import Carriage
from chattor_bridge.node.carrying.settling import ANSWER_PATIENCE
from chattor_bridge.node.carrying.work import SETTLE_REST
from chattor_bridge.node.friendship import Friendship
from chattor_bridge.node.mailbox import Taken
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import HeldEvent
from chattor_bridge.protocol.carrying import CarryOffer, Deposit, ShelfClose, ShelfOpen, ShelfReady
from chattor_bridge.protocol.events import Text, encode_event
from chattor_bridge.protocol.frames import Block, Collected, Holding
from chattor_bridge.protocol.limits import BLOCK_SIZE, COSTLY, DAILY_ALLOWANCE, MAX_CARRIERS, MAX_NEW_ONIONS
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage.transaction import sql
from tests.carrying.circle_of_three import Three, say_on_link, until_many, until_true
from tests.node.world import PATIENCE, World

# --- carriers that lie ------------------------------------------------------------------------------------------------


async def test_a_carrier_that_hands_nothing_over_is_not_waited_for(three: Three) -> None:
    mailbox = three.rita.node.work.mailbox
    say_on_link(three.carl, three.with_carl, Holding(2**32 - 1))
    await until_true(lambda: mailbox.collecting)
    assert mailbox.collecting <= 4096
    again = asyncio.create_task(_say_for_ever(three))
    await three.rita.house.world.clock.pass_until(until_true(lambda: not mailbox.collecting))
    again.cancel()


async def _say_for_ever(three: Three) -> None:
    while True:
        say_on_link(three.carl, three.with_carl, Holding(2**32 - 1))
        await three.rita.house.world.clock.sleep(60)


async def test_a_gap_that_a_carrier_brings_is_shown_after_a_minute_of_a_link(three: Three) -> None:
    """And not after a day: the friend is there, and has had its turn to send the rest again."""
    mailbox, store = three.rita.node.work.mailbox, three.rita.house.store
    await three.rita.until(lambda: three.rita.online(three.with_sam), time_passes=True)
    event = encode_event(mailbox.event(Text("behind something that is lost")))
    async with store.transaction() as tx:
        await mailbox.hold(tx, HeldEvent(three.with_sam, 1000, event, mailbox.now()))
    three.rita.node.work.carrying._took(three.with_sam, Taken(None, (), True, None, 0, 1000))
    world = three.rita.house.world
    began = world.clock.monotonic()
    await three.rita.until(lambda: bool(three.rita.texts()), time_passes=True)
    assert world.clock.monotonic() - began < 600


async def test_a_carrier_that_ends_and_offers_by_turns_is_taken_once(three: Three) -> None:
    """Each time all senders would be told, and hold it against Rita."""
    for _ in range(3):
        async with three.carl.house.store.transaction() as tx:
            await three.carl.node.carrying.stop(tx, three.with_carl)
        async with three.carl.house.store.transaction() as tx:
            await three.carl.node.carrying.offer(tx, three.with_carl, 16, 128)
        async with three.carl.house.store.transaction() as tx:
            last = await three.carl.node.send(tx, three.with_carl, CarryOffer(3, 3))
        await three.carl.until(lambda last=last: last in three.carl.delivered())  # type: ignore[misc]
    await until_many(three.targets, 0)
    assert len(await three.shelves()) == 1
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    await until_many(three.targets, 1)


async def test_a_carrier_cannot_move_a_shelf(three: Three) -> None:
    """Each move would be told to its senders, and they would follow."""
    [shelf] = await three.shelves()
    moved = ShelfReady(shelf.shelf_id, OnionKey(ed25519_public(secrets.token_bytes(32))), secrets.token_bytes(32))
    async with three.carl.house.store.transaction() as tx:
        said = await three.carl.node.send(tx, three.with_carl, moved)
    await three.carl.until(lambda: said in three.carl.delivered())
    assert await three.shelves() == [shelf]


async def test_who_is_no_carrier_has_nobody_wait(three: Three) -> None:
    mailbox, work = three.rita.node.work.mailbox, three.rita.node.work
    made_up = Block(ShelfId(secrets.token_bytes(16)), 1, bytes(BLOCK_SIZE))
    say_on_link(three.sam, three.with_sam, Holding(5), made_up, made_up)
    await until_true(lambda: work.counters.undecryptable == 2)
    assert mailbox.collecting == 0


async def test_a_carrier_cannot_use_up_what_a_sender_may_say(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """By handing over again and again what the sender left once."""
    spent: list[int] = []

    def spend(_friendship: Friendship, size: int) -> float:
        spent.append(size)
        return 0.0

    monkeypatch.setattr(Friendship, "spend", spend)
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "once")
    await three.until_held(1)
    store = three.carl.house.store
    async with store.transaction() as tx:
        [shelf] = await store.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await store.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
        await store.carriages.keep(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, [held.block] * 9, 1 << 40)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.until_held(0)
    assert three.rita.node.work.counters.duplicates >= 9
    assert len([size for size in spent if size]) == 1


async def test_a_carrier_cannot_have_us_fill_the_shelf_of_a_sender(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With acknowledgements of what it hands over again and again."""
    owed = list[PeerId]()
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "once")
    await three.until_held(1)
    carls = three.carl.house.store
    async with carls.transaction() as tx:
        [shelf] = await carls.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await carls.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
    for person in (three.sam, three.carl):
        await person.house.stop()
    await three.rita.house.start()

    async def owe(_tx: Transaction, _node_id: NodeId, peer_id: PeerId) -> None:
        owed.append(peer_id)

    monkeypatch.setattr(three.rita.house.store.deposits, "owe", owe)
    said = list[Collected]()
    for link in range(10):  # a new link begins nothing anew
        _, collecting = three.rita.node.work.carrying.on_link(three.with_carl, said.append)
        running = asyncio.create_task(collecting.run())
        for number in range(4):
            collecting.put(Block(held.shelf_id, held.number + number, held.block))
        await until_true(lambda link=link: len(said) == 4 * (link + 1))
        running.cancel()
        await asyncio.wait({running})
    assert owed == [three.with_sam] * (1 + ANSWERED_AGAIN)
    await three.rita.house.world.clock.advance(DAY)
    assert three.rita.node.work.carrying._pacings[three.with_carl].answers_again(held.shelf_id)


# --- friends that say much --------------------------------------------------------------------------------------------


async def test_who_says_much_about_carrying_is_read_slowly(three: Three) -> None:
    """Each word of it has us look at all friends."""
    three.rita.node.work.friendships.by_peer[three.with_sam]._allowance.spend(DAILY_ALLOWANCE - 10 * COSTLY)
    async with three.sam.house.store.transaction() as tx:
        said = [
            await three.sam.node.send(tx, three.with_sam, ShelfClose(ShelfId(secrets.token_bytes(16))))
            for _ in range(100)
        ]
    await three.sam.until(lambda: said[10] in three.sam.delivered())
    await asyncio.sleep(0.5)  # for those that must not come, and would in a tenth of that
    assert said[64] not in three.sam.delivered()


async def test_one_look_serves_all_that_was_said_meanwhile(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def settle() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.05)

    carrying = three.rita.node.work.carrying
    monkeypatch.setattr(carrying.agreements, "settle", settle)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 2:
        carrying.look_again()
        await asyncio.sleep(0.001)
    assert 0 < looks <= 2 / (0.05 * (1 + SETTLE_REST)) + 2


# --- recipients that take much ----------------------------------------------------------------------------------------


async def _ask_for_shelf(three: Three, shelf_id: ShelfId) -> None:
    async with three.rita.house.store.transaction() as tx:
        said = await three.rita.node.send(tx, three.with_carl, ShelfOpen(shelf_id, secrets.token_bytes(32)))
    await three.rita.until(lambda: said in three.rita.delivered())


async def test_whoever_closes_shelves_and_opens_others_has_few_onions_published_in_a_day(
    three: Three, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(agreements, "MAX_SHELVES_OPENED", 3)
    three.carl.node.carrying._opened.clear()

    async def opened(shelf_id: ShelfId) -> bool:
        await _ask_for_shelf(three, shelf_id)
        is_open = any(shelf.shelf_id == shelf_id for shelf in await three.held_shelves())
        async with three.rita.house.store.transaction() as tx:
            said = await three.rita.node.send(tx, three.with_carl, ShelfClose(shelf_id))
        await three.rita.until(lambda: said in three.rita.delivered())
        return is_open

    assert [await opened(ShelfId(secrets.token_bytes(16))) for _ in range(6)] == [True] * 3 + [False] * 3
    assert sum("more shelves opened than one may" in one.message for one in caplog.records) == 3
    await world.clock.pass_slowly(DAY, step=3600)
    assert await opened(ShelfId(secrets.token_bytes(16)))


async def test_shelves_that_are_closed_and_full_count_too(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes full shelves and opens others would fill the disk."""
    monkeypatch.setattr(agreements, "MAX_HELD_SHELVES", 3)
    store, node_id = three.carl.house.store, three.carl.node_id
    for _ in range(6):
        await _ask_for_shelf(three, shelf_id := ShelfId(secrets.token_bytes(16)))
        if shelf_id not in [shelf.shelf_id for shelf in await three.held_shelves()]:
            continue
        async with store.transaction() as tx:
            await store.carriages.keep(tx, node_id, three.with_carl, shelf_id, [bytes(BLOCK_SIZE)], 1 << 40)
        async with three.rita.house.store.transaction() as tx:
            closed = await three.rita.node.send(tx, three.with_carl, ShelfClose(shelf_id))
        await three.rita.until(lambda closed=closed: closed in three.rita.delivered())  # type: ignore[misc]
    assert len(await three.held_shelves()) == 3


# --- what would wait for ever -----------------------------------------------------------------------------------------


async def test_a_carrier_that_did_not_answer_is_asked_again(three: Three) -> None:
    async with three.rita.house.store.transaction() as tx:
        await sql(tx).execute(
            "UPDATE own_shelves SET onion = NULL, static_key = NULL, opened_at = opened_at - $1",
            ANSWER_PATIENCE,
        )
    three.rita.node.work.carrying.look_again()
    async with asyncio.timeout(PATIENCE):
        while any(shelf.onion is None for shelf in await three.shelves()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await until_many(three.targets, 1)


@pytest.mark.engines("postgres")
async def test_what_our_owner_wants_meanwhile_is_not_written_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where two transactions go on at once."""
    three = await Three.meet(world)
    await three.agree()
    carl, store = three.carl, three.carl.house.store
    read, stopping = store.carriages.get, list[asyncio.Task[None]]()

    async def stop() -> None:
        async with store.transaction() as tx:
            await carl.node.carrying.stop(tx, three.with_carl)

    async def reads_and_is_overtaken(tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Carriage | None:
        found = await read(tx, node_id, peer_id)
        if found is not None and not found.offered and not stopping:
            stopping.append(asyncio.create_task(stop()))
            await asyncio.wait(stopping, timeout=1.0)
        return found

    monkeypatch.setattr(store.carriages, "get", reads_and_is_overtaken)
    async with store.transaction() as tx:
        await carl.node.carrying.offer(tx, three.with_carl, 2, 2)
    await until_true(lambda: stopping)
    await asyncio.wait_for(stopping[0], PATIENCE)
    await until_many(three.targets, 0)
    assert not any(info.is_carried for info in await carl.node.carrying.overview())


# --- recipients that move ---------------------------------------------------------------------------------------------


async def test_a_friend_who_names_ever_new_shelves_is_followed_only_so_far(three: Three) -> None:
    work, store = three.sam.node.work.carrying, three.sam.house.store
    for _ in range(3 * MAX_NEW_ONIONS):
        deposits = [
            Deposit(OnionKey(ed25519_public(secrets.token_bytes(32))), secrets.token_bytes(32), secrets.token_bytes(32))
            for _ in range(MAX_CARRIERS)
        ]
        async with store.transaction() as tx:
            await store.deposits.set_targets(tx, three.sam.node_id, three.with_sam, deposits)
        _, targets = await work._read()
        async with asyncio.TaskGroup() as group:
            work._deposit(targets, group)
            seen = len(work._depositing)
            work._deposit([], group)
    assert seen == 0


async def test_the_key_of_a_shelf_that_is_named_no_more_is_forgotten(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    [target] = await three.targets()
    forgotten: list[OnionKey] = []

    async def forget(onion: OnionKey) -> None:
        forgotten.append(onion)

    await until_true(lambda: three.sam.node.work.carrying._depositing)
    monkeypatch.setattr(three.sam.house.transport, "forget", forget)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.stop(tx, three.with_carl)
    await until_true(lambda: target.deposit.onion in forgotten)
