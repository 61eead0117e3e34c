"""A Chattor user in the test's own process: a real node over the memory network, whose ears the test can look into."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.happenings import (
    SESSION_RENEWED,
    ContactAdded,
    EventArrived,
    EventDelivered,
    Happening,
    KnockReceived,
)
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Transaction, Transport
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.protocol.events import Event, Receipt, Text, Unknown
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.storage.parts import DiskParts
from tests.node.world import IN_ALL, PER_FRIEND, Shelf

PEER_OWNER = "local"


class Ears:
    """An observer that remembers what was committed, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.signals: list[Signal] = []
        self._news = asyncio.Event()

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        tx.after_commit(lambda: self._heard(happening))

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        self._news.set()

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        self.signals.append(signal)
        self._news.set()

    def _heard(self, happening: Happening) -> None:
        self.happenings.append(happening)
        self._news.set()

    async def wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait for news until the condition holds; ``timeout`` in seconds. Raises: TimeoutError."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def arrived(self) -> list[Event]:
        """Every event that arrived, in order."""
        return [happening.event for happening in self.happenings if isinstance(happening, EventArrived)]

    def texts(self) -> list[str]:
        """Every text that arrived, in order."""
        return [
            happening.event.body.text
            for happening in self.happenings
            if isinstance(happening, EventArrived) and isinstance(happening.event.body, Text)
        ]

    def read(self) -> list[EventId]:
        """Every event of ours that a receipt said was read, in order."""
        return [
            event_id
            for happening in self.happenings
            if isinstance(happening, EventArrived) and isinstance(happening.event.body, Receipt)
            for event_id in happening.event.body.event_ids
        ]


PACE = Pace(start_jitter=0.1, dial_first=0.2, dial_most=1.0, knock_first=0.2, knock_most=1.0, repair_first=0.1)
"""Seconds. On one machine nothing is gained by waiting as long as the real network wants."""


@asynccontextmanager
async def chattor_user(
    directory: Path, transport: Transport, name: str = "Bob", *, pace: Pace = PACE
) -> AsyncIterator[Peer]:
    """A new user with everything of it in ``directory``, at work until the block is left."""
    await asyncio.to_thread(directory.mkdir)
    ears, shelf = Ears(), Shelf()
    store = open_store(f"sqlite:{directory / 'peer.db'}", StoreKey.create(directory / "store.key"))
    async with store:
        host = NodeHost(
            store,
            transport,
            SystemClock(),
            secrets.token_bytes,
            ears,
            pace=pace,
            work_bits=1,
            effort_bits=0,
            files=FileSettings(shelf, DiskParts(directory / "parts"), 0, PER_FRIEND, IN_ALL),
        )
        await host.start()
        try:
            async with store.transaction() as tx:
                node = await host.create(tx, PEER_OWNER, name)
            yield Peer(store, node, ears, host, shelf)
        finally:
            await host.stop()


class Peer:
    """One Chattor user."""

    def __init__(
        self, store: NodeStore, node: Node, ears: Ears, host: NodeHost | None = None, shelf: Shelf | None = None
    ) -> None:
        self.shelf = shelf or Shelf()
        self.store = store
        self.node = node
        self.ears = ears
        self._host = host

    async def go_offline(self) -> None:
        """Take the node down, until `come_back`."""
        assert self._host is not None
        async with self.store.transaction() as tx:
            await self._host.pause(tx, self.node)

    async def come_back(self) -> None:
        assert self._host is not None
        async with self.store.transaction() as tx:
            await self._host.resume(tx, self.node)

    async def new_code(self, label: str = "test") -> str:
        async with self.store.transaction() as tx:
            return (await self.node.create_code(tx, label)).code

    async def add(self, code: str, note: str = "") -> None:
        async with self.store.transaction() as tx:
            await self.node.add(tx, code, note)

    async def accept_next(self, timeout: float) -> PeerId:
        """Wait for a request and accept it."""
        await self.ears.wait_until(lambda: any(isinstance(h, KnockReceived) for h in self.ears.happenings), timeout)
        knock = next(h for h in reversed(self.ears.happenings) if isinstance(h, KnockReceived))
        async with self.store.transaction() as tx:
            return await self.node.accept(tx, knock.knock_id)

    async def friend(self, timeout: float) -> PeerId:
        """The friend, once there is one."""
        await self.ears.wait_until(lambda: any(isinstance(h, ContactAdded) for h in self.ears.happenings), timeout)
        return next(h.peer_id for h in self.ears.happenings if isinstance(h, ContactAdded))

    async def heard(self, count: int, timeout: float) -> list[str]:
        """Every text that arrived, in order, once that is ``count``."""
        await self.ears.wait_until(lambda: len(self.ears.texts()) >= count, timeout)
        return self.ears.texts()

    async def send(self, peer_id: PeerId, text: str) -> EventId:
        async with self.store.transaction() as tx:
            return await self.node.send(tx, peer_id, Text(text))

    async def renew_session(self, peer_id: PeerId) -> None:
        """Have the encryption begin anew."""
        async with self.store.transaction() as tx:
            await self.node.renew_session(tx, peer_id)

    def renewals(self) -> int:
        """How often it was told that a session began anew."""
        bodies = [heard.event.body for heard in self.ears.happenings if isinstance(heard, EventArrived)]
        return sum(isinstance(body, Unknown) and body.type == SESSION_RENEWED for body in bodies)

    async def renewed(self, timeout: float) -> None:
        """Wait until a session began anew."""
        await self.ears.wait_until(lambda: self.renewals() > 0, timeout)

    async def delivered(self, event_id: EventId, timeout: float) -> None:
        """Wait until the friend has it on disk."""
        await self.ears.wait_until(
            lambda: any(isinstance(h, EventDelivered) and h.event_id == event_id for h in self.ears.happenings), timeout
        )
