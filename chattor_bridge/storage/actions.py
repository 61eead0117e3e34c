"""What is still to be done on the homeserver."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from chattor_bridge.bridge.records import JsonObject, Parked, PendingAction
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.sealing import Sealer
from chattor_bridge.storage.table import Table, parked_of, update_one
from chattor_bridge.storage.transaction import sql

ACTION_ID_LENGTH = 16
"""Bytes."""


class SqlActions(Table):
    """See `chattor_bridge.bridge.store_ports.PendingActions`."""

    def __init__(self, sealer: Sealer) -> None:
        super().__init__(sealer)
        self._begun: set[int] = set()
        """Actions with an attempt that is not counted on disk: one in each lane that is worked on."""

    async def add(self, tx: Transaction, lane: str, action: JsonObject, at: int) -> None:
        action_id = secrets.token_bytes(ACTION_ID_LENGTH)
        await sql(tx).execute(
            "INSERT INTO actions (action_id, lane, action, created_at, attempts) VALUES ($1, $2, $3, $4, 0)",
            action_id,
            lane,
            self._sealer.seal_json(action, "actions", "action", action_id, lane),
            at,
        )

    async def lanes(self, tx: Transaction) -> list[str]:
        """The lane that has waited longest first."""
        rows = await sql(tx).fetch("SELECT lane FROM actions WHERE parked IS NULL GROUP BY lane ORDER BY MIN(position)")
        return [row["lane"] for row in rows]

    async def next(self, tx: Transaction, lane: str) -> PendingAction | None:
        row = await sql(tx).fetch_row(
            "SELECT * FROM actions WHERE lane = $1 AND parked IS NULL ORDER BY position LIMIT 1", lane
        )
        return self._read(lane, row)

    async def last(self, tx: Transaction, lane: str) -> PendingAction | None:
        row = await sql(tx).fetch_row(
            "SELECT * FROM actions WHERE lane = $1 AND parked IS NULL ORDER BY position DESC LIMIT 1", lane
        )
        return self._read(lane, row)

    def _read(self, lane: str, row: Row | None) -> PendingAction | None:
        if row is None:
            return None
        return PendingAction(
            order=row["position"],
            lane=lane,
            action=self._sealer.open_json(row["action"], "actions", "action", row["action_id"], lane),
            created_at=row["created_at"],
            attempts=row["attempts"] + (row["position"] in self._begun),
        )

    async def begun(self, tx: Transaction, order: int) -> None:
        if order in self._begun:  # the attempt before this one failed when the database could not be written
            await self._attempted(tx, order)
        self._begun.add(order)

    async def failed(self, tx: Transaction, order: int) -> None:
        await self._attempted(tx, order)
        tx.after_commit(lambda: self._begun.discard(order))

    async def _attempted(self, tx: Transaction, order: int) -> None:
        await sql(tx).execute("UPDATE actions SET attempts = attempts + 1 WHERE position = $1", order)

    async def interrupted(self, tx: Transaction) -> None:
        await sql(tx).execute("UPDATE actions SET attempts = 1 WHERE attempts = 0 AND parked IS NULL")
        tx.after_commit(self._begun.clear)

    async def remove(self, tx: Transaction, order: int) -> None:
        await sql(tx).execute("DELETE FROM actions WHERE position = $1", order)
        tx.after_commit(lambda: self._begun.discard(order))

    async def remove_lane(self, tx: Transaction, lane: str) -> None:
        await sql(tx).execute("DELETE FROM actions WHERE lane = $1", lane)

    async def park(self, tx: Transaction, order: int, reason: str) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "pending action",
            "UPDATE actions SET parked = $2, attempts = attempts + $3 WHERE position = $1",
            order,
            self._sealer.seal_text(reason, "actions", "parked", order),
            int(order in self._begun),
        )
        tx.after_commit(lambda: self._begun.discard(order))

    async def parked(self, tx: Transaction, lanes: Sequence[str]) -> list[Parked]:
        rows = await parked_of(tx, "actions", "lane", lanes)
        return [
            Parked(
                order=row["position"],
                queue=row["lane"],
                content=self._sealer.open_json(row["action"], "actions", "action", row["action_id"], row["lane"]),
                since=row["created_at"],
                reason=self._sealer.open_text(row["parked"], "actions", "parked", row["position"]),
            )
            for row in rows
        ]

    async def unpark(self, tx: Transaction, order: int) -> None:
        await update_one(
            sql(tx),
            "parked action",
            "UPDATE actions SET parked = NULL WHERE position = $1 AND parked IS NOT NULL",
            order,
        )

    async def count_parked(self, tx: Transaction, lane: str | None = None) -> int:
        return await _count(tx, "parked IS NOT NULL", lane)

    async def count(self, tx: Transaction, lane: str | None = None) -> int:
        return await _count(tx, "parked IS NULL", lane)


async def _count(tx: Transaction, which: str, lane: str | None) -> int:
    """``which`` is one of two constants."""
    query = f"SELECT COUNT(*) AS value FROM actions WHERE {which}"  # noqa: S608
    if lane is None:
        count: int = await sql(tx).fetch_value(query)
    else:
        count = await sql(tx).fetch_value(f"{query} AND lane = $1", lane)
    return count
