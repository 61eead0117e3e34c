"""Two friendships with one person become one (docs/protocol/merge.md).

Database work only. Our owner's word and the friend's proofs are on disk in the two contacts; when all of them are
there, `settle` moves what is left of the former friendship to the surviving one, in one transaction, and erases it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.errors import MalformedData, UsageError
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.claims import agreed
from chattor_bridge.node.happenings import MERGED, ContactsMerged, EventArrived
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Preferences
from chattor_bridge.node.records import Contact, OutboxEntry
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.events import Control, Merge, MergeDone, Unknown, decode_event
from chattor_bridge.protocol.rekeying import Said
from chattor_bridge.protocol.session import Session

MOVE_BATCH: Final = 64
"""Envelopes moved at a time: a megabyte in memory at most."""

JoinCarrying = Callable[[Transaction, PeerId, PeerId], Awaitable[None]]


class Merging:
    """The merging of friendships of one node. Every method belongs to a transaction its caller commits."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        mailbox: Mailbox,
        *,
        wake: Callable[[PeerId], None],
        join_carrying: JoinCarrying,
    ) -> None:
        """``wake`` is called after a commit that put something into this friend's outbox; ``join_carrying`` agrees in
        the first of two friendships on what was agreed in the second."""
        self._around = around
        self._store = around.store
        self._node_id = node_id
        self._mailbox = mailbox
        self._wake = wake
        self._join_carrying = join_carrying

    async def agree(self, tx: Transaction, one: PeerId, other: PeerId) -> None:
        """Our owner says that these two are one person: say so to both, with proof.

        Raises: NotFound; UsageError when one of them is blocked or over; LimitReached.
        """
        await self._store.contacts.lock_all(tx, self._node_id)  # the two, and those that they were to become one with
        pair = [await self._mailbox.locked(tx, peer_id) for peer_id in sorted((one, other))]
        if one == other:
            raise UsageError("these are the same contact; say which two are to become one")
        if any(contact.blocked or contact.retired is not None for contact in pair):
            raise UsageError("a contact that is blocked or was retired cannot be merged")
        survivor, former = pair
        if survivor.merging == former.peer_id and former.merging == survivor.peer_id:
            return
        for contact, its_other in ((survivor, former), (former, survivor)):
            await self.let_go(tx, contact, but=its_other.peer_id)
            said = replace(contact, merging=its_other.peer_id, merge_done=False)
            await self._store.contacts.save(tx, said)
            session, transcript = (
                Session.deserialize(contact.session),
                Session.deserialize(its_other.session).transcript,
            )
            proof = session.merge_proof(transcript, ours=True)
            await self._mailbox.send(tx, contact.peer_id, self._mailbox.event(Merge(proof)))
        # From now on an event counts once in both, whichever it comes in: see `Mailbox.arrive`.
        await self._store.received.copy(tx, self._node_id, former.peer_id, survivor.peer_id)

    async def let_go(self, tx: Transaction, contact: Contact, *, but: PeerId | None = None) -> None:
        """Take back our owner's word in the friendship that was to become one with this one, unless that is ``but``."""
        if contact.merging is None or contact.merging == but:
            return
        other = await self._store.contacts.for_update(tx, self._node_id, contact.merging)
        if other is None or other.merging != contact.peer_id:
            return
        session = Session.deserialize(other.session)
        taken_back = Merge(session.merge_proof(session.transcript, ours=True))
        await self._mailbox.put(tx, other.peer_id, session, self._mailbox.event(taken_back))
        single = replace(other, session=session.serialize(), merging=None, merge_done=False)
        await self._store.contacts.save(tx, single)
        tx.after_commit(partial(self._wake, other.peer_id))

    async def settle(self, tx: Transaction, contacts: Sequence[Contact]) -> list[Contact]:
        """Make one of every two that can be made one now; the contacts as they are then."""
        there = {contact.peer_id: contact for contact in contacts}
        for contact in contacts:
            other = None if contact.merging is None else there.get(contact.merging)
            if other is None or contact.peer_id > other.peer_id or not agreed(contact, other):
                continue
            await self._store.contacts.lock_all(tx, self._node_id)
            survivor = await self._mailbox.locked(tx, contact.peer_id)
            former = await self._mailbox.locked(tx, other.peer_id)
            if not _may_merge(survivor, former):  # or not any more, since they were read
                continue
            if survivor.merge_done or not await self._must_still_say(tx, former.peer_id):
                there[survivor.peer_id] = await self._become_one(tx, survivor, former)
                del there[former.peer_id]
        return list(there.values())

    async def _must_still_say(self, tx: Transaction, peer_id: PeerId) -> bool:
        """Whether the friend may still lack our proof: it travels in no other friendship."""
        seq = 0
        while batch := await self._store.outbox.after(tx, self._node_id, peer_id, seq, MOVE_BATCH):
            if any(isinstance(_body(entry), Merge) for entry in batch):
                return True
            seq = batch[-1].seq
        return False

    async def _become_one(self, tx: Transaction, survivor: Contact, former: Contact) -> Contact:
        for held in await self._store.received.held(tx, self._node_id, former.peer_id):
            former = await self._mailbox.arrive(tx, former, held)
        session = Session.deserialize(survivor.session)
        await self._move(tx, former.peer_id, survivor.peer_id, session)
        await self._mailbox.put(tx, survivor.peer_id, session, self._mailbox.event(MergeDone()))
        alone = replace(
            survivor,
            session=session.serialize(),
            alias=survivor.alias or former.alias,
            mismatch=survivor.mismatch or former.mismatch,
            profile_due=survivor.profile_due or former.profile_due,  # an older one may have waited in the former
            merging=None,
            merge_claim=None,
            merge_done=False,
        )
        await self._store.contacts.save(tx, alone)
        await self._join_carrying(tx, survivor.peer_id, former.peer_id)
        await self._store.expiring.move(tx, self._node_id, former.peer_id, survivor.peer_id)
        kept = self._store.preferences
        if (wanted := await kept.get(tx, self._node_id, former.peer_id)) is not None:
            now = await kept.get(tx, self._node_id, survivor.peer_id) or Preferences(wanted.shares)
            await kept.save(tx, self._node_id, survivor.peer_id, now.joined(wanted))
        await self._store.transfers.move(tx, self._node_id, former.peer_id, survivor.peer_id)
        if await self._store.pictures.of_friend(tx, self._node_id, survivor.peer_id) is None:
            picture = await self._store.pictures.of_friend(tx, self._node_id, former.peer_id)
            await self._store.pictures.save_of_friend(tx, self._node_id, survivor.peer_id, picture)
        name = former.alias or former.peer_name
        record = self._around.observer.record
        await record(tx, self._node_id, ContactsMerged(survivor.peer_id, former.peer_id))
        merged = self._mailbox.event(Unknown(MERGED, {"name": name}))
        await record(tx, self._node_id, EventArrived(survivor.peer_id, merged, received_at=self._mailbox.now()))
        await self._store.contacts.remove(tx, self._node_id, former.peer_id)
        self._mailbox.parted(tx, former)
        tx.after_commit(partial(self._wake, survivor.peer_id))
        return alone

    async def _move(self, tx: Transaction, former: PeerId, survivor: PeerId, session: Session) -> None:
        """Seal what waits for the former friendship anew, in order and under its event ids, for the surviving one."""
        seq = 0
        while batch := await self._store.outbox.after(tx, self._node_id, former, seq, MOVE_BATCH):
            seq = batch[-1].seq
            for entry in batch:
                if isinstance(_body(entry), Control):
                    continue  # between the two nodes, about the friendship that ends
                sealed = session.seal(entry.event, random=self._around.random, ack=session.received.ack())
                said = Said(entry.event_id, entry.event, sealed)
                await self._mailbox.put_said(tx, survivor, said, entry.file_id)


def _may_merge(survivor: Contact, former: Contact) -> bool:
    """One that is blocked or over would take the other with it."""
    ended = any(contact.blocked or contact.retired is not None for contact in (survivor, former))
    return not ended and agreed(survivor, former)


def _body(entry: OutboxEntry) -> object:
    try:
        return decode_event(entry.event).body
    except MalformedData:  # of another version of this program: as good as any text
        return None
