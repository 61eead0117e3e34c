"""What friends see of our owner's person: what was read, typing, and whether the person is there.

Each is shown to one friend or to all, and only as the owner chose (`chattor_bridge.node.preferences`). Beside that our
owner keeps a note about a friend here, and its peace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.part import NodePart
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import MAX_CONTACT_NOTE, Preferences, Shared
from chattor_bridge.node.texts import check_text
from chattor_bridge.protocol.events import Receipt
from chattor_bridge.protocol.limits import MAX_RECEIPT_EVENTS
from chattor_bridge.protocol.signals import Here, Presence, Typing


class Disclosure(NodePart):
    """The part of a node that is about what others see of its owner."""

    async def share(self, tx: Transaction, peer_id: PeerId | None, shared: Shared, *, on: bool) -> None:
        """Show this to one friend or not; with None to every friend there is and will be. Raises: NotFound."""
        if peer_id is None:
            record = await self._store.nodes.for_update(tx, self.node_id)
            everybody = Preferences(record.shares).sharing(shared, on=on)
            await self._store.nodes.save(tx, replace(record, shares=everybody.shares))
            tx.after_commit(self.work.look_again)
            peers = [contact.peer_id for contact in await self._store.contacts.lock_all(tx, self.node_id)]
        else:
            peers = [peer_id]
        for each in peers:
            preferences = await self._preferences(tx, each)
            await self._store.preferences.save(tx, self.node_id, each, preferences.sharing(shared, on=on))
            tx.after_commit(partial(self._now_shown, each, shared, on=on))

    async def mute(self, tx: Transaction, peer_id: PeerId, *, muted: bool) -> None:
        """Be disturbed by this friend or not. Raises: NotFound."""
        preferences = await self._preferences(tx, peer_id)
        await self._store.preferences.save(tx, self.node_id, peer_id, replace(preferences, muted=muted))

    async def annotate(self, tx: Transaction, peer_id: PeerId, note: str) -> None:
        """Keep a note about a friend, for our owner alone; ``""`` takes it away. Raises: NotFound, UsageError."""
        check_text(note, MAX_CONTACT_NOTE, "the note", allowed="\n\t")
        preferences = await self._preferences(tx, peer_id)
        await self._store.preferences.save(tx, self.node_id, peer_id, replace(preferences, note=note))

    async def read(self, tx: Transaction, peer_id: PeerId, event_ids: Sequence[EventId]) -> None:
        """Our owner has read these events of a friend's, which learns it if it may. What is to disappear does so
        counted from now.

        Raises: NotFound, LimitReached, UsageError.
        """
        preferences = await self._preferences(tx, peer_id)
        if await self._store.expiring.begin(tx, self.node_id, peer_id, event_ids, self.work.mailbox.now()):
            tx.after_commit(self.work.expiry.look_again)
        if Shared.RECEIPTS not in preferences.shares:
            return
        for first in range(0, len(event_ids), MAX_RECEIPT_EVENTS):
            receipt = Receipt("read", tuple(event_ids[first : first + MAX_RECEIPT_EVENTS]))
            await self.work.mailbox.send(tx, peer_id, self.work.mailbox.event(receipt))
        tx.after_commit(lambda: self.work.wake(peer_id))

    async def type(self, peer_id: PeerId, *, on: bool) -> None:
        """Our owner is writing to this friend, or has stopped. To be said again while it lasts: it holds for
        `TYPING_LIFETIME`. Nothing is kept of it. Raises: NotFound, DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            preferences = await self._preferences(tx, peer_id)
        if Shared.TYPING in preferences.shares:
            self.work.friendships.signal(peer_id, Typing(on))

    async def be(self, state: Here) -> None:
        """Our owner is there or not, for those who may see it. It is forgotten when this program ends.

        Raises: DatabaseUnavailable.
        """
        if self.work.presence is not state:
            self.work.presence = state
            for peer_id in self.work.friendships.peers_online():
                await self.work.show_presence(peer_id)

    @property
    def presence(self) -> Here:
        """What was last said with `be`."""
        return self.work.presence

    async def shows(self, shared: Shared) -> bool:
        """Whether any friend may see this, or one to come. Raises: DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            wanted = await self._store.preferences.of_node(tx, self.node_id)
        return shared in self.work.record.shares or any(shared in one.shares for one in wanted.values())

    def _now_shown(self, peer_id: PeerId, shared: Shared, *, on: bool) -> None:
        """What was shown, or no longer is, the friend sees at once."""
        match shared:
            case Shared.PRESENCE if self.work.presence is not Here.UNKNOWN:
                self.work.friendships.signal(peer_id, Presence(self.work.presence if on else Here.UNKNOWN))
            case Shared.TYPING if not on:
                self.work.friendships.signal(peer_id, Typing(on=False))
            case _:
                pass

    async def _preferences(self, tx: Transaction, peer_id: PeerId) -> Preferences:
        """Of a friend whose row is locked until the end of ``tx``. Raises: NotFound."""
        await self.work.mailbox.locked(tx, peer_id)
        return await self.work.preferences(tx, peer_id)
