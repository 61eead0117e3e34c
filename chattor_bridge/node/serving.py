"""Sending one file that we offered. Implements the offering side of docs/protocol/files.md, "Stream" and "Chunks".

Nothing is kept but the outline: what is asked for is read a group at a time, hashed against the outline, sealed and
written, so a file of any size takes a megabyte for each stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NoReturn

from chattor_bridge.errors import FileChanged, MalformedData, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.node.fileconnection import FileConnection
from chattor_bridge.node.patience import describe
from chattor_bridge.node.ports import FileSource, FileSources
from chattor_bridge.node.records import Transfer
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble
from chattor_bridge.protocol.chunks import Offered
from chattor_bridge.protocol.fileframes import Want
from chattor_bridge.protocol.filestream import Part as Role
from chattor_bridge.protocol.limits import CHUNKS_OF_GROUP


class ServingFile:
    """A file that a friend has accepted. Hand it streams with `serve`."""

    role = Role.OFFERS
    have: int | None = None

    def __init__(
        self,
        around: Surroundings,
        sources: FileSources,
        transfer: Transfer,
        *,
        changed: Callable[[Transfer], Awaitable[None]],
    ) -> None:
        """``changed`` gives the file up because it is not what was offered any more."""
        self._around = around
        self._sources = sources
        self.transfer = transfer
        self._changed = changed
        self.done = 0
        self.trouble = Trouble()

    def begins(self, have: int | None) -> None:
        """A stream begins, and this is what the friend has."""
        self.done = max(self.done, min(have or 0, self.transfer.content.count))

    async def serve(self, connection: FileConnection) -> str:
        """Send what is asked for, until the stream ends; the last word for it. Raises: what the stream does."""
        async with self._around.store.transaction() as tx:
            outline = await self._around.store.transfers.outline(tx, self.transfer)
        if not outline:
            return "unknown"  # it is over
        offered = Offered(self.transfer.content, outline)
        try:
            source = await self._sources.open(self.transfer.node_id, self.transfer.reference)
            try:
                await self._send(offered, source, connection)
            finally:
                await source.close()
        except FileChanged:
            await self._changed(self.transfer)
            return "cancelled"

    async def _send(self, offered: Offered, source: FileSource, connection: FileConnection) -> NoReturn:
        wanted: deque[Want] = deque()
        while True:
            wanted += [event for event in await connection.read() if isinstance(event, Want)]
            while wanted:
                want = wanted.popleft()
                if want.first + want.count > offered.content.count:
                    raise MalformedData("a chunk is wanted that the file does not have")
                group = want.first // CHUNKS_OF_GROUP
                data = await self._read(source, *offered.bounds_of_group(group))
                for chunk in offered.sealed_chunks(group, data, want.first, want.count):
                    connection.file_stream.send(chunk)
                    await connection.flush()
                    failpoint("chunk-sent")
                    self.done = min(self.done + 1, self.transfer.content.count)
                    await asyncio.sleep(0)  # everybody else's turn

    async def _read(self, source: FileSource, offset: int, length: int) -> bytes:
        try:
            data = await source.read(offset, length)
        except Unavailable as error:
            self.trouble.reason = describe(error)
            raise
        self.trouble.reason = ""
        return data
