"""A small file reaches a friend with whom its sender is never online together; see docs/protocol/files.md, "Slices"."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from chattor_bridge.ids import FileId, PeerId
from chattor_bridge.node import filedesk
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.carrying.enclosing import READING_PATIENCE
from chattor_bridge.node.clock import JUMP_DOUBTED
from chattor_bridge.node.filedesk import ASK_AGAIN, ASKED
from chattor_bridge.node.happenings import EventArrived, EventCarried, FileArrived, FileFailed, FileSent
from chattor_bridge.node.records import TransferState
from chattor_bridge.protocol.events import FileAccept
from chattor_bridge.protocol.limits import (
    CHUNK_SIZE,
    DEPOSIT_GATHERING,
    MAX_SLICED_AGAIN,
    MAX_SLICED_FILE,
    OFFER_LIFETIME,
    SLICE_SIZE,
)
from chattor_bridge.protocol.session import Session
from tests.carrying.circle_of_three import Three, until
from tests.node.test_files import accept, content, data_of, offer, offers, state
from tests.node.world import PATIENCE, Person, World

SMALL = 2 * SLICE_SIZE


@pytest.fixture
async def three(world: World) -> Three:
    """Rita takes small files unasked, and is away."""
    three = await Three.meet(world)
    await three.agree()
    await three.rita.house.stop()
    three.rita.house.auto_accept = MAX_SLICED_FILE
    return three


async def carried(three: Three) -> int:
    """How many slices of any file wait in Sam's outbox."""
    async with three.sam.house.store.transaction() as tx:
        return sum(one.slices for one in await three.sam.house.store.outbox.slices(tx, three.sam.node_id))


async def comes(three: Three, *file_ids: FileId) -> None:
    """Rita is back while Sam is away, and has these in the end, once each."""
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.of(FileArrived)) == len(file_ids), time_passes=True)
    assert [one.file_id for one in three.rita.of(FileArrived)] == list(file_ids)


@pytest.mark.engines("sqlite", "postgres")
async def test_a_picture_reaches_somebody_who_is_never_there_when_its_sender_is(three: Three) -> None:
    data = data_of(MAX_SLICED_FILE)
    await three.sam.say(three.with_sam, "look:")
    file_id = await offer(three.sam, three.with_sam, data, "picture")
    await three.sam.say(three.with_sam, "nice?")
    await three.until_held(76)
    await three.sam.until(lambda: len(three.sam.of(EventCarried)) == 78)
    [info] = await three.sam.node.files.list()
    assert (info.state, info.carried, info.done) == (TransferState.OFFERED, True, 0)
    await comes(three, file_id)
    assert await content(three.rita, three.with_sam, file_id) == data
    assert three.rita.texts() == ["look:", "nice?"]
    await three.until_held(0)
    await three.rita.house.stop()
    await three.sam.house.start()
    await three.rita.house.start()
    await three.sam.until(lambda: bool(three.sam.of(FileSent)), time_passes=True)
    assert len(three.rita.of(FileArrived)) == 1
    assert await state(three.sam, file_id) is TransferState.DONE


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE])
async def test_files_of_any_small_size_come(three: Three, size: int) -> None:
    file_id = await offer(three.sam, three.with_sam, data_of(size))
    await three.until_held(1 + -(-size // SLICE_SIZE))
    await comes(three, file_id)
    assert await content(three.rita, three.with_sam, file_id) == data_of(size)


async def test_a_larger_file_waits_for_its_friend(three: Three) -> None:
    await offer(three.sam, three.with_sam, data_of(MAX_SLICED_FILE + 1))
    await three.until_held(1)
    await three.sam.house.world.clock.pass_slowly(600)
    assert (await three.held(), await carried(three)) == (1, 0)


async def test_a_friend_whose_program_knows_no_slices_gets_none(three: Three) -> None:
    store = three.sam.house.store
    async with store.transaction() as tx:
        contact = await store.contacts.for_update(tx, three.sam.node_id, three.with_sam)
        assert contact is not None
        known = tuple(one for one in contact.capabilities if one != "file_slice")
        await store.contacts.save(tx, replace(contact, capabilities=known))
    await offer(three.sam, three.with_sam, data_of(SMALL))
    await three.until_held(1)
    await three.sam.house.world.clock.pass_slowly(600)
    assert (await three.held(), await carried(three)) == (1, 0)


async def test_what_a_friend_has_accepted_follows_it(three: Three) -> None:
    """It took the file on a link which then broke; and what it only knows of is not put into its hands."""
    three.rita.house.auto_accept = 0
    await three.rita.house.start()
    await three.rita.until(lambda: three.rita.online(three.with_sam), time_passes=True)
    wanted, other = [await offer(three.sam, three.with_sam, data_of(SMALL, name), name) for name in ("a", "b")]
    three.sam.house.sources.closed = True
    await accept(three.rita, three.with_sam, wanted)
    await three.rita.until(lambda: len(offers(three.rita)) == 2)
    heard = until(lambda: state(three.sam, wanted), lambda now: now is TransferState.ACCEPTED)
    await asyncio.wait_for(heard, PATIENCE)
    await three.rita.house.stop()
    await three.sam.house.world.clock.pass_slowly(600)
    assert await three.held() == 0
    three.sam.house.sources.closed = False
    await three.until_held(3)  # which took a few tries
    await comes(three, wanted)
    assert await content(three.rita, three.with_sam, wanted) == data_of(SMALL, "a")
    assert await state(three.rita, other) is TransferState.OFFERED


async def test_an_acceptance_that_comes_by_a_carrier_is_heeded_at_once(three: Three, world: World) -> None:
    three.rita.house.auto_accept = 0
    olga = await world.person("Olga")
    with_olga = await three.sam.befriend(olga)
    await three.rita.house.start()
    await three.rita.until(lambda: three.rita.online(three.with_sam), time_passes=True)
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.carrying.ask(tx, with_olga)
    async with olga.house.store.transaction() as tx:
        await olga.node.carrying.offer(tx, with_olga, 4, 4)
    await world.clock.pass_until(until(lambda: _target_of_sams(three), lambda there: there))
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    await three.rita.until(lambda: len(offers(three.rita)) == 1)
    event_id = three.rita.of(EventArrived)[-1].event.event_id
    await three.sam.until(lambda: event_id in three.sam.delivered())
    await three.sam.house.stop()
    await accept(three.rita, three.with_sam, file_id)
    await world.clock.pass_until(until(lambda: _held_for_sam(olga, with_olga), lambda held: held == 1))
    for person in (three.rita, olga):
        await person.house.stop()
    await three.sam.house.start()
    await world.clock.pass_slowly(900)
    assert await carried(three) == 0
    await olga.house.start()
    await three.sam.until(lambda: three.sam.online(with_olga), time_passes=True)
    heard = until(lambda: state(three.sam, file_id), lambda now: now is TransferState.ACCEPTED)
    await asyncio.wait_for(heard, PATIENCE)
    await world.clock.pass_slowly(DEPOSIT_GATHERING * 3)
    assert await three.held() == 1 + 3  # with the acknowledgement of what came
    await comes(three, file_id)


async def _target_of_sams(three: Three) -> bool:
    store = three.rita.house.store
    async with store.transaction() as tx:
        return bool(await store.deposits.targets(tx, three.rita.node_id, three.with_sam))


async def _held_for_sam(olga: Person, with_olga: PeerId) -> int:
    async with olga.house.store.transaction() as tx:
        return await olga.house.store.carriages.count(tx, olga.node_id, with_olga)


async def test_a_full_outbox_takes_no_file(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filedesk, "MAX_QUEUED", 3)
    await offer(three.sam, three.with_sam, data_of(SMALL))  # which is one, and three slices
    await three.until_held(1)
    await three.sam.house.world.clock.pass_slowly(600)
    assert await carried(three) == 0


async def test_what_cannot_be_read_now_holds_up_no_word(three: Three) -> None:
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    three.sam.house.sources.closed = True
    await three.sam.say(three.with_sam, "words")
    await three.until_held(1)
    three.sam.house.sources.closed = False
    await three.until_held(4)
    await comes(three, file_id)
    assert three.rita.texts() == ["words"]


async def test_what_cannot_be_read_for_long_holds_up_no_word_that_is_said_later(three: Three) -> None:
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    three.sam.house.sources.closed = True
    await three.until_held(1)
    await three.sam.house.world.clock.pass_slowly(3600)
    for word in range(3):
        await three.sam.say(three.with_sam, f"word {word}")
        await three.sam.house.world.clock.pass_slowly(2 * DEPOSIT_GATHERING)
        assert await three.held() == 2 + word
    three.sam.house.sources.closed = False
    await three.until_held(7)
    await comes(three, file_id)


async def test_what_is_read_for_ever_holds_up_no_word(three: Three) -> None:
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    three.sam.house.sources.door.clear()
    await three.until_held(1)
    await three.sam.say(three.with_sam, "words")
    await three.until_held(2)
    three.sam.house.sources.door.set()
    await three.until_held(5)
    await comes(three, file_id)


async def test_files_that_hang_hold_up_neither_each_other_nor_a_word_nor_another_friend(
    three: Three, world: World
) -> None:
    olga = await world.person("Olga")
    with_olga = await three.sam.befriend(olga)
    await olga.house.stop()
    hanging = [f"hangs {number}" for number in range(10)]
    for name in (*hanging, "good"):
        await offer(three.sam, three.with_sam, data_of(SMALL, name), name)
    await offer(three.sam, with_olga, data_of(SMALL), "for Olga")
    three.sam.house.sources.hangs = tuple(f"reference of {name}" for name in hanging)
    await world.clock.pass_until(until(three.held, bool))
    await world.clock.pass_until(until(lambda: carried(three), lambda slices: slices == 3), step=1)
    began = world.clock.monotonic()
    encloses = three.sam.node.work.carrying._enclosing.enclose(with_olga)
    await world.clock.pass_until(encloses, step=1)
    assert await carried(three) == 6
    assert world.clock.monotonic() - began <= 5
    [words] = await three.sam.say(three.with_sam, "words")
    await three.sam.until(lambda: any(one.event_id == words for one in three.sam.of(EventCarried)), time_passes=True)
    assert world.clock.monotonic() - began < len(hanging) * READING_PATIENCE
    three.sam.house.sources.hangs = ()
    await world.clock.pass_until(until(lambda: carried(three), lambda slices: slices == 6 + 3 * len(hanging)))


async def test_many_files_of_one_friend_that_hang_hold_up_those_of_another_for_two_seconds(
    three: Three, world: World
) -> None:
    olga = await world.person("Olga")
    with_olga = await three.sam.befriend(olga)
    await olga.house.stop()
    names = [f"file {number}" for number in range(12)]
    for name in names:
        await offer(three.sam, three.with_sam, data_of(SMALL), f"hangs, {name}")
        await offer(three.sam, with_olga, data_of(SMALL), name)
    three.sam.house.sources.hangs = tuple(f"reference of hangs, {name}" for name in names)
    enclosing, began = three.sam.node.work.carrying._enclosing, world.clock.monotonic()
    for_rita = asyncio.create_task(enclosing.enclose(three.with_sam))
    try:
        await world.clock.pass_until(enclosing.enclose(with_olga), step=0.25)
    finally:
        for_rita.cancel()
    assert await carried(three) == 3 * len(names)
    assert world.clock.monotonic() - began < len(names) / 2


async def test_what_has_changed_since_is_not_carried(three: Three) -> None:
    await offer(three.sam, three.with_sam, data_of(SMALL))
    three.sam.house.sources.files["reference of a file"] = data_of(SMALL, "other")
    await three.sam.until(lambda: bool(three.sam.of(FileFailed)), time_passes=True)
    assert "has changed since it was offered" in three.sam.of(FileFailed)[0].reason
    assert await carried(three) == 0


async def test_a_link_that_comes_about_midway_brings_the_rest(three: Three) -> None:
    """The envelopes that wait are the ones that go, and nothing is fetched beside them."""
    file_id = await offer(three.sam, three.with_sam, data_of(MAX_SLICED_FILE))
    await three.until_held(1)
    await three.sam.house.world.clock.pass_until(until(lambda: carried(three), lambda slices: slices == 75))
    three.sam.house.sources.closed = True
    await three.carl.house.stop()
    await three.rita.house.start()
    await three.sam.until(lambda: bool(three.sam.of(FileSent)), time_passes=True)
    assert [one.file_id for one in three.rita.of(FileArrived)] == [file_id]
    assert await content(three.rita, three.with_sam, file_id) == data_of(MAX_SLICED_FILE)


async def test_slices_survive_a_renewal_of_the_session(three: Three) -> None:
    file_id = await offer(three.sam, three.with_sam, data_of(MAX_SLICED_FILE))
    await three.until_held(76)
    before = await _session_id(three)
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.renew_session(tx, three.with_sam)
    three.sam.house.sources.closed = True
    await three.carl.house.stop()
    await three.rita.house.start()
    await three.sam.until(lambda: bool(three.sam.of(FileSent)), time_passes=True)
    assert await _session_id(three) != before
    assert [one.file_id for one in three.rita.of(FileArrived)] == [file_id]
    assert await carried(three) == 0


async def _session_id(three: Three) -> bytes:
    store = three.sam.house.store
    async with store.transaction() as tx:
        contact = await store.contacts.get(tx, three.sam.node_id, three.with_sam)
    assert contact is not None
    return Session.deserialize(contact.session).session_id


async def test_one_after_the_other_they_leave_room_for_words(three: Three) -> None:
    first, second = [
        await offer(three.sam, three.with_sam, data_of(MAX_SLICED_FILE, name), name) for name in ("a", "b")
    ]
    await three.until_held(76)
    await three.sam.say(three.with_sam, "meanwhile")
    await three.until_held(77)
    await three.sam.house.world.clock.pass_slowly(600)
    assert await carried(three) == 75
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.of(FileArrived)) == 2, time_passes=True)
    assert {one.file_id for one in three.rita.of(FileArrived)} == {first, second}


async def test_what_the_friend_has_no_room_for_comes_on_a_stream(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filedesk, "MAX_SLICES_KEPT", 1)
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    await three.until_held(4)
    await three.rita.house.start()
    await three.sam.until(lambda: bool(three.sam.of(FileSent)), time_passes=True)
    assert [one.file_id for one in three.rita.of(FileArrived)] == [file_id]


@pytest.mark.parametrize("before", [True, False])
async def test_what_the_friend_had_no_room_for_is_carried_again_when_it_has(
    three: Three, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    """Whether it accepts the file then, or had accepted it ``before``."""
    monkeypatch.setattr(filedesk, "MAX_SLICES_KEPT", 3)
    three.rita.house.auto_accept = 0
    world = three.rita.house.world
    first, second = [await offer(three.sam, three.with_sam, data_of(SMALL, name), name) for name in ("a", "b")]
    await three.until_held(1 + 2 * 3)
    three.sam.house.sources.closed = True  # nothing goes over on a stream

    async def collect() -> None:
        """Rita is there and Sam is not."""
        await three.sam.house.stop()
        await three.rita.house.start()
        await three.until_held(0)

    async def meet_and_part() -> None:
        """They meet, Sam hears what Rita has to say, and she goes."""
        await three.sam.house.start()
        await three.rita.until(lambda: three.rita.online(three.with_sam), time_passes=True)
        await world.clock.pass_until(until(partial(_queued, three), lambda queued: queued == 0))
        await three.rita.house.stop()
        three.sam.house.sources.closed = False
        await world.clock.pass_until(until(lambda: carried(three), lambda slices: slices == 3))
        await three.until_held(3)
        three.sam.house.sources.closed = True

    await collect()
    for file_id in (second, first) if before else (first, second):
        await accept(three.rita, three.with_sam, file_id)
        if file_id == first:
            await three.rita.until(lambda: [one.file_id for one in three.rita.of(FileArrived)] == [first])
    await meet_and_part()
    await collect()
    await three.rita.until(lambda: [one.file_id for one in three.rita.of(FileArrived)] == [first, second])
    assert await content(three.rita, three.with_sam, second) == data_of(SMALL, "b")


async def _queued(three: Three) -> int:
    """How much waits at Rita's for Sam."""
    return sum(contact.queued for contact in await three.rita.node.contacts() if contact.peer_id == three.with_sam)


async def test_an_acceptance_said_again_has_a_file_carried_again_some_times_a_day(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filedesk, "MAX_SLICED_AGAIN", 2)
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    desk, store = three.sam.node.work.desk, three.sam.house.store
    again = 0
    for _ in range(4):
        async with store.transaction() as tx:
            transfer = await store.transfers.get(tx, three.sam.node_id, three.with_sam, file_id)
            assert transfer is not None
            await store.transfers.note_sliced(tx, transfer, 3)
            await desk._slice_again(tx, replace(transfer, slices=3))
            now = await store.transfers.get(tx, three.sam.node_id, three.with_sam, file_id)
            assert now is not None
            again += now.slices == 0
    assert again == 2


async def test_an_acceptance_of_what_has_gone_over_has_nothing_carried_again(three: Three) -> None:
    """It comes from a person who took the time to decide; one that is said again, from a program that lacks some."""
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    work, store = three.sam.node.work, three.sam.house.store
    slices = []
    for _ in range(2):
        async with store.transaction() as tx:
            contact = await store.contacts.get(tx, three.sam.node_id, three.with_sam)
            transfer = await store.transfers.get(tx, three.sam.node_id, three.with_sam, file_id)
            assert contact is not None
            assert transfer is not None
            await store.transfers.note_sliced(tx, transfer, 3)
            await work.desk.take(tx, contact, work.mailbox.event(FileAccept(file_id)))
            now = await store.transfers.get(tx, three.sam.node_id, three.with_sam, file_id)
            assert now is not None
            slices.append(now.slices)
    assert slices == [3, 0]


async def test_what_a_friend_may_not_carry_again_today_is_asked_for_a_day_later(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, sam, rita = three.sam.house.world, three.sam, three.rita
    with monkeypatch.context() as cramped:
        cramped.setattr(filedesk, "MAX_SLICES_KEPT", 1)
        file_id = await offer(sam, three.with_sam, data_of(SMALL))
        await three.until_held(4)
        sam.house.sources.closed = True  # nothing goes over on a stream
        await sam.house.stop()
        await rita.house.start()
        await three.until_held(0)
    await sam.house.start()
    spent = sam.node.work.desk._again[three.with_sam] = Allowance(sam.node.work.desk._around.clock, MAX_SLICED_AGAIN)
    spent.spend(MAX_SLICED_AGAIN + 1)
    await world.clock.pass_until(until(partial(_reason, rita, three.with_sam, file_id), lambda why: why == ASKED))
    await world.clock.pass_until(until(partial(_queued, three), lambda queued: queued == 0))
    await world.clock.pass_slowly(ASK_AGAIN + 3600, step=600)
    await rita.house.stop()
    sam.house.sources.closed = False
    await three.until_held(3)
    await comes(three, file_id)


async def _reason(person: Person, peer_id: PeerId, file_id: FileId) -> str:
    store = person.house.store
    async with store.transaction() as tx:
        transfer = await store.transfers.get(tx, person.node_id, peer_id, file_id)
    return "" if transfer is None else transfer.reason


async def test_what_is_withdrawn_is_not_shown_twice(three: Three) -> None:
    """What was put into envelopes goes over, as a text would; what has come by then stays."""
    file_id = await offer(three.sam, three.with_sam, data_of(SMALL))
    await three.until_held(4)
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.files.cancel(tx, three.with_sam, file_id)
    await three.until_held(5)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: bool(three.rita.of(FileArrived) or three.rita.of(FileFailed)), time_passes=True)
    await three.until_held(0)
    assert len(three.rita.of(FileArrived)) + len(three.rita.of(FileFailed)) == 1


async def test_what_nobody_collects_is_given_up(three: Three) -> None:
    await offer(three.sam, three.with_sam, data_of(SMALL))
    await three.until_held(4)
    for person in (three.carl, three.sam):
        await person.house.stop()
    await three.sam.house.world.clock.advance(OFFER_LIFETIME + 86_400)
    await three.sam.house.start()
    await three.sam.house.world.clock.pass_slowly(JUMP_DOUBTED, step=3600)
    await three.sam.until(lambda: bool(three.sam.of(FileFailed)), time_passes=True)
    assert [one.reason for one in three.sam.of(FileFailed)] == ["did not go over within 30 days"]
    await three.sam.house.world.clock.pass_until(until(lambda: carried(three), lambda slices: slices == 0))
