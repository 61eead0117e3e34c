"""What was said and is to disappear."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.store_ports import MOST_EXPIRING
from chattor_bridge.storage.transaction import sql


class SqlExpiring:
    """See `chattor_bridge.node.store_ports.Expiring`."""

    async def add(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        event_id: EventId,
        seconds: int,
        *,
        said_at: int,
        begins: bool,
    ) -> None:
        await sql(tx).execute(
            "INSERT INTO expiring (node_id, peer_id, event_id, seconds, due_at) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT (node_id, peer_id, event_id) DO NOTHING",
            node_id,
            peer_id,
            event_id,
            seconds,
            said_at + seconds if begins else None,
        )
        await sql(tx).execute(
            "UPDATE expiring SET due_at = $3 WHERE node_id = $1 AND peer_id = $2 "
            "AND (due_at IS NULL OR due_at > $3) AND position <= "
            "(SELECT position FROM expiring WHERE node_id = $1 AND peer_id = $2 ORDER BY position DESC "
            "LIMIT 1 OFFSET $4)",
            node_id,
            peer_id,
            said_at,
            MOST_EXPIRING,
        )

    async def begin(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_ids: Sequence[EventId], now: int
    ) -> bool:
        begun = 0
        for event_id in event_ids:
            begun += await sql(tx).execute(
                "UPDATE expiring SET due_at = seconds + $4 "
                "WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 AND due_at IS NULL",
                node_id,
                peer_id,
                event_id,
                now,
            )
        return begun > 0

    async def begin_all(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, now: int) -> None:
        await sql(tx).execute(
            "UPDATE expiring SET due_at = seconds + $3 WHERE node_id = $1 AND peer_id = $2 AND due_at IS NULL",
            node_id,
            peer_id,
            now,
        )

    async def next_due(self, tx: Transaction, node_id: NodeId) -> int | None:
        due: int | None = await sql(tx).fetch_value(
            "SELECT MIN(due_at) AS value FROM expiring WHERE node_id = $1 AND due_at IS NOT NULL", node_id
        )
        return due

    async def take(self, tx: Transaction, node_id: NodeId, now: int, limit: int) -> list[tuple[PeerId, EventId]]:
        rows = await sql(tx).fetch(
            "SELECT position, peer_id, event_id FROM expiring WHERE node_id = $1 AND due_at <= $2 "
            "ORDER BY due_at, position LIMIT $3",
            node_id,
            now,
            limit,
        )
        for row in rows:
            await sql(tx).execute("DELETE FROM expiring WHERE position = $1", row["position"])
        return [(PeerId(row["peer_id"]), EventId(row["event_id"])) for row in rows]

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        await sql(tx).execute(
            "INSERT INTO expiring (node_id, peer_id, event_id, seconds, due_at) "
            "SELECT node_id, $3, event_id, seconds, due_at FROM expiring WHERE node_id = $1 AND peer_id = $2 "
            "ON CONFLICT (node_id, peer_id, event_id) DO NOTHING",
            node_id,
            from_peer,
            to_peer,
        )
        await sql(tx).execute("DELETE FROM expiring WHERE node_id = $1 AND peer_id = $2", node_id, from_peer)
