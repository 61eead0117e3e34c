"""What is said to friends, on disk: sealed into the outbox, and dropped from it when it was acknowledged or given up.

Every method does database work only and belongs to a transaction its caller commits. Ratchet state lives in the contact
row and nowhere else: read and locked, used, written back. See docs/protocol/events.md, "Acknowledgement".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import Final

from chattor_bridge.errors import FriendshipEnded, LimitReached, NotFound, UsageError
from chattor_bridge.ids import EventId, FileId, NodeId, PeerId
from chattor_bridge.node.expiry import DISAPPEAR
from chattor_bridge.node.happenings import EventDelivered, EventFailed
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, OutboxEntry, Retired
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.events import (
    NO_AVATAR,
    Body,
    Event,
    FileOffer,
    FileSlice,
    Profile,
    Receipt,
    Talk,
    decode_event,
    encode_event,
)
from chattor_bridge.protocol.limits import EVENT_ID_SIZE, MAX_QUEUED, QUEUED_LIFETIME
from chattor_bridge.protocol.rekeying import Said, offer_if_due, say
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import Standing
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.window import Ack, Kept

FAILED_AT_ONCE: Final = 64
"""Entries of an outbox that are failed at a time: a megabyte in memory at most."""

GIVEN_UP: Final = "your friend could not be reached for 30 days. Send it again if it still matters"

ENDED: Final = (
    "this friendship was ended because its keys may be in other hands; meet or call, exchange a new friend code, and "
    "become friends anew"
)


class Of(Enum):
    """What an acknowledgement is of, as far as we still have it."""

    OURS = auto()
    OLD = auto()  # nothing that still waits
    OTHERS = auto()  # envelopes that are not those we have under these numbers; see docs/protocol/session.md


class Sending:
    """The outboxes and the sending half of the sessions of one node's friendships."""

    def __init__(
        self,
        node_id: NodeId,
        around: Surroundings,
        *,
        on_change: Callable[[], None],
        on_parted: Callable[[Contact], None],
        on_expiry: Callable[[], None],
    ) -> None:
        """As for `chattor_bridge.node.mailbox.Mailbox`."""
        self._node_id = node_id
        self._around = around
        self._store = around.store
        self._on_change = on_change
        self._on_parted = on_parted
        self._on_expiry = on_expiry

    async def send(self, tx: Transaction, peer_id: PeerId, event: Event) -> None:
        """Seal ``event`` and put it into the outbox.

        Raises: NotFound; LimitReached when too much waits for this friend or the event is too large; UsageError when
        it is no valid event. Nothing is changed then.
        """
        contact = await self.locked(tx, peer_id)
        if event.expires is None and event.body.TYPE in DISAPPEAR:
            preferences = await self._store.preferences.get(tx, self._node_id, peer_id)
            if preferences is not None and preferences.timer:
                event = replace(event, expires=preferences.timer)
        encoded = encode_event(event)
        if contact.retired is not None:
            if isinstance(event.body, Profile):
                return  # our owner's new name is for friends
            raise FriendshipEnded(ENDED)
        if contact.blocked and not isinstance(event.body, Profile):
            raise UsageError("you have blocked this friend; unblock it to write to it")
        queued = await self._store.outbox.count(tx, self._node_id, peer_id)
        if queued >= MAX_QUEUED:
            if not isinstance(event.body, Profile):
                raise LimitReached(f"{queued} messages are waiting for this friend; no more fit until it comes back")
            # Our owner cannot repeat it by hand, and of all that find no room only the last one counts.
            await self._store.contacts.save(tx, replace(contact, profile_due=True))
            return
        now = self._around.clock.now()
        session = Session.deserialize(contact.session)
        sealed = session.seal(
            encoded, random=self._around.random, now=self._around.clock.at_least(), ack=session.received.ack()
        )
        await self.put_said(tx, peer_id, Said(event.event_id, encoded, sealed))
        await self._store.deposits.said(tx, self._node_id, peer_id)
        await self._will_expire(tx, peer_id, event, now, begins=True)
        await self._rekey(tx, peer_id, session)
        await self._store.contacts.save(tx, replace(contact, session=session.serialize()))

    def event(
        self,
        body: Body,
        event_id: EventId | None = None,
        time: int | None = None,
        reply: EventId | None = None,
        thread: EventId | None = None,
    ) -> Event:
        """An event said now, with an id of its own."""
        return Event(
            event_id or EventId(self._around.random(EVENT_ID_SIZE)),
            self._around.clock.wall() if time is None else time,
            body,
            reply=reply,
            thread=thread,
        )

    async def put(
        self, tx: Transaction, peer_id: PeerId, session: Session, event: Event, file_id: FileId | None = None
    ) -> None:
        """Seal an event between the two nodes; the caller stores the session. ``file_id`` as in `OutboxEntry`."""
        said = say(session, event, random=self._around.random, now=self._around.clock.at_least())
        await self.put_said(tx, peer_id, said, file_id)

    async def put_said(self, tx: Transaction, peer_id: PeerId, said: Said, file_id: FileId | None = None) -> None:
        sealed, now = said.sealed, self._around.clock.now()
        entry = OutboxEntry(
            peer_id, sealed.seq, said.event_id, sealed.envelope, said.encoded, now, file_id, sealed.kept.before
        )
        await self._store.outbox.add(tx, self._node_id, entry)

    async def rekey(self, tx: Transaction, contact: Contact) -> Contact:
        """Offer the next epoch if it is time; the contact as it is to be stored."""
        session = Session.deserialize(contact.session)
        await self._rekey(tx, contact.peer_id, session)
        return replace(contact, session=session.serialize())

    async def _rekey(self, tx: Transaction, peer_id: PeerId, session: Session) -> None:
        """Offer the next epoch if it is time; the caller stores the session."""
        said = offer_if_due(session, random=self._around.random, now=self._around.clock.now())
        if said is not None:
            await self.put_said(tx, peer_id, said)

    async def _will_expire(self, tx: Transaction, peer_id: PeerId, event: Event, at: int, *, begins: bool) -> None:
        if event.expires is not None:
            await self._store.expiring.add(
                tx, self._node_id, peer_id, event.event_id, event.expires, said_at=at, begins=begins
            )
            tx.after_commit(self._on_expiry)

    async def delivered(self, tx: Transaction, peer_id: PeerId, ack: Ack, session_id: bytes) -> tuple[Of, bool]:
        """The friend says that it has these of that session on disk: drop them from the outbox, if they are ours, and
        say so. Also whether that made room for something that is in the outbox now. Raises: NotFound."""
        contact = await self.locked(tx, peer_id)
        session = Session.deserialize(contact.session)
        if session.session_id != session_id:
            return Of.OLD, False  # renewed on another link meanwhile: these numbers mean other envelopes now
        of = await self.acknowledged(tx, session, ack)
        if of is not Of.OURS:
            if of is Of.OTHERS:
                await self._store.contacts.save(tx, replace(contact, session=session.serialize()))
            return of, False
        dropped = await self._drop(tx, peer_id, ack)
        if dropped and (contact.merging is not None or contact.retired is not None):
            tx.after_commit(self._on_change)
        if dropped and session.acknowledged(ack):
            await self._store.contacts.save(tx, replace(contact, session=session.serialize()))
        return of, dropped and contact.profile_due and await self._tell_profile(tx, peer_id)

    async def acknowledged(self, tx: Transaction, session: Session, ack: Ack) -> Of:
        """Which envelopes an acknowledgement is of; the caller stores the session, which is to begin anew when they are
        others than ours. Once there were some, no later one can be of ours alone."""
        if session.renewal.wanted is Reason.CONTRADICTION:
            return Of.OTHERS
        kept: dict[int, Kept] = {}
        for seq in session.sent.asks(ack):
            entries = await self._store.outbox.after(tx, self._node_id, session.peer_id, seq - 1, 2)
            if not entries or entries[0].seq > seq + 1:
                break  # and if a friend makes numbers up, it costs no more than this
            kept |= {entry.seq: Kept(entry.digest_before, entry.envelope) for entry in entries}
        if session.sent.means(ack, kept):
            return Of.OURS
        for first, last in ack.covered():
            entries = await self._store.outbox.after(tx, self._node_id, session.peer_id, first - 1, 1)
            if not entries:
                break
            if entries[0].seq <= last:
                session.renewal.wanted = session.renewal.wanted or Reason.CONTRADICTION
                return Of.OTHERS
        return Of.OLD

    async def _tell_profile(self, tx: Transaction, peer_id: PeerId) -> bool:
        """Say how our owner's profile is, for which there was no room before; whether there is now."""
        if await self._store.outbox.count(tx, self._node_id, peer_id) >= MAX_QUEUED:
            return False
        record = await self._store.nodes.get(tx, self._node_id)
        if record is None:
            raise NotFound("no such node")
        picture = await self._store.pictures.own(tx, self._node_id)
        contact = await self.locked(tx, peer_id)
        await self._store.contacts.save(tx, replace(contact, profile_due=False))
        await self.send(tx, peer_id, self.event(Profile(record.profile_name, picture or NO_AVATAR)))
        return True

    async def _drop(self, tx: Transaction, peer_id: PeerId, ack: Ack) -> bool:
        """Whether something was in the outbox that is not needed there any more."""
        await self._store.deposits.acknowledged(tx, self._node_id, peer_id, ack.covered())
        event_ids = await self._store.outbox.remove(tx, self._node_id, peer_id, ack.covered())
        for event_id in event_ids:
            await self._around.observer.record(tx, self._node_id, EventDelivered(peer_id, event_id))
        return bool(event_ids)

    async def give_up_old(self, tx: Transaction, peer_id: PeerId) -> bool:
        """Fail some of what people have said and what has waited for this friend too long; whether there was any.

        Numbers have no gaps, so the session is to begin anew on the next link. The first envelope stays until then, and
        is not sealed anew: without it we would claim that the friend has acknowledged what it never saw.
        Raises: NotFound.
        """
        contact = await self.locked(tx, peer_id)
        session = Session.deserialize(contact.session)
        if session.renewal.too_early(self._around.clock.now()):
            return False  # the next link could do nothing but end
        old: list[OutboxEntry] = []
        first = seq = 0
        while batch := await self._store.outbox.after(tx, self._node_id, peer_id, seq, FAILED_AT_ONCE):
            first, seq = first or batch[0].seq, batch[-1].seq
            old += [entry for entry in batch if self.is_too_old(entry)]
            if len(old) > FAILED_AT_ONCE or not self._waits_too_long(batch[-1]):
                break
        if session.renewal.wanted is Reason.GIVEN_UP:
            old = [entry for entry in old if entry.seq != first]  # it has failed already
        for entry in old:
            if entry.seq != first:
                await self._store.outbox.remove(tx, self._node_id, peer_id, [(entry.seq, entry.seq)])
            failed = EventFailed(peer_id, entry.event_id, GIVEN_UP)
            await self._around.observer.record(tx, self._node_id, failed)
        if old:
            session.renewal.wanted = Reason.GIVEN_UP
            await self._store.contacts.save(tx, replace(contact, session=session.serialize()))
        return bool(old)

    def is_too_old(self, entry: OutboxEntry) -> bool:
        """Whether it is something a person has said, and is given up when the session begins anew."""
        what_people_say = Talk | Receipt | FileOffer | FileSlice
        return self._waits_too_long(entry) and isinstance(decode_event(entry.event).body, what_people_say)

    def _waits_too_long(self, entry: OutboxEntry) -> bool:
        return entry.created_at < self._around.clock.at_least() - QUEUED_LIFETIME

    async def end(self, tx: Transaction, contact: Contact) -> Contact:
        """The friendship is over: what waits for the friend has failed. The contact as it is to be stored."""
        while batch := await self._store.outbox.after(tx, self._node_id, contact.peer_id, 0, FAILED_AT_ONCE):
            await self._store.outbox.remove(tx, self._node_id, contact.peer_id, [(batch[0].seq, batch[-1].seq)])
            for entry in batch:
                failed = EventFailed(contact.peer_id, entry.event_id, ENDED)
                await self._around.observer.record(tx, self._node_id, failed)
        tx.after_commit(self._on_change)
        return replace(contact, retired=Retired.OVER)

    def parted(self, tx: Transaction, contact: Contact) -> None:
        """This friendship is over with ``tx``: nothing of it is to be hosted or dialled any more."""
        tx.after_commit(partial(self._on_parted, contact))

    async def standing(self, tx: Transaction, contact: Contact, session: Session) -> Standing:
        """Where our half of ``session``, the contact's, stands now."""
        waiting = await self._store.outbox.after(tx, self._node_id, contact.peer_id, 0, 1)
        acknowledged = waiting[0].seq - 1 if waiting else session.sent.highest
        return Standing(session.session_id, session.received.highest, acknowledged)

    async def locked(self, tx: Transaction, peer_id: PeerId) -> Contact:
        """The contact, locked until the end of ``tx``. Raises: NotFound."""
        contact = await self._store.contacts.for_update(tx, self._node_id, peer_id)
        if contact is None:
            raise NotFound("no such contact")
        return contact

    async def unblocked(self, tx: Transaction, peer_id: PeerId) -> Contact:
        """As `locked`, for what a friend says. Raises: NotFound, also when our owner wants to hear nothing of it."""
        contact = await self.locked(tx, peer_id)
        if contact.blocked:
            raise NotFound("this friend is blocked")
        return contact

    def now(self) -> int:
        return self._around.clock.now()
