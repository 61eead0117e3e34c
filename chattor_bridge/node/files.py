"""A node's files, as whoever embeds it sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from chattor_bridge.errors import LimitReached, UsageError
from chattor_bridge.ids import EventId, FileId, NodeId, PeerId
from chattor_bridge.node.filedesk import in_words
from chattor_bridge.node.ports import FileSource, Transaction
from chattor_bridge.node.records import TransferState
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import TransferInfo
from chattor_bridge.node.work import NodeWork
from chattor_bridge.protocol.chunks import Content
from chattor_bridge.protocol.events import FileOffer
from chattor_bridge.protocol.files import Thumbnail
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, FILE_ID_SIZE, MAX_FILE_SIZE, SLICE_SIZE
from chattor_bridge.protocol.primitives import KEY_SIZE, TAG_SIZE
from chattor_bridge.protocol.tree import OutlineBuilder, Tree

GROUP_SIZE = CHUNKS_OF_GROUP * CHUNK_SIZE
"""Bytes read at a time."""

CARRIED = "friends hold it and hand it over"
"""What a file waits for that is with carriers."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that was read through: its ``size`` in bytes, the ``root`` of its tree, and the outline."""

    size: int
    root: bytes
    outline: bytes


async def prepare(source: FileSource) -> Prepared:
    """Read a file through, so that it can be offered: `GROUP_SIZE` bytes at a time, in no transaction.

    Raises: LimitReached when it is too large; what the source raises.
    """
    builder, size = OutlineBuilder(), 0
    while True:
        data = await source.read(size, GROUP_SIZE)
        size += len(data)
        if size > MAX_FILE_SIZE:
            raise LimitReached(f"a file may have {MAX_FILE_SIZE // 2**30} GiB at most")
        for at in range(0, len(data), CHUNK_SIZE):
            builder.add(data[at : at + CHUNK_SIZE])
        if len(data) < GROUP_SIZE:
            outline = builder.outline()
            return Prepared(size, Tree(outline).root, outline)
        await asyncio.sleep(0)  # everybody else's turn


class Files:
    """What is offered to friends and by them. Writes take the caller's transaction."""

    def __init__(self, around: Surroundings, node_id: NodeId, work: NodeWork) -> None:
        self._around = around
        self._store = around.store
        self._node_id = node_id
        self._work = work

    async def offer(
        self,
        tx: Transaction,
        peer_id: PeerId,
        prepared: Prepared,
        reference: str,
        *,
        name: str,
        mime: str = "",
        kind: str = "",
        caption: str = "",
        width: int = 0,
        height: int = 0,
        duration: int = 0,
        waveform: tuple[int, ...] = (),
        blurhash: str = "",
        thumbnail: Thumbnail | None = None,
        event_id: EventId | None = None,
        time: int | None = None,
        reply: EventId | None = None,
        thread: EventId | None = None,
    ) -> tuple[EventId, FileId]:
        """Offer a file to a friend; ``reference`` is what `FileSources.open` will be asked for, as long as it takes.
        The rest is as in `FileOffer` and `Node.send`.

        Raises: NotFound; LimitReached when too many are offered, or something is too long; UsageError when the friend's
        program cannot take files, or this is no valid offer.
        """
        random = self._around.random
        content = Content(FileId(random(FILE_ID_SIZE)), random(KEY_SIZE), prepared.size, prepared.root)
        body = FileOffer(content, name, mime, kind, caption, width, height, duration, waveform, blurhash, thumbnail)
        event = self._work.mailbox.event(body, event_id, time, reply, thread)
        await self._work.desk.offer(tx, peer_id, event, prepared.outline, reference)
        return event.event_id, content.file_id

    async def accept(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> None:
        """Fetch a file that a friend offers. Raises: NotFound; LimitReached when there is no room for it; UsageError
        when it is over."""
        await self._work.desk.accept(tx, peer_id, file_id)

    async def cancel(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> None:
        """Decline, withdraw, give up or throw away a file, whichever it is. Raises: NotFound; UsageError when it is
        over."""
        await self._work.desk.cancel(tx, peer_id, file_id)

    async def release(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> None:
        """A file that arrived was taken, and need not be kept. Raises: NotFound, UsageError when it has not arrived."""
        await self._work.desk.release(tx, peer_id, file_id)

    async def taken_back(self, tx: Transaction, peer_id: PeerId, event_id: EventId) -> None:
        """The friend has taken back the offer that it made by this event: erase what came of the file. To be called
        while that is being recorded; if there is no such file, nothing happens."""
        await self._work.desk.taken_back(tx, peer_id, event_id)

    async def list(self, peer_id: PeerId | None = None) -> list[TransferInfo]:
        """All files of a friend, or of all friends, oldest first; those that are over stay for a week."""
        async with self._store.transaction() as tx:
            transfers = await self._store.transfers.of_node(tx, self._node_id, over=True)
            in_envelopes = {(x.peer_id, x.file_id): x for x in await self._store.outbox.slices(tx, self._node_id)}
        infos = []
        for one in transfers:
            if peer_id is not None and one.peer_id != peer_id:
                continue
            chunks, streams, trouble = self._work.transferring.progress(one)
            waiting = in_envelopes.get((one.peer_id, one.file_id))
            if carried := waiting is not None and waiting.carried:
                trouble = CARRIED
            sliced = one.slices - (0 if waiting is None else waiting.slices)
            whole = one.state in (TransferState.ARRIVED, TransferState.DONE)
            infos.append(
                TransferInfo(
                    peer_id=one.peer_id,
                    file_id=one.file_id,
                    event_id=one.event_id,
                    outgoing=one.outgoing,
                    state=one.state,
                    reason=in_words(one.reason) if one.state is TransferState.FAILED else trouble,
                    name=one.name,
                    mime=one.mime,
                    kind=one.kind,
                    size=one.size,
                    done=one.size if whole else min(one.size, max(chunks * CHUNK_SIZE, sliced * SLICE_SIZE)),
                    streams=streams,
                    carried=carried,
                    created_at=one.created_at,
                )
            )
        return infos

    async def read(self, peer_id: PeerId, file_id: FileId) -> AsyncGenerator[bytes, None]:
        """The content of a file that arrived, in pieces of `CHUNK_SIZE` bytes at most. May be read again until it is
        released.

        Raises: NotFound; UsageError when it has not arrived; FileUnavailable; AuthenticationFailed when what is on disk
        is not what was stored there.
        """
        async with self._store.transaction() as tx:
            transfer = await self._work.desk.get(tx, peer_id, file_id)
        if transfer.state is not TransferState.ARRIVED or self._around.files is None:
            raise UsageError("this file has not arrived, or was taken already")
        content = transfer.content
        part = await self._around.files.parts.open(transfer.part_id)
        try:
            for index in range(content.count):
                sealed = await part.read(index, content.length_of(index) + TAG_SIZE)
                yield content.open(index, sealed)
        finally:
            await part.close()
