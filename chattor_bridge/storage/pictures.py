"""Small pictures of people."""

from __future__ import annotations

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.talk import Avatar
from chattor_bridge.storage.table import SealedRow, Table
from chattor_bridge.storage.transaction import sql


class SqlPictures(Table):
    """See `chattor_bridge.node.store_ports.Pictures`."""

    async def own(self, tx: Transaction, node_id: NodeId) -> Avatar | None:
        row = await sql(tx).fetch_row("SELECT * FROM own_pictures WHERE node_id = $1", node_id)
        if row is None:
            return None
        return Avatar(row["mime_type"], SealedRow(self._sealer, "own_pictures", node_id).open("data", row["data"]))

    async def save_own(self, tx: Transaction, node_id: NodeId, picture: Avatar | None) -> None:
        await sql(tx).execute("DELETE FROM own_pictures WHERE node_id = $1", node_id)
        if picture is not None:
            await sql(tx).execute(
                "INSERT INTO own_pictures (node_id, mime_type, data) VALUES ($1, $2, $3)",
                node_id,
                picture.mime_type,
                SealedRow(self._sealer, "own_pictures", node_id).seal("data", picture.data),
            )

    async def of_friend(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Avatar | None:
        row = await sql(tx).fetch_row("SELECT * FROM pictures WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        return None if row is None else Avatar(row["mime_type"], self._row(node_id, peer_id).open("data", row["data"]))

    async def save_of_friend(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, picture: Avatar | None) -> None:
        await sql(tx).execute("DELETE FROM pictures WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        if picture is not None:
            await sql(tx).execute(
                "INSERT INTO pictures (node_id, peer_id, mime_type, data) VALUES ($1, $2, $3, $4)",
                node_id,
                peer_id,
                picture.mime_type,
                self._row(node_id, peer_id).seal("data", picture.data),
            )

    def _row(self, node_id: NodeId, peer_id: PeerId) -> SealedRow:
        return SealedRow(self._sealer, "pictures", node_id, peer_id)
