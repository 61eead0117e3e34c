"""Blocking, unblocking and forgetting: to the other side all of it looks like being offline.

What is decided is on disk first; then links end, the onion hosted for the friend is taken down and the friend's is not
dialled any more. See docs/protocol/link.md, "Parting".
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import KnockId, PeerId
from chattor_bridge.node.part import NodePart
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Retired
from chattor_bridge.protocol.events import Retire


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
        # Those at whom we have shelves that this friend may use, and the one it was to become one with.
        await self._store.contacts.lock_all(tx, self.node_id)
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self.work.merging.let_go(tx, contact)
        await self._store.expiring.begin_all(tx, self.node_id, peer_id, self.work.mailbox.now())  # nobody reads it now
        await self.work.carrying.agreements.part(tx, peer_id)
        await self._store.contacts.remove(tx, self.node_id, peer_id)
        tx.after_commit(self.work.expiry.look_again)
        tx.after_commit(lambda: failpoint("forget-committed"))
        tx.after_commit(lambda: self.work.part(peer_id, contact.peer_onion))

    async def merge(self, tx: Transaction, peer_id: PeerId, other: PeerId | None = None) -> None:
        """These two friends are one person: make one friendship of the two once both sides say so. Without ``other``
        it is the one that the friend says. Raises: NotFound; UsageError, also when the friend has said nothing."""
        if other is None:
            contact = await self._store.contacts.get(tx, self.node_id, peer_id)
            if contact is None:
                raise NotFound("no such contact")
            if contact.merge_claim is None:
                raise UsageError("say which two contacts are one person: this one has said nothing of another")
            other = contact.merge_claim
        await self.work.merging.agree(tx, peer_id, other)
        tx.after_commit(lambda: failpoint("merge-committed"))
        for each in (peer_id, other):
            tx.after_commit(partial(self.work.wake, each))
        tx.after_commit(self.work.look_again)

    async def retire(self, tx: Transaction, peer_id: PeerId) -> None:
        """End a friendship because somebody else may have our keys: the friend is told, and nothing goes between the
        two once it has heard. A blocked friend is not told. Raises: NotFound."""
        await self._store.contacts.lock_all(tx, self.node_id)  # also the one it was to become one with
        contact = await self.work.mailbox.locked(tx, peer_id)
        if contact.retired is not None:
            return
        await self.work.merging.let_go(tx, contact)
        if contact.blocked:
            await self._store.contacts.save(tx, await self.work.mailbox.end(tx, contact))
            return
        await self.work.mailbox.send(tx, peer_id, replace(self.work.mailbox.event(Retire()), critical=True))
        contact = await self.work.mailbox.locked(tx, peer_id)
        saying = replace(contact, retired=Retired.SAYING, retired_at=self._around.clock.now())
        await self._store.contacts.save(tx, saying)
        tx.after_commit(lambda: failpoint("retire-committed"))
        tx.after_commit(lambda: self.work.wake(peer_id))

    async def retire_all(self, tx: Transaction) -> int:
        """The same for every friend, and take every friend code back; how many friendships end."""
        contacts = [one for one in await self._store.contacts.lock_all(tx, self.node_id) if one.retired is None]
        for contact in contacts:
            await self.retire(tx, contact.peer_id)
        for door in await self._store.doors.of_node(tx, self.node_id):
            await self._store.doors.retire(tx, door.door_id, self._around.clock.now())
        tx.after_commit(self.work.look_again)
        return len(contacts)

    async def block_request(self, tx: Transaction, knock_id: KnockId) -> None:
        """Hear no more of whoever left this request: it is gone from the list, and when its node comes again it is
        told what one is told whose request waits already. Raises: NotFound."""
        await self._request(tx, knock_id)
        await self._store.knocks.block_pending(tx, knock_id)

    async def unblock_request(self, tx: Transaction, knock_id: KnockId) -> None:
        """Put a blocked request back among those that were ignored: it can be accepted. Raises: NotFound."""
        pending = await self._store.knocks.get_pending(tx, knock_id)
        if pending is None or pending.node_id != self.node_id or not pending.blocked:
            raise NotFound("no such blocked request; it may have expired")
        await self._store.knocks.unblock_pending(tx, knock_id)
