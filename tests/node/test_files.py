"""Files between two nodes: both directions, whoever hosts; crashes, changes, cancellations and bounds."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from chattor_bridge.errors import (
    AuthenticationFailed,
    LimitReached,
    NotFound,
    OnionUnreachable,
    UsageError,
)
from chattor_bridge.ids import EventId, FileId, PeerId
from chattor_bridge.node.files import Prepared, prepare
from chattor_bridge.node.happenings import EventArrived, FileArrived, FileFailed, FileSent
from chattor_bridge.node.records import TransferState
from chattor_bridge.node.transferring import FETCHED_OF_FRIEND, STALLED, STREAMS_OF_FILE
from chattor_bridge.protocol.events import FileOffer
from chattor_bridge.protocol.limits import CHUNK_SIZE, FILE_STREAM_TIMEOUT, OFFER_LIFETIME
from tests.node.world import PER_FRIEND, Person, World


def data_of(size: int, name: str = "data") -> bytes:
    return hashlib.shake_256(name.encode()).digest(size)


async def offer(person: Person, peer_id: PeerId, data: bytes, name: str = "a file") -> FileId:
    reference = f"reference of {name}"
    person.house.sources.files[reference] = data
    prepared = await prepare(await person.house.sources.open(person.node_id, reference))
    async with person.house.store.transaction() as tx:
        _, file_id = await person.node.files.offer(tx, peer_id, prepared, reference, name=name, caption="*look*")
    return file_id


def offers(person: Person) -> list[FileOffer]:
    return [one.event.body for one in person.of(EventArrived) if isinstance(one.event.body, FileOffer)]


async def accept(person: Person, peer_id: PeerId, file_id: FileId) -> None:
    await person.until(lambda: any(one.content.file_id == file_id for one in offers(person)))
    async with person.house.store.transaction() as tx:
        await person.node.files.accept(tx, peer_id, file_id)


async def content(person: Person, peer_id: PeerId, file_id: FileId) -> bytes:
    return b"".join([piece async for piece in person.node.files.read(peer_id, file_id)])


def parts(person: Person) -> list[Path]:
    return list((person.house.world.directory / f"{person.house.name}.parts").glob("*"))


async def until_failed(person: Person) -> None:
    await person.until(lambda: bool(person.of(FileFailed)), time_passes=True)


async def state(person: Person, file_id: FileId) -> TransferState:
    [info] = [one for one in await person.node.files.list() if one.file_id == file_id]
    return info.state


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, 70 * CHUNK_SIZE + 11])
@pytest.mark.parametrize("by_knocker", [True, False])
async def test_a_file_goes_over(anna: Person, ben: Person, size: int, by_knocker: bool) -> None:
    peer_id = await anna.befriend(ben)
    sender, receiver = (anna, ben) if by_knocker else (ben, anna)
    data = data_of(size)
    file_id = await offer(sender, peer_id, data, "Übersicht.pdf")
    await accept(receiver, peer_id, file_id)
    await receiver.until(lambda: bool(receiver.of(FileArrived)), time_passes=True)
    assert await content(receiver, peer_id, file_id) == data
    await sender.until(lambda: bool(sender.of(FileSent)), time_passes=True)
    [offered] = offers(receiver)
    assert (offered.name, offered.caption, offered.content.size) == ("Übersicht.pdf", "*look*", size)
    [event_id] = [one.event.event_id for one in receiver.of(EventArrived) if isinstance(one.event.body, FileOffer)]
    assert receiver.of(FileArrived) == [FileArrived(peer_id, event_id, file_id)]
    assert sender.of(FileSent) == [FileSent(peer_id, event_id, file_id)]
    [info] = await receiver.node.files.list()
    assert (info.state, info.done, info.outgoing) == (TransferState.ARRIVED, size, False)
    async with receiver.house.store.transaction() as tx:
        await receiver.node.files.release(tx, peer_id, file_id)
    with pytest.raises(UsageError):
        await content(receiver, peer_id, file_id)
    assert await state(receiver, file_id) is TransferState.DONE
    assert await state(sender, file_id) is TransferState.DONE


async def test_what_is_kept_is_sealed_and_goes_when_it_is_taken(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    data = data_of(3 * CHUNK_SIZE)
    file_id = await offer(anna, peer_id, data)
    await accept(ben, peer_id, file_id)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    [part] = parts(ben)
    assert part.stat().st_size == 3 * (CHUNK_SIZE + 16)
    assert part.stat().st_mode & 0o077 == 0
    kept = part.read_bytes()
    assert not any(data[at : at + 32] in kept for at in range(0, len(data), CHUNK_SIZE))
    async with ben.house.store.transaction() as tx:
        await ben.node.files.release(tx, peer_id, file_id)
    await until_swept(ben)


async def until_swept(person: Person) -> None:
    await person.house.world.clock.pass_until(_swept(person))


async def _swept(person: Person) -> None:
    while parts(person):
        await person.house.world.clock.sleep(1)


async def test_a_small_file_is_fetched_unasked_and_a_larger_one_is_not(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    await ben.house.stop()
    ben.house.auto_accept = 1_000
    await ben.house.start()
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    small = await offer(anna, peer_id, data_of(1_000), "small")
    await ben.until(lambda: len(ben.of(FileArrived)) == 1, time_passes=True)
    large = await offer(anna, peer_id, data_of(1_001), "large")
    await ben.until(lambda: len(offers(ben)) == 2, time_passes=True)
    assert [await state(ben, one) for one in (small, large)] == [TransferState.ARRIVED, TransferState.OFFERED]


@pytest.mark.engines("sqlite", "postgres")
async def test_a_receiver_that_dies_goes_on_where_it_was(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    data = data_of(800 * CHUNK_SIZE)
    anna.house.sources.files["reference of a file"] = data
    file_id = await offer(anna, peer_id, data)
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(_some_noted(ben, file_id))
    await ben.house.die()
    kept = sum(part.stat().st_size for part in parts(ben))
    assert kept > 0
    await ben.house.start()
    [info] = await ben.node.files.list()
    assert 0 < info.done < info.size
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert await content(ben, peer_id, file_id) == data
    await anna.until(lambda: bool(anna.of(FileSent)), time_passes=True)


async def _some_noted(person: Person, file_id: FileId) -> None:
    while True:
        async with person.house.store.transaction() as tx:
            transfers = await person.house.store.transfers.of_node(tx, person.node_id, over=False)
        if any(one.file_id == file_id and one.came for one in transfers):
            return
        await asyncio.sleep(0.002)


async def test_a_sender_that_dies_is_asked_for_the_rest(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    data = data_of(800 * CHUNK_SIZE)
    file_id = await offer(anna, peer_id, data)
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(_some_noted(ben, file_id))
    await anna.house.die()
    await anna.house.start()
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert await content(ben, peer_id, file_id) == data


async def test_a_file_that_changed_is_not_sent(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(100_000))
    anna.house.sources.files["reference of a file"] = data_of(100_000, "other")
    await accept(ben, peer_id, file_id)
    for person in (anna, ben):
        await until_failed(person)
        [failed] = person.of(FileFailed)
        assert "has changed since it was offered" in failed.reason
    assert not ben.of(FileArrived)


async def test_a_source_that_is_closed_for_a_while_is_waited_for(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(100_000))
    anna.house.sources.closed = True
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_slowly(100)
    assert await state(ben, file_id) is TransferState.ACCEPTED
    anna.house.sources.closed = False
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)


@pytest.mark.parametrize("by_sender", [True, False])
@pytest.mark.parametrize("accepted", [True, False])
async def test_either_side_cancels(anna: Person, ben: Person, by_sender: bool, accepted: bool) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(100_000))
    anna.house.sources.closed = True  # so that it is under way for as long as it takes
    await ben.until(lambda: bool(offers(ben)))
    if accepted:
        await accept(ben, peer_id, file_id)
    canceller = anna if by_sender else ben
    async with canceller.house.store.transaction() as tx:
        await canceller.node.files.cancel(tx, peer_id, file_id)
    for person in (anna, ben):
        await until_failed(person)
        [failed] = person.of(FileFailed)
        assert failed.reason == ("was cancelled" if by_sender or accepted else "was declined")
        assert await state(person, file_id) is TransferState.FAILED
    with pytest.raises(UsageError):
        async with canceller.house.store.transaction() as tx:
            await canceller.node.files.cancel(tx, peer_id, file_id)
    await until_swept(ben)


async def test_messages_go_on_beside_a_file(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(800 * CHUNK_SIZE))
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(_some_noted(ben, file_id))
    await anna.say(peer_id, "meanwhile")
    await ben.until(lambda: ben.texts() == ["meanwhile"])
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)


async def test_no_more_is_kept_of_a_friend_than_may_be(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    huge = await offer_of_size(anna, peer_id, PER_FRIEND + 1)
    for person in (anna, ben):
        await until_failed(person)
        assert person.of(FileFailed)[0].reason == "is larger than the receiver takes"
    assert await state(ben, huge) is TransferState.FAILED
    first, second = [await offer_of_size(anna, peer_id, PER_FRIEND - 10) for _ in range(2)]
    await accept(ben, peer_id, first)
    with pytest.raises(LimitReached, match="no room for more files of this friend"):
        await accept(ben, peer_id, second)
    async with ben.house.store.transaction() as tx:
        await ben.node.files.cancel(tx, peer_id, first)
    await accept(ben, peer_id, second)


async def offer_of_size(person: Person, peer_id: PeerId, size: int) -> FileId:
    """An offer that nobody means to keep."""
    async with person.house.store.transaction() as tx:
        lie = Prepared(size, bytes(32), bytes(32))
        _, file_id = await person.node.files.offer(tx, peer_id, lie, "nothing", name="a lie")
    return file_id


async def test_what_is_not_there_cannot_be_accepted_or_cancelled(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, b"x")
    async with anna.house.store.transaction() as tx:
        with pytest.raises(UsageError, match="of your own"):
            await anna.node.files.accept(tx, peer_id, file_id)
        with pytest.raises(NotFound):
            await anna.node.files.accept(tx, peer_id, FileId(bytes(16)))
        with pytest.raises(UsageError):
            await anna.node.files.offer(
                tx, peer_id, await prepare(await anna.house.sources.open(anna.node_id, "reference of a file")), "x",
                name="a\nb", event_id=EventId(bytes(16)),
            )  # fmt: skip


async def test_an_offer_nobody_wants_expires(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    await offer(anna, peer_id, b"x")
    await ben.until(lambda: bool(offers(ben)))
    anna.house.world.clock.suspend(OFFER_LIFETIME + 86_400)
    for person in (anna, ben):
        await until_failed(person)
        assert [one.reason for one in person.of(FileFailed)] == ["did not go over within 30 days"]


async def test_a_friend_that_is_blocked_sends_no_files(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(800 * CHUNK_SIZE))
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(_some_noted(ben, file_id))
    async with ben.house.store.transaction() as tx:
        await ben.node.block(tx, peer_id)
    before = (await ben.node.files.list())[0].done
    await ben.house.world.clock.pass_slowly(1_000)
    assert not ben.of(FileArrived)
    [info] = await ben.node.files.list()
    assert info.streams == 0
    assert info.done <= before + 200 * CHUNK_SIZE
    async with ben.house.store.transaction() as tx:
        await ben.node.unblock(tx, peer_id)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)


async def test_streams_that_break_are_dialled_again(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    data = data_of(800 * CHUNK_SIZE)
    file_id = await offer(anna, peer_id, data)
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(_some_noted(ben, file_id))
    [info] = await ben.node.files.list()
    assert 1 <= info.streams <= STREAMS_OF_FILE
    await ben.node.work.transferring.woken()  # breaks every stream
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert await content(ben, peer_id, file_id) == data


async def test_a_stream_on_which_nothing_comes_is_given_up(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    anna.house.sources.files["reference of a file"] = data_of(100_000)
    file_id = await offer(anna, peer_id, data_of(100_000))
    anna.house.sources.door.clear()
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(_streams(ben, 1))
    await ben.house.world.clock.pass_slowly(FILE_STREAM_TIMEOUT + 30)
    anna.house.sources.door.set()
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)


async def _streams(person: Person, count: int) -> None:
    while True:
        if sum(info.streams for info in await person.node.files.list()) == count:
            return
        await asyncio.sleep(0.002)


async def test_a_friend_has_two_files_on_their_way_and_a_stalled_one_makes_room(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    files = [await offer(anna, peer_id, data_of(100_000, name), name) for name in ("one", "two", "three")]
    anna.house.sources.closed = ("reference of one", "reference of two")
    for file_id in files:
        await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_slowly(60)
    assert len(ben.node.work.transferring._jobs) == FETCHED_OF_FRIEND == 2
    assert not ben.of(FileArrived)
    await ben.house.world.clock.pass_slowly(STALLED)
    await ben.until(lambda: [one.file_id for one in ben.of(FileArrived)] == [files[2]], time_passes=True)
    anna.house.sources.closed = False
    await ben.until(lambda: len(ben.of(FileArrived)) == 3, time_passes=True)


async def test_the_other_side_dials_when_the_first_cannot(
    anna: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer_id = await anna.befriend(ben)

    async def no_way(*_: object, **__: object) -> None:
        raise OnionUnreachable("no way")

    monkeypatch.setattr(ben.house.transport, "dial", no_way)
    file_id = await offer(anna, peer_id, data_of(100_000))
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_slowly(30)
    [info] = await ben.node.files.list()
    assert (info.state, info.reason) == (TransferState.ACCEPTED, "no way")
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)


@pytest.mark.engines("sqlite", "postgres")
async def test_no_more_is_kept_of_all_friends_than_may_be(world: World, anna: Person, ben: Person) -> None:
    carl = await world.person("Carl")
    annas, carls = await anna.befriend(ben), await carl.befriend(ben)
    first, second = await offer_of_size(anna, annas, 90_000_000), await offer_of_size(carl, carls, 70_000_000)
    await accept(ben, annas, first)
    with pytest.raises(LimitReached, match="no room for more files: "):
        await accept(ben, carls, second)


async def test_what_belongs_to_no_file_is_swept_away(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    part = await ben.house.parts.open(b"p" * 16)
    await part.close()
    await offer(anna, peer_id, b"x")  # anything that makes the node look
    await until_swept(ben)


async def test_what_was_damaged_on_disk_is_noticed(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(CHUNK_SIZE + 1))
    await accept(ben, peer_id, file_id)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    [path] = parts(ben)
    kept = bytearray(path.read_bytes())
    kept[-20] ^= 1
    path.write_bytes(kept)
    with pytest.raises(AuthenticationFailed):
        await content(ben, peer_id, file_id)


async def test_what_a_friend_takes_back_is_erased(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    waiting, whole = [await offer(anna, peer_id, data_of(100_000, name), name) for name in ("waiting", "whole")]
    await accept(ben, peer_id, whole)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    by_file = {info.file_id: info.event_id for info in await ben.node.files.list()}
    async with ben.house.store.transaction() as tx:
        for file_id in (waiting, whole):
            await ben.node.files.taken_back(tx, peer_id, by_file[file_id])
    assert [await state(ben, file_id) for file_id in (waiting, whole)] == [TransferState.FAILED] * 2
    await until_swept(ben)


async def test_a_file_whose_offer_disappears_is_neither_sent_nor_kept(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    waiting, whole = [await offer(anna, peer_id, data_of(100_000, name), name) for name in ("waiting", "whole")]
    await accept(ben, peer_id, whole)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    event_ids = [info.event_id for info in await ben.node.files.list()]
    async with ben.house.store.transaction() as tx:
        await ben.node.work.desk.disappeared(tx, peer_id, event_ids)
    assert [await state(ben, file_id) for file_id in (waiting, whole)] == [TransferState.FAILED, TransferState.DONE]
    await until_swept(ben)
    await until_failed(anna)
    assert await state(anna, waiting) is TransferState.FAILED


async def test_a_friend_whose_program_knows_no_files_is_offered_none(anna: Person, ben: Person) -> None:
    peer_id = await anna.befriend(ben)
    await anna.until(lambda: anna.online(peer_id))
    async with anna.house.store.transaction() as tx:
        contact = await anna.node.work.mailbox.locked(tx, peer_id)
        await anna.house.store.contacts.save(tx, replace(contact, capabilities=("text",)))
    with pytest.raises(UsageError, match="cannot take files yet"):
        await offer(anna, peer_id, b"x")
