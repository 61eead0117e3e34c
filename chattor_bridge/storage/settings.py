"""Small values under a name: secrets of this installation, and state such as a sync token."""

from __future__ import annotations

import secrets

from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.table import Table
from chattor_bridge.storage.transaction import sql


class SqlSettings(Table):
    """See `secret`, `get_setting` and `set_setting` of `chattor_bridge.bridge.store_ports.BridgeStore`."""

    async def secret(self, tx: Transaction, name: str, length: int) -> bytes:
        """Raises: ValueError when the secret was made with another length."""
        await sql(tx).execute(
            "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
            name,
            self._sealer.seal(secrets.token_bytes(length), "secrets", "value", name),
        )
        sealed = await sql(tx).fetch_value("SELECT value FROM secrets WHERE name = $1", name)
        value = self._sealer.open(sealed, "secrets", "value", name)
        if len(value) != length:
            raise ValueError(f"the secret {name} has {len(value)} bytes, not {length}")
        return value

    async def get(self, tx: Transaction, name: str) -> str | None:
        sealed = await sql(tx).fetch_value("SELECT value FROM settings WHERE name = $1", name)
        return None if sealed is None else self._sealer.open_text(sealed, "settings", "value", name)

    async def set(self, tx: Transaction, name: str, value: str) -> None:
        await sql(tx).execute(
            "INSERT INTO settings (name, value) VALUES ($1, $2) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            self._sealer.seal_text(value, "settings", "value", name),
        )

    async def remove(self, tx: Transaction, prefix: str) -> None:
        await sql(tx).execute("DELETE FROM settings WHERE SUBSTR(name, 1, LENGTH($1)) = $1", prefix)
