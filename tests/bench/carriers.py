"""What carriers do and cost, over the memory network: how quickly they store, what a message takes there and under way,
and how quickly who was away has everything.

Everybody is in this one process, so that each rate holds the work of both ends; so does what stands beside it.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.carrying.depositing import WINDOW
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.happenings import EventArrived, EventCarried, Happening
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Stream
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.deposit import DepositorEnd, auth_key
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.limits import BLOCK_SIZE, MAX_SHELF_BLOCKS, MAX_SHELVES
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage.transaction import sql
from chattor_bridge.transport.memory import MemoryNetwork, MemoryTransport
from chattor_bridge.transport.stream import SocketStream
from tests.bench.figures import Figure
from tests.node.world import Diary, House, Person, World

SENDERS = 8
"""Friends who write, with a shelf each."""

TEXT = "x" * 80
"""A message of a chat."""

AT_ONCE = 100
"""Messages said in one transaction: what is measured comes later."""

MESSAGE_SIZE = 18_432
"""Bytes of a block on a stream, as docs/protocol/carriers.md has it."""

PATIENCE = 600.0
"""Seconds for any one step."""

PACE = Pace(
    start_jitter=0,
    dial_first=0.1,
    dial_most=0.5,
    knock_first=0.1,
    knock_most=0.5,
    deposit_wait=0.1,
    deposit_jitter=0,
    deposit_gathering=0,
    repair_first=0.1,
)
"""On one machine nothing is gained by waiting as long as the real network wants."""


class Counting(Diary):
    """Counts what is waited for, instead of remembering it."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = self.carried = 0
        self.first = self.last = 0.0

    def _write(self, node_id: NodeId, happening: Happening) -> None:
        match happening:
            case EventArrived(_, event) if isinstance(event.body, Text):
                self.arrived += 1
                self.last = time.perf_counter()
                self.first = self.first or self.last
            case EventCarried():
                self.carried += 1
        self._tell()

    @property
    def rate(self) -> float:
        """Events a second between the first and the last."""
        return (self.arrived - 1) / (self.last - self.first)


class CountedRoad(MemoryTransport):
    """Knows how many bytes went over the streams that it has dialled, both ways."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, limit=60)
        self.carried = 0

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> SocketStream:
        stream = await super().dial(onion, client_key=client_key, isolation=isolation, timeout=timeout)
        read, write = stream.read, stream.write

        async def counted_read() -> bytes:
            data = await read()
            self.carried += len(data)
            return data

        async def counted_write(data: bytes) -> None:
            self.carried += len(data)
            await write(data)

        stream.read, stream.write = counted_read, counted_write  # type: ignore[method-assign]
        return stream


@dataclass
class Ground:
    """Rita has a carrier, and friends who all live in one house."""

    world: World
    rita: Person
    carl: Person
    senders: list[Person]
    knows: list[PeerId]
    """Rita and each of these."""

    roads: list[CountedRoad]
    """Of the senders' house, each time it was started."""

    @property
    def house(self) -> House:
        """Of the senders."""
        return self.senders[0].house

    async def rest(self) -> None:
        """Rita goes away, and her friends write to nobody yet."""
        await self.rita.house.stop()
        await self.house.stop()

    async def say(self, count: int) -> None:
        """Every sender says as many."""
        for sender, peer_id in zip(self.senders, self.knows, strict=True):
            for begin in range(0, count, AT_ONCE):
                async with self.house.store.transaction() as tx:
                    for _ in range(min(AT_ONCE, count - begin)):
                        await sender.node.send(tx, peer_id, Text(TEXT))

    async def deposits(self) -> list[Deposit]:
        """Where the senders leave what is for Rita."""
        store = self.house.store
        async with store.transaction() as tx:
            return [
                target.deposit
                for sender, peer_id in zip(self.senders, self.knows, strict=True)
                for target in await store.deposits.targets(tx, sender.node_id, peer_id)
            ]


@asynccontextmanager
async def laid(directory: Path, senders: int) -> AsyncIterator[Ground]:
    """Everybody is a friend of Rita's, and has been told of a shelf."""
    await asyncio.to_thread(directory.mkdir)
    network, roads = directory / "onions", list[CountedRoad]()
    MemoryNetwork(network)

    def road(_name: str) -> CountedRoad:
        roads.append(CountedRoad(network))
        return roads[-1]

    world = World(directory, road=road, time=SystemClock(), pace=PACE, patience=PATIENCE)
    try:
        rita, carl = await world.person("Rita"), await world.person("Carl")
        with_carl = await rita.befriend(carl)
        house = await world.house("senders")
        people = [await house.person(f"sender {number}", f"Sender {number}") for number in range(senders)]
        ground = Ground(world, rita, carl, people, [await rita.befriend(one) for one in people], roads)
        async with carl.house.store.transaction() as tx:
            await carl.node.carrying.offer(tx, with_carl, MAX_SHELVES, MAX_SHELF_BLOCKS)
        async with rita.house.store.transaction() as tx:
            await rita.node.carrying.ask(tx, with_carl)
        async with asyncio.timeout(PATIENCE):
            while len(await ground.deposits()) < senders:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.05)
        yield ground
    finally:
        await world.stop()


async def measure(directory: Path, blocks: int, messages: int) -> list[Figure]:
    """``blocks`` on each shelf; ``messages`` missed."""
    return [
        *await _storing(directory / "storing", blocks),
        *await _sizes(directory / "sizes", min(AT_ONCE, messages)),
        *await _catching_up(directory / "missed", messages),
    ]


# --- how quickly blocks are stored ------------------------------------------------------------------------------------


async def _storing(directory: Path, blocks: int) -> list[Figure]:
    async with laid(directory, SENDERS + 1) as ground:
        first, *others = await ground.deposits()
        await ground.rest()
        bare = [await _bare(ground, blocks, streams) for streams in (1, SENDERS)]
        one = await _left(ground, [first], blocks)
        several = await _left(ground, others, blocks)
        await ground.rita.house.start()
        await ground.house.start()
    return [
        Figure("blocks stored on one shelf", one, "/s", bare[0]),
        Figure(f"blocks stored on {SENDERS} shelves at once", several, "/s", bare[1]),
    ]


async def _left(ground: Ground, deposits: Sequence[Deposit], blocks: int) -> float:
    """Blocks a second until the carrier has said that all are stored."""

    async def leave(deposit: Deposit) -> None:
        end, key = DepositorEnd(deposit, secrets.token_bytes), auth_key(deposit.capability, deposit.onion)
        stream = await transport.dial(deposit.onion, client_key=key, isolation="bench", timeout=PATIENCE)
        sent = stored = 0
        await stream.write(end.data_to_send())
        while stored < blocks:
            for told in end.receive(await stream.read()):
                stored = told.count
            while end.told and sent < min(blocks, stored + WINDOW):
                end.send(secrets.token_bytes(BLOCK_SIZE))
                sent += 1
            await stream.write(end.data_to_send())
        await stream.close()

    transport = ground.world.road("depositor")
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(leave(deposit) for deposit in deposits))
    return blocks * len(deposits) / (time.perf_counter() - began)


async def _bare(ground: Ground, blocks: int, streams: int) -> float:
    """The same bytes, unsealed, into a table of the same database, with a commit for what comes at a time."""
    store = ground.carl.house.store
    async with store.transaction() as tx:
        await sql(tx).execute("CREATE TABLE IF NOT EXISTS bare (block BYTEA NOT NULL)")

    async def take(stream: Stream) -> None:
        came = b""
        while data := await stream.read():
            came += data
            count = len(came) // MESSAGE_SIZE
            if not count:
                continue
            async with store.transaction() as tx:
                for number in range(count):
                    block = came[number * MESSAGE_SIZE :][:BLOCK_SIZE]
                    await sql(tx).execute("INSERT INTO bare (block) VALUES ($1)", block)
            came = came[count * MESSAGE_SIZE :]
            await stream.write(count.to_bytes(4) + bytes(1020))
        await stream.close()

    async def pour() -> None:
        stream = await transport.dial(onion, client_key=None, isolation="bench", timeout=PATIENCE)
        sent, stored, came = 0, 0, b""
        while stored < blocks:
            while sent < min(blocks, stored + WINDOW):
                await stream.write(secrets.token_bytes(MESSAGE_SIZE))
                sent += 1
            came += await stream.read()
            while len(came) >= 1024:
                stored += int.from_bytes(came[:4])
                came = came[1024:]
        await stream.close()

    seed = secrets.token_bytes(32)
    onion, transport = OnionKey(ed25519_public(seed)), ground.world.road("depositor")
    publication = await ground.carl.house.transport.publish(seed, take, clients=None)
    try:
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(pour() for _ in range(streams)))
        return blocks * streams / (time.perf_counter() - began)
    finally:
        await publication.withdraw()


# --- what a message takes ---------------------------------------------------------------------------------------------


async def _sizes(directory: Path, messages: int) -> list[Figure]:
    async with laid(directory, 1) as ground:
        await ground.rest()
        diary = ground.house.diary = Counting()
        await ground.house.start()
        alone = [0.0, 0.0]
        for number in range(1, messages + 1):
            taken = await _taken(ground, lambda: ground.say(1), lambda: diary.carried >= number)  # noqa: B023
            alone = [one + more / messages for one, more in zip(alone, taken, strict=True)]
        in_a_row = [
            size / messages
            for size in await _taken(ground, lambda: ground.say(messages), lambda: diary.carried >= 2 * messages)
        ]
        async with ground.house.store.transaction() as tx:
            outbox, sender = ground.house.store.outbox, ground.senders[0]
            (entry,) = await outbox.after(tx, sender.node_id, ground.knows[0], 0, 1)
        await ground.rita.house.start()
    floor = float(len(entry.envelope))
    return [
        Figure("a message on the carrier's disk, alone", alone[0], "bytes", floor),
        Figure("a message on the carrier's disk, in a row", in_a_row[0], "bytes", floor),
        Figure("a message on the wire to it, alone", alone[1], "bytes", floor),
        Figure("a message on the wire to it, in a row", in_a_row[1], "bytes", floor),
    ]


async def _taken(ground: Ground, act: Callable[[], Awaitable[None]], done: Callable[[], bool]) -> tuple[float, float]:
    """Bytes that this took of the carrier's disk, and on the senders' streams."""
    road, disk = ground.roads[-1], _disk(ground)
    wire = road.carried
    await act()
    async with asyncio.timeout(PATIENCE):
        await ground.house.diary.until(done)
    return float(_disk(ground) - disk), float(road.carried - wire)


def _disk(ground: Ground) -> int:
    """Bytes of the carrier's database that are in use."""
    with closing(sqlite3.connect(ground.carl.house.url.removeprefix("sqlite:"))) as database:
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


# --- how quickly who was away has everything --------------------------------------------------------------------------


async def _catching_up(directory: Path, messages: int) -> list[Figure]:
    async with laid(directory, SENDERS) as ground:
        each = messages // SENDERS
        await ground.rest()
        left = ground.house.diary = Counting()
        await ground.house.start()
        await ground.say(each)
        async with asyncio.timeout(PATIENCE):
            await left.until(lambda: left.carried >= each * SENDERS)
        await ground.house.stop()
        carried = await _collected(ground, each * SENDERS)

        await ground.rita.house.stop()
        await ground.carl.house.stop()
        await ground.house.start()
        await ground.say(each)
        linked = await _collected(ground, each * SENDERS)
        await ground.carl.house.start()
    return [Figure(f"{messages:,} messages missed, from the carrier", carried, "/s", linked)]


async def _collected(ground: Ground, count: int) -> float:
    """Messages a second that come to Rita, who is back, from the first to the last."""
    diary = ground.rita.house.diary = Counting()
    await ground.rita.house.start()
    async with asyncio.timeout(PATIENCE):
        await diary.until(lambda: diary.arrived >= count)
    return diary.rate
