"""How much a node holds for all its friends together: a bound of its owner's, within one of the process."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.ids import NodeId
from chattor_bridge.node.carrying.records import HeldInAll
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.limits import BLOCK_SIZE

MEGABYTE: Final = 1_000_000
"""Bytes."""


class Quota:
    """Of one node."""

    def __init__(self, around: Surroundings, node_id: NodeId) -> None:
        self._around = around
        self._node_id = node_id
        self._most = around.carry_policy.in_all // BLOCK_SIZE

    async def room(self, tx: Transaction) -> int:
        """For how many more blocks there is room, on whichever shelf, until the end of ``tx``. Raises: NotFound."""
        record = await self._record(tx)
        ours, everybodys = await self._around.store.carriages.count_all(tx, self._node_id)
        return max(0, min(self._limit(record) - ours, self._most - everybodys))

    async def change(self, tx: Transaction, megabytes: int | None) -> None:
        """Hold so much at most from now on, None for as much as the process may; what is held already stays until it
        is collected. Raises: NotFound, UsageError."""
        most = self._around.carry_policy.in_all // MEGABYTE
        if megabytes is not None and megabytes > most:
            raise UsageError(
                f"this program may hold {most} MB at most; the file of its configuration says so, at carrying.in_all"
            )
        holds = None if megabytes is None else megabytes * MEGABYTE // BLOCK_SIZE
        record = await self._around.store.nodes.for_update(tx, self._node_id)
        await self._around.store.nodes.save(tx, replace(record, holds=holds))

    async def overview(self, tx: Transaction) -> HeldInAll:
        """How much is held, of how much. Raises: NotFound."""
        ours, _ = await self._around.store.carriages.count_all(tx, self._node_id)
        return HeldInAll(ours, self._limit(await self._record(tx)), self._most)

    def _limit(self, record: NodeRecord) -> int:
        return self._most if record.holds is None else min(record.holds, self._most)

    async def _record(self, tx: Transaction) -> NodeRecord:
        record = await self._around.store.nodes.get(tx, self._node_id)
        if record is None:
            raise NotFound("no such node")
        return record
