"""Contact requests left at our doors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chattor_bridge.ids import DoorId, KnockId, NodeId, OnionKey, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import PendingKnock
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, read_words, update_one, write_words
from chattor_bridge.storage.transaction import sql


class SqlPendingKnocks(Table):
    """The come-in half of `chattor_bridge.node.store_ports.Knocks`."""

    async def put_pending(self, tx: Transaction, knock: PendingKnock) -> KnockId:
        # The conflicting row is touched so that it comes back, and is locked, even if another transaction made it.
        (row,) = await sql(tx).fetch(
            "INSERT INTO pending_knocks (knock_id, node_id, door_id, peer_id, peer_static, peer_onion, name, note, "
            "capabilities, session, effort, exempt, received_at, seen, ignored) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
            "ON CONFLICT (node_id, peer_static) DO UPDATE SET door_id = excluded.door_id RETURNING knock_id",
            *self._pending_values(knock),
            knock.received_at,
            knock.seen,
            knock.ignored,
        )
        knock_id = KnockId(row["knock_id"])
        if knock_id != knock.knock_id:
            await sql(tx).execute(
                "UPDATE pending_knocks SET node_id = $2, door_id = $3, peer_id = $4, peer_static = $5, "
                "peer_onion = $6, name = $7, note = $8, capabilities = $9, session = $10, effort = $11, "
                "exempt = $12 WHERE knock_id = $1",
                *self._pending_values(replace(knock, knock_id=knock_id)),  # sealed anew: for the row that stays
            )
        return knock_id

    async def decide_pending(self, tx: Transaction, node_id: NodeId) -> None:
        await sql(tx).serialise(f"requests of {node_id.hex()}")

    async def get_pending(self, tx: Transaction, knock_id: KnockId) -> PendingKnock | None:
        row = await sql(tx).fetch_row("SELECT * FROM pending_knocks WHERE knock_id = $1", knock_id)
        return None if row is None else self._read_pending(row)

    async def pending(self, tx: Transaction, node_id: NodeId) -> list[PendingKnock]:
        rows = await sql(tx).fetch(
            "SELECT * FROM pending_knocks WHERE node_id = $1 ORDER BY effort DESC, position", node_id
        )
        return [self._read_pending(row) for row in rows]

    async def see_pending(self, tx: Transaction, node_id: NodeId, knock_ids: Sequence[KnockId]) -> None:
        for knock_id in knock_ids:
            await sql(tx).execute(
                "UPDATE pending_knocks SET seen = $3 WHERE node_id = $1 AND knock_id = $2", node_id, knock_id, True
            )

    async def ignore_pending(self, tx: Transaction, knock_id: KnockId) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx), "request", "UPDATE pending_knocks SET ignored = $2 WHERE knock_id = $1", knock_id, True
        )

    async def block_pending(self, tx: Transaction, knock_id: KnockId) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "request",
            "UPDATE pending_knocks SET ignored = $2, blocked = $2 WHERE knock_id = $1",
            knock_id,
            True,
        )

    async def unblock_pending(self, tx: Transaction, knock_id: KnockId) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx), "request", "UPDATE pending_knocks SET blocked = $2 WHERE knock_id = $1", knock_id, False
        )

    async def remove_pending(self, tx: Transaction, knock_id: KnockId) -> None:
        await sql(tx).execute("DELETE FROM pending_knocks WHERE knock_id = $1", knock_id)

    async def expire_pending(self, tx: Transaction, node_id: NodeId, received_before: int, now: int) -> list[KnockId]:
        await sql(tx).execute(
            "UPDATE pending_knocks SET received_at = $2 WHERE node_id = $1 AND received_at > $2", node_id, now
        )
        rows = await sql(tx).fetch(
            "DELETE FROM pending_knocks WHERE node_id = $1 AND received_at < $2 RETURNING knock_id",
            node_id,
            received_before,
        )
        return [KnockId(row["knock_id"]) for row in rows]

    def _pending_row(self, knock_id: KnockId) -> SealedRow:
        return SealedRow(self._sealer, "pending_knocks", knock_id)

    def _pending_values(self, knock: PendingKnock) -> tuple[object, ...]:
        sealed = self._pending_row(knock.knock_id)
        return (
            knock.knock_id,
            knock.node_id,
            knock.door_id,
            knock.peer_id,
            knock.peer_static,
            sealed.seal("peer_onion", knock.peer_onion),
            sealed.seal_text("name", knock.name),
            sealed.seal_text("note", knock.note),
            write_words(knock.capabilities),
            sealed.seal("session", knock.session),
            knock.effort,
            knock.exempt,
        )

    def _read_pending(self, row: Row) -> PendingKnock:
        knock_id = KnockId(row["knock_id"])
        sealed = self._pending_row(knock_id)
        return PendingKnock(
            knock_id=knock_id,
            node_id=NodeId(row["node_id"]),
            door_id=DoorId(row["door_id"]),
            peer_id=PeerId(row["peer_id"]),
            peer_static=row["peer_static"],
            peer_onion=OnionKey(sealed.open("peer_onion", row["peer_onion"])),
            name=sealed.open_text("name", row["name"]),
            note=sealed.open_text("note", row["note"]),
            capabilities=read_words(row["capabilities"]),
            session=sealed.open("session", row["session"]),
            received_at=row["received_at"],
            effort=row["effort"],
            exempt=bool(row["exempt"]),
            seen=bool(row["seen"]),
            ignored=bool(row["ignored"]),
            blocked=bool(row["blocked"]),
            order=row["position"],
        )
