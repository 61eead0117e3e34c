"""A world of nodes for tests: houses with a store on disk each, joined by one memory network, under one clock."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from chattor_bridge.errors import FileChanged, FileUnavailable, OnionNotAuthorised, OnionUnreachable
from chattor_bridge.ids import EventId, NodeId, OnionKey, PeerId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.happenings import (
    EventArrived,
    EventDelivered,
    Happening,
    KnockLeft,
    KnockReceived,
)
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Clock, Stream, Transaction, Transport
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.parts import DiskParts
from chattor_bridge.transport.memory import MemoryNetwork
from tests.clock import FakeClock
from tests.postgres import Databases, sqlite_databases

PATIENCE = 20.0
"""Real seconds for something that must happen without any virtual time passing."""

PER_FRIEND, IN_ALL = 100_000_000, 150_000_000
"""Bytes of files that a house keeps of one friend, and of all."""

WORK_BITS = 4
"""What doors of the tests ask for: a stamp, but no work."""

H = TypeVar("H", bound=Happening)


class Road(Transport, Protocol):
    """A transport, with its start and stop."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Diary:
    """An observer that remembers what was committed, and can be told to fail."""

    def __init__(self) -> None:
        self.entries: list[tuple[NodeId, Happening]] = []
        self.links: dict[tuple[NodeId, PeerId], bool] = {}
        self.signals: list[tuple[NodeId, PeerId, Signal]] = []
        self.refuses: Callable[[Happening], bool] = lambda happening: False
        self.refused = 0
        self._news = asyncio.Event()

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        if self.refuses(happening):
            self.refused += 1
            self._tell()
            raise RuntimeError("the observer is out of order")
        tx.after_commit(lambda: self._write(node_id, happening))

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        assert self.links.get((node_id, peer_id), False) is not up
        self.links[node_id, peer_id] = up
        self._tell()

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        self.signals.append((node_id, peer_id, signal))
        self._tell()

    def of(self, kind: type[H], node_id: NodeId) -> list[H]:
        """What happened of this kind to this node, in order."""
        return [one for whose, one in self.entries if whose == node_id and isinstance(one, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for news until the condition holds; not bounded by itself."""
        while not condition():
            news = self._news
            await news.wait()

    def _write(self, node_id: NodeId, happening: Happening) -> None:
        self.entries.append((node_id, happening))
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Shelf:
    """What is offered, in memory, by the name under which it stands. What is taken away is gone; what is ``closed``,
    or all when that is true, cannot be read now; who reads while the ``door`` is shut waits, and so does who reads what
    ``hangs``."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.closed: bool | tuple[str, ...] = False
        self.hangs: tuple[str, ...] = ()
        self.door = asyncio.Event()
        self.door.set()

    async def open(self, node_id: NodeId, reference: str) -> ShelvedFile:
        return ShelvedFile(self, reference)


class ShelvedFile:
    """One of them."""

    def __init__(self, shelf: Shelf, reference: str) -> None:
        self._shelf = shelf
        self._reference = reference

    async def read(self, offset: int, length: int) -> bytes:
        await self._shelf.door.wait()
        if self._reference in self._shelf.hangs:
            await asyncio.Event().wait()
        closed = self._shelf.closed
        if closed is True or (closed and self._reference in closed):
            raise FileUnavailable("the shelf is closed")
        if self._reference not in self._shelf.files:
            raise FileChanged("it is gone")
        return self._shelf.files[self._reference][offset : offset + length]

    async def close(self) -> None:
        pass


class House:
    """One process's worth of nodes. It may be stopped, or die, and start again from its disk."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.diary = Diary()
        self.sources = Shelf()
        self.parts = DiskParts(world.directory / f"{name}.parts")
        self.auto_accept = 0
        self.url = world.databases(f"{world.directory / name}.db")
        self.key = StoreKey(secrets.token_bytes(32))
        self.name = name
        self.store: Store
        self.transport: Road
        self.host: NodeHost

    async def start(self) -> None:
        self.store = open_store(self.url, self.key)
        await self.store.start()
        self.transport = self.world.road(self.name)
        await self.transport.start()
        self.host = NodeHost(
            self.store,
            self.transport,
            self.world.time,
            secrets.token_bytes,
            self.diary,
            pace=self.world.pace,
            work_bits=WORK_BITS,
            effort_bits=0,
            files=FileSettings(self.sources, self.parts, self.auto_accept, PER_FRIEND, IN_ALL),
        )
        await self.host.start()

    async def stop(self) -> None:
        await self.host.stop()
        await self.transport.stop()
        await self.store.stop()

    async def die(self) -> None:
        """As near to a power cut as one process can come: every stream breaks first, nobody says goodbye."""
        await self.transport.stop()
        await self.stop()

    async def person(self, owner: str, profile_name: str) -> Person:
        """A new node in this house."""
        async with self.store.transaction() as tx:
            node = await self.host.create(tx, owner, profile_name)
        return Person(self, owner, node.node_id)


class Person:
    """One node, found again after every restart, with the words a test uses."""

    def __init__(self, house: House, owner: str, node_id: NodeId) -> None:
        self.house = house
        self.owner = owner
        self.node_id = node_id

    @property
    def node(self) -> Node:
        node = self.house.host.node_of(self.owner)
        assert node is not None
        return node

    def of(self, kind: type[H]) -> list[H]:
        return self.house.diary.of(kind, self.node_id)

    def texts(self) -> list[str]:
        """Every text that arrived, in order."""
        return [
            happening.event.body.text for happening in self.of(EventArrived) if isinstance(happening.event.body, Text)
        ]

    def signals(self) -> list[Signal]:
        """What friends showed of themselves, in order."""
        return [signal for whose, _peer, signal in self.house.diary.signals if whose == self.node_id]

    def delivered(self) -> list[EventId]:
        return [happening.event_id for happening in self.of(EventDelivered)]

    def online(self, peer_id: PeerId) -> bool:
        return self.house.diary.links.get((self.node_id, peer_id), False)

    def knows(self, peer_id: PeerId) -> bool:
        """Whether the friend is online and has our profile name."""
        return self.online(peer_id) and any(one.peer_id == peer_id for one in self.of(EventDelivered))

    async def until(self, condition: Callable[[], bool], *, time_passes: bool = False) -> None:
        """Wait for the condition, with the clock standing still unless ``time_passes``."""
        waiting = self.house.diary.until(condition)
        if time_passes:
            await self.house.world.clock.pass_until(waiting)
        else:
            await asyncio.wait_for(waiting, self.house.world.patience)

    async def code(self, label: str = "test") -> str:
        """A friend code whose door is open."""
        async with self.house.store.transaction() as tx:
            info = await self.node.create_code(tx, label)
        await asyncio.wait_for(self.node.code_published(info.door_id), self.house.world.patience)
        return info.code

    async def add(self, code: str, note: str = "hello") -> None:
        async with self.house.store.transaction() as tx:
            await self.node.add(tx, code, note)

    async def accept(self, request: int = -1) -> PeerId:
        """Accept a request that has come, the newest unless told otherwise."""
        knock_id = self.of(KnockReceived)[request].knock_id
        async with self.house.store.transaction() as tx:
            return await self.node.accept(tx, knock_id)

    async def say(self, peer_id: PeerId, *texts: str) -> list[EventId]:
        said = []
        for text in texts:
            async with self.house.store.transaction() as tx:
                said.append(await self.node.send(tx, peer_id, Text(text)))
        return said

    def allow(self, peer_id: PeerId, daily: int) -> None:
        """From its next link on, this friend may have so many bytes stored a day, and not what all may."""
        friendship = self.node.work.friendships.by_peer[peer_id]
        friendship._allowance = Allowance(friendship._around.clock, daily)

    async def befriend(self, owner_of_code: Person) -> PeerId:
        """Knock at the other's door, be accepted, and wait until both are online and have each other's names."""
        code = await owner_of_code.code()
        knocked = len(owner_of_code.of(KnockReceived))
        left = len(self.of(KnockLeft))
        await self.add(code)
        await owner_of_code.until(lambda: len(owner_of_code.of(KnockReceived)) > knocked)
        await self.until(lambda: len(self.of(KnockLeft)) > left)
        peer_id = await owner_of_code.accept()
        for one in (self, owner_of_code):
            await one.until(partial(one.knows, peer_id))
        return peer_id


class World:
    """Houses, and what joins them: the memory network and a clock moved by hand, unless told otherwise."""

    def __init__(
        self,
        directory: Path,
        *,
        road: Callable[[str], Road] | None = None,
        time: Clock | None = None,
        pace: Pace | None = None,
        patience: float = PATIENCE,
        databases: Databases = sqlite_databases,
    ) -> None:
        """``road`` makes the transport of the house of this name; ``patience`` in real seconds."""
        self.databases = databases
        self.directory = directory
        self.network = MemoryNetwork(directory / "onions")
        self.road = road or (lambda name: self.network.transport())
        self.clock = FakeClock()
        self.time: Clock = time or self.clock
        self.pace = pace
        self.patience = patience
        self._houses: list[House] = []

    async def house(self, name: str) -> House:
        """A new house, started."""
        house = House(self, name)
        await house.start()
        self._houses.append(house)
        return house

    async def person(self, name: str) -> Person:
        """A person with a house of its own."""
        return await (await self.house(name.lower())).person(name.lower(), name)

    async def stop(self) -> None:
        for house in self._houses:
            await house.stop()


async def until_gone(world: World, onion: OnionKey, client_key: bytes | None = None) -> None:
    """Wait until nobody is at this onion for whoever has this key."""
    transport = world.network.transport()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                stream = await transport.dial(onion, client_key=client_key, isolation="gone", timeout=5)
                await stream.close()
            except OnionNotAuthorised:
                pass  # it is there, and closed
            except OnionUnreachable:
                return
            await asyncio.sleep(0.01)


async def read_to_end(stream: Stream) -> bytes:
    """Everything that still comes."""
    received = bytearray()
    async with asyncio.timeout(PATIENCE):
        while data := await stream.read():
            received += data
    return bytes(received)
