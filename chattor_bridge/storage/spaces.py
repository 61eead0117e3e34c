"""The spaces that group owners' conversations."""

from __future__ import annotations

from chattor_bridge.bridge.records import Space
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.transaction import sql


class SqlSpaces:
    """See `chattor_bridge.bridge.store_ports.Spaces`."""

    async def move(self, tx: Transaction, owner: MatrixUserId, room_id: MatrixRoomId) -> None:
        await sql(tx).execute(
            "INSERT INTO spaces (owner, room_id, unwanted) VALUES ($1, $2, $3) "
            "ON CONFLICT (owner) DO UPDATE SET room_id = excluded.room_id",
            owner,
            room_id,
            False,
        )

    async def leave(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        await sql(tx).execute("UPDATE spaces SET room_id = NULL WHERE room_id = $1", room_id)

    async def want(self, tx: Transaction, owner: MatrixUserId, *, wanted: bool) -> None:
        await sql(tx).execute(
            "INSERT INTO spaces (owner, unwanted) VALUES ($1, $2) "
            "ON CONFLICT (owner) DO UPDATE SET unwanted = excluded.unwanted",
            owner,
            not wanted,
        )

    async def of_owner(self, tx: Transaction, owner: MatrixUserId) -> Space:
        row = await sql(tx).fetch_row("SELECT room_id, unwanted FROM spaces WHERE owner = $1", owner)
        if row is None:
            return Space(owner)
        return Space(owner, None if row["room_id"] is None else MatrixRoomId(row["room_id"]), bool(row["unwanted"]))

    async def owner_of(self, tx: Transaction, room_id: MatrixRoomId) -> MatrixUserId | None:
        row = await sql(tx).fetch_row("SELECT owner FROM spaces WHERE room_id = $1", room_id)
        return None if row is None else MatrixUserId(row["owner"])

    async def remove(self, tx: Transaction, owner: MatrixUserId) -> None:
        await sql(tx).execute("DELETE FROM spaces WHERE owner = $1", owner)
