"""Fetching one file from a friend. Implements docs/protocol/files.md, "Fetching".

Any number of streams share one `protocol.fetching.Fetching`, which says what to ask for on each. A chunk that was
proved is written, and what was written is noted in the database only after it is on disk: a crash costs the chunks
since the last note, and never leaves one noted that is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, PeerMisbehaved
from chattor_bridge.failpoints import failpoint
from chattor_bridge.node.fileconnection import FileConnection
from chattor_bridge.node.patience import describe
from chattor_bridge.node.ports import Part, Parts
from chattor_bridge.node.records import Transfer
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble
from chattor_bridge.protocol.chunks import SealedChunk
from chattor_bridge.protocol.fetching import Fetching
from chattor_bridge.protocol.filestream import Part as Role
from chattor_bridge.protocol.limits import MAX_CHUNKS_WANTED
from chattor_bridge.protocol.slices import Joining

NOTE_AT: Final = 64
"""Chunks written since the last note at which they are noted (3.75 MiB): what a crash costs at most, several times."""

NOTE_AFTER: Final = 5.0
"""Seconds after which what was written is noted however little it is."""

MAX_UNNOTED: Final = 512
"""Chunks that may be written and not noted (30 MiB): a disk slower than the circuits slows them down."""

ASK_AT: Final = MAX_CHUNKS_WANTED // 2
"""Chunks under way on a stream below which more are asked for."""


SLICES_AT_ONCE: Final = 16
"""Slices put together at a time: a quarter of a megabyte in memory."""


class FetchingFile:
    """A file on its way to us. `run` it, and hand it streams with `serve`."""

    role = Role.FETCHES

    def __init__(
        self,
        around: Surroundings,
        parts: Parts,
        transfer: Transfer,
        *,
        arrived: Callable[[Transfer], Awaitable[None]],
        corrupt: Callable[[Transfer], Awaitable[None]],
    ) -> None:
        """``arrived`` notes that the file is whole; ``corrupt`` gives it up because the friend sent something else."""
        self._around = around
        self._parts = parts
        self.transfer = transfer
        self._arrived = arrived
        self._corrupt = corrupt
        self._fetching: Fetching | None = None
        self._part: Part | None = None
        self._done = 0
        self._unnoted: list[int] = []
        self._turn = asyncio.Event()
        self._noted = asyncio.Event()
        self._news = asyncio.Event()
        self.trouble = Trouble()

    @property
    def done(self) -> int:
        """Chunks that have come."""
        return self.transfer.came if self._fetching is None else self._done

    @property
    def have(self) -> int | None:
        """What to tell the friend of that."""
        return self._done

    async def run(self) -> None:
        """Keep what comes, until the file is whole and noted as such. Raises: FileUnavailable."""
        transfer = self.transfer
        async with self._around.store.transaction() as tx:
            stored = await self._around.store.transfers.bitmap(tx, transfer)
        self._part = await self._parts.open(transfer.part_id)
        try:
            if transfer.is_here:
                await self._join(self._part)
            else:
                await self._fetch(stored)
            await self._part.sync()
        except AuthenticationFailed:
            await self._corrupt(transfer)
            return
        finally:
            self._fetching = None
            self._turned()
            self._noted.set()
            await self._part.close()
        await self._arrived(transfer)

    async def _fetch(self, stored: bytes) -> None:
        """Until every chunk has come on streams, and is noted. ``stored`` is the bitmap of those that have."""
        self._unnoted = []
        self._fetching = Fetching(self.transfer.content, stored)
        self._done = self.transfer.content.count - self._fetching.stored.missing
        while not self._fetching.complete:
            await self._until_due()
            await self._note()

    async def _join(self, part: Part) -> None:
        """Write the chunks that came in slices, from the first on: a death costs nothing but the work.

        Raises: AuthenticationFailed when this is not the file that was offered; FileUnavailable.
        """
        joining, transfers = Joining(self.transfer.content), self._around.store.transfers
        for first in range(0, self.transfer.slices, SLICES_AT_ONCE):
            async with self._around.store.transaction() as tx:
                slices = await transfers.slices(tx, self.transfer, first, SLICES_AT_ONCE)
            for data in slices:
                for index, sealed in joining.add(data):
                    await part.write(index, sealed)
                    failpoint("chunk-written")
        joining.end()

    async def serve(self, connection: FileConnection) -> str:
        """Fetch over a stream until there is nothing left to fetch; the last word for it. Raises: what the stream
        does, FileUnavailable."""
        fetching = self._fetching
        if fetching is None:
            return "later"
        try:
            while self._fetching is fetching and not fetching.all_came:
                self._ask(fetching, connection)
                await connection.flush()
                if connection.file_stream.under_way:
                    for event in await connection.read():
                        if isinstance(event, SealedChunk):
                            await self._take(fetching, connection, event)
                else:  # what is left is under way elsewhere
                    turn = self._turn
                    await turn.wait()
            return "done" if fetching.all_came else "later"
        finally:
            fetching.lost(connection)
            self._turned()

    def _ask(self, fetching: Fetching, connection: FileConnection) -> None:
        stream = connection.file_stream
        if stream.under_way >= ASK_AT:
            return
        while (run := fetching.ask(connection, stream.room)) is not None:
            stream.want(run[0], len(run))

    async def _take(self, fetching: Fetching, connection: FileConnection, chunk: SealedChunk) -> None:
        try:
            fetching.check(chunk)
        except PeerMisbehaved:
            await self._corrupt(self.transfer)
            raise
        assert self._part is not None
        while len(self._unnoted) >= MAX_UNNOTED and self._fetching is fetching:
            noted = self._noted
            await noted.wait()
        await self._part.write(chunk.index, chunk.sealed)
        failpoint("chunk-written")
        if not fetching.came(connection, chunk.index):
            return
        self._done += 1
        self._unnoted.append(chunk.index)
        if self._due:
            self._news.set()
        if fetching.all_came:
            self._turned()

    @property
    def _due(self) -> bool:
        """Whether what was written is worth noting."""
        return len(self._unnoted) >= NOTE_AT or self._done == self.transfer.content.count

    async def _until_due(self) -> None:
        """Until something is worth noting, or may be by now."""
        self._news.clear()
        if self._due:
            return
        timer = asyncio.ensure_future(self._around.clock.sleep(NOTE_AFTER))
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (timer, news):
                task.cancel()
            await asyncio.wait({timer, news})

    async def _note(self) -> None:
        """Note what was written, once it is on disk."""
        if not self._unnoted:
            return
        assert self._fetching is not None
        assert self._part is not None
        written, self._unnoted = self._unnoted, []
        await self._part.sync()
        for index in written:
            self._fetching.stored.add(index)
        count = self.transfer.content.count
        bitmap, came = self._fetching.stored.encode(), count - self._fetching.stored.missing
        await self._around.insist(partial(self._save, bitmap, came), on_failure=self._held_up)
        failpoint("chunks-noted")
        self._noted.set()
        self._noted = asyncio.Event()

    async def _save(self, bitmap: bytes, came: int) -> None:
        async with self._around.store.transaction() as tx:
            await self._around.store.transfers.note_chunks(tx, self.transfer, bitmap, came)

    def _held_up(self, error: Exception, delay: float) -> None:
        self.trouble.failed(describe(error), self._around.clock.monotonic() + delay)

    def _turned(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()
