"""For whom our nodes carry, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.errors import NotFound
from chattor_bridge.ids import NodeId, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carriage, HeldBlock, HeldShelf
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import MAX_INTEGER, SealedRow, Table, locking, update_one
from chattor_bridge.storage.transaction import sql


class SqlCarriages(Table):
    """See `chattor_bridge.node.carrying.ports.Carriages`."""

    async def put(self, tx: Transaction, node_id: NodeId, carriage: Carriage) -> None:
        await sql(tx).execute(
            "INSERT INTO carriages (node_id, peer_id, shelves, blocks, offered, ended_at) "
            "VALUES ($1, $2, $3, $4, $5, $6) "
            "ON CONFLICT (node_id, peer_id) DO UPDATE SET shelves = excluded.shelves, blocks = excluded.blocks, "
            "offered = excluded.offered, ended_at = excluded.ended_at",
            node_id,
            carriage.peer_id,
            carriage.shelves,
            carriage.blocks,
            carriage.offered,
            carriage.ended_at,
        )

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Carriage | None:
        row = await sql(tx).fetch_row("SELECT * FROM carriages WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        return None if row is None else _read_carriage(row)

    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[Carriage]:
        rows = await sql(tx).fetch("SELECT * FROM carriages WHERE node_id = $1 ORDER BY peer_id", node_id)
        return [_read_carriage(row) for row in rows]

    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        await sql(tx).execute("DELETE FROM carriages WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)

    async def open_shelf(self, tx: Transaction, node_id: NodeId, shelf: HeldShelf) -> None:
        sealed = self._row(node_id, shelf.peer_id, shelf.shelf_id)
        await sql(tx).execute(
            "INSERT INTO held_shelves (node_id, peer_id, shelf_id, capability, onion_seed, static_key, opened_at, "
            "closed_at, answered, last_number) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)",
            node_id,
            shelf.peer_id,
            shelf.shelf_id,
            sealed.seal("capability", shelf.capability),
            sealed.seal("onion_seed", shelf.onion_seed),
            sealed.seal("static_key", shelf.static),
            shelf.opened_at,
            shelf.closed_at,
            shelf.answered,
        )

    async def save_shelf(self, tx: Transaction, node_id: NodeId, shelf: HeldShelf) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "shelf",
            "UPDATE held_shelves SET closed_at = $4, answered = $5 "
            "WHERE node_id = $1 AND peer_id = $2 AND shelf_id = $3",
            node_id,
            shelf.peer_id,
            shelf.shelf_id,
            shelf.closed_at,
            shelf.answered,
        )

    async def shelves(self, tx: Transaction, node_id: NodeId, peer_id: PeerId | None = None) -> list[HeldShelf]:
        if peer_id is None:
            rows = await sql(tx).fetch("SELECT * FROM held_shelves WHERE node_id = $1 ORDER BY position", node_id)
        else:
            rows = await sql(tx).fetch(
                "SELECT * FROM held_shelves WHERE node_id = $1 AND peer_id = $2 ORDER BY position", node_id, peer_id
            )
        return [self._read_shelf(node_id, row) for row in rows]

    async def lock_shelf(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId
    ) -> HeldShelf | None:
        query = "SELECT * FROM held_shelves WHERE node_id = $1 AND peer_id = $2 AND shelf_id = $3"
        row = await sql(tx).fetch_row(locking(tx, query), node_id, peer_id, shelf_id)
        return None if row is None else self._read_shelf(node_id, row)

    async def remove_shelf(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId) -> None:
        await sql(tx).execute(
            "DELETE FROM held_shelves WHERE node_id = $1 AND peer_id = $2 AND shelf_id = $3",
            node_id,
            peer_id,
            shelf_id,
        )

    async def keep(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, blocks: Sequence[bytes], at: int
    ) -> None:
        rows = await sql(tx).fetch(
            "UPDATE held_shelves SET last_number = last_number + $4 "
            "WHERE node_id = $1 AND peer_id = $2 AND shelf_id = $3 RETURNING last_number",
            node_id,
            peer_id,
            shelf_id,
            len(blocks),
        )
        if not rows:
            raise NotFound("there is no such shelf")
        first = rows[0]["last_number"] - len(blocks) + 1
        for number, block in enumerate(blocks, first):
            await sql(tx).execute(
                "INSERT INTO held_blocks (node_id, peer_id, shelf_id, number, block, kept_at) "
                "VALUES ($1, $2, $3, $4, $5, $6)",
                node_id,
                peer_id,
                shelf_id,
                number,
                block,
                at,
            )

    async def count(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId | None = None) -> int:
        query = "SELECT COUNT(*) AS value FROM held_blocks WHERE node_id = $1 AND peer_id = $2"
        if shelf_id is None:
            count: int = await sql(tx).fetch_value(query, node_id, peer_id)
        else:
            count = await sql(tx).fetch_value(f"{query} AND shelf_id = $3", node_id, peer_id, shelf_id)
        return count

    async def count_all(self, tx: Transaction, node_id: NodeId) -> tuple[int, int]:
        await sql(tx).serialise("held blocks")
        rows = await sql(tx).fetch(
            "SELECT COUNT(*) AS everybodys, COUNT(CASE WHEN node_id = $1 THEN 1 END) AS ours FROM held_blocks", node_id
        )
        return rows[0]["ours"], rows[0]["everybodys"]

    async def after(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, number: int, limit: int
    ) -> list[HeldBlock]:
        rows = await sql(tx).fetch(
            "SELECT number, block FROM held_blocks WHERE node_id = $1 AND peer_id = $2 AND shelf_id = $3 "
            "AND number > $4 ORDER BY number LIMIT $5",
            node_id,
            peer_id,
            shelf_id,
            number,
            limit,
        )
        return [HeldBlock(shelf_id, row["number"], row["block"]) for row in rows]

    async def collected(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, up_to: int) -> None:
        await sql(tx).execute(
            "DELETE FROM held_blocks WHERE node_id = $1 AND peer_id = $2 AND shelf_id = $3 AND number <= $4",
            node_id,
            peer_id,
            shelf_id,
            min(up_to, MAX_INTEGER),
        )

    async def expire(self, tx: Transaction, node_id: NodeId, kept_before: int, now: int, limit: int) -> int:
        await sql(tx).execute("UPDATE held_blocks SET kept_at = $2 WHERE node_id = $1 AND kept_at > $2", node_id, now)
        return await sql(tx).execute(
            "DELETE FROM held_blocks WHERE (node_id, peer_id, shelf_id, number) IN (SELECT node_id, peer_id, shelf_id, "
            "number FROM held_blocks WHERE node_id = $1 AND kept_at < $2 LIMIT $3)",
            node_id,
            kept_before,
            limit,
        )

    async def count_shelves(self, tx: Transaction) -> tuple[int, int]:
        await sql(tx).serialise("held shelves")
        rows = await sql(tx).fetch("SELECT COUNT(*) AS kept, COUNT(closed_at) AS closed FROM held_shelves")
        return rows[0]["kept"] - rows[0]["closed"], rows[0]["kept"]

    def _read_shelf(self, node_id: NodeId, row: Row) -> HeldShelf:
        peer_id, shelf_id = PeerId(row["peer_id"]), ShelfId(row["shelf_id"])
        sealed = self._row(node_id, peer_id, shelf_id)
        return HeldShelf(
            peer_id=peer_id,
            shelf_id=shelf_id,
            capability=sealed.open("capability", row["capability"]),
            onion_seed=sealed.open("onion_seed", row["onion_seed"]),
            static=sealed.open("static_key", row["static_key"]),
            opened_at=row["opened_at"],
            closed_at=row["closed_at"],
            answered=bool(row["answered"]),
        )

    def _row(self, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId) -> SealedRow:
        return SealedRow(self._sealer, "held_shelves", node_id, peer_id, shelf_id)


def _read_carriage(row: Row) -> Carriage:
    return Carriage(PeerId(row["peer_id"]), row["shelves"], row["blocks"], bool(row["offered"]), row["ended_at"])
