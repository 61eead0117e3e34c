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

READING_PATIENCE: Final = 30.0
"""Seconds for reading a small file, wherever it is: so long others wait whose files are to be enclosed."""


class Enclosing:
    """Of one node. One file at a time is in memory, whoever it is for."""

    def __init__(self, around: Surroundings, node_id: NodeId, desk: FileDesk) -> None:
        self._around = around
        self._node_id = node_id
        self._desk = desk
        self._one_at_a_time = asyncio.Lock()

    async def enclose(self, peer_id: PeerId) -> None:
        """Put what is due for this friend into the outbox, as far as there is room; what is not is due the next time.

        Raises: NotFound; an Unavailable when a file could not be read, after all others.
        """
        settings = self._around.files
        unread: Unavailable | None = None
        if settings is None:
            return
        async with self._one_at_a_time:
            for transfer, outline in await self._due(peer_id):
                read = self._read(settings.sources, transfer, outline)
                try:
                    slices = await within(self._around.clock, READING_PATIENCE, read)
                except (Unavailable, TimeoutError) as error:
                    unread = error if isinstance(error, Unavailable) else FileUnavailable(TOO_SLOW)
                    continue
                except FileChanged:
                    slices = None
                async with self._around.store.transaction() as tx:
                    if slices is None:
                        await self._desk.give_up(tx, transfer, FILE_CHANGED)
                    elif not await self._desk.enclose(tx, transfer, slices):
                        break  # whatever is offered later stays behind it
        if unread is not None:
            raise unread

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
