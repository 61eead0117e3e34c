"""A link's part in renewing the session. Implements docs/protocol/session.md, "Resync".

Whatever changes the session is one transaction: the new state, everything unacknowledged sealed anew under its old
event ids, what was held past a gap handed on, and the notice to our owner. Once a resync has begun on a link, nothing
of either session is sent or taken on it: the next link begins with the hellos of the new one. Several links may be up
between the same two nodes, and are one as far as this goes: see `Attempts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.ending import RENEWED, LinkEnded
from chattor_bridge.node.happenings import SESSION_NOT_RENEWED, SESSION_RENEWED, EventArrived
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.node.records import Contact, OutboxEntry, Retired
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.events import EpochEvent, Event, Unknown, decode_event
from chattor_bridge.protocol.frames import Hello, Resync, ResyncAnswer, ResyncDone, ResyncStart
from chattor_bridge.protocol.limits import EVENT_ID_SIZE, RESYNC_INTERVAL
from chattor_bridge.protocol.primitives import hash256, x25519_public
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import Standing, Starting, answer, contradicts
from chattor_bridge.protocol.session import Session

RESEAL_BATCH: Final = 64
"""Envelopes of the outbox sealed anew at a time: a megabyte in memory at most."""

CONTRADICTION: Final = "the friend's session and ours contradict each other, and were renewed less than a day ago"


class Attempts:
    """What the links of one friend know of each other's resyncs. ``under_way``: those that we started and that were
    neither answered nor given up. Nothing of it is on disk; forgotten, it costs a link."""

    def __init__(self, clock: Clock) -> None:
        self.one_at_a_time = asyncio.Lock()
        self.under_way: set[Resyncing] = set()
        self._clock = clock
        self._refused_at: float | None = None

    def refused(self) -> None:
        """The friend found it too soon: by its clock less time has passed than by ours. One of the two was wrong."""
        self._refused_at = self._clock.monotonic()

    def try_again(self) -> None:
        """Our owner wants to know."""
        self._refused_at = None

    @property
    def pointless(self) -> bool:
        """Whether a start would do nothing but end the link, as the last one did."""
        return self._refused_at is not None and self._clock.monotonic() - self._refused_at < RESYNC_INTERVAL


class Resyncing:
    """One link's resync, if it comes to one. ``muted``: from now on this link carries no envelopes and no
    acknowledgements, either way. ``renewed``: the new session is on disk here.

    Methods without a transaction as their argument use one of their own and may be called again after it failed.
    """

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        peer_id: PeerId,
        mailbox: Mailbox,
        handshake_hash: bytes,
        before: Standing,
        attempts: Attempts,
        *,
        on_renewed: Callable[[], None],
        on_superseded: Callable[[], None],
    ) -> None:
        """``on_renewed`` is called after a commit by which another session is in use; ``on_superseded`` when the
        friend's start on another link counts, and not ours: this link is of no use any more."""
        self._around = around
        self._node_id = node_id
        self._peer_id = peer_id
        self._mailbox = mailbox
        self._handshake_hash = handshake_hash
        self._before = before
        self._attempts = attempts
        self._on_renewed = on_renewed
        self._on_superseded = on_superseded
        self._due: Reason | None = None
        self._starting: Starting | None = None
        self._heard_start = False
        self._given_up = False
        self._answered: bytes | None = None
        self._taken: bytes | None = None  # the session that we have put, or tried to put, in the place of the other
        self.muted = False
        self.renewed = False

    # --- when --------------------------------------------------------------------------------------------------------

    async def compare(self, tx: Transaction, contact: Contact, hello: Hello) -> Contact:
        """See whether the two halves belong together; the contact as it is to be stored. `begin` what follows.

        Raises: LinkEnded when the friendship is over.
        """
        _check_not_over(contact)
        self.muted, self._due, self.renewed = False, None, False
        session = Session.deserialize(contact.session)
        if session.session_id == self._taken:
            self.muted = self.renewed = True  # it was committed, although the database could not say so
            return contact
        if hello.session_id != session.session_id:
            candidate = _candidate(session, hello.session_id)
            if candidate is not None:
                contact = await self._renew(tx, contact, session, candidate)
                self.muted = self.renewed = True
                return contact
            if hello.session_id == session.renewal.replaced:
                self.muted = True  # our hello tells the friend that the new one is here; it ends the link then
                return contact
        unacknowledged = await self._unacknowledged(tx, hello.highest_received)
        if contradicts(hello, session, self._before, unacknowledged):
            self.muted, self._due = True, Reason.CONTRADICTION
        else:
            self._due = session.renewal.wanted
        return contact

    def ask(self, reason: Reason) -> None:
        """It is to be renewed, as the session on disk says too; `begin` it."""
        self._due = reason

    async def begin(self) -> list[Resync]:
        """What to send because a resync is due, if one is.

        Raises: LinkEnded when there cannot be one yet, and the link cannot be used without.
        """
        async with self._attempts.one_at_a_time:
            reason = self._due
            if reason is None or self._starting is not None or self._heard_start or self._given_up or self.renewed:
                return []
            async with self._around.store.transaction() as tx:
                contact, session = await self._locked(tx)
                renewal = session.renewal
                allowed = not renewal.too_early(self._around.clock.now())
                if allowed:
                    renewal.want(reason)
                else:
                    await self._refuse(tx, contact, session)
                await self._save(tx, contact, session)
            failpoint("resync-begun")
            self._due = None
            # Without one, a link is of use unless the hellos contradict each other, or numbers are missing for good.
            if self._attempts.pointless and not self.muted and renewal.wanted is not Reason.GIVEN_UP:
                return []
            if allowed:
                self.muted = True
                self._starting = Starting(session, self._handshake_hash, random=self._around.random)
                self._attempts.under_way.add(self)
                return [self._starting.frame]
            if self.muted:
                raise LinkEnded(CONTRADICTION, bye="too-soon")
            return []

    async def refused(self) -> None:
        """The friend said that it is too soon. Raises: LinkEnded when the friendship is over."""
        if self._starting is not None:
            self._attempts.refused()
        async with self._around.store.transaction() as tx:
            contact, session = await self._locked(tx)
            await self._refuse(tx, contact, session)
            await self._save(tx, contact, session)

    def give_up(self) -> None:
        """The link ends, and what was begun on it comes to nothing. An answer may be on its way, and is passed over."""
        self._attempts.under_way.discard(self)
        self._starting, self._given_up = None, True

    # --- how ---------------------------------------------------------------------------------------------------------

    async def take(self, frame: Resync) -> list[Resync]:
        """What to send after this frame, which is dealt with on disk.

        Raises: LinkEnded when the next link has to go on, or it is too soon; AuthenticationFailed, MalformedData.
        """
        async with self._attempts.one_at_a_time:
            match frame:
                case ResyncStart():
                    return await self._answer(frame)
                case ResyncAnswer():
                    return await self._finish(frame)
                case ResyncDone():
                    return await self._done()

    async def _answer(self, start: ResyncStart) -> list[Resync]:
        if self._heard_start or self.renewed:
            raise MalformedData("a resync was started twice on one link")
        if self._given_up:
            return []  # on a link that is ending, it would stand in the way of one on another
        async with self._around.store.transaction() as tx:
            contact, session = await self._locked(tx)
            ours_counts = bool(self._attempts.under_way) and x25519_public(contact.own_static) < contact.peer_static
            now = self._around.clock.now()
            too_early = not ours_counts and session.renewal.too_early(now)
            if too_early:
                await self._refuse(tx, contact, session)
            elif not ours_counts:
                said, candidate = answer(start, session, self._handshake_hash, random=self._around.random, now=now)
                session.renewal.add_candidate(candidate.serialize())
            await self._save(tx, contact, session)
        if ours_counts:
            self._heard_start = True
            if self._starting is None:
                raise LinkEnded("a resync is under way on another link, and counts", bye="replaced")
            return []
        if too_early:
            raise LinkEnded("the friend wants the session renewed less than a day after the last time", bye="too-soon")
        failpoint("resync-answered")
        self._heard_start = self.muted = True
        self._starting, self._answered = None, candidate.session_id
        self._attempts.under_way.discard(self)
        for other in tuple(self._attempts.under_way):
            other._on_superseded()
        return [said]

    async def _finish(self, said: ResyncAnswer) -> list[Resync]:
        if self._given_up:
            return []
        starting = self._starting
        if starting is None:
            raise MalformedData("an answer to a resync that was not started")
        async with self._around.store.transaction() as tx:
            contact, session = await self._locked(tx)
            if session.session_id != self._taken:
                now = self._around.clock.now()
                renewed = starting.finish(said, session, random=self._around.random, now=now)
                await self._around.store.contacts.save(tx, await self._renew(tx, contact, session, renewed))
        failpoint("resync-finished")
        self._starting, self.renewed = None, True
        self._attempts.under_way.discard(self)
        return [ResyncDone()]  # the friend ends the link when it is there too

    async def _done(self) -> list[Resync]:
        if self._answered is None:
            raise MalformedData("the end of a resync that was not answered")
        async with self._around.store.transaction() as tx:
            contact, session = await self._locked(tx)
            candidate = _candidate(session, self._answered)
            if candidate is not None:
                await self._around.store.contacts.save(tx, await self._renew(tx, contact, session, candidate))
        failpoint("resync-taken")
        self.renewed = True
        raise LinkEnded(RENEWED, bye="renewed")

    # --- on disk -----------------------------------------------------------------------------------------------------

    async def _renew(self, tx: Transaction, contact: Contact, old: Session, new: Session) -> Contact:
        """Put ``new`` in the place of ``old``; the contact as it is to be stored."""
        self._taken = new.session_id
        reason = old.renewal.wanted or Reason.FRIEND
        received = self._around.store.received
        held = await received.held(tx, self._node_id, self._peer_id)
        for one in held:
            contact = await self._mailbox.arrive(tx, contact, one)
        if held:
            await received.release(tx, self._node_id, self._peer_id, held[-1].seq)
        new.renewal.at = self._around.clock.now()  # and not when it was made: it may have been kept for a day
        await self._reseal(tx, new, given_up=reason is Reason.GIVEN_UP)
        if contact.retired is None:
            await self._mailbox.renewed(tx, self._peer_id, new)
        await self._tell(tx, contact, SESSION_RENEWED, new, {"reason": reason.value})
        tx.after_commit(self._on_renewed)
        return replace(contact, session=new.serialize())

    async def _reseal(self, tx: Transaction, new: Session, *, given_up: bool) -> None:
        """Seal the outbox anew, in order, but for what was given up. A new number never exceeds the old one of the same
        event, so the rows that wait for their turn are not in the way."""
        outbox, seq = self._around.store.outbox, 0
        while batch := await outbox.after(tx, self._node_id, self._peer_id, seq, RESEAL_BATCH):
            seq = batch[-1].seq
            await outbox.remove(tx, self._node_id, self._peer_id, [(batch[0].seq, seq)])
            for entry in batch:
                ends = isinstance(decode_event(entry.event).body, EpochEvent)  # with the session it is of
                if not ends and not (given_up and self._mailbox.is_too_old(entry)):
                    await outbox.add(tx, self._node_id, self._sealed_anew(entry, new))

    def _sealed_anew(self, entry: OutboxEntry, new: Session) -> OutboxEntry:
        sealed = new.seal(entry.event, random=self._around.random)
        return replace(entry, seq=sealed.seq, envelope=sealed.envelope, digest_before=sealed.kept.before)

    async def _refuse(self, tx: Transaction, contact: Contact, session: Session) -> None:
        """Tell our owner, once, that the session cannot be renewed yet; the caller stores it."""
        if not session.renewal.refused:
            session.renewal.refused = True
            await self._tell(tx, contact, SESSION_NOT_RENEWED, session, {})

    async def _tell(
        self, tx: Transaction, contact: Contact, what: str, session: Session, fields: dict[str, object]
    ) -> None:
        """Tell our owner, who wants to hear no more of a friendship that ends."""
        if contact.retired is not None:
            return
        now = self._around.clock.now()
        event_id = EventId(hash256(what, self._peer_id, session.session_id)[:EVENT_ID_SIZE])
        notice = Event(event_id, now, Unknown(what, fields))
        await self._around.observer.record(tx, self._node_id, EventArrived(self._peer_id, notice, received_at=now))

    async def _locked(self, tx: Transaction) -> tuple[Contact, Session]:
        """The contact and its session. Raises: NotFound; LinkEnded when the friendship is over."""
        contact = await self._mailbox.locked(tx, self._peer_id)
        _check_not_over(contact)
        return contact, Session.deserialize(contact.session)

    async def _save(self, tx: Transaction, contact: Contact, session: Session) -> None:
        await self._around.store.contacts.save(tx, replace(contact, session=session.serialize()))

    async def _unacknowledged(self, tx: Transaction, seq: int) -> bytes | None:
        """The envelope with this number, if the outbox has it."""
        entries = await self._around.store.outbox.after(tx, self._node_id, self._peer_id, seq - 1, 1)
        return entries[0].envelope if entries and entries[0].seq == seq else None


def _check_not_over(contact: Contact) -> None:
    if contact.retired is Retired.OVER:
        raise LinkEnded("this friendship is over", bye="closing")


def _candidate(session: Session, session_id: bytes) -> Session | None:
    candidates = map(Session.deserialize, session.renewal.candidates)
    return next((one for one in candidates if one.session_id == session_id), None)
