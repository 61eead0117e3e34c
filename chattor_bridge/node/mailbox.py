"""What two friends said to each other, on disk: what comes is opened out of envelopes and handed on in order.

What goes out is the business of `chattor_bridge.node.sending`, what an event does once it is its turn that of
`chattor_bridge.node.handling`. Every method does database work only and belongs to a transaction its caller commits.
See docs/protocol/events.md, "Order" and "Acknowledgement".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.handling import BeginAnew, Handling, TakeCarrying, TakeFile, derived_id
from chattor_bridge.node.happenings import MISSING, EventArrived
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, HeldEvent, Retired
from chattor_bridge.node.sending import Of
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.events import CarryEvent, Event, Merge, ShelfEvent, Unknown, decode_event
from chattor_bridge.protocol.limits import MAX_HELD, MAX_SEQ
from chattor_bridge.protocol.rekeying import UselessNegotiation
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.session import Duplicate, Opened, OutOfWindow, Session, SessionBroken
from chattor_bridge.protocol.window import Ack

GAP_LIFETIME: Final = 86_400
"""Seconds after which what came behind a gap is shown although no link has closed it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """After some envelopes: ``ack`` to send once this is committed, if any is due; ``delivered`` what of ours was
    acknowledged inside them; ``gap`` that something is missing before what is held; ``renew`` why the session is to
    begin anew after them; ``costly`` how many of them cost more than storing them; ``stored`` bytes of those that had
    not been accepted before."""

    ack: Ack | None
    delivered: tuple[Ack, ...]
    gap: bool
    renew: Reason | None
    costly: int
    stored: int


class Mailbox(Handling):
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
        on_renewed: BeginAnew | None = None,
    ) -> None:
        """``on_change`` is called after a commit with which there may be a friendship to end; ``on_parted`` after one
        that has ended it. ``on_carrying`` takes what friends say about carrying, and says what to show for it;
        ``on_file`` takes an event about a file, and says whether it is shown; ``on_expiry`` is called after a commit
        with which there is more that will disappear; ``on_renewed`` when a session begins anew, in that transaction."""
        super().__init__(
            node_id,
            around,
            counters,
            on_change=on_change,
            on_parted=on_parted,
            on_carrying=on_carrying,
            on_file=on_file,
            on_expiry=on_expiry,
            on_renewed=on_renewed,
        )
        self.collecting = 0
        """Blocks that carriers have said they hold and that have not come yet: until then no gap is one."""

    async def receive(
        self, tx: Transaction, peer_id: PeerId, envelopes: Sequence[bytes], *, carried: bool = False
    ) -> Taken:
        """Open some envelopes, ``carried`` by another friend or not, and hand on what is next in order.

        What was accepted before is acknowledged again. What opens under no key is dropped, counted, and not
        acknowledged. Raises: NotFound, also of a friend who was blocked meanwhile.
        """
        contact = await self.unblocked(tx, peer_id)
        arrivals = _Arrivals(self, tx, contact, carried=carried)
        for envelope in envelopes:
            await arrivals.take(envelope)
        renewal = arrivals.session.renewal
        if arrivals.broken and renewal.wanted is None:
            renewal.wanted = Reason.BROKEN
        if arrivals.finished().retired is None:
            await self._rekey(tx, peer_id, arrivals.session)
        await self._store.contacts.save(tx, arrivals.finished())
        tx.after_commit(lambda: _add(self._counters, arrivals.counters))
        for ack in arrivals.delivered:
            if await self._drop(tx, peer_id, ack) and contact.profile_due:
                await self._tell_profile(tx, peer_id)
        if contact.merging is not None or contact.retired is not None:
            tx.after_commit(self._on_change)
        window = arrivals.session.received
        return Taken(
            ack=window.ack() if arrivals.answer else None,
            delivered=tuple(arrivals.delivered),
            gap=window.held > 0,
            renew=renewal.wanted if arrivals.broken or arrivals.contradicted else None,
            costly=arrivals.costly,
            stored=arrivals.stored,
        )

    def open(self, session: Session, envelope: bytes, *, first_missing_only: bool) -> Opened:
        at_most = session.received.first_gap if first_missing_only else MAX_SEQ
        now = self._around.clock.at_least()
        return session.open(envelope, random=self._around.random, now=now, at_most=at_most)

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

    async def show_past_gap(self, tx: Transaction, peer_id: PeerId) -> None:
        """Stop waiting for what is missing: say at each gap that it is, and hand on everything held behind it.

        What turns up later is handed on late. Raises: NotFound.
        """
        contact = await self.locked(tx, peer_id)
        held = await self._store.received.held(tx, self._node_id, peer_id)
        if not held:
            return
        session = Session.deserialize(contact.session)
        window = session.received
        shown = window.in_turn
        for one in held:
            if missing := window.missing_between(shown, one.seq):
                await self._mark(tx, peer_id, shown, one.seq, missing)
            contact = await self.arrive(tx, contact, one)
            shown = one.seq
        window.given_up = shown
        await self._store.received.release(tx, self._node_id, peer_id, shown)
        await self._store.contacts.save(tx, replace(contact, session=session.serialize()))

    async def _mark(self, tx: Transaction, peer_id: PeerId, after: int, before: int, missing: int) -> None:
        """Say that so many events are missing between the events of these numbers."""
        now = self._around.clock.now()
        ident = derived_id("missing", peer_id, after + 1, before)
        marker = EventArrived(peer_id, Event(ident, now, Unknown(MISSING, {"count": missing})), received_at=now)
        await self._around.observer.record(tx, self._node_id, marker)

    async def show_old_gaps(self, tx: Transaction, peer_id: PeerId) -> None:
        """Show what has waited behind a gap for a day, link or no link, unless carriers say that they have more; see
        docs/protocol/carriers.md, "Collecting"."""
        if self.collecting:
            return
        held = await self._store.received.held(tx, self._node_id, peer_id)
        if held and self._around.clock.at_least() - min(one.received_at for one in held) >= GAP_LIFETIME:
            await self.show_past_gap(tx, peer_id)


class _Arrivals:
    """Some envelopes of one friend, being opened in one transaction."""

    def __init__(self, mailbox: Mailbox, tx: Transaction, contact: Contact, *, carried: bool) -> None:
        self._mailbox = mailbox
        self._tx = tx
        self._contact = contact
        self._carried = carried
        self.session = Session.deserialize(contact.session)
        self.counters = Counters()
        self.delivered: list[Ack] = []
        self.answer = False
        self.broken = False
        self.contradicted = False
        self.costly = 0
        self.stored = 0

    async def take(self, envelope: bytes) -> None:
        if self._carried and (self.broken or self.session.renewal.wanted is Reason.BROKEN):
            self.counters.undecryptable += 1
            return  # it may follow numbers that were used twice, and would hide that from the hello of the next link
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
            match await self._mailbox.acknowledged(self._tx, self.session, opened.ack):
                case Of.OURS:
                    self.session.acknowledged(opened.ack)
                    self.delivered.append(opened.ack)
                case Of.OTHERS:
                    self.contradicted = True
                case Of.OLD:
                    pass
        if opened.inner is None:
            return
        self.answer = True
        self.stored += len(envelope)
        if self._carried:
            self._mailbox.catching_up.carried(self._contact.peer_id, opened.seq)
        held: HeldEvent | None = HeldEvent(self._contact.peer_id, opened.seq, opened.inner, self._mailbox.now())
        event = _decoded(opened.inner)
        if self._contact.retired is Retired.OVER:  # see `arrive`: what is between the nodes speaks to people, too
            held = event = None
        if event is not None:
            self.costly += isinstance(event.body, Merge | CarryEvent | ShelfEvent)
            try:
                contact = await self._mailbox.control(self._tx, self._contact, self.session, opened, event)
                if contact is not None:
                    self._contact, held = contact, None
            except UselessNegotiation:
                self.counters.unreadable += 1
                held = None
        called = self._contact.peer_name
        await self._place(opened.seq, held)
        self.costly += self._contact.peer_name != called

    def finished(self) -> Contact:
        return replace(self._contact, session=self.session.serialize())

    async def _place(self, seq: int, event: HeldEvent | None) -> None:
        """In order, late, or behind a gap. The window has accepted ``seq`` already; None is nothing to hand on."""
        in_turn = self.session.received.in_turn
        if event is not None:
            if seq > in_turn:
                await self._mailbox.hold(self._tx, event)
                return
            self._contact = await self._mailbox.arrive(self._tx, self._contact, event)
        if in_turn > seq:
            self._contact = await self._mailbox.release(self._tx, self._contact, in_turn)

    def _holds_too_much(self) -> bool:
        return self.session.received.held >= MAX_HELD


def _decoded(inner: bytes) -> Event | None:
    """None for what nobody can read: it is shown as just that when its turn comes."""
    try:
        return decode_event(inner)
    except MalformedData:
        return None


def _add(total: Counters, more: Counters) -> None:
    total.duplicates += more.duplicates
    total.undecryptable += more.undecryptable
    total.unreadable += more.unreadable
