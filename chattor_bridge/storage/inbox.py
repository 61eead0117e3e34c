"""Matrix events the homeserver gave us, until they are done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from chattor_bridge.bridge.records import InboxItem, JsonObject, Parked
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Dialect
from chattor_bridge.storage.table import Table, parked_of, update_one
from chattor_bridge.storage.transaction import sql


class SqlInbox(Table):
    """See `chattor_bridge.bridge.store_ports.MatrixInbox`."""

    async def add(self, tx: Transaction, events: Sequence[JsonObject], at: int) -> int:
        """Raises: UsageError when something has no ``event_id`` or no ``room_id`` and so is no room event."""
        added = 0
        for event in events:
            event_id, room_id = event.get("event_id"), event.get("room_id")
            if not isinstance(event_id, str) or not isinstance(room_id, str):
                raise UsageError("only events with an event id and a room id can be put into the inbox")
            added += await self._add(tx, event_id, room_id, event, at)
        return added

    async def _add(self, tx: Transaction, event_id: str, room_id: str, event: JsonObject, at: int) -> int:
        new = await sql(tx).execute(
            "INSERT INTO known_matrix_events (event_id, first_seen) VALUES ($1, $2) ON CONFLICT (event_id) DO NOTHING",
            event_id,
            at,
        )
        if new:
            await sql(tx).execute(
                "INSERT INTO inbox (event_id, room_id, event, received_at) VALUES ($1, $2, $3, $4)",
                event_id,
                room_id,
                self._sealer.seal_json(event, "inbox", "event", event_id, room_id),
                at,
            )
        return new

    async def add_before(self, tx: Transaction, room_id: MatrixRoomId, events: Sequence[JsonObject], at: int) -> None:
        if sql(tx).dialect is Dialect.POSTGRES:  # what came in between would be removed, and its place be wrong
            await sql(tx).execute("LOCK TABLE inbox IN SHARE ROW EXCLUSIVE MODE")
        waiting = await sql(tx).fetch(
            "SELECT * FROM inbox WHERE room_id = $1 AND parked IS NULL ORDER BY position", room_id
        )
        known = {row["event_id"] for row in waiting}
        await sql(tx).execute("DELETE FROM inbox WHERE room_id = $1 AND parked IS NULL", room_id)
        await self.add(tx, list(takewhile(lambda event: event["event_id"] not in known, events)), at)
        for row in waiting:  # what is sealed is so for event and room, not for the position
            await sql(tx).execute(
                "INSERT INTO inbox (event_id, room_id, event, received_at) VALUES ($1, $2, $3, $4)",
                row["event_id"],
                row["room_id"],
                row["event"],
                row["received_at"],
            )

    async def rooms(self, tx: Transaction) -> list[MatrixRoomId]:
        """The room that has waited longest first."""
        rows = await sql(tx).fetch(
            "SELECT room_id FROM inbox WHERE parked IS NULL GROUP BY room_id ORDER BY MIN(position)"
        )
        return [MatrixRoomId(row["room_id"]) for row in rows]

    async def next(self, tx: Transaction, room_id: MatrixRoomId) -> InboxItem | None:
        row = await sql(tx).fetch_row(
            "SELECT * FROM inbox WHERE room_id = $1 AND parked IS NULL ORDER BY position LIMIT 1", room_id
        )
        if row is None:
            return None
        return InboxItem(
            order=row["position"],
            room_id=room_id,
            event=self._sealer.open_json(row["event"], "inbox", "event", row["event_id"], room_id),
            received_at=row["received_at"],
        )

    async def replace(self, tx: Transaction, item: InboxItem, event: JsonObject) -> None:
        sealed = self._sealer.seal_json(event, "inbox", "event", event["event_id"], item.room_id)
        await sql(tx).execute("UPDATE inbox SET event = $2 WHERE position = $1", item.order, sealed)

    async def remove(self, tx: Transaction, order: int) -> None:
        await sql(tx).execute("DELETE FROM inbox WHERE position = $1", order)

    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("DELETE FROM inbox WHERE room_id = $1", room_id)

    async def park(self, tx: Transaction, order: int, reason: str) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "inbox item",
            "UPDATE inbox SET parked = $2 WHERE position = $1",
            order,
            self._sealer.seal_text(reason, "inbox", "parked", order),
        )

    async def parked(self, tx: Transaction, rooms: Sequence[MatrixRoomId] | None = None) -> list[Parked]:
        rows = await parked_of(tx, "inbox", "room_id", rooms)
        return [
            Parked(
                order=row["position"],
                queue=row["room_id"],
                content=self._sealer.open_json(row["event"], "inbox", "event", row["event_id"], row["room_id"]),
                since=row["received_at"],
                reason=self._sealer.open_text(row["parked"], "inbox", "parked", row["position"]),
            )
            for row in rows
        ]

    async def unpark(self, tx: Transaction, order: int) -> None:
        await update_one(
            sql(tx), "parked event", "UPDATE inbox SET parked = NULL WHERE position = $1 AND parked IS NOT NULL", order
        )

    async def count_parked(self, tx: Transaction) -> int:
        count: int = await sql(tx).fetch_value("SELECT COUNT(*) AS value FROM inbox WHERE parked IS NOT NULL")
        return count

    async def count(self, tx: Transaction) -> int:
        count: int = await sql(tx).fetch_value("SELECT COUNT(*) AS value FROM inbox WHERE parked IS NULL")
        return count

    async def known(self, tx: Transaction, event_ids: Iterable[str]) -> set[str]:
        return {
            event_id
            for event_id in event_ids
            if await sql(tx).fetch("SELECT 1 FROM known_matrix_events WHERE event_id = $1", event_id)
        }

    async def forget(self, tx: Transaction, before: int) -> None:
        """The ids of items still here, parked ones too, stay known."""
        await sql(tx).execute(
            "DELETE FROM known_matrix_events WHERE first_seen < $1 AND event_id NOT IN (SELECT event_id FROM inbox)",
            before,
        )
