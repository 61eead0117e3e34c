"""docs/protocol/merge.md: two friendships with one person become one, and nobody else's ever do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.ids import EventId, OnionKey, PeerId
from chattor_bridge.node.carrying.records import Carriage, CarryingInfo
from chattor_bridge.node.claims import agreed
from chattor_bridge.node.happenings import (
    MERGE_ASKED,
    MERGE_UNPROVEN,
    MERGED,
    RETIRED,
    ContactsMerged,
    EventArrived,
    FileArrived,
    FileSent,
)
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact
from chattor_bridge.protocol.events import Body, Merge, MergeDone, Text, Unknown
from chattor_bridge.protocol.limits import BLOCK_SIZE
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.session import Session
from tests.node.test_files import accept, content, data_of, offer, offers
from tests.node.world import Person, World, until_gone

pytestmark = pytest.mark.engines("sqlite", "postgres")

Crossed = tuple[Person, Person, PeerId, PeerId]
"""Two people who are friends twice: the friendship that survives, and the other."""


@pytest.fixture
async def crossed(world: World) -> Crossed:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    survivor, former = sorted([await anna.befriend(ben), await ben.befriend(anna)])
    return anna, ben, survivor, former


async def merge(person: Person, one: PeerId, other: PeerId | None = None) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.merge(tx, one, other)


async def send(person: Person, peer_id: PeerId, body: Body) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.send(tx, peer_id, body)


def told(person: Person, what: str) -> list[PeerId]:
    """In which conversations the owner was told this."""
    return [
        arrived.peer_id
        for arrived in person.of(EventArrived)
        if isinstance(arrived.event.body, Unknown) and arrived.event.body.type == what
    ]


async def friends_of(person: Person) -> list[PeerId]:
    return [contact.peer_id for contact in await person.node.contacts()]


async def stored(person: Person, peer_id: PeerId) -> Contact:
    async with person.house.store.transaction() as tx:
        contact = await person.house.store.contacts.get(tx, person.node_id, peer_id)
    assert contact is not None
    return contact


async def until_all_has_arrived(world: World, person: Person) -> None:
    """At every friend."""

    async def nothing_waits() -> None:
        while any(contact.queued for contact in await person.node.contacts()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await world.clock.pass_until(nothing_waits())


async def until_carried(world: World, person: Person, peer_id: PeerId) -> None:
    """This friend holds this person's mail, and says how much it may."""

    async def is_carried() -> None:
        while True:
            carrying = [one.peer_id for one in await person.node.carrying.overview() if one.carries]
            if carrying == [peer_id]:
                return
            await asyncio.sleep(0.01)

    await world.clock.pass_until(is_carried())


async def until_offered(world: World, person: Person, carriage: Carriage) -> CarryingInfo:
    """This person carries for one friend, as in ``carriage``; what is known of it. An offer made in the former
    friendship moves to the other, and may be there before the one that is made anew."""

    async def offered() -> CarryingInfo:
        while True:
            [info] = await person.node.carrying.overview()
            if info.carriage == carriage:
                return info
            await asyncio.sleep(0.01)

    return await world.clock.pass_until(offered())


def have_arrived(person: Person, events: list[EventId]) -> bool:
    return set(events) <= set(person.delivered())


def merged(person: Person) -> bool:
    return bool(person.of(ContactsMerged))


async def test_both_say_so_and_one_friendship_remains(world: World, crossed: Crossed) -> None:
    anna, ben, survivor, former = crossed
    await merge(anna, former, survivor)
    await ben.until(lambda: set(told(ben, MERGE_ASKED)) == {survivor, former})
    assert not merged(anna)
    assert len(await friends_of(anna)) == len(await friends_of(ben)) == 2  # the other side has not agreed
    await merge(ben, survivor)  # which the other one is, the friend has said
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
        assert person.of(ContactsMerged) == [ContactsMerged(survivor, former)]
        assert told(person, MERGED) == [survivor]
        assert await friends_of(person) == [survivor]
    with pytest.raises(NotFound):
        await anna.say(former, "hello?")
    await anna.say(survivor, "one")
    await ben.say(survivor, "two")
    await ben.until(lambda: ben.texts() == ["one"], time_passes=True)
    await anna.until(lambda: anna.texts() == ["two"], time_passes=True)
    assert told(anna, MERGE_UNPROVEN) == told(ben, MERGE_UNPROVEN) == []


async def test_what_came_before_the_word_is_not_taken_again_in_the_other(crossed: Crossed) -> None:
    """Its acknowledgement may be lost with the former friendship, and it comes again in the survivor."""
    anna, ben, survivor, former = crossed
    mailbox, store = ben.node.work.mailbox, ben.house.store
    event = mailbox.event(Text("once"))
    async with store.transaction() as tx:
        await mailbox.send(tx, former, event)
    ben.node.work.wake(former)
    await anna.until(lambda: anna.texts() == ["once"])
    await merge(anna, survivor, former)
    async with store.transaction() as tx:
        await mailbox.send(tx, survivor, event)
    await ben.say(survivor, "another")
    await anna.until(lambda: "another" in anna.texts())
    assert anna.texts() == ["once", "another"]


async def test_a_merge_that_cannot_be_stored_holds_nothing_else_up(crossed: Crossed) -> None:
    """Too much may wait for a homeserver because of the very friend who wants to merge."""
    anna, ben, survivor, former = crossed
    anna.house.diary.refuses = lambda happening: isinstance(happening, ContactsMerged)
    await merge(anna, survivor, former)
    await merge(ben, former, survivor)
    await anna.until(lambda: anna.house.diary.refused > 0, time_passes=True)
    await anna.code("another")  # whose door is put up
    anna.house.diary.refuses = lambda happening: False
    await anna.until(partial(merged, anna), time_passes=True)


async def test_both_say_so_at_once(crossed: Crossed) -> None:
    anna, ben, survivor, former = crossed
    await merge(anna, survivor, former)
    await merge(ben, former, survivor)
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
        assert await friends_of(person) == [survivor]


async def test_what_waits_goes_on_in_the_other_once_and_in_order(crossed: Crossed) -> None:
    """Ben says things in the former friendship behind his proof, and gives it up once she has that alone."""
    anna, ben, survivor, former = crossed
    await merge(anna, survivor, former)
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2)
    said = await anna.say(former, *(f"anna {number}" for number in range(70)))
    async with ben.house.store.transaction() as tx:
        await ben.node.merge(tx, former)
        ours = [await ben.node.send(tx, former, Text(f"ben {number}")) for number in range(70)]
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
    await anna.until(lambda: len(anna.texts()) == 70, time_passes=True)
    await ben.until(lambda: len(ben.texts()) == 70, time_passes=True)
    assert anna.texts() == [f"ben {number}" for number in range(70)]
    assert ben.texts() == [f"anna {number}" for number in range(70)]
    for person, events in ((anna, said), (ben, ours)):
        await person.until(partial(have_arrived, person, events), time_passes=True)
        assert len(set(person.delivered())) == len(person.delivered())


async def test_a_profile_for_which_there_was_no_room_in_the_former_is_told_in_the_other(
    world: World, crossed: Crossed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one waits there, which comes after the new one when it is sealed anew."""
    anna, ben, survivor, former = crossed
    await merge(anna, survivor, former)
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2)
    await until_all_has_arrived(world, anna)
    ben.house.diary.refuses = lambda happening: isinstance(happening, EventArrived) and happening.peer_id == former
    monkeypatch.setattr("chattor_bridge.node.sending.MAX_QUEUED", 2)
    await anna.say(former, "waits")
    for name in ("Ann 1", "Ann 2"):
        async with anna.house.store.transaction() as tx:
            await anna.node.set_profile_name(tx, name)
    assert (await stored(anna, former)).profile_due
    assert not (await stored(anna, survivor)).profile_due
    await merge(ben, survivor, former)
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
    await ben.until(lambda: ben.texts() == ["waits"], time_passes=True)
    await until_all_has_arrived(world, anna)
    assert (await stored(ben, survivor)).peer_name == "Ann 2"


async def test_who_holds_mail_in_the_former_friendship_goes_on_in_the_other(world: World, crossed: Crossed) -> None:
    anna, ben, survivor, former = crossed
    async with anna.house.store.transaction() as tx:
        await anna.node.carrying.ask(tx, former)
    async with ben.house.store.transaction() as tx:
        await ben.node.carrying.offer(tx, former, 3, 5)
    await until_carried(world, anna, former)
    await merge(anna, survivor, former)
    await merge(ben, former, survivor)
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
    await until_carried(world, anna, survivor)
    info = await until_offered(world, ben, Carriage(survivor, 3, 5, offered=True))
    assert info.peer_id == survivor


async def test_an_agreement_that_has_ended_and_is_not_collected_is_not_in_the_way_of_the_other(
    world: World, crossed: Crossed
) -> None:
    anna, ben, survivor, former = crossed
    store = ben.house.store
    for peer_id in (survivor, former):
        async with store.transaction() as tx:
            await ben.node.carrying.offer(tx, peer_id, 3, 5)
        async with anna.house.store.transaction() as tx:
            await anna.node.carrying.ask(tx, peer_id)
        await until_carried(world, anna, peer_id)
        await asyncio.wait_for(_until_held(ben, peer_id), world.patience)
        if peer_id == survivor:
            async with store.transaction() as tx:
                [shelf] = await store.carriages.shelves(tx, ben.node_id, peer_id)
                now = world.clock.now()
                await store.carriages.keep(tx, ben.node_id, peer_id, shelf.shelf_id, [bytes(BLOCK_SIZE)], now)
            async with store.transaction() as tx:  # of its own: it locks the contact before the shelf
                await ben.node.carrying.stop(tx, peer_id)
    await merge(anna, survivor, former)
    await merge(ben, former, survivor)
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
    await until_carried(world, anna, survivor)
    info = await until_offered(world, ben, Carriage(survivor, 3, 5, offered=True))
    assert info.held == 1


async def _until_held(person: Person, peer_id: PeerId) -> None:
    """This person holds a shelf for that friend."""
    store = person.house.store
    while True:
        async with store.transaction() as tx:
            if await store.carriages.shelves(tx, person.node_id, peer_id):
                return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("who", ["first", "second"])
async def test_a_death_between_leaves_nothing_half_done(crossed: Crossed, who: str) -> None:
    anna, ben, survivor, former = crossed
    await merge(anna, survivor, former)
    await anna.say(former, "before")
    dies = anna if who == "first" else ben
    await dies.house.die()
    await dies.house.start()
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2, time_passes=True)
    await merge(ben, former)
    await ben.say(former, "after")
    await dies.house.die()
    await dies.house.start()
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
        assert await friends_of(person) == [survivor]
    await anna.until(lambda: anna.texts() == ["after"], time_passes=True)
    await ben.until(lambda: ben.texts() == ["before"], time_passes=True)


async def test_a_friend_who_dies_while_the_other_gives_up_is_told_in_the_survivor(crossed: Crossed) -> None:
    """Whether or not Anna has heard that Ben has her proof."""
    anna, ben, survivor, former = crossed
    await merge(anna, survivor, former)
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2)
    await merge(ben, former)
    await ben.until(partial(merged, ben), time_passes=True)
    await anna.house.die()
    await anna.house.start()
    await anna.until(partial(merged, anna), time_passes=True)
    assert await friends_of(anna) == [survivor]


async def test_the_onion_of_the_former_friendship_is_taken_down(world: World, crossed: Crossed) -> None:
    anna, ben, survivor, former = crossed
    knocker = anna if (await stored(anna, former)).role == "knocker" else ben
    contact = await stored(knocker, former)
    assert contact.hosted_seed is not None
    onion = OnionKey(ed25519_public(contact.hosted_seed))
    key = Session.deserialize(contact.session).onion_auth_key(onion)
    await merge(anna, survivor, former)
    await merge(ben, survivor, former)
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
    await until_gone(world, onion, key)


# --- lies ------------------------------------------------------------------------------------------------------------


async def test_another_persons_friendship_is_not_merged(world: World, crossed: Crossed) -> None:
    """Our own owner errs: Cleo is somebody else. Both are asked something they cannot make sense of."""
    anna, ben, survivor, _former = crossed
    cleo = await world.person("Cleo")
    with_cleo = await cleo.befriend(anna)
    await merge(anna, survivor, with_cleo)
    await ben.until(lambda: told(ben, MERGE_UNPROVEN) == [survivor])
    await cleo.until(lambda: told(cleo, MERGE_UNPROVEN) == [with_cleo])
    with pytest.raises(UsageError, match="has said nothing"):
        await merge(ben, survivor)
    assert len(await friends_of(anna)) == 3
    assert not merged(anna)


@pytest.mark.parametrize("lie", ["noise", "reflection", "other direction", "the half that is true"])
async def test_a_lie_merges_nothing(crossed: Crossed, lie: str) -> None:
    """Even where our owner has agreed already."""
    anna, ben, survivor, former = crossed
    ours = Session.deserialize((await stored(ben, survivor)).session)
    others = Session.deserialize((await stored(ben, former)).session)
    proof = {
        "noise": bytes(32),
        "reflection": ours.merge_proof(others.transcript, ours=False),
        "other direction": others.merge_proof(ours.transcript, ours=True),
        "the half that is true": ours.merge_proof(others.transcript, ours=True),
    }[lie]
    await merge(anna, survivor, former)
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2)
    await send(ben, survivor, Merge(proof))
    await send(ben, survivor, MergeDone())
    await ben.say(survivor, "well?")
    await anna.until(lambda: anna.texts() == ["well?"])
    await anna.say(former, "still here")
    await ben.until(lambda: ben.texts() == ["still here"])
    assert told(anna, MERGE_UNPROVEN) == ([] if lie == "the half that is true" else [survivor])
    assert not merged(anna)
    assert len(await friends_of(anna)) == 2


async def test_what_cannot_be_merged(crossed: Crossed) -> None:
    anna, ben, survivor, former = crossed
    with pytest.raises(UsageError, match="the same contact"):
        await merge(anna, survivor, survivor)
    with pytest.raises(UsageError, match="has said nothing"):
        await merge(anna, survivor)
    with pytest.raises(NotFound):
        await merge(anna, survivor, PeerId(bytes(16)))
    async with anna.house.store.transaction() as tx:
        await anna.node.block(tx, former)
    with pytest.raises(UsageError, match="blocked"):
        await merge(anna, survivor, former)
    assert told(ben, MERGE_ASKED) == []


@pytest.mark.parametrize("forgotten", ["survivor", "former"])
async def test_forgetting_one_ends_the_merge_and_leaves_the_other(crossed: Crossed, forgotten: str) -> None:
    anna, ben, survivor, former = crossed
    gone, left = (survivor, former) if forgotten == "survivor" else (former, survivor)
    await merge(anna, survivor, former)
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2)
    async with anna.house.store.transaction() as tx:
        await anna.node.forget(tx, gone)
    assert (await stored(anna, left)).merging is None
    await anna.say(left, "never mind")
    await ben.until(lambda: ben.texts() == ["never mind"], time_passes=True)
    assert (await stored(ben, left)).merge_claim is None
    await merge(ben, survivor, former)
    await ben.say(left, "hello")
    await anna.until(lambda: anna.texts() == ["hello"], time_passes=True)
    assert not merged(anna)
    assert not merged(ben)


@pytest.mark.parametrize("ended", ["survivor", "former"])
@pytest.mark.parametrize("by_whom", ["us", "the friend"])
async def test_a_retired_friendship_becomes_one_with_no_other(crossed: Crossed, ended: str, by_whom: str) -> None:
    """Everything was said, and something was in the way of it. Else the other friendship would end with it, unsaid."""
    anna, ben, survivor, former = crossed
    gone, left = (survivor, former) if ended == "survivor" else (former, survivor)
    for person in (anna, ben):
        person.house.diary.refuses = lambda happening: isinstance(happening, ContactsMerged)
    await merge(anna, survivor, former)
    await merge(ben, survivor, former)
    for person in (anna, ben):
        await person.until(lambda person=person: person.house.diary.refused > 0, time_passes=True)  # type: ignore[misc]
    ends, hears = (anna, ben) if by_whom == "us" else (ben, anna)
    async with ends.house.store.transaction() as tx:
        await ends.node.retire(tx, gone)
    await hears.until(lambda: told(hears, RETIRED) == [gone], time_passes=True)
    for person in (anna, ben):
        person.house.diary.refuses = lambda happening: False
    await anna.say(left, "one")
    await ben.say(left, "two")
    await ben.until(lambda: ben.texts() == ["one"], time_passes=True)
    await anna.until(lambda: anna.texts() == ["two"], time_passes=True)
    await anna.house.world.clock.pass_slowly(600)
    assert not merged(anna)
    assert not merged(ben)
    assert (await stored(ends, left)).merging is None


@pytest.mark.engines("postgres")
async def test_one_that_is_blocked_meanwhile_is_not_merged(crossed: Crossed, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the two were found to be one, and before they are locked to be made that."""
    anna, ben, survivor, former = crossed
    await merge(anna, survivor, former)
    await ben.until(lambda: len(told(ben, MERGE_ASKED)) == 2)
    settle, blocked = anna.node.work.merging.settle, asyncio.Event()

    async def block() -> None:
        async with anna.house.store.transaction() as tx:
            await anna.node.block(tx, former)

    async def settle_late(tx: Transaction, contacts: Sequence[Contact]) -> list[Contact]:
        both = {contact.peer_id: contact for contact in contacts}
        if not blocked.is_set() and agreed(both[survivor], both[former]):
            await asyncio.create_task(block())
            blocked.set()
        return await settle(tx, contacts)

    monkeypatch.setattr(anna.node.work.merging, "settle", settle_late)
    await merge(ben, survivor)
    await anna.until(blocked.is_set, time_passes=True)
    await anna.house.world.clock.pass_slowly(60)
    assert not merged(anna)
    assert {one.peer_id: one.blocked for one in await anna.node.contacts()} == {survivor: False, former: True}


async def test_a_file_on_its_way_goes_on_in_the_friendship_that_remains(crossed: Crossed) -> None:
    anna, ben, survivor, former = crossed
    data = data_of(100_000)
    file_id = await offer(anna, former, data)
    await ben.until(lambda: len(offers(ben)) == 1)
    await merge(anna, former, survivor)
    await ben.until(lambda: set(told(ben, MERGE_ASKED)) == {survivor, former})
    await merge(ben, survivor)
    for person in (anna, ben):
        await person.until(partial(merged, person), time_passes=True)
    await accept(ben, survivor, file_id)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert await content(ben, survivor, file_id) == data
    await anna.until(lambda: bool(anna.of(FileSent)), time_passes=True)
