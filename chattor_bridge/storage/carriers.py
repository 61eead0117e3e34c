"""The carriers of our nodes, and the shelves there."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.ids import NodeId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carrier, OwnShelf
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, update_one
from chattor_bridge.storage.transaction import sql


class SqlCarriers(Table):
    """See `chattor_bridge.node.carrying.ports.Carriers`."""

    async def put(self, tx: Transaction, node_id: NodeId, carrier: Carrier) -> None:
        await sql(tx).execute(
            "INSERT INTO carriers (node_id, peer_id, asked, shelves, blocks, used) VALUES ($1, $2, $3, $4, $5, $6) "
            "ON CONFLICT (node_id, peer_id) DO UPDATE SET asked = excluded.asked, shelves = excluded.shelves, "
            "blocks = excluded.blocks, used = excluded.used",
            node_id,
            carrier.peer_id,
            carrier.asked,
            carrier.shelves,
            carrier.blocks,
            carrier.used,
        )

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Carrier | None:
        row = await sql(tx).fetch_row("SELECT * FROM carriers WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        return None if row is None else _read_carrier(row)

    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[Carrier]:
        rows = await sql(tx).fetch("SELECT * FROM carriers WHERE node_id = $1 ORDER BY peer_id", node_id)
        return [_read_carrier(row) for row in rows]

    async def open_shelf(self, tx: Transaction, node_id: NodeId, shelf: OwnShelf) -> None:
        sealed = self._row(node_id, shelf.shelf_id)
        await sql(tx).execute(
            "INSERT INTO own_shelves (node_id, shelf_id, carrier_id, capability, opened_at, closed) "
            "VALUES ($1, $2, $3, $4, $5, $6)",
            node_id,
            shelf.shelf_id,
            shelf.carrier_id,
            sealed.seal("capability", shelf.capability),
            shelf.opened_at,
            shelf.closed,
        )
        await self.save_shelf(tx, node_id, shelf)

    async def save_shelf(self, tx: Transaction, node_id: NodeId, shelf: OwnShelf) -> None:
        """Raises: NotFound when there is no such shelf, or a sender is no friend."""
        sealed = self._row(node_id, shelf.shelf_id)
        await update_one(
            sql(tx),
            "shelf",
            "UPDATE own_shelves SET onion = $3, static_key = $4, superseded_at = $5, closed = $6, opened_at = $7 "
            "WHERE node_id = $1 AND shelf_id = $2",
            node_id,
            shelf.shelf_id,
            sealed.seal_optional("onion", shelf.onion),
            sealed.seal_optional("static_key", shelf.static),
            shelf.superseded_at,
            shelf.closed,
            shelf.opened_at,
        )
        rows = await sql(tx).fetch(
            "SELECT peer_id FROM shelf_senders WHERE node_id = $1 AND shelf_id = $2", node_id, shelf.shelf_id
        )
        before, after = {PeerId(row["peer_id"]) for row in rows}, set(shelf.senders)
        # Those that stay are left alone: whoever is removing such a contact would wait for us, and we for it.
        for peer_id in sorted(before - after):
            await sql(tx).execute(
                "DELETE FROM shelf_senders WHERE node_id = $1 AND shelf_id = $2 AND peer_id = $3",
                node_id,
                shelf.shelf_id,
                peer_id,
            )
        for peer_id in sorted(after - before):
            await sql(tx).execute(
                "INSERT INTO shelf_senders (node_id, shelf_id, peer_id) VALUES ($1, $2, $3)",
                node_id,
                shelf.shelf_id,
                peer_id,
            )

    async def shelf(self, tx: Transaction, node_id: NodeId, carrier_id: PeerId, shelf_id: ShelfId) -> OwnShelf | None:
        rows = await sql(tx).fetch(
            "SELECT * FROM own_shelves WHERE node_id = $1 AND carrier_id = $2 AND shelf_id = $3",
            node_id,
            carrier_id,
            shelf_id,
        )
        shelves = await self._read_shelves(tx, node_id, rows)
        return shelves[0] if shelves else None

    async def shelves(self, tx: Transaction, node_id: NodeId) -> list[OwnShelf]:
        rows = await sql(tx).fetch("SELECT * FROM own_shelves WHERE node_id = $1 ORDER BY position", node_id)
        return await self._read_shelves(tx, node_id, rows)

    async def remove_shelf(self, tx: Transaction, node_id: NodeId, shelf_id: ShelfId) -> None:
        await sql(tx).execute("DELETE FROM own_shelves WHERE node_id = $1 AND shelf_id = $2", node_id, shelf_id)

    async def told(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> bytes:
        digest: bytes | None = await sql(tx).fetch_value(
            "SELECT digest AS value FROM told_shelves WHERE node_id = $1 AND peer_id = $2", node_id, peer_id
        )
        return digest or b""

    async def tell(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, digest: bytes) -> None:
        await sql(tx).execute(
            "INSERT INTO told_shelves (node_id, peer_id, digest) VALUES ($1, $2, $3) "
            "ON CONFLICT (node_id, peer_id) DO UPDATE SET digest = excluded.digest",
            node_id,
            peer_id,
            digest,
        )

    async def _read_shelves(self, tx: Transaction, node_id: NodeId, rows: Sequence[Row]) -> list[OwnShelf]:
        found = await sql(tx).fetch(
            "SELECT shelf_id, peer_id FROM shelf_senders WHERE node_id = $1 ORDER BY peer_id", node_id
        )
        senders: dict[bytes, list[PeerId]] = {}
        for row in found:
            senders.setdefault(row["shelf_id"], []).append(PeerId(row["peer_id"]))
        return [self._read_shelf(node_id, row, tuple(senders.get(row["shelf_id"], ()))) for row in rows]

    def _read_shelf(self, node_id: NodeId, row: Row, senders: tuple[PeerId, ...]) -> OwnShelf:
        sealed = self._row(node_id, ShelfId(row["shelf_id"]))
        onion = sealed.open_optional("onion", row["onion"])
        return OwnShelf(
            shelf_id=ShelfId(row["shelf_id"]),
            carrier_id=PeerId(row["carrier_id"]),
            capability=sealed.open("capability", row["capability"]),
            opened_at=row["opened_at"],
            onion=None if onion is None else OnionKey(onion),
            static=sealed.open_optional("static_key", row["static_key"]),
            superseded_at=row["superseded_at"],
            closed=bool(row["closed"]),
            senders=senders,
        )

    def _row(self, node_id: NodeId, shelf_id: ShelfId) -> SealedRow:
        return SealedRow(self._sealer, "own_shelves", node_id, shelf_id)


def _read_carrier(row: Row) -> Carrier:
    return Carrier(PeerId(row["peer_id"]), bool(row["asked"]), row["shelves"], row["blocks"], bool(row["used"]))
