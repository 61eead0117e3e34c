"""What two friends said to each other, on disk: sealed into the outbox, opened out of envelopes.

Every method does database work only and belongs to a transaction its caller commits. Ratchet state lives in the contact
row and nowhere else: read and locked, used, written back. See docs/protocol/events.md, "Order" and "Acknowledgement".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, LimitReached, MalformedData, NotFound, UsageError
from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.claims import survivor_of, take_claim
from chattor_bridge.node.expiry import DISAPPEAR, agreed, preferences_of
from chattor_bridge.node.happenings import (
    MISSING,
    RETIRED,
    TIMER_SET,
    UNREADABLE,
    ContactPictured,
    ContactRenamed,
    EventArrived,
    EventDelivered,
    EventFailed,
)
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, HeldEvent, OutboxEntry, Retired
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.verifying import REFUSED, Turn, Verifying
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.events import (
    NO_AVATAR,
    Avatar,
    Body,
    CarryEvent,
    EpochAccept,
    EpochOffer,
    Event,
    FileNews,
    FileOffer,
    Merge,
    MergeDone,
    Profile,
    Receipt,
    Retire,
    ShelfEvent,
    Talk,
    Timer,
    Unknown,
    VerifyAccept,
    VerifyDone,
    VerifyEvent,
    VerifyKey,
    VerifyStart,
    decode_event,
    encode_event,
)
from chattor_bridge.protocol.limits import EVENT_ID_SIZE, MAX_HELD, MAX_QUEUED, MAX_SEQ, QUEUED_LIFETIME
from chattor_bridge.protocol.primitives import hash256
from chattor_bridge.protocol.rekeying import Said, UselessNegotiation, offer_if_due, say, take_accept, take_offer
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import Standing
from chattor_bridge.protocol.session import Duplicate, Opened, OutOfWindow, Session, SessionBroken
from chattor_bridge.protocol.window import Ack

FAILED_AT_ONCE: Final = 64
"""Entries of an outbox that are failed at a time: a megabyte in memory at most."""

GAP_LIFETIME: Final = 86_400
"""Seconds after which what came behind a gap is shown although no link has closed it."""

GIVEN_UP: Final = "your friend could not be reached for 30 days. Send it again if it still matters"

ASK_FOR_A_CODE: Final = "meet or call, exchange a new friend code, and become friends anew"


TakeFile = Callable[[Transaction, Contact, Event], Awaitable[bool]]

TakeCarrying = Callable[[Transaction, Contact, CarryEvent | ShelfEvent], Awaitable[Unknown | None]]


@dataclass(frozen=True, slots=True)
class Taken:
    """After some envelopes: ``ack`` to send once this is committed, if any is due; ``delivered`` what the friend
    acknowledged inside them; ``gap`` that something is missing before what is held; ``broken`` that an envelope was
    authentic outside and wrong inside; ``costly`` how many of them cost more than storing them; ``stored`` bytes of
    those that had not been accepted before."""

    ack: Ack | None
    delivered: tuple[Ack, ...]
    gap: bool
    broken: bool
    costly: int
    stored: int


class Mailbox:
    """The outbox, the received events and the session state of one node's friendships."""

    def __init__(
        self,
        node_id: NodeId,
        around: Surroundings,
        counters: Counters,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_parted: Callable[[Contact], None] = lambda _contact: None,
        on_carrying: TakeCarrying | None = None,
        on_file: TakeFile | None = None,
        on_expiry: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_change`` is called after a commit with which there may be a friendship to end; ``on_parted`` after one
        that has ended it. ``on_carrying`` takes what friends say about carrying, and says what to show for it;
        ``on_file`` takes an event about a file, and says whether it is shown; ``on_expiry`` is called after a commit
        with which there is more that will disappear."""
        self._node_id = node_id
        self._around = around
        self._store = around.store
        self._counters = counters
        self._on_change = on_change
        self._on_parted = on_parted
        self._on_carrying = on_carrying
        self.collecting = 0
        """Blocks that carriers have said they hold and that have not come yet: until then no gap is one."""
        self._on_file = on_file
        self._on_expiry = on_expiry
        self.verifying = Verifying(around)

    # --- out ---------------------------------------------------------------------------------------------------------

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
            raise UsageError(f"this friendship was ended because its keys may be in other hands; {ASK_FOR_A_CODE}")
        if contact.blocked and not isinstance(event.body, Profile):
            raise UsageError("you have blocked this friend; unblock it to write to it")
        # A profile is a handful of bytes our owner cannot repeat by hand; it may exceed the bound.
        if not isinstance(event.body, Profile):
            queued = await self._store.outbox.count(tx, self._node_id, peer_id)
            if queued >= MAX_QUEUED:
                raise LimitReached(f"{queued} messages are waiting for this friend; no more fit until it comes back")
        now = self._around.clock.now()
        session = Session.deserialize(contact.session)
        sealed = session.seal(encoded, random=self._around.random, now=now, ack=session.received.ack())
        await self.put_said(tx, peer_id, Said(event.event_id, encoded, sealed))
        await self._will_expire(tx, peer_id, event, now, begins=True)
        await self._rekey(tx, peer_id, session)
        await self._store.contacts.save(tx, replace(contact, session=session.serialize()))

    async def _will_expire(self, tx: Transaction, peer_id: PeerId, event: Event, at: int, *, begins: bool) -> None:
        if event.expires is not None:
            await self._store.expiring.add(
                tx, self._node_id, peer_id, event.event_id, event.expires, said_at=at, begins=begins
            )
            tx.after_commit(self._on_expiry)

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

    async def delivered(self, tx: Transaction, peer_id: PeerId, ack: Ack, session_id: bytes) -> None:
        """The friend has these of that session on disk: drop them from the outbox and say so. Raises: NotFound."""
        contact = await self.locked(tx, peer_id)
        session = Session.deserialize(contact.session)
        if session.session_id != session_id:
            return  # renewed on another link meanwhile: these numbers mean other envelopes now
        dropped = await self._drop(tx, peer_id, ack)
        if dropped and (contact.merging is not None or contact.retired is not None):
            tx.after_commit(self._on_change)
        if dropped and session.acknowledged(ack):
            await self._store.contacts.save(tx, replace(contact, session=session.serialize()))

    async def _drop(self, tx: Transaction, peer_id: PeerId, ack: Ack) -> bool:
        """Whether something was in the outbox that is not needed there any more."""
        await self._store.deposits.acknowledged(tx, self._node_id, peer_id, ack.covered())
        event_ids = await self._store.outbox.remove(tx, self._node_id, peer_id, ack.covered())
        for event_id in event_ids:
            await self._around.observer.record(tx, self._node_id, EventDelivered(peer_id, event_id))
        return bool(event_ids)

    async def put(self, tx: Transaction, peer_id: PeerId, session: Session, event: Event) -> None:
        """Seal an event between the two nodes; the caller stores the session."""
        said = say(session, event, random=self._around.random, now=self._around.clock.now())
        await self.put_said(tx, peer_id, said)

    async def put_said(self, tx: Transaction, peer_id: PeerId, said: Said) -> None:
        sealed = said.sealed
        entry = OutboxEntry(peer_id, sealed.seq, said.event_id, sealed.envelope, said.encoded, self._around.clock.now())
        await self._store.outbox.add(tx, self._node_id, entry)

    async def _rekey(self, tx: Transaction, peer_id: PeerId, session: Session) -> None:
        """Offer the next epoch if it is time; the caller stores the session."""
        said = offer_if_due(session, random=self._around.random, now=self._around.clock.now())
        if said is not None:
            await self.put_said(tx, peer_id, said)

    async def rekey(self, tx: Transaction, contact: Contact) -> Contact:
        """Offer the next epoch if it is time; the contact as it is to be stored."""
        session = Session.deserialize(contact.session)
        await self._rekey(tx, contact.peer_id, session)
        return replace(contact, session=session.serialize())

    # --- in ----------------------------------------------------------------------------------------------------------

    async def receive(self, tx: Transaction, peer_id: PeerId, envelopes: Sequence[bytes]) -> Taken:
        """Open some envelopes and hand on what is next in order.

        What was accepted before is acknowledged again. What opens under no key is dropped, counted, and not
        acknowledged. Raises: NotFound.
        """
        contact = await self.locked(tx, peer_id)
        arrivals = _Arrivals(self, tx, contact)
        for envelope in envelopes:
            await arrivals.take(envelope)
        if arrivals.broken and arrivals.session.renewal.wanted is None:
            arrivals.session.renewal.wanted = Reason.BROKEN
        if arrivals.finished().retired is None:
            await self._rekey(tx, peer_id, arrivals.session)
        await self._store.contacts.save(tx, arrivals.finished())
        tx.after_commit(lambda: _add(self._counters, arrivals.counters))
        for ack in arrivals.delivered:
            await self._drop(tx, peer_id, ack)
        if contact.merging is not None or contact.retired is not None:
            tx.after_commit(self._on_change)
        window = arrivals.session.received
        return Taken(
            ack=window.ack() if arrivals.answer else None,
            delivered=tuple(arrivals.delivered),
            gap=window.missing > 0,
            broken=arrivals.broken,
            costly=arrivals.costly,
            stored=arrivals.stored,
        )

    async def show_past_gap(self, tx: Transaction, peer_id: PeerId) -> None:
        """Stop waiting for what is missing: say that it is, and hand on everything held behind it.

        What turns up later is handed on late. Raises: NotFound.
        """
        contact = await self.locked(tx, peer_id)
        held = await self._store.received.held(tx, self._node_id, peer_id)
        if not held:
            return
        window = Session.deserialize(contact.session).received
        first, last = window.first_gap, held[-1].seq
        marker = Event(
            _derived_id("missing", peer_id, first, last),
            self._around.clock.now(),
            Unknown(MISSING, {"count": window.missing}),
        )
        await self._around.observer.record(
            tx, self._node_id, EventArrived(peer_id, marker, received_at=self._around.clock.now())
        )
        for one in held:
            contact = await self.arrive(tx, contact, one)
        await self._store.received.release(tx, self._node_id, peer_id, last)
        await self._store.contacts.save(tx, contact)

    async def show_old_gaps(self, tx: Transaction, peer_id: PeerId) -> None:
        """Show what has waited behind a gap for a day, link or no link, or for two while carriers say that they have
        more; see docs/protocol/carriers.md, "Collecting"."""
        patience = GAP_LIFETIME * (2 if self.collecting else 1)
        held = await self._store.received.held(tx, self._node_id, peer_id)
        if held and self._around.clock.now() - min(one.received_at for one in held) >= patience:
            await self.show_past_gap(tx, peer_id)

    async def arrive(self, tx: Transaction, contact: Contact, held: HeldEvent) -> Contact:
        """Hand one event on; the contact as it is afterwards."""
        event = self._read(held)
        peer_id, received = contact.peer_id, self._store.received
        survivor = survivor_of(contact)
        if survivor != peer_id:  # should it come to nothing
            await received.remember(tx, self._node_id, peer_id, event.event_id, held.received_at)
        if not await received.remember(tx, self._node_id, survivor, event.event_id, held.received_at):
            return contact  # the same event under a new seal, or in a friendship that becomes one with this
        if isinstance(event.body, Retire):
            return await self._retired(tx, contact)
        if isinstance(event.body, CarryEvent | ShelfEvent) and self._on_carrying is not None:
            notice = await self._on_carrying(tx, contact, event.body)
            if notice is not None:
                shown = replace(event, body=notice)
                await self._around.observer.record(tx, self._node_id, EventArrived(peer_id, shown, held.received_at))
            return contact
        if isinstance(event.body, FileOffer | FileNews) and self._on_file is not None:
            to_be_shown = await self._on_file(tx, contact, event)
            if not to_be_shown:
                return contact
        if isinstance(event.body, Timer):
            await self._take_timer(tx, peer_id, event.body)
            return contact
        if not isinstance(event.body, Profile):
            await self._will_expire(tx, peer_id, event, held.received_at, begins=False)
            happening = EventArrived(peer_id, event, received_at=held.received_at)
            await self._around.observer.record(tx, self._node_id, happening)
            return contact
        if event.body.avatar is not None:
            await self._take_picture(tx, peer_id, event.body.avatar)
        name = event.body.name
        if name != contact.peer_name and not contact.alias:
            await self._around.observer.record(tx, self._node_id, ContactRenamed(peer_id, name))
        return replace(contact, peer_name=name)

    async def _take_picture(self, tx: Transaction, peer_id: PeerId, avatar: Avatar) -> None:
        """A friend shows another picture of itself. One that nobody could show changes nothing."""
        if avatar != NO_AVATAR and picture_type(avatar.data) != avatar.mime_type:
            return
        picture = None if avatar == NO_AVATAR else avatar
        if picture != await self._store.pictures.of_friend(tx, self._node_id, peer_id):
            await self._store.pictures.save_of_friend(tx, self._node_id, peer_id, picture)
            await self._around.observer.record(tx, self._node_id, ContactPictured(peer_id))

    async def _take_timer(self, tx: Transaction, peer_id: PeerId, timer: Timer) -> None:
        """A friend has set the timer: our owner is told what holds now."""
        before = await preferences_of(self._store, tx, self._node_id, peer_id)
        after = agreed(before, timer)
        await self._store.preferences.save(tx, self._node_id, peer_id, after)
        fields = {"seconds": after.timer, "ours": False, "wanted": timer.seconds}
        happening = EventArrived(peer_id, self.event(Unknown(TIMER_SET, fields)), received_at=self.now())
        await self._around.observer.record(tx, self._node_id, happening)

    async def _retired(self, tx: Transaction, contact: Contact) -> Contact:
        """The friend believes its keys to be in other hands: nothing more goes there."""
        happening = EventArrived(contact.peer_id, self.event(Unknown(RETIRED, {})), received_at=self.now())
        await self._around.observer.record(tx, self._node_id, happening)
        return await self.end(tx, contact)

    async def end(self, tx: Transaction, contact: Contact) -> Contact:
        """The friendship is over: what waits for the friend has failed. The contact as it is to be stored."""
        reason = f"this friendship was ended because its keys may be in other hands; {ASK_FOR_A_CODE}"
        while batch := await self._store.outbox.after(tx, self._node_id, contact.peer_id, 0, FAILED_AT_ONCE):
            await self._store.outbox.remove(tx, self._node_id, contact.peer_id, [(batch[0].seq, batch[-1].seq)])
            for entry in batch:
                failed = EventFailed(contact.peer_id, entry.event_id, reason)
                await self._around.observer.record(tx, self._node_id, failed)
        tx.after_commit(self._on_change)
        return replace(contact, retired=Retired.OVER)

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
        return self._waits_too_long(entry) and isinstance(decode_event(entry.event).body, Talk | Receipt | FileOffer)

    def _waits_too_long(self, entry: OutboxEntry) -> bool:
        return entry.created_at < self._around.clock.now() - QUEUED_LIFETIME

    async def hold(self, tx: Transaction, held: HeldEvent) -> None:
        await self._store.received.hold(tx, self._node_id, held)

    async def release(self, tx: Transaction, contact: Contact, up_to: int) -> Contact:
        """Hand on what was held and is now in order."""
        for one in await self._store.received.held(tx, self._node_id, contact.peer_id):
            if one.seq > up_to:
                break
            contact = await self.arrive(tx, contact, one)
        await self._store.received.release(tx, self._node_id, contact.peer_id, up_to)
        return contact

    async def standing(self, tx: Transaction, contact: Contact) -> Standing:
        """Where our half of the session stands now."""
        session = Session.deserialize(contact.session)
        waiting = await self._store.outbox.after(tx, self._node_id, contact.peer_id, 0, 1)
        acknowledged = waiting[0].seq - 1 if waiting else session.highest_sent
        return Standing(session.session_id, session.received.highest, acknowledged)

    async def locked(self, tx: Transaction, peer_id: PeerId) -> Contact:
        """The contact, locked until the end of ``tx``. Raises: NotFound."""
        contact = await self._store.contacts.for_update(tx, self._node_id, peer_id)
        if contact is None:
            raise NotFound("no such contact")
        return contact

    def open(self, session: Session, envelope: bytes, *, first_missing_only: bool) -> Opened:
        at_most = session.received.first_gap if first_missing_only else MAX_SEQ
        return session.open(envelope, random=self._around.random, now=self._around.clock.now(), at_most=at_most)

    async def control(self, tx: Transaction, contact: Contact, session: Session, opened: Opened) -> Contact | None:
        """The contact after an event between the two nodes, None when this is none. It is dealt with at once, whatever
        is missing before it. Raises: UselessNegotiation."""
        assert opened.inner is not None
        try:
            event = decode_event(opened.inner)
        except MalformedData:
            return None
        now = self._around.clock.now()
        match event.body:
            case EpochOffer():
                said = take_offer(session, event.body, opened, random=self._around.random, now=now)
                await self.put_said(tx, contact.peer_id, said)
            case EpochAccept():
                take_accept(session, event.body, opened, now=now)
            case VerifyStart() | VerifyAccept() | VerifyKey() | VerifyDone():
                if await self._store.received.remember(tx, self._node_id, contact.peer_id, event.event_id, now):
                    return await self._verify(tx, contact, session, event.body)
            case Merge(proof):
                if await self._store.received.remember(tx, self._node_id, contact.peer_id, event.event_id, now):
                    return await self._take_claim(tx, contact, proof)
            case MergeDone() if contact.merging is not None:
                tx.after_commit(self._on_change)
                return replace(contact, merge_done=True)
            case MergeDone():
                return contact
            case _:
                return None
        return contact

    async def _take_claim(self, tx: Transaction, contact: Contact, proof: bytes) -> Contact:
        contact, notice = await take_claim(self._store, tx, contact, proof)
        if notice is not None:
            happening = EventArrived(contact.peer_id, self.event(notice), received_at=self.now())
            await self._around.observer.record(tx, self._node_id, happening)
        tx.after_commit(self._on_change)
        return contact

    async def _verify(self, tx: Transaction, contact: Contact, session: Session, event: VerifyEvent) -> Contact:
        try:
            turn = self.verifying.take(contact, event)
        except REFUSED:
            turn = self.verifying.abandon(contact)
        return await self.perform(tx, turn, session)

    async def perform(self, tx: Transaction, turn: Turn, session: Session) -> Contact:
        """Say and show what a turn of a verification leads to; the contact, to be stored with ``session``."""
        peer_id, now = turn.contact.peer_id, self._around.clock.now()
        for body in turn.said:
            await self.put(tx, peer_id, session, self.event(body))
        if turn.notice is not None:
            happening = EventArrived(peer_id, self.event(turn.notice), received_at=now)
            await self._around.observer.record(tx, self._node_id, happening)
        return turn.contact

    def parted(self, tx: Transaction, contact: Contact) -> None:
        """This friendship is over with ``tx``: nothing of it is to be hosted or dialled any more."""
        tx.after_commit(partial(self._on_parted, contact))

    def now(self) -> int:
        return self._around.clock.now()

    def _read(self, held: HeldEvent) -> Event:
        """What a friend sealed but nobody can read is shown as just that: it must neither block nor vanish."""
        try:
            return decode_event(held.event)
        except MalformedData:
            self._counters.unreadable += 1
            return Event(_derived_id("unreadable", held.peer_id, held.seq), held.received_at, Unknown(UNREADABLE, {}))


class _Arrivals:
    """Some envelopes of one friend, being opened in one transaction."""

    def __init__(self, mailbox: Mailbox, tx: Transaction, contact: Contact) -> None:
        self._mailbox = mailbox
        self._tx = tx
        self._contact = contact
        self.session = Session.deserialize(contact.session)
        self.counters = Counters()
        self.delivered: list[Ack] = []
        self.answer = False
        self.broken = False
        self.costly = 0
        self.stored = 0

    async def take(self, envelope: bytes) -> None:
        full = self._holds_too_much()
        try:
            opened = self._mailbox.open(self.session, envelope, first_missing_only=full)
        except Duplicate:
            self.counters.duplicates += 1
            self.answer = True
            return
        except OutOfWindow:
            self.counters.undecryptable += not full  # one more to hold, and no room: it comes again
            return
        except AuthenticationFailed:
            self.counters.undecryptable += 1
            return
        except SessionBroken:
            self.counters.undecryptable += 1
            self.broken = True
            return
        if opened.ack is not None:
            self.delivered.append(opened.ack)
        if opened.inner is None:
            return
        self.answer = True
        self.stored += len(envelope)
        held: HeldEvent | None = None
        try:
            contact = await self._mailbox.control(self._tx, self._contact, self.session, opened)
            if contact is None:
                held = HeldEvent(self._contact.peer_id, opened.seq, opened.inner, self._mailbox.now())
            else:
                self._contact = contact
                self.costly += isinstance(decode_event(opened.inner).body, Merge)
        except UselessNegotiation:
            self.counters.unreadable += 1
        called = self._contact.peer_name
        await self._place(opened.seq, held)
        self.costly += self._contact.peer_name != called

    def finished(self) -> Contact:
        return replace(self._contact, session=self.session.serialize())

    async def _place(self, seq: int, event: HeldEvent | None) -> None:
        """In order, or behind a gap. The window has accepted ``seq`` already; None is nothing to hand on."""
        in_order = self.session.received.cumulative
        if event is not None:
            if seq > in_order:
                await self._mailbox.hold(self._tx, event)
                return
            self._contact = await self._mailbox.arrive(self._tx, self._contact, event)
        if in_order > seq:
            self._contact = await self._mailbox.release(self._tx, self._contact, in_order)

    def _holds_too_much(self) -> bool:
        window = self.session.received
        return window.highest - window.cumulative - window.missing >= MAX_HELD


def _derived_id(what: str, peer_id: PeerId, *numbers: int) -> EventId:
    parts = [number.to_bytes(8, "big") for number in numbers]
    return EventId(hash256(f"node/{what}", peer_id, *parts)[:EVENT_ID_SIZE])


def _add(total: Counters, more: Counters) -> None:
    total.duplicates += more.duplicates
    total.undecryptable += more.undecryptable
    total.unreadable += more.unreadable
