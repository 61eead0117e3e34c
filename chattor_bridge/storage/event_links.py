"""Which Matrix event belongs to which Chattor event, and which notice to what it tells of."""

from __future__ import annotations

import json

from chattor_bridge.bridge.records import EventLink, KnockNotice, PortalNotice, Topic
from chattor_bridge.ids import EventId, KnockId, MatrixEventId, MatrixRoomId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table
from chattor_bridge.storage.transaction import sql


class SqlEventLinks(Table):
    """See `chattor_bridge.bridge.store_ports.EventLinks`."""

    async def add(self, tx: Transaction, link: EventLink) -> None:
        await sql(tx).execute(
            "INSERT INTO event_links "
            "(node_id, peer_id, event_id, part, room_id, matrix_event_id, ours, kind, target, detail) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "
            "ON CONFLICT (node_id, peer_id, event_id, part, matrix_event_id) DO NOTHING",
            link.node_id,
            link.peer_id,
            link.event_id,
            link.part,
            link.room_id,
            link.matrix_event_id,
            link.ours,
            link.kind,
            link.target,
            None
            if link.detail is None
            else self._row(link.matrix_event_id).seal_text("detail", json.dumps(link.detail)),
        )

    async def by_event(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> list[EventLink]:
        rows = await sql(tx).fetch(
            "SELECT * FROM event_links WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 "
            "ORDER BY part, matrix_event_id",
            node_id,
            peer_id,
            event_id,
        )
        return [self._read(row) for row in rows]

    async def by_matrix_event(self, tx: Transaction, matrix_event_id: MatrixEventId) -> list[EventLink]:
        """In order of part."""
        rows = await sql(tx).fetch(
            "SELECT * FROM event_links WHERE matrix_event_id = $1 ORDER BY part, node_id, peer_id, event_id",
            matrix_event_id,
        )
        return [self._read(row) for row in rows]

    async def of_target(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, target: EventId) -> list[EventLink]:
        rows = await sql(tx).fetch(
            "SELECT * FROM event_links WHERE node_id = $1 AND peer_id = $2 AND target = $3", node_id, peer_id, target
        )
        return [self._read(row) for row in rows]

    async def waiting(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, limit: int) -> list[EventLink]:
        rows = await sql(tx).fetch(
            "SELECT event_links.* FROM outbox JOIN event_links ON event_links.node_id = outbox.node_id "
            "AND event_links.peer_id = outbox.peer_id AND event_links.event_id = outbox.event_id "
            "WHERE outbox.node_id = $1 AND outbox.peer_id = $2 AND event_links.ours "
            "ORDER BY outbox.seq, event_links.part LIMIT $3",
            node_id,
            peer_id,
            limit,
        )
        return [self._read(row) for row in rows]

    async def remove_link(self, tx: Transaction, link: EventLink) -> None:
        await sql(tx).execute(
            "DELETE FROM event_links WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 AND part = $4 "
            "AND matrix_event_id = $5",
            link.node_id,
            link.peer_id,
            link.event_id,
            link.part,
            link.matrix_event_id,
        )

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        await sql(tx).execute(
            "UPDATE event_links SET peer_id = $3 WHERE node_id = $1 AND peer_id = $2", node_id, from_peer, to_peer
        )

    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute("DELETE FROM event_links WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)

    async def remove_event(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> None:
        await sql(tx).execute(
            "DELETE FROM event_links WHERE node_id = $1 AND peer_id = $2 AND event_id = $3 AND NOT ours",
            node_id,
            peer_id,
            event_id,
        )

    def _row(self, matrix_event_id: MatrixEventId) -> SealedRow:
        """By the Matrix event alone, so that links can be given to another friendship as they are."""
        return SealedRow(self._sealer, "event_links", matrix_event_id.encode())

    def _read(self, row: Row) -> EventLink:
        matrix_event_id = MatrixEventId(row["matrix_event_id"])
        detail = row["detail"]
        return EventLink(
            node_id=NodeId(row["node_id"]),
            peer_id=PeerId(row["peer_id"]),
            event_id=EventId(row["event_id"]),
            part=row["part"],
            room_id=MatrixRoomId(row["room_id"]),
            matrix_event_id=matrix_event_id,
            ours=bool(row["ours"]),
            kind=row["kind"],
            target=None if row["target"] is None else EventId(row["target"]),
            detail=None if detail is None else json.loads(self._row(matrix_event_id).open_text("detail", detail)),
        )


class SqlKnockNotices:
    """See `chattor_bridge.bridge.store_ports.KnockNotices`."""

    async def save(self, tx: Transaction, notice: KnockNotice) -> None:
        await sql(tx).execute(
            "INSERT INTO knock_notices (knock_id, room_id, matrix_event_id) VALUES ($1, $2, $3) "
            "ON CONFLICT (knock_id) DO UPDATE SET room_id = excluded.room_id, "
            "matrix_event_id = excluded.matrix_event_id",
            notice.knock_id,
            notice.room_id,
            notice.matrix_event_id,
        )

    async def by_knock(self, tx: Transaction, knock_id: KnockId) -> KnockNotice | None:
        row = await sql(tx).fetch_row("SELECT * FROM knock_notices WHERE knock_id = $1", knock_id)
        return None if row is None else _read_notice(row)

    async def by_matrix_event(self, tx: Transaction, matrix_event_id: MatrixEventId) -> KnockNotice | None:
        row = await sql(tx).fetch_row("SELECT * FROM knock_notices WHERE matrix_event_id = $1", matrix_event_id)
        return None if row is None else _read_notice(row)

    async def remove(self, tx: Transaction, knock_id: KnockId) -> None:
        await sql(tx).execute("DELETE FROM knock_notices WHERE knock_id = $1", knock_id)

    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("DELETE FROM knock_notices WHERE room_id = $1", room_id)


class SqlPortalNotices:
    """See `chattor_bridge.bridge.store_ports.PortalNotices`."""

    async def save(self, tx: Transaction, notice: PortalNotice) -> None:
        await sql(tx).execute(
            "INSERT INTO portal_notices (matrix_event_id, room_id, topic, subject) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (matrix_event_id) DO UPDATE SET topic = excluded.topic, subject = excluded.subject",
            notice.matrix_event_id,
            notice.room_id,
            notice.topic.value,
            notice.subject,
        )

    async def by_matrix_event(self, tx: Transaction, matrix_event_id: MatrixEventId) -> PortalNotice | None:
        row = await sql(tx).fetch_row("SELECT * FROM portal_notices WHERE matrix_event_id = $1", matrix_event_id)
        return None if row is None else _read_portal_notice(row)

    async def of_room(self, tx: Transaction, room_id: MatrixRoomId, topic: Topic) -> list[PortalNotice]:
        rows = await sql(tx).fetch(
            "SELECT * FROM portal_notices WHERE room_id = $1 AND topic = $2 ORDER BY matrix_event_id",
            room_id,
            topic.value,
        )
        return [_read_portal_notice(row) for row in rows]

    async def remove(self, tx: Transaction, matrix_event_id: MatrixEventId) -> None:
        await sql(tx).execute("DELETE FROM portal_notices WHERE matrix_event_id = $1", matrix_event_id)

    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("DELETE FROM portal_notices WHERE room_id = $1", room_id)


def _read_portal_notice(row: Row) -> PortalNotice:
    return PortalNotice(
        room_id=MatrixRoomId(row["room_id"]),
        matrix_event_id=MatrixEventId(row["matrix_event_id"]),
        topic=Topic(row["topic"]),
        subject=row["subject"],
    )


def _read_notice(row: Row) -> KnockNotice:
    return KnockNotice(
        knock_id=KnockId(row["knock_id"]),
        room_id=MatrixRoomId(row["room_id"]),
        matrix_event_id=MatrixEventId(row["matrix_event_id"]),
    )
