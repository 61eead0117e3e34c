"""How many messages came that were said while there was no link."""

from __future__ import annotations

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.transaction import sql


class SqlMissed:
    """See `chattor_bridge.node.store_ports.MissedMessages`."""

    async def add(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute(
            "INSERT INTO missed (node_id, peer_id, messages) VALUES ($1, $2, 1) "
            "ON CONFLICT (node_id, peer_id) DO UPDATE SET messages = missed.messages + 1",
            node_id,
            peer_id,
        )

    async def of_node(self, tx: Transaction, node_id: NodeId) -> dict[PeerId, int]:
        rows = await sql(tx).fetch("SELECT peer_id, messages FROM missed WHERE node_id = $1", node_id)
        return {PeerId(row["peer_id"]): row["messages"] for row in rows}

    async def take(self, tx: Transaction, node_id: NodeId) -> dict[PeerId, int]:
        rows = await sql(tx).fetch("DELETE FROM missed WHERE node_id = $1 RETURNING peer_id, messages", node_id)
        return {PeerId(row["peer_id"]): row["messages"] for row in rows}
