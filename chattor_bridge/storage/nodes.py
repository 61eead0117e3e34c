"""Identities hosted here."""

from __future__ import annotations

from chattor_bridge.errors import NotFound
from chattor_bridge.ids import NodeId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Shared
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, locking, read_words, update_one, write_words
from chattor_bridge.storage.transaction import sql


class SqlNodes(Table):
    """See `chattor_bridge.node.store_ports.Nodes`."""

    async def add(self, tx: Transaction, node: NodeRecord) -> None:
        """Raises: AlreadyExists when the owner has a node."""
        await sql(tx).execute(
            "INSERT INTO nodes (node_id, owner, profile_name, running, created_at, shares, holds) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            node.node_id,
            node.owner,
            self._row(node.node_id).seal_text("profile_name", node.profile_name),
            node.running,
            node.created_at,
            write_words(sorted(node.shares)),
            node.holds,
        )

    async def save(self, tx: Transaction, node: NodeRecord) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "node",
            "UPDATE nodes SET owner = $2, profile_name = $3, running = $4, shares = $5, holds = $6 WHERE node_id = $1",
            node.node_id,
            node.owner,
            self._row(node.node_id).seal_text("profile_name", node.profile_name),
            node.running,
            write_words(sorted(node.shares)),
            node.holds,
        )

    async def remove(self, tx: Transaction, node_id: NodeId) -> None:
        await sql(tx).execute("DELETE FROM history WHERE node_id = $1", node_id)
        await sql(tx).execute("DELETE FROM nodes WHERE node_id = $1", node_id)  # the rest goes with it

    async def get(self, tx: Transaction, node_id: NodeId) -> NodeRecord | None:
        row = await sql(tx).fetch_row("SELECT * FROM nodes WHERE node_id = $1", node_id)
        return None if row is None else self._read(row)

    async def for_update(self, tx: Transaction, node_id: NodeId) -> NodeRecord:
        query = "SELECT * FROM nodes WHERE node_id = $1"
        row = await sql(tx).fetch_row(locking(tx, query), node_id)
        if row is None:
            raise NotFound("there is no such node")
        return self._read(row)

    async def by_owner(self, tx: Transaction, owner: str) -> NodeRecord | None:
        row = await sql(tx).fetch_row("SELECT * FROM nodes WHERE owner = $1", owner)
        return None if row is None else self._read(row)

    async def all(self, tx: Transaction) -> list[NodeRecord]:
        """Oldest first."""
        return [self._read(row) for row in await sql(tx).fetch("SELECT * FROM nodes ORDER BY position")]

    def _row(self, node_id: NodeId) -> SealedRow:
        return SealedRow(self._sealer, "nodes", node_id)

    def _read(self, row: Row) -> NodeRecord:
        node_id = NodeId(row["node_id"])
        return NodeRecord(
            node_id=node_id,
            owner=row["owner"],
            profile_name=self._row(node_id).open_text("profile_name", row["profile_name"]),
            running=bool(row["running"]),
            created_at=row["created_at"],
            shares=frozenset(map(Shared, read_words(row["shares"]))),
            holds=row["holds"],
        )
