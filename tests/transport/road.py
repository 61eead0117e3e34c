"""A stretch of road to a server, or for a tor to its network, that can be closed, and that can swallow what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address

BLOCK = 1 << 16


class Road:
    """Passes connections on to ``destination``, or, when there is none, to where they ask for as a SOCKS 5 proxy's."""

    def __init__(self, destination: tuple[str, int] | None) -> None:
        self._destination = destination
        self._open = asyncio.Event()
        self._open.set()
        self._travellers: set[asyncio.Task[None]] = set()
        self._swallowed: set[asyncio.Task[None]] = set()
        self.port = 0

    def close(self) -> None:
        """Nobody goes through any more: who is under way is sent back, who comes too."""
        self._open.clear()
        for traveller in self._travellers:
            traveller.cancel()

    def reopen(self) -> None:
        """As before."""
        self._open.set()

    def swallow(self) -> None:
        """Nothing arrives any more of what those under way have, and neither end hears of it. Others go through."""
        self._swallowed |= self._travellers

    def let_go(self) -> None:
        """Both ends of what was swallowed hear that it is over."""
        for traveller in self._swallowed:
            traveller.cancel()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        traveller = asyncio.current_task()
        assert traveller is not None
        self._travellers.add(traveller)
        back: asyncio.StreamWriter | None = None
        try:
            if self._open.is_set():
                there, back = await asyncio.open_connection(*(self._destination or await _asked_for(reader, writer)))
                await asyncio.gather(self._pour(traveller, reader, back), self._pour(traveller, there, writer))
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._travellers.discard(traveller)
            self._swallowed.discard(traveller)
            for end in filter(None, (writer, back)):
                end.close()

    async def _pour(
        self, traveller: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(BLOCK):
            if traveller not in self._swallowed:
                writer.write(data)
                await writer.drain()
        if traveller in self._swallowed:  # nor does the other end hear that this one has gone
            await asyncio.get_running_loop().create_future()
        writer.close()


async def _asked_for(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """RFC 1928, as far as tor uses it."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    assert await reader.readexactly(4) == b"\x05\x01\x00\x01"
    address = IPv4Address(await reader.readexactly(4))
    port = int.from_bytes(await reader.readexactly(2))
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    return str(address), port


@asynccontextmanager
async def road_to(destination: tuple[str, int] | None) -> AsyncIterator[Road]:
    """One on 127.0.0.1, at a free port."""
    road = Road(destination)
    server = await asyncio.start_server(road.accept, "127.0.0.1", 0)
    road.port = server.sockets[0].getsockname()[1]
    try:
        yield road
    finally:
        server.close()
        road.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 1)
