"""A connected socket as `chattor_bridge.node.ports.Stream`."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from chattor_bridge.errors import OnionUnreachable

READ_BUFFER = 65_536
"""Bytes. One link message of the largest size (docs/protocol/limits.md) fits; asyncio stops reading from the socket
at twice this, and that is where backpressure starts."""

LINGER = 5.0
"""Seconds a closed stream may take to hand over what was written before, until it is torn down."""


class SocketStream:
    """A stream over any socket that asyncio can read from and write to. Implements `Stream`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._closed = False

    @classmethod
    async def over(cls, connected: socket.socket) -> SocketStream:
        """Take over a connected socket; it is closed with the stream."""
        try:
            reader, writer = await asyncio.open_connection(sock=connected, limit=READ_BUFFER)
        except BaseException:
            connected.close()
            raise
        return cls(reader, writer)

    async def read(self) -> bytes:
        """Some bytes as they come, ``b""`` at the end.

        Raises: OnionUnreachable when the stream broke.
        """
        try:
            return await self._reader.read(READ_BUFFER)
        except OSError as error:
            raise OnionUnreachable("the stream broke while reading") from error

    async def read_exactly(self, length: int) -> bytes:
        """Exactly ``length`` bytes.

        Raises: OnionUnreachable when the stream broke or ended before them.
        """
        try:
            return await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise OnionUnreachable("the stream ended early") from error

    async def write(self, data: bytes) -> None:
        """Write and wait until the buffer is below its mark.

        Raises: OnionUnreachable when the stream broke or was closed.
        """
        if self._closed:
            raise OnionUnreachable("the stream is closed")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise OnionUnreachable("the stream broke while writing") from error

    async def close(self) -> None:
        """Close at once; what was written is handed over in the background, for `LINGER` seconds at most."""
        if self._closed:
            return
        self._closed = True
        transport = self._writer.transport
        waiting = transport.get_write_buffer_size()
        self._writer.close()
        if waiting:
            asyncio.get_running_loop().call_later(LINGER, self.abort)
        else:
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    def abort(self) -> None:
        """Tear down without handing anything over."""
        self._closed = True
        transport = self._writer.transport
        # asyncio's transports cannot be aborted once they have closed by themselves
        if not transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
