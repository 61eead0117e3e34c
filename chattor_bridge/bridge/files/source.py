"""A file in the homeserver's media repository, read from anywhere while it is sent to a friend. No copy of it is kept.

Few homeservers give out a part of a file, and then whoever wants its middle has to read its beginning. So each
download under way is a *cursor*, which can go on only: a read takes the one that is nearest before its place, and
begins a new one only where there is none. A friend asks in rising order on each of several streams, so there are about
as many cursors as streams, and each reads the file once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from chattor_bridge.bridge.attachment import Attachment
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.errors import FileChanged, HomeserverRefused, HomeserverUnavailable, Undecryptable
from chattor_bridge.ids import NodeId
from chattor_bridge.protocol.limits import MAX_FILE_SIZE, MAX_FILE_STREAMS

MAX_CURSORS = MAX_FILE_STREAMS
"""Downloads of one file at once; of more, each would be begun anew again and again."""

WORTH_SKIPPING = 1024 * 1024
"""Bytes that are read and thrown away rather than a new download begun, where the homeserver gives out parts."""


class MediaSources:
    """Opens what nodes offer: implements `chattor_bridge.node.ports.FileSources`."""

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver

    async def open(self, node_id: NodeId, reference: str) -> MediaFile:
        """The file of which ``reference`` is what `reference_to` returned."""
        attachment = Attachment.read(json.loads(reference))
        if attachment is None:
            raise FileChanged("what was offered has no address that can be read")
        return MediaFile(self._homeserver, attachment)


def reference_to(attachment: Attachment) -> str:
    """What a node keeps, sealed, to find the file again."""
    return json.dumps(attachment.to_content())


class MediaFile:
    """Implements `chattor_bridge.node.ports.FileSource`.

    With ``proved`` the last bytes of an encrypted file come only when it has turned out to be the one that was
    encrypted: what is prepared to be offered is read so, and everything before it is void when they do not come.
    Nothing that is read later needs it: a node knows then what it has offered.
    """

    def __init__(
        self, homeserver: Homeserver, attachment: Attachment, *, at_most: int = MAX_FILE_SIZE, proved: bool = False
    ) -> None:
        self._homeserver = homeserver
        self._attachment = attachment
        self._at_most = at_most
        self._proved = proved
        self._cursors: list[_Cursor] = []  # the one used last at the end
        self._turn = asyncio.Lock()

    async def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end of the file.

        Raises: FileChanged when it is gone or is not what was encrypted, or has more than ``at_most`` bytes;
        HomeserverUnavailable.
        """
        async with self._turn:
            cursor = self._nearest(offset)
            if cursor is not None:
                try:
                    return await self._read_with(cursor, offset, length)
                except HomeserverUnavailable:  # it may only have rested for too long
                    pass
            return await self._read_with(await self._begin(offset), offset, length)

    async def close(self) -> None:
        while self._cursors:
            await self._cursors.pop().close()

    async def _read_with(self, cursor: _Cursor, offset: int, length: int) -> bytes:
        try:
            data = await cursor.read(offset, length)
        except BaseException as error:
            self._cursors.remove(cursor)
            await cursor.close()
            if isinstance(error, HomeserverRefused | Undecryptable):
                raise FileChanged(str(error)) from None
            raise
        self._cursors.remove(cursor)
        self._cursors.append(cursor)
        return data

    def _nearest(self, offset: int) -> _Cursor | None:
        near = [cursor for cursor in self._cursors if cursor.position <= offset]
        cursor = max(near, key=lambda cursor: cursor.position, default=None)
        if cursor is not None and cursor.seekable and offset - cursor.position > WORTH_SKIPPING:
            return None
        return cursor

    async def _begin(self, offset: int) -> _Cursor:
        if len(self._cursors) >= MAX_CURSORS:
            await self._cursors.pop(0).close()
        try:
            start = 0 if self._proved else offset
            cursor = await _Cursor.begin(self._homeserver, self._attachment, start, self._at_most)
        except HomeserverRefused as refusal:
            raise FileChanged(str(refusal)) from None
        self._cursors.append(cursor)
        return cursor


class _Cursor:
    """One download under way; the next byte it can give is at ``position``. ``seekable`` says that the homeserver would
    give out the rest from anywhere."""

    def __init__(self, stack: AsyncExitStack, pieces: AsyncIterator[bytes], position: int, *, seekable: bool) -> None:
        self._stack = stack
        self._pieces = pieces
        self._rest = b""
        self.position = position
        self.seekable = seekable

    @classmethod
    async def begin(cls, homeserver: Homeserver, attachment: Attachment, offset: int, at_most: int) -> _Cursor:
        stack = AsyncExitStack()
        download = await stack.enter_async_context(homeserver.download(attachment, at=offset, at_most=at_most))
        return cls(stack, download.pieces, offset, seekable=download.resumed and offset > 0)

    async def read(self, offset: int, length: int) -> bytes:
        while self.position < offset:
            if not await self._take(offset - self.position):
                return b""
        parts: list[bytes] = []
        missing = length
        while missing and (part := await self._take(missing)):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    async def _take(self, at_most: int) -> bytes:
        """Some bytes, none at the end."""
        if not self._rest:
            self._rest = await anext(self._pieces, b"")
        part, self._rest = self._rest[:at_most], self._rest[at_most:]
        self.position += len(part)
        return part

    async def close(self) -> None:
        await self._stack.aclose()
