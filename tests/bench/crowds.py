"""What many nodes and many friendships cost, over the memory network: memory, and time until every link is up."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import Pace
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.transport.memory import MemoryNetwork
from chattor_bridge.transport.tor import TorTransport
from tests.bench.figures import Figure
from tests.peer import PACE, Ears

PATIENCE = 240.0
"""Seconds for any one step of the measured process; fifty friendships begin within a few."""


async def measure_memory(directory: Path, nodes: int, friendships: int) -> list[Figure]:
    async with (
        friends_of_crowd(directory, friendships) as friends,
        crowd_of_nodes(directory, nodes, friendships) as crowd,
    ):
        said = await hear(crowd)
        await friends.ask(said["code"])
        after = await hear(crowd)
    return [
        Figure("memory of an idle node", said["node"], "MiB"),
        Figure(f"memory of an idle friendship (of {friendships})", after["friendship"], "MiB", aim="under 1 MiB"),
    ]


async def measure_links(directory: Path, friendships: tuple[int, ...]) -> list[Figure]:
    figures = []
    for count in friendships:
        place = directory / str(count)
        place.mkdir()
        async with friends_of_crowd(place, count) as friends:
            await befriend(place, friends, count)
            async with crowd_of_nodes(place, 1, count) as crowd:
                figures.append(Figure(f"start to all links up, {count} friendships", (await hear(crowd))["up"], "s"))
    return figures


async def befriend(directory: Path, friends: Friends, count: int) -> None:
    """Run the measured process once, and let everybody become its friend."""
    async with crowd_of_nodes(directory, 1, count) as crowd:
        await friends.ask((await hear(crowd))["code"])
        await hear(crowd)


class Friends:
    """The other halves of the friendships, each a node of its own in this process."""

    def __init__(self, host: NodeHost, store: Store, count: int) -> None:
        self.host, self._store, self._count = host, store, count

    async def ask(self, code: str) -> None:
        """Everybody knocks."""
        for number in range(self._count):
            async with self._store.transaction() as tx:
                node = await self.host.create(tx, f"friend {number}", f"Friend {number}")
            async with self._store.transaction() as tx:
                await node.add(tx, code, "")


@asynccontextmanager
async def friends_of_crowd(
    directory: Path, count: int, key: StoreKey | None = None, transport: TorTransport | None = None
) -> AsyncIterator[Friends]:
    """Running over the memory network unless told otherwise; over tor they are as patient as any node, for friends who
    dialled all the time would keep it from everything else. With the same ``key`` they are the same friends."""
    pace = PACE if transport is None else Pace()
    road = transport or MemoryNetwork(directory / "network").transport(limit=4 * count)
    key = key or StoreKey(secrets.token_bytes(32))
    await road.start()
    async with open_store(f"sqlite:{directory / 'friends.db'}", key) as store:
        host = NodeHost(store, road, SystemClock(), secrets.token_bytes, Ears(), pace=pace, work_bits=1, effort_bits=0)
        await host.start()
        try:
            yield Friends(host, store, count)
        finally:
            await host.stop()
            await road.stop()


@asynccontextmanager
async def crowd_of_nodes(directory: Path, nodes: int, friends: int, *tor: str) -> AsyncIterator[Process]:
    """The measured process. ``tor``: what it says there of tor, instead of the memory network."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.crowd", str(directory), str(nodes), str(friends), *tor),
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def hear(crowd: Process) -> dict[str, Any]:
    """What it says next."""
    assert crowd.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await crowd.stdout.readline()
    assert line, "the measured process ended"
    said: dict[str, Any] = json.loads(line)
    return said
