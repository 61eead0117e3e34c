"""How quickly a file goes over real tor from one friend to another, beside the same bytes over a bare stream.

Two nodes on two tors of a private network. The bare stream goes from the same tor to the same tor, through an onion of
its own; what it carries in the run is the floor. A file is timed from its acceptance to its arrival on disk, circuits
being built, every chunk proved and written and the end agreed on included; and once more from its first chunk on.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.node import transferring
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.happenings import FileArrived
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Stream
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from tests.bench import onionshare
from tests.bench.figures import Figure
from tests.node.test_files import accept, offer
from tests.node.world import Person, World

PACE = Pace(start_jitter=0.0, dial_first=1.0, dial_most=4.0, knock_first=1.0, knock_most=4.0)
PATIENCE = 300.0
PIECE = 61_440
"""Bytes written at a time on the bare stream."""


async def measure(directory: Path, size: int) -> list[Figure]:
    """A file of ``size`` bytes over one stream and over several, between two bare streams of as many bytes."""
    async with TorNetwork(directory / "tornet") as network:
        figures = await _ours(directory, network, size)
        others = await onionshare.measure(directory / "onionshare", network, size)
    if others is not None:
        figures.append(Figure("OnionShare, the same bytes from the first on", others, "MB/s", figures[0].value))
    return figures


async def _ours(directory: Path, network: TorNetwork, size: int) -> list[Figure]:
    async with _friends(directory, network) as (anna, ben, peer_id):
        bare = [await _bare(anna, ben, size)]
        one, one_alone = await _file(anna, ben, peer_id, size, streams=1)
        several, several_alone = await _file(anna, ben, peer_id, size, streams=transferring.STREAMS_OF_FILE)
        bare.append(await _bare(anna, ben, size))
    floor = sum(bare) / len(bare)
    count = transferring.STREAMS_OF_FILE
    return [
        Figure("a bare stream over an onion", floor, "MB/s"),
        Figure("a file over one stream, from its first chunk", one_alone, "MB/s", floor, "0.9"),
        Figure("a file over one stream, from its acceptance", one, "MB/s", floor),
        Figure(f"a file over {count} streams, from its first chunk", several_alone, "MB/s", floor, "1.00"),
        Figure(f"a file over {count} streams, from its acceptance", several, "MB/s", floor),
    ]


@asynccontextmanager
async def _friends(directory: Path, network: TorNetwork) -> AsyncIterator[tuple[Person, Person, PeerId]]:
    def road(name: str) -> TorTransport:
        return TorTransport(ManagedTor(TorSettings(directory / f"{name}.tor", extra_torrc=network.client_torrc)))

    world = World(directory, road=road, time=SystemClock(), pace=PACE, patience=PATIENCE)
    try:
        anna, ben = await world.person("Anna"), await world.person("Ben")
        yield anna, ben, await anna.befriend(ben)
    finally:
        await world.stop()


async def _bare(anna: Person, ben: Person, size: int) -> float:
    """Megabytes a second from Anna's tor to Ben's."""

    async def pour(stream: Stream) -> None:
        left = size
        while left:
            await stream.write(bytes(min(PIECE, left)))
            left -= min(PIECE, left)
        await stream.close()

    seed = secrets.token_bytes(32)
    publication = await anna.house.transport.publish(seed, pour, clients=None)
    try:
        await publication.published()
        onion = OnionKey(ed25519_public(seed))
        stream = await ben.house.transport.dial(onion, client_key=None, isolation="bench", timeout=120)
        came, began = 0, 0.0
        while data := await stream.read():
            began = began or time.perf_counter()
            came += len(data)
        took = time.perf_counter() - began
        await stream.close()
    finally:
        await publication.withdraw()
    assert came == size
    return size / took / 1e6


async def _file(anna: Person, ben: Person, peer_id: PeerId, size: int, *, streams: int) -> tuple[float, float]:
    """Megabytes a second from Anna to Ben, from the acceptance on and from the first chunk on."""
    default, transferring.STREAMS_OF_FILE = transferring.STREAMS_OF_FILE, streams  # type: ignore[misc]
    try:
        file_id = await offer(anna, peer_id, secrets.token_bytes(size), f"over {streams}")
        already = len(ben.of(FileArrived))
        began = time.perf_counter()
        await accept(ben, peer_id, file_id)
        first = asyncio.create_task(_first_chunk(ben))
        await ben.until(lambda: len(ben.of(FileArrived)) > already)
        ended = time.perf_counter()
        return size / (ended - began) / 1e6, size / (ended - await first) / 1e6
    finally:
        transferring.STREAMS_OF_FILE = default  # type: ignore[misc]


async def _first_chunk(ben: Person) -> float:
    while not any(info.done > 0 for info in await ben.node.files.list() if info.state == "accepted"):
        if all(info.state == "arrived" for info in await ben.node.files.list()):
            break
        await asyncio.sleep(0.01)
    return time.perf_counter()
