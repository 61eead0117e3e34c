"""What was said, for the terminal program."""

from __future__ import annotations

import json
from collections.abc import Sequence

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import MAX_INTEGER, SealedRow, Table
from chattor_bridge.storage.transaction import sql
from chattor_bridge.terminal.ports import Direction, HistoryEntry, JsonObject

FORGOTTEN_AT_ONCE = 1_000
"""Entries looked at for one statement that forgets them."""

MOVED_AT_ONCE = 500
"""Entries in memory while they are sealed for another friend: some megabytes at most."""


class SqlHistory(Table):
    """See `chattor_bridge.terminal.ports.History`."""

    async def add(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        event_id: EventId,
        direction: Direction,
        text: str,
        *,
        sent_at: int,
        stored_at: int,
        kind: str = "text",
        target: EventId | None = None,
        reply: EventId | None = None,
        thread: EventId | None = None,
        detail: JsonObject | None = None,
    ) -> int:
        # One at a time: otherwise an entry could become visible after one with a higher order, and whoever follows by
        # order would never see it.
        await sql(tx).serialise("history")
        row = self._row(node_id, peer_id, event_id)
        await sql(tx).execute(
            "INSERT INTO history (node_id, peer_id, event_id, direction, text, sent_at, stored_at, kind, target, "
            "reply, thread, detail, read_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
            "ON CONFLICT (node_id, peer_id, event_id) DO NOTHING",
            node_id,
            peer_id,
            event_id,
            direction.value,
            row.seal_text("text", text),
            sent_at,
            stored_at,
            kind,
            target,
            reply,
            thread,
            None if detail is None else row.seal_text("detail", json.dumps(detail)),
            stored_at if target is not None and direction is Direction.IN else None,
        )
        order: int = await sql(tx).fetch_value(
            "SELECT position AS value FROM history WHERE node_id = $1 AND peer_id = $2 AND event_id = $3",
            node_id,
            peer_id,
            event_id,
        )
        return order

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> HistoryEntry | None:
        row = await sql(tx).fetch_row(
            "SELECT * FROM history WHERE node_id = $1 AND peer_id = $2 AND event_id = $3", node_id, peer_id, event_id
        )
        return None if row is None else self._read(row)

    async def by_order(self, tx: Transaction, node_id: NodeId, order: int) -> HistoryEntry | None:
        row = await sql(tx).fetch_row("SELECT * FROM history WHERE node_id = $1 AND position = $2", node_id, order)
        return None if row is None else self._read(row)

    async def changes(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, target: EventId, limit: int
    ) -> list[HistoryEntry]:
        rows = await sql(tx).fetch(
            "SELECT * FROM history WHERE node_id = $1 AND peer_id = $2 AND target = $3 ORDER BY position DESC LIMIT $4",
            node_id,
            peer_id,
            target,
            limit,
        )
        return [self._read(row) for row in reversed(rows)]

    async def take_back(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, at: int) -> None:
        which = (node_id, peer_id, event_id)
        await sql(tx).execute(
            "DELETE FROM history WHERE node_id = $1 AND peer_id = $2 AND (target = $3 AND kind <> 'delete' "
            "OR event_id = $3 AND target IS NOT NULL)",
            *which,
        )
        await sql(tx).execute(
            "UPDATE history SET text = $4, detail = NULL, deleted_at = $5 "
            "WHERE node_id = $1 AND peer_id = $2 AND event_id = $3",
            *which,
            self._row(*which).seal_text("text", ""),
            at,
        )

    async def mark_delivered(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, at: int
    ) -> bool:
        changed = await sql(tx).execute(
            "UPDATE history SET delivered_at = COALESCE(delivered_at, $4) "
            "WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 AND direction = 'out'",
            node_id,
            peer_id,
            event_id,
            at,
        )
        return changed == 1

    async def mark_read(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        event_ids: Sequence[EventId],
        direction: Direction,
        at: int,
    ) -> int:
        assignments = "read_at = $5"
        if direction is Direction.OUT:
            assignments += ", delivered_at = COALESCE(delivered_at, $5)"
        marked = 0
        for event_id in event_ids:
            marked += await sql(tx).execute(
                f"UPDATE history SET {assignments} "  # noqa: S608 -- one of two constants
                "WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 AND direction = $4 AND read_at IS NULL",
                node_id,
                peer_id,
                event_id,
                direction.value,
                at,
            )
        return marked

    async def mark_failed(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, reason: str
    ) -> bool:
        changed = await sql(tx).execute(
            "UPDATE history SET failure = $4 "
            "WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 AND direction = 'out'",
            node_id,
            peer_id,
            event_id,
            self._row(node_id, peer_id, event_id).seal_text("failure", reason),
        )
        return changed == 1

    async def last(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        count: int,
        before: int | None = None,
        thread: EventId | None = None,
    ) -> list[HistoryEntry]:
        which, values = _of(peer_id, thread, node_id, MAX_INTEGER if before is None else before, count)
        rows = await sql(tx).fetch(
            f"SELECT * FROM history WHERE node_id = $1 AND position < $2 AND target IS NULL{which} "  # noqa: S608
            "ORDER BY position DESC LIMIT $3",
            *values,
        )
        return [self._read(row) for row in reversed(rows)]

    async def after(
        self,
        tx: Transaction,
        node_id: NodeId,
        order: int,
        limit: int,
        peer_id: PeerId | None = None,
        thread: EventId | None = None,
        *,
        changes: bool = True,
    ) -> list[HistoryEntry]:
        which, values = _of(peer_id, thread, node_id, order, limit)
        which += "" if changes else " AND target IS NULL"
        rows = await sql(tx).fetch(
            f"SELECT * FROM history WHERE node_id = $1 AND position > $2{which} ORDER BY position LIMIT $3",  # noqa: S608
            *values,
        )
        return [self._read(row) for row in rows]

    async def unread(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, limit: int) -> list[HistoryEntry]:
        rows = await sql(tx).fetch(
            "SELECT * FROM history WHERE node_id = $1 AND peer_id = $2 AND read_at IS NULL AND direction = 'in' "
            "ORDER BY position LIMIT $3",
            node_id,
            peer_id,
            limit,
        )
        return [self._read(row) for row in rows]

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        await sql(tx).execute(
            "DELETE FROM history WHERE node_id = $1 AND peer_id = $2 AND event_id IN "
            "(SELECT event_id FROM history WHERE node_id = $1 AND peer_id = $3)",
            node_id,
            from_peer,
            to_peer,
        )
        some = "SELECT * FROM history WHERE node_id = $1 AND peer_id = $2 ORDER BY position LIMIT $3"
        while rows := await sql(tx).fetch(some, node_id, from_peer, MOVED_AT_ONCE):
            for row in rows:
                await self._move(tx, row, node_id, from_peer, to_peer)

    async def _move(self, tx: Transaction, row: Row, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        """Each is sealed for the friend it belongs to."""
        event_id, failure, detail = EventId(row["event_id"]), row["failure"], row["detail"]
        old, new = self._row(node_id, from_peer, event_id), self._row(node_id, to_peer, event_id)
        await sql(tx).execute(
            "UPDATE history SET peer_id = $4, text = $5, failure = $6, detail = $7 "
            "WHERE node_id = $1 AND peer_id = $2 AND event_id = $3",
            node_id,
            from_peer,
            event_id,
            to_peer,
            new.seal_text("text", old.open_text("text", row["text"])),
            None if failure is None else new.seal_text("failure", old.open_text("failure", failure)),
            None if detail is None else new.seal_text("detail", old.open_text("detail", detail)),
        )

    async def expire(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> None:
        await sql(tx).execute(
            "DELETE FROM history WHERE node_id = $1 AND peer_id = $2 AND (event_id = $3 OR target = $3)",
            node_id,
            peer_id,
            event_id,
        )

    async def erase(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute("DELETE FROM history WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)

    async def shorten(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, size: int) -> int:
        said = "FROM history WHERE node_id = $1 AND peer_id = $2 AND direction = 'in'"
        size_of = "LENGTH(text) + COALESCE(LENGTH(detail), 0)"
        total = await sql(tx).fetch_value(f"SELECT SUM({size_of}) AS value {said}", node_id, peer_id)
        surplus, forgotten = int(total or 0) - size, 0
        while surplus > 0:
            rows = await sql(tx).fetch(
                f"SELECT position, {size_of} AS size {said} ORDER BY position LIMIT $3",
                node_id,
                peer_id,
                FORGOTTEN_AT_ONCE,
            )
            last = 0
            for row in rows:
                if surplus <= 0:
                    break
                last, surplus = row["position"], surplus - row["size"]
            forgotten += await sql(tx).execute(f"DELETE {said} AND position <= $3", node_id, peer_id, last)
        return forgotten

    async def prune(self, tx: Transaction, stored_before: int) -> int:
        return await sql(tx).execute("DELETE FROM history WHERE stored_at < $1", stored_before)

    def _row(self, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> SealedRow:
        return SealedRow(self._sealer, "history", node_id, peer_id, event_id)

    def _read(self, row: Row) -> HistoryEntry:
        node_id, peer_id, event_id = NodeId(row["node_id"]), PeerId(row["peer_id"]), EventId(row["event_id"])
        sealed = self._row(node_id, peer_id, event_id)
        return HistoryEntry(
            order=row["position"],
            node_id=node_id,
            peer_id=peer_id,
            event_id=event_id,
            direction=Direction(row["direction"]),
            text=sealed.open_text("text", row["text"]),
            sent_at=row["sent_at"],
            stored_at=row["stored_at"],
            delivered_at=row["delivered_at"],
            read_at=row["read_at"],
            failure="" if row["failure"] is None else sealed.open_text("failure", row["failure"]),
            kind=row["kind"],
            target=_event_id(row["target"]),
            reply=_event_id(row["reply"]),
            thread=_event_id(row["thread"]),
            detail=None if row["detail"] is None else json.loads(sealed.open_text("detail", row["detail"])),
            deleted_at=row["deleted_at"],
        )


def _event_id(value: bytes | None) -> EventId | None:
    return None if value is None else EventId(value)


def _of(peer_id: PeerId | None, thread: EventId | None, *values: object) -> tuple[str, list[object]]:
    """What to add to a query with these values for the entries of one friend, and of one thread; and all values."""
    which, given = "", list(values)
    for condition, value in (("peer_id = ${0}", peer_id), ("(thread = ${0} OR event_id = ${0})", thread)):
        if value is not None:
            given.append(value)
            which += f" AND {condition.format(len(given))}"
    return which, given
