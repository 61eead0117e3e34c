"""Files on their way to friends and from them."""

from __future__ import annotations

from chattor_bridge.ids import EventId, FileId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Transfer, TransferState
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, locking, update_one
from chattor_bridge.storage.transaction import sql

_COLUMNS = (
    "node_id, peer_id, file_id, event_id, part_id, outgoing, state, reason, content_key, size, root, name, mime, kind, "
    "reference, came, slices, created_at, changed_at"
)
"""All but the outline and the bitmap, which may be large."""

_OVER = "state IN ('done', 'failed')"


class SqlTransfers(Table):
    """See `chattor_bridge.node.store_ports.Transfers`."""

    async def add(self, tx: Transaction, transfer: Transfer, outline: bytes) -> bool:
        """Raises: NotFound when there is no such contact."""
        sealed = self._row(transfer.part_id)
        added = await sql(tx).execute(
            "INSERT INTO transfers (node_id, peer_id, file_id, event_id, part_id, outgoing, state, reason, "
            "content_key, size, root, name, mime, kind, reference, came, created_at, changed_at, outline, bitmap) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) "
            "ON CONFLICT (node_id, peer_id, file_id) DO NOTHING",
            transfer.node_id,
            transfer.peer_id,
            transfer.file_id,
            transfer.event_id,
            transfer.part_id,
            transfer.outgoing,
            transfer.state.value,
            transfer.reason,
            sealed.seal("content_key", transfer.key),
            transfer.size,
            sealed.seal("root", transfer.root),
            sealed.seal_text("name", transfer.name),
            sealed.seal_text("mime", transfer.mime),
            transfer.kind,
            sealed.seal_text("reference", transfer.reference),
            transfer.came,
            transfer.created_at,
            transfer.changed_at,
            sealed.seal("outline", outline),
            b"",
        )
        return added == 1

    async def save(self, tx: Transaction, transfer: Transfer) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "file",
            "UPDATE transfers SET state = $2, reason = $3, changed_at = $4 WHERE part_id = $1",
            transfer.part_id,
            transfer.state.value,
            transfer.reason,
            transfer.changed_at,
        )
        if transfer.state not in (TransferState.OFFERED, TransferState.ACCEPTED):
            await sql(tx).execute("DELETE FROM file_slices WHERE part_id = $1", transfer.part_id)
        if transfer.state.over:
            sealed = self._row(transfer.part_id)
            await sql(tx).execute(
                "UPDATE transfers SET content_key = $2, reference = $3, outline = $4, bitmap = $5 WHERE part_id = $1",
                transfer.part_id,
                sealed.seal("content_key", b""),
                sealed.seal_text("reference", ""),
                sealed.seal("outline", b""),
                b"",
            )

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, file_id: FileId) -> Transfer | None:
        query = f"SELECT {_COLUMNS} FROM transfers WHERE node_id = $1 AND peer_id = $2 AND file_id = $3"  # noqa: S608
        row = await sql(tx).fetch_row(locking(tx, query), node_id, peer_id, file_id)
        return None if row is None else self._read(row)

    async def of_node(self, tx: Transaction, node_id: NodeId, *, over: bool) -> list[Transfer]:
        chosen = "" if over else f" AND NOT {_OVER}"
        query = f"SELECT {_COLUMNS} FROM transfers WHERE node_id = $1{chosen} ORDER BY position"  # noqa: S608
        return [self._read(row) for row in await sql(tx).fetch(query, node_id)]

    async def count_open(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int:
        count: int = await sql(tx).fetch_value(
            f"SELECT COUNT(*) AS value FROM transfers WHERE node_id = $1 AND peer_id = $2 AND NOT {_OVER}",  # noqa: S608
            node_id,
            peer_id,
        )
        return count

    async def kept(self, tx: Transaction, node_id: NodeId | None = None, peer_id: PeerId | None = None) -> int:
        query = (
            "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) AS value FROM transfers "
            "WHERE NOT outgoing AND state IN ('accepted', 'arrived')"
        )
        of_friend = () if node_id is None else (node_id, peer_id)
        if not of_friend:  # whoever has found room for a file takes it before the next one looks
            await sql(tx).serialise("kept files")
        kept: int = await sql(tx).fetch_value(
            query + (" AND node_id = $1 AND peer_id = $2" if of_friend else ""), *of_friend
        )
        return kept

    async def outline(self, tx: Transaction, transfer: Transfer) -> bytes:
        sealed = await sql(tx).fetch_value(
            "SELECT outline AS value FROM transfers WHERE part_id = $1", transfer.part_id
        )
        return b"" if sealed is None else self._row(transfer.part_id).open("outline", sealed)

    async def bitmap(self, tx: Transaction, transfer: Transfer) -> bytes:
        bitmap: bytes | None = await sql(tx).fetch_value(
            "SELECT bitmap AS value FROM transfers WHERE part_id = $1", transfer.part_id
        )
        return bitmap or b""

    async def note_chunks(self, tx: Transaction, transfer: Transfer, bitmap: bytes, came: int) -> None:
        await sql(tx).execute(
            f"UPDATE transfers SET bitmap = $2, came = $3 WHERE part_id = $1 AND NOT {_OVER}",  # noqa: S608
            transfer.part_id,
            bitmap,
            came,
        )

    async def keep_slice(self, tx: Transaction, transfer: Transfer, number: int, data: bytes) -> int:
        await sql(tx).execute(
            "INSERT INTO file_slices (part_id, number, data) VALUES ($1, $2, $3) "
            "ON CONFLICT (part_id, number) DO NOTHING",
            transfer.part_id,
            number,
            data,
        )
        count: int = await sql(tx).fetch_value(
            "UPDATE transfers SET slices = (SELECT COUNT(*) FROM file_slices WHERE part_id = $1) WHERE part_id = $1 "
            "RETURNING slices AS value",
            transfer.part_id,
        )
        return count

    async def slices(self, tx: Transaction, transfer: Transfer, first: int, limit: int) -> list[bytes]:
        rows = await sql(tx).fetch(
            "SELECT data FROM file_slices WHERE part_id = $1 AND number >= $2 ORDER BY number LIMIT $3",
            transfer.part_id,
            first,
            limit,
        )
        return [row["data"] for row in rows]

    async def count_slices(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int:
        count: int = await sql(tx).fetch_value(
            "SELECT COUNT(*) AS value FROM file_slices s JOIN transfers t ON t.part_id = s.part_id "
            "WHERE t.node_id = $1 AND t.peer_id = $2",
            node_id,
            peer_id,
        )
        return count

    async def to_slice(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, at_most: int) -> list[Transfer]:
        rows = await sql(tx).fetch(
            f"SELECT {_COLUMNS} FROM transfers t WHERE node_id = $1 AND peer_id = $2 AND outgoing "  # noqa: S608
            "AND slices = 0 AND size BETWEEN 1 AND $3 AND (state = 'accepted' OR (state = 'offered' AND EXISTS ("
            "SELECT 1 FROM outbox o WHERE o.node_id = $1 AND o.peer_id = $2 AND o.event_id = t.event_id))) "
            "ORDER BY position",
            node_id,
            peer_id,
            at_most,
        )
        return [self._read(row) for row in rows]

    async def note_sliced(self, tx: Transaction, transfer: Transfer, slices: int) -> None:
        await sql(tx).execute("UPDATE transfers SET slices = $2 WHERE part_id = $1", transfer.part_id, slices)

    async def parts(self, tx: Transaction) -> set[bytes]:
        rows = await sql(tx).fetch(f"SELECT part_id FROM transfers WHERE NOT outgoing AND NOT {_OVER}")  # noqa: S608
        return {row["part_id"] for row in rows}

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        await sql(tx).execute(
            "UPDATE transfers SET peer_id = $3 WHERE node_id = $1 AND peer_id = $2 AND file_id NOT IN "
            "(SELECT other.file_id FROM transfers other WHERE other.node_id = $1 AND other.peer_id = $3)",
            node_id,
            from_peer,
            to_peer,
        )

    async def forget(self, tx: Transaction, node_id: NodeId, changed_before: int) -> None:
        await sql(tx).execute(
            f"DELETE FROM transfers WHERE node_id = $1 AND changed_at < $2 AND {_OVER}",  # noqa: S608
            node_id,
            changed_before,
        )

    def _row(self, part_id: bytes) -> SealedRow:
        return SealedRow(self._sealer, "transfers", part_id)

    def _read(self, row: Row) -> Transfer:
        sealed = self._row(row["part_id"])
        return Transfer(
            node_id=NodeId(row["node_id"]),
            peer_id=PeerId(row["peer_id"]),
            file_id=FileId(row["file_id"]),
            event_id=EventId(row["event_id"]),
            part_id=row["part_id"],
            outgoing=bool(row["outgoing"]),
            key=sealed.open("content_key", row["content_key"]),
            size=row["size"],
            root=sealed.open("root", row["root"]),
            name=sealed.open_text("name", row["name"]),
            mime=sealed.open_text("mime", row["mime"]),
            kind=row["kind"],
            reference=sealed.open_text("reference", row["reference"]),
            state=TransferState(row["state"]),
            reason=row["reason"],
            created_at=row["created_at"],
            changed_at=row["changed_at"],
            came=row["came"],
            slices=row["slices"],
        )
