"""Contact requests of ours, and the attempts at leaving them."""

from __future__ import annotations

from chattor_bridge.ids import KnockId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import KnockAttempt, KnockState, OutgoingKnock
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, locking, update_one
from chattor_bridge.storage.transaction import sql


class SqlOutgoingKnocks(Table):
    """The going-out half of `chattor_bridge.node.store_ports.Knocks`."""

    async def add_outgoing(self, tx: Transaction, knock: OutgoingKnock) -> None:
        await sql(tx).execute(
            "INSERT INTO outgoing_knocks (knock_id, node_id, code, note, static_key, onion_seed, state, reason, "
            "attempts, next_attempt_at, created_at, pairs) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            *self._outgoing_values(knock),
        )

    async def save_outgoing(self, tx: Transaction, knock: OutgoingKnock) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "request of ours",
            "UPDATE outgoing_knocks SET node_id = $2, code = $3, note = $4, static_key = $5, onion_seed = $6, "
            "state = $7, reason = $8, attempts = $9, next_attempt_at = $10, created_at = $11, pairs = $12 WHERE "
            "knock_id = $1",
            *self._outgoing_values(knock),
        )

    async def outgoing(self, tx: Transaction, node_id: NodeId) -> list[OutgoingKnock]:
        """Oldest first."""
        rows = await sql(tx).fetch("SELECT * FROM outgoing_knocks WHERE node_id = $1 ORDER BY position", node_id)
        return [self._read_outgoing(row) for row in rows]

    async def get_outgoing(self, tx: Transaction, knock_id: KnockId) -> OutgoingKnock | None:
        query = "SELECT * FROM outgoing_knocks WHERE knock_id = $1"
        row = await sql(tx).fetch_row(locking(tx, query), knock_id)
        return None if row is None else self._read_outgoing(row)

    async def remove_outgoing(self, tx: Transaction, knock_id: KnockId) -> None:
        await sql(tx).execute("DELETE FROM outgoing_knocks WHERE knock_id = $1", knock_id)  # attempts go with it

    async def add_attempt(self, tx: Transaction, attempt: KnockAttempt, *, keep: int) -> None:
        """Raises: NotFound when the knock is gone."""
        await sql(tx).execute(
            "INSERT INTO knock_attempts (knock_id, peer_id, session, created_at) VALUES ($1, $2, $3, $4)",
            attempt.knock_id,
            attempt.peer_id,
            self._attempt_row(attempt.knock_id, attempt.peer_id).seal("session", attempt.session),
            attempt.created_at,
        )
        await sql(tx).execute(
            "DELETE FROM knock_attempts WHERE knock_id = $1 AND position NOT IN "
            "(SELECT position FROM knock_attempts WHERE knock_id = $1 ORDER BY position DESC LIMIT $2)",
            attempt.knock_id,
            keep,
        )

    async def attempts(self, tx: Transaction, knock_id: KnockId) -> list[KnockAttempt]:
        rows = await sql(tx).fetch("SELECT * FROM knock_attempts WHERE knock_id = $1 ORDER BY position DESC", knock_id)
        return [
            KnockAttempt(
                knock_id=knock_id,
                peer_id=PeerId(row["peer_id"]),
                session=self._attempt_row(knock_id, PeerId(row["peer_id"])).open("session", row["session"]),
                created_at=row["created_at"],
            )
            for row in rows
        ]

    def _outgoing_row(self, knock_id: KnockId) -> SealedRow:
        return SealedRow(self._sealer, "outgoing_knocks", knock_id)

    def _attempt_row(self, knock_id: KnockId, peer_id: PeerId) -> SealedRow:
        return SealedRow(self._sealer, "knock_attempts", knock_id, peer_id)

    def _outgoing_values(self, knock: OutgoingKnock) -> tuple[object, ...]:
        sealed = self._outgoing_row(knock.knock_id)
        return (
            knock.knock_id,
            knock.node_id,
            sealed.seal_text("code", knock.code),
            sealed.seal_text("note", knock.note),
            sealed.seal("static_key", knock.static_key),
            sealed.seal("onion_seed", knock.onion_seed),
            knock.state.value,
            sealed.seal_text("reason", knock.reason),
            knock.attempts,
            knock.next_attempt_at,
            knock.created_at,
            knock.pairs,
        )

    def _read_outgoing(self, row: Row) -> OutgoingKnock:
        knock_id = KnockId(row["knock_id"])
        sealed = self._outgoing_row(knock_id)
        return OutgoingKnock(
            knock_id=knock_id,
            node_id=NodeId(row["node_id"]),
            code=sealed.open_text("code", row["code"]),
            note=sealed.open_text("note", row["note"]),
            static_key=sealed.open("static_key", row["static_key"]),
            onion_seed=sealed.open("onion_seed", row["onion_seed"]),
            state=KnockState(row["state"]),
            reason=sealed.open_text("reason", row["reason"]),
            attempts=row["attempts"],
            next_attempt_at=row["next_attempt_at"],
            created_at=row["created_at"],
            pairs=bool(row["pairs"]),
        )
