"""Events that friends have sent us."""

from __future__ import annotations

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import HeldEvent
from chattor_bridge.storage.table import MAX_INTEGER, SealedRow, Table
from chattor_bridge.storage.transaction import sql


class SqlReceived(Table):
    """See `chattor_bridge.node.store_ports.Received`."""

    async def remember(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, at: int) -> bool:
        """Raises: NotFound when there is no such contact."""
        added = await sql(tx).execute(
            "INSERT INTO received_events (node_id, peer_id, event_id, received_at) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (node_id, peer_id, event_id) DO NOTHING",
            node_id,
            peer_id,
            event_id,
            at,
        )
        return added == 1

    async def knows(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> bool:
        row = await sql(tx).fetch_row(
            "SELECT 1 AS known FROM received_events WHERE node_id = $1 AND peer_id = $2 AND event_id = $3",
            node_id,
            peer_id,
            event_id,
        )
        return row is not None

    async def forget(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, *, keep: int, at_most: int
    ) -> list[EventId]:
        known: int = await sql(tx).fetch_value(
            "SELECT COUNT(*) AS value FROM received_events WHERE node_id = $1 AND peer_id = $2", node_id, peer_id
        )
        if known <= keep:
            return []
        rows = await sql(tx).fetch(
            "SELECT event_id FROM received_events WHERE node_id = $1 AND peer_id = $2 "
            "ORDER BY received_at, event_id LIMIT $3",
            node_id,
            peer_id,
            min(known - keep, at_most),
        )
        for row in rows:
            await sql(tx).execute(
                "DELETE FROM received_events WHERE node_id = $1 AND peer_id = $2 AND event_id = $3",
                node_id,
                peer_id,
                row["event_id"],
            )
        return [EventId(row["event_id"]) for row in rows]

    async def copy(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        await sql(tx).execute(
            "INSERT INTO received_events (node_id, peer_id, event_id, received_at) "
            "SELECT old.node_id, new.peer_id, old.event_id, old.received_at FROM received_events old, contacts new "
            "WHERE old.node_id = $1 AND old.peer_id = $2 AND new.node_id = $1 AND new.peer_id = $3 "
            "ON CONFLICT (node_id, peer_id, event_id) DO NOTHING",
            node_id,
            from_peer,
            to_peer,
        )

    async def hold(self, tx: Transaction, node_id: NodeId, held: HeldEvent) -> None:
        """Raises: NotFound when there is no such contact; AlreadyExists when the sequence number is held."""
        await sql(tx).execute(
            "INSERT INTO held_events (node_id, peer_id, seq, event, received_at) VALUES ($1, $2, $3, $4, $5)",
            node_id,
            held.peer_id,
            held.seq,
            self._row(node_id, held.peer_id, held.seq).seal("event", held.event),
            held.received_at,
        )

    async def held(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> list[HeldEvent]:
        rows = await sql(tx).fetch(
            "SELECT * FROM held_events WHERE node_id = $1 AND peer_id = $2 ORDER BY seq", node_id, peer_id
        )
        return [
            HeldEvent(
                peer_id=peer_id,
                seq=row["seq"],
                event=self._row(node_id, peer_id, row["seq"]).open("event", row["event"]),
                received_at=row["received_at"],
            )
            for row in rows
        ]

    async def release(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, up_to: int) -> None:
        await sql(tx).execute(
            "DELETE FROM held_events WHERE node_id = $1 AND peer_id = $2 AND seq <= $3",
            node_id,
            peer_id,
            min(up_to, MAX_INTEGER),
        )

    def _row(self, node_id: NodeId, peer_id: PeerId, seq: int) -> SealedRow:
        return SealedRow(self._sealer, "held_events", node_id, peer_id, seq)
