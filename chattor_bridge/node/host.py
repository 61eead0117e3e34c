"""All the nodes of one process: kept apart from one another, started and stopped together."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from chattor_bridge.errors import AlreadyExists
from chattor_bridge.ids import NodeId
from chattor_bridge.node.door import ID_SIZE
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import Pace, describe
from chattor_bridge.node.ports import Clock, NodeStore, Observer, RandomBytes, Transaction, Transport
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.texts import check_profile_name
from chattor_bridge.protocol.limits import EFFORT_BITS, WORK_BITS

log = logging.getLogger(__name__)

STOP_TIMEOUT: Final = 15.0
"""Real seconds for every node to say its goodbyes and take its onions down; what is not done by then is left undone,
which a crash would do as well."""


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
    ) -> None:
        """``pace`` is how patient the nodes are; ``work_bits`` and ``effort_bits`` what their doors ask of stamp and
        proof of a knock, leading zero bits."""
        self._around = Surroundings(store, transport, clock, random, observer, pace or Pace(), work_bits, effort_bits)
        self._nodes: dict[NodeId, Node] = {}
        self._arrived = asyncio.Event()
        self._root: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load every node and set it to work. Raises: DatabaseUnavailable."""
        async with self._around.store.transaction() as tx:
            records = await self._around.store.nodes.all(tx)
        for record in records:
            self._nodes[record.node_id] = Node(self._around, record, spread=True)
        self._root = asyncio.create_task(self._run(), name="nodes")

    async def stop(self) -> None:
        """End every link, then take every onion down; bounded by `STOP_TIMEOUT`."""
        root, self._root = self._root, None
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

    def node_of(self, owner: str) -> Node | None:
        """The node of this owner, once its creation is committed."""
        return next((node for node in self._nodes.values() if node.owner == owner), None)

    def node(self, node_id: NodeId) -> Node | None:
        """The node of this id."""
        return self._nodes.get(node_id)

    def nodes(self) -> list[Node]:
        """Every node, in the order they were loaded and made."""
        return list(self._nodes.values())

    def _welcome(self, node: Node) -> None:
        self._nodes[node.node_id] = node
        self._arrived.set()

    async def _run(self) -> None:
        working: set[NodeId] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._arrived.clear()
                for node_id in self._nodes.keys() - working:
                    working.add(node_id)
                    group.create_task(self._keep_working(self._nodes[node_id]))
                await self._arrived.wait()

    async def _keep_working(self, node: Node) -> None:
        await self._around.insist(node.work.run, on_failure=partial(_failed, self._around, node))


def _failed(around: Surroundings, node: Node, error: Exception, delay: float) -> None:
    log.error("a node failed and is started again: %s", describe(error))
    node.work.trouble.failed(describe(error), around.clock.monotonic() + delay)
