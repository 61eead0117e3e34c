"""What every part of a node is given."""

from __future__ import annotations

from chattor_bridge.ids import NodeId
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.work import NodeWork


class NodePart:
    """A group of what a node can be asked for. Writes take the caller's transaction."""

    def __init__(self, around: Surroundings, node_id: NodeId, work: NodeWork) -> None:
        self._around = around
        self._store = around.store
        self.node_id: NodeId = node_id
        self.work = work
