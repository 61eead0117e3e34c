"""What portals show and their owners have not read."""

from __future__ import annotations

from chattor_bridge.bridge.store_ports import MOST_UNREAD
from chattor_bridge.ids import EventId, MatrixEventId, MatrixRoomId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.transaction import sql


class SqlUnread:
    """See `chattor_bridge.bridge.store_ports.Unread`."""

    async def add(
        self, tx: Transaction, room_id: MatrixRoomId, matrix_event_id: MatrixEventId, event_id: EventId | None
    ) -> None:
        await sql(tx).execute(
            "INSERT INTO unread (room_id, matrix_event_id, event_id) VALUES ($1, $2, $3) "
            "ON CONFLICT (matrix_event_id) DO NOTHING",
            room_id,
            matrix_event_id,
            event_id,
        )
        await sql(tx).execute(
            "DELETE FROM unread WHERE room_id = $1 AND position <= "
            "(SELECT position FROM unread WHERE room_id = $1 ORDER BY position DESC LIMIT 1 OFFSET $2)",
            room_id,
            MOST_UNREAD,
        )

    async def take(self, tx: Transaction, room_id: MatrixRoomId, up_to: MatrixEventId) -> list[EventId]:
        last = await sql(tx).fetch_value(
            "SELECT position AS value FROM unread WHERE room_id = $1 AND matrix_event_id = $2", room_id, up_to
        )
        if last is None:
            return []
        rows = await sql(tx).fetch(
            "SELECT event_id FROM unread WHERE room_id = $1 AND position <= $2 AND event_id IS NOT NULL "
            "ORDER BY position",
            room_id,
            last,
        )
        await sql(tx).execute("DELETE FROM unread WHERE room_id = $1 AND position <= $2", room_id, last)
        return [EventId(row["event_id"]) for row in rows]

    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("DELETE FROM unread WHERE room_id = $1", room_id)
