"""Where what waits for a friend can be left, and what was left there."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.ids import EventId, NodeId, OnionKey, PeerId
from chattor_bridge.node.carrying.records import Target, target_id
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import MAX_INTEGER, SealedRow, Table
from chattor_bridge.storage.transaction import sql

_THIS = "node_id = $1 AND peer_id = $2 AND target_id = $3"


class SqlDeposits(Table):
    """See `chattor_bridge.node.carrying.ports.Deposits`."""

    async def set_targets(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, deposits: Sequence[Deposit]) -> None:
        known = {target.target_id: target.deposit for target in await self.targets(tx, node_id, peer_id)}
        wanted = {target_id(deposit.onion): deposit for deposit in deposits}
        for ident in [ident for ident, deposit in known.items() if wanted.get(ident) != deposit]:
            await sql(tx).execute(f"DELETE FROM deposit_targets WHERE {_THIS}", node_id, peer_id, ident)  # noqa: S608
            del known[ident]
        for ident, deposit in wanted.items():
            if ident in known:
                continue
            sealed = self._row(node_id, peer_id, ident)
            await sql(tx).execute(
                "INSERT INTO deposit_targets (node_id, peer_id, target_id, onion, static_key, capability, last_number, "
                "acknowledged) VALUES ($1, $2, $3, $4, $5, $6, 0, 0)",
                node_id,
                peer_id,
                ident,
                sealed.seal("onion", deposit.onion),
                sealed.seal("static_key", deposit.static),
                sealed.seal("capability", deposit.capability),
            )

    async def targets(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> list[Target]:
        rows = await sql(tx).fetch(
            "SELECT * FROM deposit_targets WHERE node_id = $1 AND peer_id = $2 ORDER BY target_id", node_id, peer_id
        )
        return [self._read(node_id, peer_id, row) for row in rows]

    async def to_leave(
        self,
        tx: Transaction,
        node_id: NodeId,
        target: Target,
        *,
        after: int,
        left_before: int,
        left_after: int,
        limit: int,
    ) -> list[OutboxEntry]:
        rows = await sql(tx).fetch(
            "SELECT o.seq, o.event_id, o.envelope, o.created_at FROM outbox o "
            "JOIN deposit_targets t ON t.node_id = o.node_id AND t.peer_id = o.peer_id AND t.target_id = $3 "
            "LEFT JOIN deposited d ON d.node_id = o.node_id AND d.peer_id = o.peer_id AND d.seq = o.seq "
            "AND d.target_id = $3 "
            "WHERE o.node_id = $1 AND o.peer_id = $2 AND o.seq > $6 "
            "AND (d.seq IS NULL OR d.left_at < $4 OR d.left_at > $7 OR d.number < t.acknowledged) "
            "ORDER BY o.seq LIMIT $5",
            node_id,
            target.peer_id,
            target.target_id,
            left_before,
            limit,
            after,
            left_after,
        )
        return [
            OutboxEntry(target.peer_id, row["seq"], EventId(row["event_id"]), row["envelope"], b"", row["created_at"])
            for row in rows
        ]

    async def left(
        self, tx: Transaction, node_id: NodeId, target: Target, entries: Sequence[OutboxEntry], at: int
    ) -> list[int]:
        places = []
        for entry in entries:
            number = await sql(tx).fetch_value(
                f"UPDATE deposit_targets SET last_number = last_number + 1 WHERE {_THIS} "  # noqa: S608
                "AND EXISTS (SELECT 1 FROM outbox WHERE node_id = $1 AND peer_id = $2 AND seq = $4 AND envelope = $5) "
                "RETURNING last_number AS value",
                node_id,
                target.peer_id,
                target.target_id,
                entry.seq,
                entry.envelope,
            )
            if number is None:
                places.append(0)
                continue
            await sql(tx).execute(
                "INSERT INTO deposited (node_id, peer_id, target_id, seq, number, left_at) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (node_id, peer_id, target_id, seq) "
                "DO UPDATE SET number = excluded.number, left_at = excluded.left_at",
                node_id,
                target.peer_id,
                target.target_id,
                entry.seq,
                number,
                at,
            )
            places.append(await self.places(tx, node_id, target.peer_id, entry.event_id))
        return places

    async def places(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> int:
        count: int = await sql(tx).fetch_value(
            "SELECT COUNT(DISTINCT d.target_id) AS value FROM outbox o "
            "JOIN deposited d ON d.node_id = o.node_id AND d.peer_id = o.peer_id AND d.seq = o.seq "
            "JOIN deposit_targets t ON t.node_id = d.node_id AND t.peer_id = d.peer_id AND t.target_id = d.target_id "
            "WHERE o.node_id = $1 AND o.peer_id = $2 AND o.event_id = $3 AND d.number >= t.acknowledged",
            node_id,
            peer_id,
            event_id,
        )
        return count

    async def acknowledged(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, seqs: Sequence[tuple[int, int]]
    ) -> None:
        for first, last in seqs:
            if first > MAX_INTEGER:  # a peer may claim what it likes
                continue
            rows = await sql(tx).fetch(
                "SELECT target_id, MAX(number) AS highest FROM deposited "
                "WHERE node_id = $1 AND peer_id = $2 AND seq BETWEEN $3 AND $4 GROUP BY target_id",
                node_id,
                peer_id,
                first,
                min(last, MAX_INTEGER),
            )
            for row in rows:
                await sql(tx).execute(
                    f"UPDATE deposit_targets SET acknowledged = $4 WHERE {_THIS} AND acknowledged < $4",  # noqa: S608
                    node_id,
                    peer_id,
                    row["target_id"],
                    row["highest"],
                )

    async def owe(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute(
            "UPDATE deposit_targets SET owed = owed + 1 WHERE node_id = $1 AND peer_id = $2", node_id, peer_id
        )

    async def owed(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> dict[bytes, int]:
        rows = await sql(tx).fetch(
            "SELECT target_id, owed FROM deposit_targets WHERE node_id = $1 AND peer_id = $2 AND owed > 0",
            node_id,
            peer_id,
        )
        return {bytes(row["target_id"]): row["owed"] for row in rows}

    async def paid(self, tx: Transaction, node_id: NodeId, target: Target, owed: int) -> None:
        await sql(tx).execute(
            f"UPDATE deposit_targets SET owed = 0 WHERE {_THIS} AND owed = $4",  # noqa: S608
            node_id,
            target.peer_id,
            target.target_id,
            owed,
        )

    async def said(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute(
            "UPDATE deposit_targets SET owed = 0 WHERE node_id = $1 AND peer_id = $2 AND owed > 0", node_id, peer_id
        )

    def _read(self, node_id: NodeId, peer_id: PeerId, row: Row) -> Target:
        sealed = self._row(node_id, peer_id, row["target_id"])
        deposit = Deposit(
            OnionKey(sealed.open("onion", row["onion"])),
            sealed.open("static_key", row["static_key"]),
            sealed.open("capability", row["capability"]),
        )
        return Target(peer_id, row["target_id"], deposit)

    def _row(self, node_id: NodeId, peer_id: PeerId, ident: bytes) -> SealedRow:
        return SealedRow(self._sealer, "deposit_targets", node_id, peer_id, ident)
