"""Conversations and the rooms that show them."""

from __future__ import annotations

from chattor_bridge.bridge.records import Portal
from chattor_bridge.ids import MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.transaction import sql


class SqlPortals:
    """See `chattor_bridge.bridge.store_ports.Portals`."""

    async def save(self, tx: Transaction, portal: Portal) -> None:
        """Raises: AlreadyExists when the room shows another conversation."""
        await sql(tx).execute(
            "INSERT INTO portals (node_id, peer_id, owner, ghost, room_id, created_at, merged_into) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) "
            "ON CONFLICT (node_id, peer_id) DO UPDATE SET owner = excluded.owner, ghost = excluded.ghost, "
            "room_id = excluded.room_id, created_at = excluded.created_at, merged_into = excluded.merged_into",
            portal.node_id,
            portal.peer_id,
            portal.owner,
            portal.ghost,
            portal.room_id,
            portal.created_at,
            portal.merged_into,
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
