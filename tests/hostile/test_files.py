"""What a friend that lies about files, or floods with them, comes to."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import replace

import pytest

from chattor_bridge.errors import OnionUnreachable
from chattor_bridge.ids import FileId, OnionKey, PeerId
from chattor_bridge.node import filedesk, transferring
from chattor_bridge.node.fileconnection import FileConnection, FileStreamEnded
from chattor_bridge.node.filedesk import FileDesk
from chattor_bridge.node.happenings import FileArrived, FileFailed, FileSent
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Transfer, TransferState
from chattor_bridge.protocol.chunks import Content, Offered, SealedChunk
from chattor_bridge.protocol.events import Body, FileAccept, FileCancel, FileDone, FileOffer, FileSlice
from chattor_bridge.protocol.fileframes import Want
from chattor_bridge.protocol.filestream import Begun, FileStream, Part
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame, Onions
from chattor_bridge.protocol.handshake import LinkKeys, Purpose
from chattor_bridge.protocol.limits import (
    CHUNK_SIZE,
    CHUNKS_OF_GROUP,
    MAX_CHUNKS_WANTED,
    MAX_FILE_STREAMS,
    MAX_NEW_ONIONS,
    MAX_SLICED_FILE,
    SLICE_SIZE,
)
from chattor_bridge.protocol.link import Pattern
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.slices import cut
from chattor_bridge.protocol.window import Ack
from chattor_bridge.storage.parts import DiskPart
from tests.node.puppet import Puppet
from tests.node.test_files import accept, data_of, offer, offers, state, until_swept
from tests.node.test_onions import until_on_disk
from tests.node.world import Person
from tests.protocol.test_file_tree import offered


@pytest.fixture
async def puppet(puppet: Puppet, anna: Person, peer: PeerId) -> Puppet:
    """Ben, moved by hand, with a link that is up."""
    await puppet.greet(anna)
    await anna.until(lambda: anna.online(peer))
    return puppet


async def say(anna: Person, puppet: Puppet, *bodies: Body) -> None:
    await puppet.say(*[EnvelopeFrame(puppet.seal(body)) for body in bodies])
    await puppet.hear_ack_of(puppet.session.sent.highest)


async def dial(anna: Person, puppet: Puppet, file_id: FileId, part: Part) -> FileConnection:
    """A file stream to Anna, opened."""
    contact = puppet.contact
    assert contact.peer_onion is not None
    onion = OnionKey(contact.peer_onion)
    stream = await anna.house.world.network.transport().dial(
        onion, client_key=puppet.session.onion_auth_key(onion), isolation="file", timeout=5
    )
    puppet._opened.append(stream)
    keys = LinkKeys(
        contact.own_static, contact.peer_static, puppet.session.link_psk, Pattern.KK, contact.role, Purpose.FILE
    )
    file_stream = FileStream.dial(keys, onion, secrets.token_bytes, file_id, part)
    connection = FileConnection(stream, file_stream, anna.house.world.clock)
    await connection.flush()
    return connection


async def begin(anna: Person, puppet: Puppet, file_id: FileId, part: Part) -> FileConnection:
    """A file stream to Anna on which the file may go over; she may be about to take it up."""
    async with asyncio.timeout(10):
        while True:
            connection = await dial(anna, puppet, file_id, part)
            with suppress(FileStreamEnded):
                assert isinstance(await connection.first(), Begun)
                return connection


async def closed(connection: FileConnection) -> None:
    """The other side hangs up without a word."""
    with pytest.raises(OnionUnreachable):
        await asyncio.wait_for(_read_on(connection), 10)


async def _read_on(connection: FileConnection) -> None:
    while True:
        await connection.read()


def lying(file: Offered, *, size: int = 0) -> FileOffer:
    content = file.content
    return FileOffer(Content(content.file_id, content.key, size or content.size, content.root), "../../lie")


DATA = data_of(2 * CHUNK_SIZE)
HONEST = offered(DATA)
CHUNKS = HONEST.sealed_chunks(0, DATA, 0, 2)

LIES = {
    "a chunk with another bit": replace(CHUNKS[0], sealed=bytes([CHUNKS[0].sealed[0] ^ 1]) + CHUNKS[0].sealed[1:]),
    "another chunk in its place": replace(CHUNKS[1], index=0),
    "a proof that is too short": replace(CHUNKS[0], path=()),
    "a proof that is too long": replace(CHUNKS[0], path=(*CHUNKS[0].path, bytes(32))),
    "a shorter chunk": replace(CHUNKS[0], sealed=HONEST.content.seal(0, DATA[:100])),
    "other content": replace(CHUNKS[0], sealed=HONEST.content.seal(0, bytes(CHUNK_SIZE))),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_was_not_offered_is_not_taken(anna: Person, puppet: Puppet, lie: str) -> None:
    peer_id = puppet.contact.peer_id
    await say(anna, puppet, lying(HONEST))
    await accept(anna, peer_id, HONEST.content.file_id)
    connection = await begin(anna, puppet, HONEST.content.file_id, Part.OFFERS)
    async with asyncio.timeout(10):
        assert list(await connection.read()) == [Want(0, 2)]
    connection.file_stream.send(LIES[lie])
    await connection.flush()
    await closed(connection)
    await anna.until(lambda: bool(anna.of(FileFailed)))
    assert anna.of(FileFailed)[0].reason == "did not come as it was offered"
    assert not anna.of(FileArrived)
    await until_swept(anna)


async def test_a_file_that_is_larger_than_it_says_or_smaller(anna: Person, puppet: Puppet) -> None:
    peer_id = puppet.contact.peer_id
    await say(anna, puppet, lying(HONEST, size=CHUNK_SIZE + 5))
    await accept(anna, peer_id, HONEST.content.file_id)
    connection = await begin(anna, puppet, HONEST.content.file_id, Part.OFFERS)
    await connection.read()
    connection.file_stream.send(CHUNKS[0])
    await connection.flush()
    await closed(connection)
    await anna.until(lambda: bool(anna.of(FileFailed)))


async def test_a_chunk_that_nobody_wanted_ends_the_stream(anna: Person, puppet: Puppet) -> None:
    await say(anna, puppet, lying(HONEST))
    await accept(anna, puppet.contact.peer_id, HONEST.content.file_id)
    connection = await begin(anna, puppet, HONEST.content.file_id, Part.OFFERS)
    await connection.read()
    connection.file_stream._wanted.appendleft(7)
    connection.file_stream.send(SealedChunk(7, (), bytes(20)))
    await connection.flush()
    await closed(connection)
    assert await state(anna, HONEST.content.file_id) is TransferState.ACCEPTED  # it may come again, and do better


@pytest.mark.parametrize("want", [(2, 1), (0, 3), (1_000_000, 1)])
async def test_chunks_that_the_file_does_not_have(anna: Person, puppet: Puppet, want: tuple[int, int]) -> None:
    file_id = await offer(anna, puppet.contact.peer_id, DATA)
    await say(anna, puppet, FileAccept(file_id))
    connection = await begin(anna, puppet, file_id, Part.FETCHES)
    connection.file_stream.want(*want)
    await connection.flush()
    await closed(connection)


async def test_an_endless_window_ends_the_stream(anna: Person, puppet: Puppet) -> None:
    file_id = await offer(anna, puppet.contact.peer_id, data_of(CHUNKS_OF_GROUP * CHUNK_SIZE))
    await say(anna, puppet, FileAccept(file_id))
    connection = await begin(anna, puppet, file_id, Part.FETCHES)
    for _ in range(MAX_CHUNKS_WANTED // CHUNKS_OF_GROUP + 1):
        connection.file_stream._wanted.clear()
        connection.file_stream.want(0, CHUNKS_OF_GROUP)
    await connection.flush()
    await closed(connection)


async def test_a_file_that_is_not_under_way_is_not_known(anna: Person, puppet: Puppet) -> None:
    file_id = await offer(anna, puppet.contact.peer_id, DATA)  # and the puppet has not accepted it
    for wrong in (file_id, FileId(bytes(16))):
        connection = await dial(anna, puppet, wrong, Part.FETCHES)
        async with asyncio.timeout(10):
            with pytest.raises(FileStreamEnded, match="unknown"):
                await connection.first()


async def test_only_so_many_streams_are_open(anna: Person, puppet: Puppet) -> None:
    file_id = await offer(anna, puppet.contact.peer_id, DATA)
    await say(anna, puppet, FileAccept(file_id))
    connections = [await begin(anna, puppet, file_id, Part.FETCHES) for _ in range(MAX_FILE_STREAMS)]
    another = await dial(anna, puppet, file_id, Part.FETCHES)
    async with asyncio.timeout(10):
        with pytest.raises(FileStreamEnded, match="later"):
            await another.first()
    await connections[0].close("done")
    await closed(connections[0])
    await begin(anna, puppet, file_id, Part.FETCHES)


async def test_words_about_files_of_others_change_nothing(anna: Person, puppet: Puppet) -> None:
    own = await offer(anna, puppet.contact.peer_id, DATA)
    theirs = HONEST.content.file_id
    await say(anna, puppet, lying(HONEST))
    nothing = FileId(b"n" * 16)
    await say(
        anna,
        puppet,
        *(FileAccept(theirs), FileDone(theirs)),  # said by the side that offers
        *(FileAccept(nothing), FileDone(nothing), FileCancel(nothing, "cancelled")),
        FileCancel(own, "a-word-of-later"),
        *(FileAccept(own), FileDone(own)),  # too late
    )
    assert await state(anna, theirs) is TransferState.OFFERED
    assert await state(anna, own) is TransferState.FAILED
    assert [one.reason for one in anna.of(FileFailed)] == ["was cancelled"]
    assert not anna.of(FileSent)


async def test_the_same_file_offered_again_is_one_file(anna: Person, puppet: Puppet) -> None:
    await say(anna, puppet, lying(HONEST), lying(HONEST, size=2**36))
    await anna.until(lambda: len(offers(anna)) == 2)
    [info] = await anna.node.files.list()
    assert info.size == len(DATA)


async def test_a_flood_of_offers_is_bounded(anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transferring, "MAX_OFFERS", 3)
    for number in range(6):
        content = replace(HONEST.content, file_id=FileId(bytes([number]) * 16))
        await say(anna, puppet, FileOffer(content, f"file {number}"))
    await anna.until(lambda: len(anna.of(FileFailed)) == 3)
    assert {one.reason for one in anna.of(FileFailed)} == {"is one too many: other files have to go over first"}
    states = [info.state for info in await anna.node.files.list()]
    assert states == [TransferState.OFFERED] * 3 + [TransferState.FAILED] * 3


async def test_a_friend_who_keeps_moving_is_followed_no_further_for_a_file(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled: list[OnionKey] = []

    async def dial(onion: OnionKey, **_: object) -> None:
        dialled.append(onion)
        raise OnionUnreachable("nobody is there")

    monkeypatch.setattr(anna.house.transport, "dial", dial)
    peer_id, clock = puppet.contact.peer_id, anna.house.world.clock
    await say(anna, puppet, lying(HONEST))
    await accept(anna, peer_id, HONEST.content.file_id)
    await clock.pass_slowly(60, step=5)
    assert dialled  # where the friend was at first
    moves = [OnionKey(ed25519_public(secrets.token_bytes(32))) for _ in range(MAX_NEW_ONIONS + 3)]
    for onion in moves:
        await puppet.say(Onions(onion, None))
        await until_on_disk(anna, lambda contact, onion=onion: contact.peer_onion == onion)  # type: ignore[misc]
        await puppet.close()
        await anna.until(lambda: not anna.online(peer_id))
        await puppet.greet(anna)
        await anna.until(lambda: anna.online(peer_id))
        await clock.pass_slowly(60, step=5)
        [info] = await anna.node.files.list()
    assert [onion for onion in moves if onion in dialled] == moves[:MAX_NEW_ONIONS]
    assert "followed no more" in info.reason


# --- slices ----------------------------------------------------------------------------------------------------------

SLICES = cut(b"".join(chunk.sealed for chunk in CHUNKS))


def slices(file: Offered, cuts: list[bytes]) -> list[FileSlice]:
    return [FileSlice(file.content.file_id, number, data) for number, data in enumerate(cuts)]


async def kept(anna: Person, puppet: Puppet) -> int:
    """How many slices Anna keeps."""
    async with anna.house.store.transaction() as tx:
        return await anna.house.store.transfers.count_slices(tx, anna.node_id, puppet.contact.peer_id)


async def test_a_file_in_slices_needs_no_stream(anna: Person, puppet: Puppet) -> None:
    await say(anna, puppet, lying(HONEST), *slices(HONEST, SLICES))
    await accept(anna, puppet.contact.peer_id, HONEST.content.file_id)
    await anna.until(lambda: bool(anna.of(FileArrived)))
    read = anna.node.files.read(puppet.contact.peer_id, HONEST.content.file_id)
    assert b"".join([piece async for piece in read]) == DATA
    assert await kept(anna, puppet) == 0
    await say(anna, puppet, *slices(HONEST, SLICES))  # and nothing comes of more
    assert await kept(anna, puppet) == 0
    assert len(anna.of(FileArrived)) == 1


async def test_what_came_in_slices_is_on_disk_before_it_has_arrived(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut in between would leave a file with holes, and the slices are gone by then."""
    written, synced, arrived = set[int](), set[int](), list[set[int]]()
    write, sync, arrive = DiskPart.write, DiskPart.sync, FileDesk.arrived

    async def watched_write(self: DiskPart, index: int, sealed: bytes) -> None:
        await write(self, index, sealed)
        written.add(index)

    async def watched_sync(self: DiskPart) -> None:
        before = set(written)
        await sync(self)
        synced.update(before)

    async def watched_arrive(self: FileDesk, tx: Transaction, transfer: Transfer) -> None:
        arrived.append(set(synced))
        await arrive(self, tx, transfer)

    monkeypatch.setattr(DiskPart, "write", watched_write)
    monkeypatch.setattr(DiskPart, "sync", watched_sync)
    monkeypatch.setattr(FileDesk, "arrived", watched_arrive)
    await say(anna, puppet, lying(HONEST), *slices(HONEST, SLICES))
    await accept(anna, puppet.contact.peer_id, HONEST.content.file_id)
    await anna.until(lambda: bool(anna.of(FileArrived)))
    assert arrived == [{0, 1}]


async def test_a_file_goes_in_slices_once_and_on_no_stream_beside_them(anna: Person, puppet: Puppet) -> None:
    peer_id, work = puppet.contact.peer_id, anna.node.work
    file_id = await offer(anna, peer_id, DATA)
    [offered_file] = await anna.node.files.list()
    await asyncio.gather(*[work.carrying._enclosing.enclose(peer_id) for _ in range(2)])  # for two carriers
    async with anna.house.store.transaction() as tx:
        known = await anna.house.store.transfers.get(tx, anna.node_id, peer_id, file_id)
        assert known is not None
        assert await work.desk.enclose(tx, replace(known, slices=0), SLICES)
        [waiting] = await anna.house.store.outbox.slices(tx, anna.node_id)
        sent = Session.deserialize((await work.mailbox.locked(tx, peer_id)).session).sent
    assert (waiting.file_id, waiting.slices, offered_file.carried) == (file_id, len(SLICES), False)
    await say(anna, puppet, FileAccept(file_id))
    for _ in range(2):
        connection = await dial(anna, puppet, file_id, Part.FETCHES)
        async with asyncio.timeout(10):
            with pytest.raises(FileStreamEnded, match="later"):
                await connection.first()
    await puppet.say(AckFrame(Ack(sent.highest, (), sent.digest)))  # and has it all, or had no room for it
    await begin(anna, puppet, file_id, Part.FETCHES)


async def test_slices_that_the_file_cannot_have_are_dropped(anna: Person, puppet: Puppet) -> None:
    file_id, own = HONEST.content.file_id, await offer(anna, puppet.contact.peer_id, DATA)
    await say(anna, puppet, *slices(HONEST, SLICES))  # of a file that nobody has offered yet
    await say(anna, puppet, lying(HONEST))
    large = replace(HONEST.content, file_id=FileId(b"l" * 16), size=MAX_SLICED_FILE + 1)
    await say(
        anna,
        puppet,
        FileOffer(large, "too large"),
        FileSlice(large.file_id, 0, bytes(SLICE_SIZE)),
        FileSlice(own, 0, bytes(SLICE_SIZE)),
        FileSlice(file_id, len(SLICES), bytes(SLICE_SIZE)),
        FileSlice(file_id, 65_535, b"x"),
        FileSlice(file_id, 0, bytes(SLICE_SIZE - 1)),
        FileSlice(file_id, len(SLICES) - 1, bytes(SLICE_SIZE)),
    )
    assert await kept(anna, puppet) == 0
    assert await state(anna, file_id) is TransferState.OFFERED


async def test_slices_of_something_else_end_the_file(anna: Person, puppet: Puppet) -> None:
    lies = cut(HONEST.content.seal(0, bytes(CHUNK_SIZE)) + HONEST.content.seal(1, bytes(CHUNK_SIZE)))
    await say(anna, puppet, lying(HONEST), *slices(HONEST, lies))
    await say(anna, puppet, *slices(HONEST, SLICES))  # too late: what came first stands
    await accept(anna, puppet.contact.peer_id, HONEST.content.file_id)
    await anna.until(lambda: bool(anna.of(FileFailed)))
    assert anna.of(FileFailed)[0].reason == "did not come as it was offered"
    assert not anna.of(FileArrived)
    assert await kept(anna, puppet) == 0
    await until_swept(anna)


async def test_slices_of_what_was_refused_are_dropped(anna: Person, puppet: Puppet) -> None:
    await say(anna, puppet, lying(HONEST), *slices(HONEST, SLICES[:3]))
    assert await kept(anna, puppet) == 3
    async with anna.house.store.transaction() as tx:
        await anna.node.files.cancel(tx, puppet.contact.peer_id, HONEST.content.file_id)
    assert await kept(anna, puppet) == 0
    await say(anna, puppet, *slices(HONEST, SLICES))
    assert await kept(anna, puppet) == 0
    assert await state(anna, HONEST.content.file_id) is TransferState.FAILED


async def test_a_flood_of_slices_is_bounded(anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filedesk, "MAX_SLICES_KEPT", 5)
    others = [replace(HONEST.content, file_id=FileId(bytes([number]) * 16)) for number in range(1, 4)]
    for content in others:
        await say(
            anna, puppet, FileOffer(content, "small"), *[FileSlice(content.file_id, n, SLICES[n]) for n in (0, 1)]
        )
    assert await kept(anna, puppet) == 5
    await say(anna, puppet, lying(HONEST), *slices(HONEST, SLICES))
    await accept(anna, puppet.contact.peer_id, HONEST.content.file_id)
    connection = await begin(anna, puppet, HONEST.content.file_id, Part.OFFERS)  # which is how it comes all the same
    async with asyncio.timeout(10):
        assert list(await connection.read()) == [Want(0, 2)]
