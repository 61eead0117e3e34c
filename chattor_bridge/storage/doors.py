"""Friend codes of ours and the onions behind them."""

from __future__ import annotations

from chattor_bridge.ids import DoorId, NodeId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import DoorRecord
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, locking, update_one
from chattor_bridge.storage.transaction import sql


class SqlDoors(Table):
    """See `chattor_bridge.node.store_ports.Doors`."""

    async def add(self, tx: Transaction, door: DoorRecord) -> None:
        sealed = self._row(door.door_id)
        await sql(tx).execute(
            "INSERT INTO doors (door_id, node_id, label, onion_seed, identity_key, secret, created_at, retired_at, "
            "expires_at, max_uses, uses, parked, closes_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            door.door_id,
            door.node_id,
            sealed.seal_text("label", door.label),
            sealed.seal("onion_seed", door.onion_seed),
            sealed.seal("identity_key", door.identity_key),
            sealed.seal_optional("secret", door.secret or None),
            door.created_at,
            door.retired_at,
            door.expires_at,
            door.max_uses,
            door.uses,
            door.parked,
            door.closes_at,
        )

    async def save(self, tx: Transaction, door: DoorRecord) -> None:
        """Raises: NotFound when there is no such door, or it is retired."""
        await update_one(
            sql(tx),
            "friend code",
            "UPDATE doors SET expires_at = $2, max_uses = $3, uses = $4, parked = $5, closes_at = $6 "
            "WHERE door_id = $1 AND retired_at IS NULL",
            door.door_id,
            door.expires_at,
            door.max_uses,
            door.uses,
            door.parked,
            door.closes_at,
        )

    async def retire(self, tx: Transaction, door_id: DoorId, at: int) -> None:
        """Raises: NotFound when there is no such door, or it is retired already."""
        await update_one(
            sql(tx),
            "friend code",
            "UPDATE doors SET retired_at = $2, onion_seed = NULL, identity_key = NULL, secret = NULL "
            "WHERE door_id = $1 AND retired_at IS NULL",
            door_id,
            at,
        )

    async def for_update(self, tx: Transaction, door_id: DoorId) -> DoorRecord | None:
        query = "SELECT * FROM doors WHERE door_id = $1 AND retired_at IS NULL"
        row = await sql(tx).fetch_row(locking(tx, query), door_id)
        return None if row is None else self._read(row)

    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[DoorRecord]:
        rows = await sql(tx).fetch(
            "SELECT * FROM doors WHERE node_id = $1 AND retired_at IS NULL ORDER BY position", node_id
        )
        return [self._read(row) for row in rows]

    def _row(self, door_id: DoorId) -> SealedRow:
        return SealedRow(self._sealer, "doors", door_id)

    def _read(self, row: Row) -> DoorRecord:
        door_id = DoorId(row["door_id"])
        sealed = self._row(door_id)
        return DoorRecord(
            door_id=door_id,
            node_id=NodeId(row["node_id"]),
            label=sealed.open_text("label", row["label"]),
            onion_seed=sealed.open("onion_seed", row["onion_seed"]),
            identity_key=sealed.open("identity_key", row["identity_key"]),
            created_at=row["created_at"],
            retired_at=row["retired_at"],
            secret=sealed.open_optional("secret", row["secret"]) or b"",
            expires_at=row["expires_at"],
            max_uses=row["max_uses"],
            uses=row["uses"],
            parked=bool(row["parked"]),
            closes_at=row["closes_at"],
        )
