"""All the nodes of one process: kept apart from one another, started and stopped together."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from typing import Final

from chattor_bridge.errors import AlreadyExists
from chattor_bridge.ids import NodeId
from chattor_bridge.node.budget import OnionBudget
from chattor_bridge.node.carrying.records import CarryPolicy
from chattor_bridge.node.clock import Memory, SteadyClock
from chattor_bridge.node.door import ID_SIZE
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import Pace, describe, heed_cancellation
from chattor_bridge.node.ports import Clock, Observer, RandomBytes, Transaction, Transport
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.texts import check_profile_name
from chattor_bridge.node.waking import watch
from chattor_bridge.protocol.limits import EFFORT_BITS, WORK_BITS

log = logging.getLogger(__name__)

STOP_TIMEOUT: Final = 15.0
"""Real seconds for every node to say its goodbyes and take its onions down; what is not done by then is left undone,
which a crash would do as well."""

CLOCK: Final = "clock"
"""The setting that says what the clock said last."""

REMEMBERED_EVERY: Final = 600.0
"""Seconds between two times that are remembered: little beside how long a machine may be off."""


class NodeHost:
    """Runs every node in the store. What goes wrong in one node stays in it."""

    def __init__(
        self,
        store: NodeStore,
        transport: Transport,
        clock: Clock,
        random: RandomBytes,
        observer: Observer,
        *,
        pace: Pace | None = None,
        work_bits: int = WORK_BITS,
        effort_bits: int = EFFORT_BITS,
        shared: bool = False,
        files: FileSettings | None = None,
        carry_policy: CarryPolicy | None = None,
        carrying_transport: Transport | None = None,
        steady: SteadyClock | None = None,
    ) -> None:
        """``pace`` is how patient the nodes are; ``work_bits`` and ``effort_bits`` what their doors ask of stamp and
        proof of a knock, leading zero bits; ``shared`` as `OnionBudget` has it; without ``files`` no file is
        offered or taken; ``carry_policy`` says for whom the nodes carry unasked, and ``carrying_transport`` is where
        shelves are hosted, a tor of their own; ``steady`` is
        ``clock`` as others in the process judge ages by it."""
        steady = steady or SteadyClock(clock)
        self._around = Surroundings(
            store,
            transport,
            steady,
            random,
            observer,
            pace or Pace(),
            work_bits,
            effort_bits,
            OnionBudget(shared=shared),
            carry_policy=carry_policy or CarryPolicy(),
            carrying_transport=carrying_transport,
            files=files,
        )
        self._clock = clock
        self._nodes: dict[NodeId, Node] = {}
        self._look = asyncio.Event()
        self._may_run: Callable[[str], bool] = lambda _owner: True
        self._root: asyncio.Task[None] | None = None

    async def start(self, may_run: Callable[[str], bool] = lambda _owner: True) -> None:
        """Load every node, and set it to work if it is not stopped and ``may_run`` allows it to its owner.

        Raises: DatabaseUnavailable.
        """
        self._may_run = may_run
        async with self._around.store.transaction() as tx:
            records = await self._around.store.nodes.all(tx)
            if (stored := await self._around.store.get_setting(tx, CLOCK)) is not None:
                self._recall(Memory(*json.loads(stored)))
        for record in records:
            self._nodes[record.node_id] = Node(self._around, record, spread=True)
        self._root = asyncio.create_task(self._run(), name="nodes")

    async def stop(self) -> None:
        """End every link, then take every onion down; bounded by `STOP_TIMEOUT`."""
        root, self._root = self._root, None
        self._around.labour.stop()
        if root is None:
            return
        root.cancel()
        done, _ = await asyncio.wait({root}, timeout=STOP_TIMEOUT)
        if not done:
            log.warning("the nodes did not stop within %d seconds; leaving them", STOP_TIMEOUT)
        elif not root.cancelled() and (error := root.exception()) is not None:
            log.error("the nodes had ended already: %s", describe(error))

    async def create(self, tx: Transaction, owner: str, profile_name: str) -> Node:
        """A new node for ``owner``, at work when ``tx`` is committed.

        Raises: AlreadyExists when the owner has one; UsageError when the name is empty, too long or has control
        characters.
        """
        check_profile_name(profile_name)
        if await self._around.store.nodes.by_owner(tx, owner) is not None:
            raise AlreadyExists("there is a node for this owner already")
        record = NodeRecord(
            node_id=NodeId(self._around.random(ID_SIZE)),
            owner=owner,
            profile_name=profile_name,
            running=True,
            created_at=self._around.clock.now(),
        )
        await self._around.store.nodes.add(tx, record)
        node = Node(self._around, record)
        tx.after_commit(lambda: self._welcome(node))
        return node

    async def pause(self, tx: Transaction, node: Node) -> None:
        """Stop this node until `resume`, restarts of the process included: its friends see it offline, everything
        of it is kept. Raises: NotFound."""
        await self._save(tx, node, running=False)

    async def resume(self, tx: Transaction, node: Node) -> None:
        """Set a stopped node to work again. Raises: NotFound."""
        await self._save(tx, node, running=True)

    async def remove(self, tx: Transaction, node: Node) -> None:
        """Delete this node with its keys, codes, requests, friends and everything on the way to them. Nobody is told;
        its friends see it offline for good."""
        await self._around.store.nodes.remove(tx, node.node_id)
        tx.after_commit(lambda: self._dismiss(node))

    def node_of(self, owner: str) -> Node | None:
        """The node of this owner, once its creation is committed."""
        return next((node for node in self._nodes.values() if node.owner == owner), None)

    def node(self, node_id: NodeId) -> Node | None:
        """The node of this id."""
        return self._nodes.get(node_id)

    def nodes(self) -> list[Node]:
        """Every node, in the order they were loaded and made."""
        return list(self._nodes.values())

    async def _save(self, tx: Transaction, node: Node, *, running: bool) -> None:
        record = await self._around.store.nodes.for_update(tx, node.node_id)
        await self._around.store.nodes.save(tx, replace(record, running=running))
        tx.after_commit(lambda: self._set(node, running=running))

    def _set(self, node: Node, *, running: bool) -> None:
        node.work.record = replace(node.work.record, running=running)
        log.info("a node was %s by its owner", "resumed" if running else "stopped")
        self._look.set()

    def _welcome(self, node: Node) -> None:
        self._nodes[node.node_id] = node
        log.info("a node was made; there are %d", len(self._nodes))
        self._look.set()

    def _dismiss(self, node: Node) -> None:
        self._nodes.pop(node.node_id, None)
        log.info("a node was removed with all that belonged to it; there are %d", len(self._nodes))
        self._look.set()

    async def _run(self) -> None:
        working: dict[Node, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(self._clock, self._woken))
            group.create_task(self._remember_time())
            while True:
                self._look.clear()
                working = {node: task for node, task in working.items() if not task.done()}
                wanted = {node for node in self._nodes.values() if node.running and self._may_run(node.owner)}
                for node in working.keys() - wanted:
                    if not working[node].cancelling():  # it takes its onions down, once
                        working[node].cancel()
                for node in wanted - working.keys():
                    working[node] = group.create_task(self._keep_working(node))
                    working[node].add_done_callback(lambda _: self._look.set())
                await self._look.wait()

    def _recall(self, memory: Memory) -> None:
        clock = self._around.clock
        clock.recall(memory)
        if days := abs(clock.wall() - clock.at_least()) // 86_400:
            log.warning(
                "the clock is %d days away from when this ran last; until it has stayed so for a day, nothing that is "
                "old by it is given up",
                days,
            )

    async def _remember_time(self) -> None:
        store, clock = self._around.store, self._around.clock
        while True:
            try:
                async with store.transaction() as tx:
                    await store.set_setting(tx, CLOCK, json.dumps(astuple(clock.remember())))
            except Exception as error:
                heed_cancellation()
                log.info("the time could not be written down yet: %s", describe(error))
            await clock.sleep(REMEMBERED_EVERY)

    async def _woken(self, slept: float) -> None:
        for node in self._nodes.values():
            await node.work.woken()
        for transport in {self._around.transport, self._around.shelf_transport}:
            try:
                await transport.woken(slept)
            except Exception as error:
                log.error("the transport could not be woken: %s", describe(error))

    async def _keep_working(self, node: Node) -> None:
        await self._around.insist(node.work.run, on_failure=partial(_failed, self._around, node))


def _failed(around: Surroundings, node: Node, error: Exception, delay: float) -> None:
    log.error("a node failed and is started again: %s", describe(error))
    node.work.trouble.failed(describe(error), around.clock.monotonic() + delay)
