"""What the bridge's Matrix users need for encrypted rooms."""

from __future__ import annotations

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.table import Table
from chattor_bridge.storage.transaction import sql


class SqlRoomKeys(Table):
    """See `chattor_bridge.bridge.store_ports.RoomKeys`."""

    async def get(self, tx: Transaction, account: str, kind: str, name: str) -> JsonObject | None:
        sealed = await sql(tx).fetch_value(
            "SELECT value FROM room_keys WHERE account = $1 AND kind = $2 AND name = $3", account, kind, name
        )
        return None if sealed is None else self._sealer.open_json(sealed, "room_keys", "value", account, kind, name)

    async def put(self, tx: Transaction, account: str, kind: str, name: str, value: JsonObject) -> None:
        await sql(tx).execute(
            "INSERT INTO room_keys (account, kind, name, value) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (account, kind, name) DO UPDATE SET value = excluded.value",
            account,
            kind,
            name,
            self._sealer.seal_json(value, "room_keys", "value", account, kind, name),
        )

    async def remove(self, tx: Transaction, account: str, kind: str, name: str) -> None:
        await sql(tx).execute(
            "DELETE FROM room_keys WHERE account = $1 AND kind = $2 AND name = $3", account, kind, name
        )

    async def names(self, tx: Transaction, account: str, kind: str) -> list[str]:
        rows = await sql(tx).fetch(
            "SELECT name FROM room_keys WHERE account = $1 AND kind = $2 ORDER BY name", account, kind
        )
        return [row["name"] for row in rows]

    async def count(self, tx: Transaction, account: str, kind: str) -> int:
        count: int = await sql(tx).fetch_value(
            "SELECT COUNT(*) AS value FROM room_keys WHERE account = $1 AND kind = $2", account, kind
        )
        return count

    async def accounts(self, tx: Transaction, kind: str) -> list[str]:
        rows = await sql(tx).fetch("SELECT DISTINCT account FROM room_keys WHERE kind = $1 ORDER BY account", kind)
        return [row["account"] for row in rows]

    async def forget(self, tx: Transaction, name: str) -> None:
        await sql(tx).execute("DELETE FROM room_keys WHERE account = $1 OR (account = '' AND name = $1)", name)
