"""What owners want with each of their friends."""

from __future__ import annotations

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Preferences, Shared
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, read_words, write_words
from chattor_bridge.storage.transaction import sql


class SqlPreferences(Table):
    """See `chattor_bridge.node.store_ports.FriendPreferences`."""

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Preferences | None:
        row = await sql(tx).fetch_row("SELECT * FROM preferences WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        return None if row is None else self._read(row)

    async def of_node(self, tx: Transaction, node_id: NodeId) -> dict[PeerId, Preferences]:
        rows = await sql(tx).fetch("SELECT * FROM preferences WHERE node_id = $1", node_id)
        return {PeerId(row["peer_id"]): self._read(row) for row in rows}

    async def save(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, preferences: Preferences) -> None:
        await sql(tx).execute(
            "INSERT INTO preferences (node_id, peer_id, shares, muted, note, timer, timer_round) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (node_id, peer_id) DO UPDATE "
            "SET shares = $3, muted = $4, note = $5, timer = $6, timer_round = $7",
            node_id,
            peer_id,
            write_words(sorted(preferences.shares)),
            preferences.muted,
            self._row(node_id, peer_id).seal_text("note", preferences.note),
            preferences.timer,
            preferences.timer_round,
        )

    def _row(self, node_id: NodeId, peer_id: PeerId) -> SealedRow:
        return SealedRow(self._sealer, "preferences", node_id, peer_id)

    def _read(self, row: Row) -> Preferences:
        sealed = self._row(NodeId(row["node_id"]), PeerId(row["peer_id"]))
        return Preferences(
            shares=frozenset(map(Shared, read_words(row["shares"]))),
            muted=bool(row["muted"]),
            note=sealed.open_text("note", row["note"]),
            timer=row["timer"],
            timer_round=row["timer_round"],
        )
