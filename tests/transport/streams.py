"""Small handlers and drivers for streams."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import Publication, Stream, StreamHandler, Transport

PUBLISHED_WITHIN = 90.0
DIALLED_WITHIN = 60.0
ANSWERED_WITHIN = 60.0


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


def announcing(name: bytes) -> StreamHandler:
    async def announce(stream: Stream) -> None:
        await stream.write(name)

    return announce


async def read_exactly(stream: Stream, length: int) -> bytes:
    received = bytearray()
    async with asyncio.timeout(ANSWERED_WITHIN):
        while len(received) < length:
            data = await stream.read()
            assert data, f"the stream ended after {len(received)} of {length} bytes"
            received += data
    assert len(received) == length
    return bytes(received)


async def read_to_end(stream: Stream) -> bytes:
    received = bytearray()
    async with asyncio.timeout(ANSWERED_WITHIN):
        while data := await stream.read():
            received += data
    return bytes(received)


@asynccontextmanager
async def published(
    transport: Transport,
    handler: StreamHandler,
    *,
    clients: Sequence[bytes] | None = None,
    proof_of_work: bool = False,
    seed: bytes | None = None,
) -> AsyncIterator[Publication]:
    """An onion that can be dialled, withdrawn at the end."""
    publication = await transport.publish(
        os.urandom(32) if seed is None else seed, handler, clients=clients, proof_of_work=proof_of_work
    )
    try:
        await asyncio.wait_for(publication.published(), PUBLISHED_WITHIN)
        yield publication
    finally:
        await publication.withdraw()


@asynccontextmanager
async def dialled(
    transport: Transport, onion: OnionKey, *, client_key: bytes | None = None, isolation: str = "a friend"
) -> AsyncIterator[Stream]:
    stream = await transport.dial(onion, client_key=client_key, isolation=isolation, timeout=DIALLED_WITHIN)
    try:
        yield stream
    finally:
        await stream.close()
