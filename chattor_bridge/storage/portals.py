"""Conversations and the rooms that show them."""

from __future__ import annotations

from chattor_bridge.bridge.records import Portal
from chattor_bridge.ids import MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import update_one
from chattor_bridge.storage.transaction import sql


class SqlPortals:
    """See `chattor_bridge.bridge.store_ports.Portals`."""

    async def add(self, tx: Transaction, portal: Portal) -> None:
        await sql(tx).execute(
            "INSERT INTO portals (node_id, peer_id, owner, ghost, room_id, created_at, merged_into) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) "
            "ON CONFLICT (node_id, peer_id) DO NOTHING",
            portal.node_id,
            portal.peer_id,
            portal.owner,
            portal.ghost,
            portal.room_id,
            portal.created_at,
            portal.merged_into,
        )

    async def move(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, room_id: MatrixRoomId) -> None:
        await update_one(
            sql(tx),
            "portal",
            "UPDATE portals SET room_id = $3 WHERE node_id = $1 AND peer_id = $2",
            node_id,
            peer_id,
            room_id,
        )

    async def leave(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("UPDATE portals SET room_id = NULL WHERE room_id = $1", room_id)

    async def merge(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, into: PeerId) -> None:
        await update_one(
            sql(tx),
            "portal",
            "UPDATE portals SET merged_into = $3 WHERE node_id = $1 AND peer_id = $2",
            node_id,
            peer_id,
            into,
        )

    async def by_peer(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Portal | None:
        row = await sql(tx).fetch_row("SELECT * FROM portals WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        return None if row is None else _read(row)

    async def by_room(self, tx: Transaction, room_id: MatrixRoomId) -> Portal | None:
        row = await sql(tx).fetch_row("SELECT * FROM portals WHERE room_id = $1", room_id)
        return None if row is None else _read(row)

    async def by_ghost(self, tx: Transaction, ghost: MatrixUserId) -> Portal | None:
        row = await sql(tx).fetch_row("SELECT * FROM portals WHERE ghost = $1 ORDER BY position LIMIT 1", ghost)
        return None if row is None else _read(row)

    async def of_owner(self, tx: Transaction, owner: MatrixUserId) -> list[Portal]:
        """Oldest first."""
        rows = await sql(tx).fetch("SELECT * FROM portals WHERE owner = $1 ORDER BY position", owner)
        return [_read(row) for row in rows]

    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute("DELETE FROM portals WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)


def _read(row: Row) -> Portal:
    return Portal(
        owner=MatrixUserId(row["owner"]),
        node_id=NodeId(row["node_id"]),
        peer_id=PeerId(row["peer_id"]),
        ghost=MatrixUserId(row["ghost"]),
        room_id=None if row["room_id"] is None else MatrixRoomId(row["room_id"]),
        created_at=row["created_at"],
        merged_into=None if row["merged_into"] is None else PeerId(row["merged_into"]),
    )
