"""Files on the disk of who fetches them: what is noted is there, and what fails there is done again."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from chattor_bridge.errors import FileUnavailable
from chattor_bridge.node import fetching
from chattor_bridge.node.happenings import FileArrived
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Transfer, TransferState
from chattor_bridge.node.transferring import STREAMS_OF_FILE
from chattor_bridge.protocol.fetching import Bitmap
from chattor_bridge.protocol.limits import CHUNK_SIZE
from chattor_bridge.storage.parts import DiskPart, DiskParts
from chattor_bridge.storage.transfers import SqlTransfers
from tests.node.test_files import accept, content, data_of, offer, until_swept
from tests.node.world import PATIENCE, Person


async def test_a_disk_that_takes_nothing_for_a_while_is_waited_for(
    anna: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer_id = await anna.befriend(ben)
    data = data_of(100_000)
    file_id = await offer(anna, peer_id, data)
    full = True
    really_write = DiskPart.write

    async def write(part: DiskPart, index: int, sealed: bytes) -> None:
        if full:
            raise FileUnavailable("a part of a file cannot be stored: No space left on device")
        await really_write(part, index, sealed)

    monkeypatch.setattr(DiskPart, "write", write)
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_slowly(60)
    [info] = await ben.node.files.list()
    assert (info.state, info.done) == (TransferState.ACCEPTED, 0)
    assert "No space left" in info.reason
    full = False
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert await content(ben, peer_id, file_id) == data


async def test_what_is_noted_as_having_come_is_on_disk_already(
    anna: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in between would leave a hole that nobody asks for again."""
    written, synced, noted = set[int](), set[int](), list[int]()
    write, sync, note = DiskPart.write, DiskPart.sync, SqlTransfers.note_chunks

    async def watched_write(self: DiskPart, index: int, sealed: bytes) -> None:
        await write(self, index, sealed)
        written.add(index)

    async def watched_sync(self: DiskPart) -> None:
        before = set(written)
        await sync(self)
        synced.update(before)

    async def watched_note(self: SqlTransfers, tx: Transaction, transfer: Transfer, bitmap: bytes, came: int) -> None:
        bits = Bitmap(transfer.content.count, bitmap)
        assert {index for index in range(transfer.content.count) if index in bits} <= synced
        noted.append(came)
        await note(self, tx, transfer, bitmap, came)

    monkeypatch.setattr(DiskPart, "write", watched_write)
    monkeypatch.setattr(DiskPart, "sync", watched_sync)
    monkeypatch.setattr(SqlTransfers, "note_chunks", watched_note)
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(150 * CHUNK_SIZE))
    await accept(ben, peer_id, file_id)
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert len(noted) > 1
    assert noted[-1] == 150


async def test_a_note_that_cannot_be_made_stops_what_is_written(
    anna: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "NOTE_AT", 4)
    monkeypatch.setattr(fetching, "MAX_UNNOTED", 8)
    written, taken, go_on = set[int](), asyncio.Event(), asyncio.Event()
    write, note = DiskPart.write, SqlTransfers.note_chunks

    async def watched_write(self: DiskPart, index: int, sealed: bytes) -> None:
        await write(self, index, sealed)
        written.add(index)

    async def slow_note(self: SqlTransfers, tx: Transaction, transfer: Transfer, bitmap: bytes, came: int) -> None:
        taken.set()
        await go_on.wait()
        await note(self, tx, transfer, bitmap, came)

    monkeypatch.setattr(DiskPart, "write", watched_write)
    monkeypatch.setattr(SqlTransfers, "note_chunks", slow_note)
    peer_id = await anna.befriend(ben)
    data = data_of(100 * CHUNK_SIZE)
    file_id = await offer(anna, peer_id, data)
    await accept(ben, peer_id, file_id)
    await ben.house.world.clock.pass_until(taken.wait())  # the first stream may come before the acceptance has
    await ben.house.world.clock.pass_slowly(20, step=1)  # in which all hundred would come
    at_most = 8 + 8 + STREAMS_OF_FILE  # those being noted, those that wait for it, and one in the hand of each stream
    assert 0 < len(written) <= at_most
    go_on.set()
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert await content(ben, peer_id, file_id) == data


async def test_what_was_written_before_the_disk_failed_is_fetched_again(
    anna: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what of it is there. Streams that waited for a note are not stuck."""
    monkeypatch.setattr(fetching, "NOTE_AT", 4)
    monkeypatch.setattr(fetching, "MAX_UNNOTED", 8)
    written, failed, go_on = set[int](), asyncio.Event(), asyncio.Event()
    lost: list[set[int]] = []
    write, sync, note = DiskPart.write, DiskPart.sync, SqlTransfers.note_chunks

    async def watched_write(self: DiskPart, index: int, sealed: bytes) -> None:
        await write(self, index, sealed)
        written.add(index)

    async def failing_sync(self: DiskPart) -> None:
        if not failed.is_set():
            failed.set()
            await go_on.wait()
            written.clear()
            raise FileUnavailable("a part of a file cannot be stored: Input/output error")
        await sync(self)

    async def watched_note(self: SqlTransfers, tx: Transaction, transfer: Transfer, bitmap: bytes, came: int) -> None:
        bits = Bitmap(transfer.content.count, bitmap)
        lost.append({index for index in range(transfer.content.count) if index in bits} - written)
        await note(self, tx, transfer, bitmap, came)

    monkeypatch.setattr(DiskPart, "write", watched_write)
    monkeypatch.setattr(DiskPart, "sync", failing_sync)
    monkeypatch.setattr(SqlTransfers, "note_chunks", watched_note)
    peer_id = await anna.befriend(ben)
    data = data_of(100 * CHUNK_SIZE)
    file_id = await offer(anna, peer_id, data)
    await accept(ben, peer_id, file_id)
    clock = ben.house.world.clock
    await clock.pass_until(failed.wait())
    await clock.pass_slowly(20, step=1)  # until every stream waits
    go_on.set()
    await ben.until(lambda: bool(ben.of(FileArrived)), time_passes=True)
    assert written == set(range(100))
    assert not any(lost)
    assert await content(ben, peer_id, file_id) == data


async def test_a_file_that_is_cancelled_as_its_part_is_made_leaves_nothing(
    anna: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on disk nor open."""
    making, go_on, made = threading.Event(), threading.Event(), threading.Event()
    descriptors: list[int] = []
    really_open = DiskParts._open

    def slow_open(self: DiskParts, part_id: bytes) -> int:
        making.set()
        go_on.wait(PATIENCE)
        descriptors.append(really_open(self, part_id))
        made.set()
        return descriptors[-1]

    monkeypatch.setattr(DiskParts, "_open", slow_open)
    peer_id = await anna.befriend(ben)
    file_id = await offer(anna, peer_id, data_of(1_000))
    await accept(ben, peer_id, file_id)
    assert await asyncio.to_thread(making.wait, PATIENCE)
    async with ben.house.store.transaction() as tx:
        await ben.node.files.cancel(tx, peer_id, file_id)
    await ben.house.world.clock.pass_slowly(60)
    go_on.set()
    assert await asyncio.to_thread(made.wait, PATIENCE)
    await until_swept(ben)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])
