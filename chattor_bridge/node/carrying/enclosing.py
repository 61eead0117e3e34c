"""Small files are put into the outbox in slices, when what waits for a friend is left at its carriers.

Not before: a friend who comes online fetches them on streams. Implements docs/protocol/files.md, "Slices".
"""

from __future__ import annotations

import asyncio
from typing import Final

from chattor_bridge.errors import FileChanged, FileUnavailable, Unavailable
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.filedesk import FileDesk
from chattor_bridge.node.patience import within
from chattor_bridge.node.ports import FileSources
from chattor_bridge.node.records import Transfer
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.chunks import Offered
from chattor_bridge.protocol.events import FileSlice
from chattor_bridge.protocol.files import FILE_CHANGED
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, MAX_SLICED_FILE
from chattor_bridge.protocol.slices import cut

TOO_SLOW: Final = "a file for this friend could not be read in time"

QUICK: Final = 1.0
"""Seconds for reading a small file while others wait for their turn: wherever it is, most take a small part of that.
Half as long for each further one after one that took longer, so the files of a friend hold up others' for two seconds
at most, however many of them hang."""

READING_PATIENCE: Final = 30.0
"""Seconds for one that took longer: it is read again beside the others, where only such files wait for each other."""


class Enclosing:
    """Of one node. Two files at a time are in memory, whoever they are for: one of those that are read quickly, and one
    of the others. So what hangs is in the way of what hangs."""

    def __init__(self, around: Surroundings, node_id: NodeId, desk: FileDesk) -> None:
        self._around = around
        self._node_id = node_id
        self._desk = desk
        self._quick, self._slow = asyncio.Lock(), asyncio.Lock()
        self._looking: dict[PeerId, asyncio.Lock] = {}
        self._given: dict[PeerId, dict[bytes, float]] = {}  # seconds in which a file could not be read, by its part

    async def enclose(self, peer_id: PeerId) -> None:
        """Put what is due for this friend into the outbox, as far as there is room; what is not is due the next time.

        Raises: NotFound; an Unavailable when a file could not be read, after all others.
        """
        settings = self._around.files
        if settings is None:
            return
        async with self._looking.setdefault(peer_id, asyncio.Lock()):  # for each of its carriers
            due = await self._due(peer_id)
            parts, given = {transfer.part_id for transfer, _ in due}, self._given.get(peer_id, {})
            slow = self._given[peer_id] = {part: seconds for part, seconds in given.items() if part in parts}
            unread: Unavailable | None = None
            patience = QUICK
            for one in due:
                if one[0].part_id in slow:
                    continue
                try:
                    if not await self._put(settings.sources, *one, self._quick, patience):
                        return  # whatever is offered later stays behind it
                except TimeoutError:
                    slow[one[0].part_id] = patience
                    patience /= 2
                except Unavailable as error:
                    unread = error
            hanging = [one for one in due if one[0].part_id in slow]
            for one in sorted(hanging, key=lambda one: slow[one[0].part_id]):  # first those that had the least time
                try:
                    if not await self._put(settings.sources, *one, self._slow, READING_PATIENCE):
                        return
                except TimeoutError:
                    slow[one[0].part_id] = READING_PATIENCE
                    unread = FileUnavailable(TOO_SLOW)
                except Unavailable as error:
                    unread = error
        if unread is not None:
            raise unread

    async def _put(
        self, sources: FileSources, transfer: Transfer, outline: bytes, turn: asyncio.Lock, patience: float
    ) -> bool:
        """Put one file into the outbox, if it is still what was offered; whether there was room. Raises: NotFound,
        TimeoutError, an Unavailable."""
        async with turn:
            try:
                slices = await within(self._around.clock, patience, self._read(sources, transfer, outline))
            except FileChanged:
                slices = None
            async with self._around.store.transaction() as tx:
                if slices is not None:
                    return await self._desk.enclose(tx, transfer, slices)
                await self._desk.give_up(tx, transfer, FILE_CHANGED)
        return True

    async def _due(self, peer_id: PeerId) -> list[tuple[Transfer, bytes]]:
        store = self._around.store
        async with store.transaction() as tx:
            contact = await store.contacts.get(tx, self._node_id, peer_id)
            if contact is None or FileSlice.TYPE not in contact.capabilities:
                return []
            due = await store.transfers.to_slice(tx, self._node_id, peer_id, MAX_SLICED_FILE)
            return [(transfer, await store.transfers.outline(tx, transfer)) for transfer in due]

    async def _read(self, sources: FileSources, transfer: Transfer, outline: bytes) -> list[bytes]:
        """The slices of what was offered. Raises: FileChanged; an Unavailable."""
        offered, sealed = Offered(transfer.content, outline), list[bytes]()
        source = await sources.open(self._node_id, transfer.reference)
        try:
            for first in range(0, transfer.content.count, CHUNKS_OF_GROUP):
                group = first // CHUNKS_OF_GROUP
                start, length = offered.bounds_of_group(group)
                data = await source.read(start, length)
                chunks = offered.sealed_chunks(group, data, first, -(-length // CHUNK_SIZE))
                sealed += [chunk.sealed for chunk in chunks]
        finally:
            await source.close()
        return cut(b"".join(sealed))
