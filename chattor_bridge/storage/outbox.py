"""Envelopes on their way to friends."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.ids import EventId, FileId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import OutboxEntry, SlicesWaiting
from chattor_bridge.protocol.window import NO_DIGEST
from chattor_bridge.storage.table import MAX_INTEGER, SealedRow, Table
from chattor_bridge.storage.transaction import sql


class SqlOutbox(Table):
    """See `chattor_bridge.node.store_ports.Outbox`."""

    async def add(self, tx: Transaction, node_id: NodeId, entry: OutboxEntry) -> None:
        """Raises: NotFound when there is no such contact; AlreadyExists when the sequence number is taken."""
        await sql(tx).execute(
            "INSERT INTO outbox (node_id, peer_id, seq, event_id, envelope, event, created_at, file_id, "
            "digest_before) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            node_id,
            entry.peer_id,
            entry.seq,
            entry.event_id,
            entry.envelope,
            self._row(node_id, entry.peer_id, entry.seq).seal("event", entry.event),
            entry.created_at,
            entry.file_id,
            entry.digest_before,
        )

    async def after(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, seq: int, limit: int) -> list[OutboxEntry]:
        rows = await sql(tx).fetch(
            "SELECT * FROM outbox WHERE node_id = $1 AND peer_id = $2 AND seq > $3 ORDER BY seq LIMIT $4",
            node_id,
            peer_id,
            seq,
            limit,
        )
        return [
            OutboxEntry(
                peer_id=peer_id,
                seq=row["seq"],
                event_id=EventId(row["event_id"]),
                envelope=row["envelope"],
                event=self._row(node_id, peer_id, row["seq"]).open("event", row["event"]),
                created_at=row["created_at"],
                file_id=None if row["file_id"] is None else FileId(row["file_id"]),
                digest_before=row["digest_before"] or NO_DIGEST,
            )
            for row in rows
        ]

    async def remove(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, seqs: Sequence[tuple[int, int]]
    ) -> list[EventId]:
        removed: list[tuple[int, EventId]] = []
        for first, last in seqs:
            if first > MAX_INTEGER:  # a peer may claim what it likes
                continue
            rows = await sql(tx).fetch(
                "DELETE FROM outbox WHERE node_id = $1 AND peer_id = $2 AND seq BETWEEN $3 AND $4 "
                "RETURNING seq, event_id",
                node_id,
                peer_id,
                first,
                min(last, MAX_INTEGER),
            )
            removed += [(row["seq"], EventId(row["event_id"])) for row in rows]
        return [event_id for _, event_id in sorted(removed)]

    async def count(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int:
        count: int = await sql(tx).fetch_value(
            "SELECT COUNT(*) AS value FROM outbox WHERE node_id = $1 AND peer_id = $2", node_id, peer_id
        )
        return count

    async def slices(self, tx: Transaction, node_id: NodeId) -> list[SlicesWaiting]:
        rows = await sql(tx).fetch(
            "SELECT o.peer_id, o.file_id, COUNT(*) AS slices, SUM(CASE WHEN EXISTS (SELECT 1 FROM deposited d "
            "JOIN deposit_targets t ON t.node_id = d.node_id AND t.peer_id = d.peer_id AND t.target_id = d.target_id "
            "WHERE d.node_id = o.node_id AND d.peer_id = o.peer_id AND d.seq = o.seq AND d.number >= t.acknowledged"
            ") THEN 0 ELSE 1 END) AS here "
            "FROM outbox o WHERE o.node_id = $1 AND o.file_id IS NOT NULL GROUP BY o.peer_id, o.file_id",
            node_id,
        )
        return [
            SlicesWaiting(PeerId(row["peer_id"]), FileId(row["file_id"]), row["slices"], carried=not row["here"])
            for row in rows
        ]

    def _row(self, node_id: NodeId, peer_id: PeerId, seq: int) -> SealedRow:
        return SealedRow(self._sealer, "outbox", node_id, peer_id, seq)
