"""A stretch of wire between a store and its PostgreSQL that breaks when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit


class Break(Enum):
    """When the wire breaks, seen from the COMMIT that the store says."""

    NEVER = auto()
    BEFORE = auto()  # the server never hears it
    AFTER = auto()  # the server has answered, the store never hears that


class Wire:
    """Passes connections on to the server; ``closed`` refuses new ones. ``broken`` is set when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.when = Break.NEVER
        self.closed = False
        self.broken = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._answers(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if b"COMMIT\0" in data and self.when is not Break.NEVER:
                    when, self.when = self.when, Break.NEVER
                    await _cancel(answers)
                    if when is Break.AFTER:
                        server_writer.write(data)
                        await server_reader.readuntil(b"COMMIT\0")
                    self.broken.set()
                    break
                server_writer.write(data)
        finally:
            await _cancel(answers)
            server_writer.close()
            writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, ConnectionError):
        await task


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[tuple[Wire, str]]:
    """The wire, and the URL that leads over it."""
    parts = urlsplit(url)
    assert parts.port is not None
    wire = Wire(parts.port)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.accept(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire, url.replace(f":{parts.port}/", f":{port}/")
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
