"""Blocking, unblocking and forgetting: to the other side all of it looks like being offline.

What is decided is on disk first; then links end, the onion hosted for the friend is taken down and the friend's is not
dialled any more. See docs/protocol/link.md, "Parting".
"""

from __future__ import annotations

from dataclasses import replace

from chattor_bridge.errors import NotFound
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import KnockId, PeerId
from chattor_bridge.node.part import NodePart
from chattor_bridge.node.ports import Transaction


class Parting(NodePart):
    """The part of a node that is about people one wants no more of."""

    async def block(self, tx: Transaction, peer_id: PeerId) -> None:
        """Be unreachable for a friend until `unblock`: what is in its outbox waits. Raises: NotFound."""
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self._store.contacts.save(tx, replace(contact, blocked=True))
        tx.after_commit(lambda: failpoint("block-committed"))
        tx.after_commit(lambda: self.work.part(peer_id, contact.peer_onion))

    async def unblock(self, tx: Transaction, peer_id: PeerId) -> None:
        """Be there for a friend again. Raises: NotFound."""
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self._store.contacts.save(tx, replace(contact, blocked=False))
        tx.after_commit(lambda: self.work.meet_again(peer_id))

    async def forget(self, tx: Transaction, peer_id: PeerId) -> None:
        """End a friendship for good, erasing its keys, its session and what waits in its outbox. Raises: NotFound."""
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self._store.contacts.remove(tx, self.node_id, peer_id)
        tx.after_commit(lambda: failpoint("forget-committed"))
        tx.after_commit(lambda: self.work.part(peer_id, contact.peer_onion))

    async def block_request(self, tx: Transaction, knock_id: KnockId) -> None:
        """Hear no more of whoever left this request: it is gone from the list, and when its node comes again it is
        told what one is told whose request waits already. Raises: NotFound."""
        pending = await self._store.knocks.get_pending(tx, knock_id)
        if pending is None or pending.node_id != self.node_id or pending.blocked:
            raise NotFound("no such request; it may have been withdrawn or answered")
        await self._store.knocks.block_pending(tx, knock_id)
