"""What files ask of a store, on both engines, and of the disk."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from chattor_bridge.errors import FileUnavailable, NotFound
from chattor_bridge.ids import EventId, FileId, OnionKey, PeerId
from chattor_bridge.node.records import OutboxEntry, SlicesWaiting, Transfer, TransferState
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.chunks import SEALED_SIZE
from chattor_bridge.storage import Store
from chattor_bridge.storage.parts import DiskParts
from tests.storage import records
from tests.storage.records import NODE, PEER, numbered, secret

OTHER = PeerId(b"Q" * 16)


def transfer(number: int, *, outgoing: bool = False, peer_id: PeerId = PEER) -> Transfer:
    return Transfer(
        node_id=NODE,
        peer_id=peer_id,
        file_id=FileId(numbered(number)),
        event_id=EventId(numbered(1_000 + number)),
        part_id=numbered(2_000 + number + (500 if peer_id == OTHER else 0)),
        outgoing=outgoing,
        key=secret("key"),
        size=1_000 * (number + 1),
        root=secret("root"),
        name="planted name Ünï",
        mime="planted/mime",
        kind="image",
        reference="planted reference" if outgoing else "",
        state=TransferState.OFFERED,
        reason="",
        created_at=number,
        changed_at=number,
    )


@pytest.fixture
async def friends(store: Store) -> Store:
    async with store.transaction() as tx:
        await store.nodes.add(tx, records.node())
        await store.contacts.add(tx, records.contact())
        await store.contacts.add(tx, replace(records.contact(), peer_id=OTHER, peer_static=b"T" * 32))
    return store


async def test_a_file_is_read_as_it_was_added_and_one_of_its_id_is_not_added_twice(friends: Store) -> None:
    async with friends.transaction() as tx:
        assert await friends.transfers.add(tx, transfer(1, outgoing=True), b"planted outline")
        assert not await friends.transfers.add(tx, replace(transfer(1), part_id=b"p" * 16), b"")
        assert await friends.transfers.get(tx, NODE, PEER, FileId(numbered(1))) == transfer(1, outgoing=True)
        assert await friends.transfers.outline(tx, transfer(1)) == b"planted outline"
        assert await friends.transfers.get(tx, NODE, OTHER, FileId(numbered(1))) is None
    with pytest.raises(NotFound):
        async with friends.transaction() as tx:
            await friends.transfers.add(tx, transfer(2, peer_id=PeerId(b"x" * 16)), b"")


async def test_what_is_over_keeps_no_secret(friends: Store) -> None:
    async with friends.transaction() as tx:
        await friends.transfers.add(tx, transfer(1, outgoing=True), b"planted outline")
        over = replace(transfer(1, outgoing=True), state=TransferState.FAILED, reason="expired", changed_at=9)
        await friends.transfers.save(tx, over)
        erased = replace(over, key=b"", reference="")
        assert await friends.transfers.get(tx, NODE, PEER, FileId(numbered(1))) == erased
        assert await friends.transfers.outline(tx, erased) == b""
        assert await friends.transfers.of_node(tx, NODE, over=False) == []
        assert await friends.transfers.of_node(tx, NODE, over=True) == [erased]
        await friends.transfers.forget(tx, NODE, 9)
        assert await friends.transfers.of_node(tx, NODE, over=True) == [erased]
        await friends.transfers.forget(tx, NODE, 10)
        assert await friends.transfers.of_node(tx, NODE, over=True) == []


async def test_chunks_are_noted_until_it_is_over(friends: Store) -> None:
    async with friends.transaction() as tx:
        one = transfer(1)
        await friends.transfers.add(tx, one, b"")
        assert await friends.transfers.bitmap(tx, one) == b""
        await friends.transfers.note_chunks(tx, one, b"\xe0", 3)
        assert await friends.transfers.bitmap(tx, one) == b"\xe0"
        assert await friends.transfers.get(tx, NODE, PEER, one.file_id) == replace(one, came=3)
        await friends.transfers.save(tx, replace(one, state=TransferState.DONE))
        await friends.transfers.note_chunks(tx, one, b"\xff", 8)
        assert await friends.transfers.bitmap(tx, one) == b""


async def test_what_is_kept_is_counted(friends: Store) -> None:
    async with friends.transaction() as tx:
        states = (TransferState.OFFERED, TransferState.ACCEPTED, TransferState.ARRIVED, TransferState.DONE)
        for number, state in enumerate(states):
            await friends.transfers.add(tx, transfer(number), b"")
            await friends.transfers.save(tx, replace(transfer(number), state=state))
        for number, peer_id, outgoing in ((10, PEER, True), (11, OTHER, False)):
            await friends.transfers.add(tx, transfer(number, peer_id=peer_id, outgoing=outgoing), b"")
            accepted = replace(transfer(number, peer_id=peer_id, outgoing=outgoing), state=TransferState.ACCEPTED)
            await friends.transfers.save(tx, accepted)
        assert await friends.transfers.kept(tx, NODE, PEER) == 2_000 + 3_000
        assert await friends.transfers.kept(tx) == 2_000 + 3_000 + 12_000
        assert await friends.transfers.count_open(tx, NODE, PEER) == 4
        assert await friends.transfers.parts(tx) == {
            *(transfer(number).part_id for number in range(3)),
            transfer(11, peer_id=OTHER).part_id,
        }


async def test_files_of_one_friend_become_those_of_another(friends: Store) -> None:
    async with friends.transaction() as tx:
        for number, peer_id in ((1, PEER), (2, PEER), (2, OTHER)):
            await friends.transfers.add(tx, transfer(number, peer_id=peer_id), b"")
        await friends.transfers.move(tx, NODE, PEER, OTHER)
        moved = await friends.transfers.get(tx, NODE, OTHER, FileId(numbered(1)))
        assert moved == replace(transfer(1), peer_id=OTHER)
        stayed = await friends.transfers.get(tx, NODE, OTHER, FileId(numbered(2)))
        assert stayed == transfer(2, peer_id=OTHER)
        await friends.contacts.remove(tx, NODE, PEER)
        assert await friends.transfers.get(tx, NODE, PEER, FileId(numbered(2))) is None


async def test_slices_are_kept_until_the_file_is_whole_or_over(friends: Store) -> None:
    async with friends.transaction() as tx:
        one, other = transfer(1), transfer(2)
        for each in (one, other):
            await friends.transfers.add(tx, each, b"")
        assert await friends.transfers.keep_slice(tx, one, 2, b"c") == 1
        assert await friends.transfers.keep_slice(tx, one, 0, b"a") == 2
        assert await friends.transfers.keep_slice(tx, one, 2, b"another") == 2
        assert await friends.transfers.keep_slice(tx, other, 0, b"x") == 1
        assert await friends.transfers.slices(tx, one, 0, 10) == [b"a", b"c"]
        assert await friends.transfers.slices(tx, one, 1, 10) == [b"c"]
        assert await friends.transfers.slices(tx, one, 0, 1) == [b"a"]
        assert await friends.transfers.count_slices(tx, NODE, PEER) == 3
        assert await friends.transfers.count_slices(tx, NODE, OTHER) == 0
        accepted = replace(one, slices=2, state=TransferState.ACCEPTED)
        await friends.transfers.save(tx, accepted)
        assert await friends.transfers.get(tx, NODE, PEER, one.file_id) == accepted
        assert await friends.transfers.count_slices(tx, NODE, PEER) == 3
        await friends.transfers.save(tx, replace(one, state=TransferState.ARRIVED))
        assert await friends.transfers.count_slices(tx, NODE, PEER) == 1
        await friends.transfers.save(tx, replace(other, state=TransferState.FAILED))
        assert await friends.transfers.count_slices(tx, NODE, PEER) == 0


async def test_what_goes_in_slices_was_accepted_or_could_not_be(friends: Store) -> None:
    def entry(seq: int, event_id: EventId, file_id: FileId | None = None) -> OutboxEntry:
        return OutboxEntry(PEER, seq, event_id, b"envelope", b"event", 7, file_id)

    async with friends.transaction() as tx:
        offered, known, accepted, large, empty, incoming = [
            replace(transfer(number, outgoing=number < 5), size=size)
            for number, size in enumerate((1_000, 1_000, 1_000, 1_001, 0, 1_000))
        ]
        for seq, one in enumerate((offered, large, empty, incoming), start=1):
            await friends.outbox.add(tx, NODE, entry(seq, one.event_id))
        for one in (offered, known, accepted, large, empty, incoming):
            await friends.transfers.add(tx, one, b"")
        accepted = replace(accepted, state=TransferState.ACCEPTED)
        await friends.transfers.save(tx, accepted)
        assert await friends.transfers.to_slice(tx, NODE, PEER, 1_000) == [offered, accepted]
        assert await friends.transfers.to_slice(tx, NODE, OTHER, 1_000) == []
        assert await friends.outbox.slices(tx, NODE) == []
        await friends.transfers.note_sliced(tx, offered, 2)
        assert await friends.transfers.to_slice(tx, NODE, PEER, 1_000) == [accepted]
        for seq in (5, 6):
            await friends.outbox.add(tx, NODE, entry(seq, EventId(numbered(seq)), offered.file_id))
        assert await friends.outbox.slices(tx, NODE) == [SlicesWaiting(PEER, offered.file_id, 2, carried=False)]
        deposit = Deposit(OnionKey(b"o" * 32), b"k" * 32, b"c" * 32)
        await friends.deposits.set_targets(tx, NODE, PEER, [deposit])
        [target] = await friends.deposits.targets(tx, NODE, PEER)
        entries = await friends.outbox.after(tx, NODE, PEER, 4, 10)
        assert [one.file_id for one in entries] == [offered.file_id, offered.file_id]
        await friends.deposits.left(tx, NODE, target, entries[:1], 9)
        assert await friends.outbox.slices(tx, NODE) == [SlicesWaiting(PEER, offered.file_id, 2, carried=False)]
        await friends.deposits.left(tx, NODE, target, entries[1:], 9)
        assert await friends.outbox.slices(tx, NODE) == [SlicesWaiting(PEER, offered.file_id, 2, carried=True)]
        await friends.deposits.acknowledged(tx, NODE, PEER, [(6, 6)])  # so the other was lost
        await friends.outbox.remove(tx, NODE, PEER, [(6, 6)])
        assert await friends.outbox.slices(tx, NODE) == [SlicesWaiting(PEER, offered.file_id, 1, carried=False)]


async def test_parts_are_kept_in_place_until_they_are_removed(tmp_path: Path) -> None:
    parts = DiskParts(tmp_path / "parts")
    assert await parts.all() == set()
    part = await parts.open(b"p" * 16)
    await part.write(2, b"c" * 10)
    await part.write(0, b"a" * SEALED_SIZE)
    await part.sync()
    again = await parts.open(b"p" * 16)
    assert await again.read(0, SEALED_SIZE) == b"a" * SEALED_SIZE
    assert await again.read(2, 10) == b"c" * 10
    assert await parts.all() == {b"p" * 16}
    await again.close()
    await again.close()
    with pytest.raises(FileUnavailable):
        await again.write(0, b"late")
    await parts.remove(b"p" * 16)
    await parts.remove(b"p" * 16)
    assert await parts.all() == set()
    await part.close()


async def test_a_disk_that_is_full_is_said_to_be(tmp_path: Path) -> None:
    part = await DiskParts(tmp_path).open(b"p" * 16)
    with pytest.raises(FileUnavailable, match="cannot be stored"):
        await part.write(2**44, b"far away")
    await part.close()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileUnavailable, match="directory"):
        await DiskParts(tmp_path / "file").open(b"p" * 16)
    with pytest.raises(FileUnavailable, match="directory"):
        await DiskParts(tmp_path / "file").all()


async def test_a_disk_that_fails_costs_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(directory: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    parts = DiskParts(tmp_path)
    await (await parts.open(b"p" * 16)).close()  # whatever threads need is open from now on
    monkeypatch.setattr("chattor_bridge.storage.parts.sync_directory", fail)
    before = descriptors()
    for _ in range(3):
        with pytest.raises(FileUnavailable, match="Input/output error"):
            await parts.open(b"p" * 16)
    assert descriptors() == before
