"""One node's half of a friendship, on disk: a store and the mailbox over it, without links."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from chattor_bridge.ids import EventId, NodeId, OnionKey, PeerId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.happenings import EventArrived, EventDelivered
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, NodeRecord, OutboxEntry, Role
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.events import decode_event
from chattor_bridge.protocol.session import Session
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.transport.memory import MemoryNetwork
from tests.clock import FakeClock
from tests.node.world import Diary
from tests.protocol.sources import NOW, Source

ALL = 1_000
"""More entries than an outbox ever has here."""

T = TypeVar("T")


class Committed(Protocol):
    def __call__(self, *, crash: bool) -> None: ...


def nobody_asks(*, crash: bool) -> None:
    """Of a test that does not watch commits."""


class Crash(Exception):
    """The power goes, just before a commit."""


class Side:
    """One node's half of the friendship: a store, the mailbox over it, and what its owner was told."""

    def __init__(self, directory: Path, name: str, session: Session, *, committed: Committed = nobody_asks) -> None:
        """``committed`` is called after each transaction, with whether it came to nothing."""
        self._committed = committed
        self.node_id, self.peer_id = NodeId(name.encode().ljust(16)), PeerId(session.peer_id)
        self.session = session
        self.diary = Diary()
        self.said: list[EventId] = []
        self.store = open_store(f"sqlite:{directory / name}.db", StoreKey(Source(name)(32)))
        transport = MemoryNetwork(directory / "network").transport()
        clock = SteadyClock(FakeClock(NOW))
        self._around = Surroundings(self.store, transport, clock, Source(f"{name} draws"), self.diary)
        self._start()

    def _start(self) -> None:
        self.mailbox = Mailbox(self.node_id, self._around, Counters())

    async def begin(self, peer: OnionKey) -> None:
        await self.store.start()
        contact = Contact(
            peer_id=self.peer_id,
            node_id=self.node_id,
            role=Role(self.session.role),
            own_static=bytes(32),
            peer_static=bytes(32),
            hosted_seed=None,
            peer_onion=peer,
            session=self.session.serialize(),
            peer_name="friend",
            alias="",
            version=1,
            capabilities=(),
            established=True,
            created_at=NOW,
        )
        async with self.store.transaction() as tx:
            await self.store.nodes.add(tx, NodeRecord(self.node_id, "owner", "name", True, NOW))
            await self.store.contacts.add(tx, contact)

    async def do(self, work: Callable[[Transaction], Awaitable[T]], *, crash: bool) -> T | None:
        """One transaction; a crash takes it and everything in memory away."""
        done: T | None
        try:
            async with self.store.transaction() as tx:
                done = await work(tx)
                if crash:
                    raise Crash
        except Crash:
            self._start()
            done = None
        self._committed(crash=crash)
        return done

    async def outbox(self) -> list[OutboxEntry]:
        async with self.store.transaction() as tx:
            return await self.store.outbox.after(tx, self.node_id, self.peer_id, 0, ALL)

    async def on_disk(self) -> Session:
        async with self.store.transaction() as tx:
            return Session.deserialize((await self.mailbox.locked(tx, self.peer_id)).session)

    @property
    def shown(self) -> list[EventId]:
        return [one.event.event_id for one in self.diary.of(EventArrived, self.node_id)]

    @property
    def delivered(self) -> list[EventId]:
        return [one.event_id for one in self.diary.of(EventDelivered, self.node_id)]

    async def arrived(self) -> set[EventId]:
        """What is here, shown or held."""
        async with self.store.transaction() as tx:
            held = await self.store.received.held(tx, self.node_id, self.peer_id)
        return {*self.shown, *(decode_event(one.event).event_id for one in held)}
