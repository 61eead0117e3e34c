"""Where each Matrix user talks to the bot."""

from __future__ import annotations

from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.transaction import sql


class SqlManagementRooms:
    """See `chattor_bridge.bridge.store_ports.ManagementRooms`."""

    async def save(self, tx: Transaction, owner: MatrixUserId, room_id: MatrixRoomId, at: int) -> None:
        await self.remove(tx, room_id)  # not updated: the room saved last is the newest, also within one second
        await sql(tx).execute(
            "INSERT INTO management_rooms (room_id, owner, saved_at) VALUES ($1, $2, $3)", room_id, owner, at
        )

    async def of_owner(self, tx: Transaction, owner: MatrixUserId) -> MatrixRoomId | None:
        row = await sql(tx).fetch_row(
            "SELECT room_id FROM management_rooms WHERE owner = $1 ORDER BY saved_at DESC, position DESC LIMIT 1", owner
        )
        return None if row is None else MatrixRoomId(row["room_id"])

    async def all_of_owner(self, tx: Transaction, owner: MatrixUserId) -> list[MatrixRoomId]:
        rows = await sql(tx).fetch(
            "SELECT room_id FROM management_rooms WHERE owner = $1 ORDER BY saved_at, position", owner
        )
        return [MatrixRoomId(row["room_id"]) for row in rows]

    async def owner_of(self, tx: Transaction, room_id: MatrixRoomId) -> MatrixUserId | None:
        """Whose room this is, also when a newer one counts."""
        row = await sql(tx).fetch_row("SELECT owner FROM management_rooms WHERE room_id = $1", room_id)
        return None if row is None else MatrixUserId(row["owner"])

    async def remove(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("DELETE FROM management_rooms WHERE room_id = $1", room_id)
