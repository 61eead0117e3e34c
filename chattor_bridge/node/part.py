"""What every part of a node is given."""

from __future__ import annotations

from chattor_bridge.errors import NotFound
from chattor_bridge.ids import KnockId, NodeId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import PendingKnock
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.work import NodeWork


class NodePart:
    """A group of what a node can be asked for. Writes take the caller's transaction."""

    def __init__(self, around: Surroundings, node_id: NodeId, work: NodeWork) -> None:
        self._around = around
        self._store = around.store
        self.node_id: NodeId = node_id
        self.work = work

    async def _request(self, tx: Transaction, knock_id: KnockId) -> PendingKnock:
        """A request that can be answered. Raises: NotFound."""
        pending = await self._store.knocks.get_pending(tx, knock_id)
        if pending is None or pending.node_id != self.node_id or pending.blocked:
            raise NotFound("no such request; it may have been withdrawn or answered")
        return pending
