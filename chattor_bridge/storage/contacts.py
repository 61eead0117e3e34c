"""Friendships."""

from __future__ import annotations

from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, Retired, Role
from chattor_bridge.storage.engine import Row
from chattor_bridge.storage.table import SealedRow, Table, locking, read_words, update_one, write_words
from chattor_bridge.storage.transaction import sql


class SqlContacts(Table):
    """See `chattor_bridge.node.store_ports.Contacts`."""

    async def add(self, tx: Transaction, contact: Contact) -> None:
        """Raises: AlreadyExists, also when this node has a friend with the same static key."""
        await sql(tx).execute(
            "INSERT INTO contacts (node_id, peer_id, role, own_static, peer_static, hosted_seed, peer_onion, session, "
            "peer_name, alias, version, capabilities, established, blocked, verified, mismatch, verification, "
            "hosted_since, former_seed, heard_at, merging, merge_claim, merge_done, retired, retired_at, keeps, "
            "profile_due, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
            "$17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)",
            *self._values(contact),
            contact.created_at,
        )

    async def save(self, tx: Transaction, contact: Contact) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx),
            "contact",
            "UPDATE contacts SET role = $3, own_static = $4, peer_static = $5, hosted_seed = $6, peer_onion = $7, "
            "session = $8, peer_name = $9, alias = $10, version = $11, capabilities = $12, established = $13, "
            "blocked = $14, verified = $15, mismatch = $16, verification = $17, hosted_since = $18, former_seed = $19, "
            "heard_at = $20, merging = $21, merge_claim = $22, merge_done = $23, retired = $24, "
            "retired_at = $25, keeps = $26, profile_due = $27 WHERE node_id = $1 AND peer_id = $2",
            *self._values(contact),
        )

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Contact | None:
        row = await sql(tx).fetch_row("SELECT * FROM contacts WHERE node_id = $1 AND peer_id = $2", node_id, peer_id)
        return None if row is None else self._read(row)

    async def for_update(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Contact | None:
        query = "SELECT * FROM contacts WHERE node_id = $1 AND peer_id = $2"
        row = await sql(tx).fetch_row(locking(tx, query), node_id, peer_id)
        return None if row is None else self._read(row)

    async def lock_all(self, tx: Transaction, node_id: NodeId) -> list[Contact]:
        query = "SELECT * FROM contacts WHERE node_id = $1 ORDER BY peer_id"
        return [self._read(row) for row in await sql(tx).fetch(locking(tx, query), node_id)]

    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """Raises: NotFound."""
        await update_one(
            sql(tx), "contact", "DELETE FROM contacts WHERE node_id = $1 AND peer_id = $2", node_id, peer_id
        )

    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[Contact]:
        """Oldest first."""
        rows = await sql(tx).fetch("SELECT * FROM contacts WHERE node_id = $1 ORDER BY position", node_id)
        return [self._read(row) for row in rows]

    async def by_static(self, tx: Transaction, node_id: NodeId, peer_static: bytes) -> Contact | None:
        row = await sql(tx).fetch_row(
            "SELECT * FROM contacts WHERE node_id = $1 AND peer_static = $2", node_id, peer_static
        )
        return None if row is None else self._read(row)

    def _row(self, node_id: NodeId, peer_id: PeerId) -> SealedRow:
        return SealedRow(self._sealer, "contacts", node_id, peer_id)

    def _values(self, contact: Contact) -> tuple[object, ...]:
        sealed = self._row(contact.node_id, contact.peer_id)
        return (
            contact.node_id,
            contact.peer_id,
            contact.role.value,
            sealed.seal("own_static", contact.own_static),
            contact.peer_static,
            sealed.seal_optional("hosted_seed", contact.hosted_seed),
            sealed.seal_optional("peer_onion", contact.peer_onion),
            sealed.seal("session", contact.session),
            sealed.seal_text("peer_name", contact.peer_name),
            sealed.seal_text("alias", contact.alias),
            contact.version,
            write_words(contact.capabilities),
            contact.established,
            contact.blocked,
            sealed.seal_optional("verified", None if contact.verified is None else contact.verified.encode()),
            contact.mismatch,
            sealed.seal_optional("verification", contact.verification),
            contact.hosted_since,
            sealed.seal_optional("former_seed", contact.former_seed),
            contact.heard_at,
            contact.merging,
            contact.merge_claim,
            contact.merge_done,
            None if contact.retired is None else contact.retired.value,
            contact.retired_at,
            contact.keeps,
            contact.profile_due,
        )

    def _read(self, row: Row) -> Contact:
        node_id, peer_id = NodeId(row["node_id"]), PeerId(row["peer_id"])
        sealed = self._row(node_id, peer_id)
        verified = sealed.open_optional("verified", row["verified"])
        peer_onion = sealed.open_optional("peer_onion", row["peer_onion"])
        return Contact(
            peer_id=peer_id,
            node_id=node_id,
            role=Role(row["role"]),
            own_static=sealed.open("own_static", row["own_static"]),
            peer_static=row["peer_static"],
            hosted_seed=sealed.open_optional("hosted_seed", row["hosted_seed"]),
            peer_onion=None if peer_onion is None else OnionKey(peer_onion),
            session=sealed.open("session", row["session"]),
            peer_name=sealed.open_text("peer_name", row["peer_name"]),
            alias=sealed.open_text("alias", row["alias"]),
            version=row["version"],
            capabilities=read_words(row["capabilities"]),
            established=bool(row["established"]),
            created_at=row["created_at"],
            blocked=bool(row["blocked"]),
            order=row["position"],
            verified=None if verified is None else verified.decode(),
            mismatch=bool(row["mismatch"]),
            verification=sealed.open_optional("verification", row["verification"]),
            hosted_since=row["hosted_since"],
            former_seed=sealed.open_optional("former_seed", row["former_seed"]),
            heard_at=row["heard_at"],
            merging=None if row["merging"] is None else PeerId(row["merging"]),
            merge_claim=None if row["merge_claim"] is None else PeerId(row["merge_claim"]),
            merge_done=bool(row["merge_done"]),
            retired=None if row["retired"] is None else Retired(row["retired"]),
            retired_at=row["retired_at"],
            keeps=bool(row["keeps"]),
            profile_due=bool(row["profile_due"]),
        )
