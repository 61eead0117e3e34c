"""One person of the simulated world: a node, its disk, and what its owner does."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from chattor_bridge.errors import ChattorError, LimitReached
from chattor_bridge.ids import EventId, KnockId, NodeId, OnionKey, PeerId
from chattor_bridge.node.carrying.records import CarryPolicy, Target
from chattor_bridge.node.happenings import (
    ContactAdded,
    EventArrived,
    EventDelivered,
    EventFailed,
    Happening,
    KnockReceived,
)
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Transaction, Transport
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.protocol.events import Text, Unknown
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.storage import Store, StoreKey
from chattor_bridge.storage.deposits import SqlDeposits
from tests.sim.engine import Disk, PlainSealer
from tests.sim.loop import VirtualClock
from tests.sim.network import SimNetwork
from tests.sim.plan import Ending, Message
from tests.sim.process import Process

OWNER = "owner"

WORK_BITS = 4
"""What doors ask for: a stamp, but no work."""

DYING = 60.0
"""Seconds in which a process that is to die at one of its next steps has not taken it, and dies all the same."""


class Ledger(Protocol):
    """Told of what is committed, at the commit."""

    def said(self, message: Message, event_id: EventId) -> None: ...
    def arrived(self, recipient: int, sender: int, text: str) -> None: ...
    def delivered(self, sender: int, event_id: EventId) -> None: ...
    def left(self, carrier: int, event_ids: Sequence[EventId]) -> None: ...
    def noticed(self, node: int, peer: int, what: str) -> None: ...
    def online(self, node: int, *, up: bool) -> None: ...


class Household:
    """A node and its owner. It starts, stops and dies many times; its disk stays."""

    def __init__(
        self,
        number: int,
        seed: int,
        network: SimNetwork,
        ledger: Ledger,
        pace: Pace,
        prepare: Callable[[Household], None] = lambda household: None,
        watch: Callable[[Transport], Transport] | None = None,
    ) -> None:
        """``prepare`` is called with every new store, before the node has it. ``watch`` is given a transport of its own
        for shelves, and sees what a carrier sees."""
        self.number = number
        self.name = str(number)
        self.disk = Disk()
        self.friends: dict[int, PeerId] = {}
        self.numbers: dict[PeerId, int] = {}
        self.to_say: deque[Message] = deque()
        self.knocks: dict[KnockId, int] = {}
        self.store: Store
        self.host: NodeHost
        self.process: Process | None = None
        self._prepare = prepare
        self._watch = watch
        self._seed = seed
        self._lives = 0
        self._network = network
        self._ledger = ledger
        self._pace = pace
        self._key = StoreKey(random.Random(f"key {seed} {number}").randbytes(32))
        self._ended = asyncio.Event()
        self._accepting: deque[KnockId] = deque()
        self._news = asyncio.Event()

    @property
    def node(self) -> Node:
        node = self.host.node_of(OWNER)
        assert node is not None
        return node

    async def start(self) -> None:
        """Online from now on."""
        self._lives += 1
        self._ended.clear()
        self.process = process = Process()
        self.store = self.disk.store(self._key, process)
        await self.store.start()
        self.store._furnish(PlainSealer(self._key, b""))
        self.store.deposits = cast(SqlDeposits, _Deposits(self.store.deposits, self._left))
        self._prepare(self)
        self.transport = self._network.transport(self.name, process)
        source = random.Random(f"bytes {self._seed} {self.number} {self._lives}")
        self.host = NodeHost(
            self.store,
            self.transport,
            VirtualClock(),
            source.randbytes,
            self,
            pace=self._pace,
            work_bits=WORK_BITS,
            effort_bits=0,
            carry_policy=CarryPolicy(automatic=True),
            carrying_transport=None
            if self._watch is None
            else self._watch(self._network.transport(self.name, process)),
        )
        await self.host.start()
        process.on_death(lambda: self._ledger.online(self.number, up=False))
        process.on_death(self._ended.set)
        self._ledger.online(self.number, up=True)

    async def end(self, ending: Ending, doom: int = 1) -> None:
        """Offline from now on; one that dies does so at that further step."""
        process = self.process
        assert process is not None
        if ending is not Ending.STOPPED and process.alive:
            process.falls_silent = ending is Ending.POWERLESS
            process.doom(doom)
            try:
                async with asyncio.timeout(DYING):
                    await self._ended.wait()
            except TimeoutError:
                process.die()
        elif process.alive:
            self._ledger.online(self.number, up=False)
        await self.host.stop()
        await self.transport.stop()
        await self.store.stop()
        self.process = None

    async def talk(self, until: float) -> None:
        """What the owner does in a session: says what is due, until that moment or the death of the process."""
        loop = asyncio.get_running_loop()
        assert self.process is not None
        while self.process.alive and loop.time() < until:
            due = self.to_say[0].at if self.to_say else until
            if due > loop.time():
                try:
                    async with asyncio.timeout_at(min(due, until)):
                        await self._ended.wait()
                except TimeoutError:
                    continue
                return
            try:
                await self._say(self.to_say[0])
            except LimitReached:
                await asyncio.sleep(60.0)
            except ChattorError:
                return  # the process is dead

    def _left(self, onion: OnionKey, event_ids: Sequence[EventId]) -> None:
        carrier = int(self._network.hosts[onion])
        self.disk.with_commit(lambda: self._ledger.left(carrier, event_ids))

    async def say(self, friend: int, text: str) -> None:
        """Say something besides what is planned."""
        async with self.store.transaction() as tx:
            await self.node.send(tx, self.friends[friend], Text(text))

    async def _say(self, message: Message) -> None:
        async with self.store.transaction() as tx:
            event_id = await self.node.send(tx, self.friends[message.recipient], Text(message.text()))
            self.disk.with_commit(lambda: self._said(message, event_id))

    def _said(self, message: Message, event_id: EventId) -> None:
        self.to_say.popleft()
        self._ledger.said(message, event_id)

    # --- as its node's observer --------------------------------------------------------------------------------------

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        match happening:
            case EventArrived(peer_id, event) if isinstance(event.body, Text):
                sender, text = self.numbers[peer_id], event.body.text
                self.disk.with_commit(lambda: self._ledger.arrived(self.number, sender, text))
            case EventArrived(peer_id, event) if isinstance(event.body, Unknown):
                what = event.body.type
                peer = self.numbers.get(peer_id, -1)
                self.disk.with_commit(lambda: self._ledger.noticed(self.number, peer, what))
            case EventDelivered(_, event_id):
                self.disk.with_commit(lambda: self._ledger.delivered(self.number, event_id))
            case EventFailed(peer_id):
                peer = self.numbers.get(peer_id, -1)
                self.disk.with_commit(lambda: self._ledger.noticed(self.number, peer, "failed"))
            case KnockReceived(knock_id):
                self.disk.with_commit(lambda: self._accepting.append(knock_id))
                tx.after_commit(self._news.set)
            case ContactAdded(peer_id, knock_id) if knock_id in self.knocks:
                self.disk.with_commit(lambda: self._befriended(self.knocks[knock_id], peer_id))
            case _:
                pass

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        pass

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        pass

    # --- making friends ----------------------------------------------------------------------------------------------

    async def create(self) -> None:
        """The node, at the first start."""
        async with self.store.transaction() as tx:
            await self.host.create(tx, OWNER, f"node {self.number}")

    async def code(self) -> str:
        """A friend code."""
        async with self.store.transaction() as tx:
            return (await self.node.create_code(tx, "friends")).code

    async def knock(self, other: int, code: str) -> None:
        """Ask that other to be our friend."""
        async with self.store.transaction() as tx:
            knock_id = await self.node.add(tx, code, self.name)
            self.knocks[knock_id] = other

    async def accept_all(self) -> None:
        """Accept whoever knocks, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._accepting:
                knock_id = self._accepting.popleft()
                note = next((one.note for one in await self.node.requests() if one.knock_id == knock_id), None)
                if note is None:
                    continue  # it was replaced, and accepted before
                async with self.store.transaction() as tx:
                    peer_id = await self.node.accept(tx, knock_id)
                self._befriended(int(note), peer_id)

    async def ask_to_carry(self, friend: int) -> None:
        async with self.store.transaction() as tx:
            await self.node.carrying.ask(tx, self.friends[friend])

    def _befriended(self, friend: int, peer_id: PeerId) -> None:
        self.friends[friend] = peer_id
        self.numbers[peer_id] = friend


class _Deposits:
    """Notes, with the transaction, what was left where."""

    def __init__(self, inner: SqlDeposits, note: Callable[[OnionKey, Sequence[EventId]], None]) -> None:
        self._inner = inner
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def left(
        self, tx: Transaction, node_id: NodeId, target: Target, entries: Sequence[OutboxEntry], at: int
    ) -> list[int]:
        self._note(target.deposit.onion, [entry.event_id for entry in entries])
        return await self._inner.left(tx, node_id, target, entries, at)
