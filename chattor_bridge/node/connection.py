"""One link at work, from its established handshake to its end. Implements docs/protocol/link.md, "Using a link".

Three tasks share it. The reader stores what comes and only then lets an acknowledgement leave; the writer is the only
one that writes, and sends what the outbox holds from its beginning, again on every new link; the watch keeps the link
from falling silent and gives up when the other side has. Nobody ever waits for the writer, so two sides that are both
flooded cannot wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from chattor_bridge.errors import NoCommonVersion, NotFound, OnionUnreachable, PeerMisbehaved, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.carrying.collecting import Collecting
from chattor_bridge.node.carrying.handing import Handing
from chattor_bridge.node.ending import RENEWED, LinkEnded
from chattor_bridge.node.mailbox import Mailbox, Taken
from chattor_bridge.node.patience import describe, heed_cancellation, jitter, within
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import Contact, OutboxEntry, Role
from chattor_bridge.node.resyncing import Resyncing
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble
from chattor_bridge.protocol.frames import (
    AckFrame,
    Block,
    Bye,
    Collected,
    EnvelopeFrame,
    Frame,
    Hello,
    Holding,
    KeepAlive,
    Onions,
    ResyncAnswer,
    ResyncDone,
    ResyncStart,
    SignalFrame,
)
from chattor_bridge.protocol.limits import (
    COSTLY,
    HANDSHAKE_TIMEOUT,
    KEEPALIVE_INTERVAL,
    LINK_TIMEOUT,
    MAX_IN_FLIGHT,
    SIGNAL_PAUSE,
)
from chattor_bridge.protocol.link import Established, Link, LinkEvent
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS, Ours, negotiate
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import Standing, hello_of
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.signals import Signal, encode_signal
from chattor_bridge.protocol.window import Ack

T = TypeVar("T")

Carry = Callable[[Callable[[Collected], None]], tuple[Handing, Collecting]]
"""Makes what a link needs to carry, given how to tell the friend what was collected."""

BATCH: Final = 16
"""Envelopes stored in one transaction, and taken from the outbox at a time: one flush to disk for all of them, and at
most a quarter of a megabyte in memory."""

GAP_PATIENCE: Final = 60.0
"""Seconds of link after which what came behind a gap is shown all the same: the friend has had its turn to send the
rest again."""

LONG_READ: Final = 0.005
"""Seconds of work on what was read at once: several times what a message full of envelopes takes, and a fifth of one
full of the smallest frames."""

WATCH_INTERVAL: Final = 15.0
"""Seconds between two looks at a link's silences: a tenth of the shortest that ends it."""

AWAKE_PATIENCE: Final = KEEPALIVE_INTERVAL + WATCH_INTERVAL
"""Seconds after a sleep in which a friend who is still there has said something; how long it was silent before was not
ours to hear."""

FAREWELL_TIMEOUT: Final = 1.0
"""Seconds a last word may take to leave; the closed stream says the same, only less clearly."""


class Connection:
    """A link to one friend. `run` it; it ends by itself or by `end`."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        peer_id: PeerId,
        mailbox: Mailbox,
        link: Link,
        stream: Stream,
        trouble: Trouble,
        *,
        allowance: Allowance,
        before: Standing,
        settles: bool,
        asks: Callable[[], bool],
        carry: Carry,
        on_greeted: Callable[[Connection], None],
        on_moved: Callable[[], None],
        on_signal: Callable[[bytes], None],
    ) -> None:
        """``allowance``: what the friend may have us store. ``before``: where our half of the session stood before the
        stream was opened; the friend's hello, being younger, cannot know less. ``settles``: this link shows that the
        friend has learnt of the friendship, so that the accepting handshake is not answered any more. ``asks``: whether
        the friend is to host for both. ``carry`` makes the two ends of what friends carry for each other.
        ``on_greeted`` is called once the friend's hello has come: only then is it certain who is there and that it is
        now. It may `end` this connection or another. ``on_moved`` is called when the friend hosts another onion than
        before, or has learnt of one of ours. ``on_signal`` is called with what the friend signals."""
        self._around = around
        self._node_id = node_id
        self.peer_id = peer_id
        self._mailbox = mailbox
        self._link = link
        self._stream = stream
        self._trouble = trouble
        self._allowance = allowance
        self._resync = Resyncing(around, node_id, peer_id, mailbox, link.handshake_hash, before)
        self._settles = settles
        self._asks = asks
        self._handing, self._collecting = carry(self._say_collected)
        self._collected: list[Collected] = []
        self._on_greeted = on_greeted
        self._on_moved = on_moved
        self._on_signal = on_signal
        self._signals: dict[str, Signal] = {}
        self._signals_due = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._wake = asyncio.Event()
        self._session_id = b""
        self._greeted = False
        self._ack_due: Ack | None = None
        self._onions_due = False
        self._onions_told: Onions | None = None
        self._keep_alive_due = False
        self._more_to_send = True
        self._sent_up_to = 0
        self._in_flight: set[int] = set()
        self._began = self._heard = self._spoke = around.clock.monotonic()
        self._woken_at = float("-inf")
        self._storing = False
        self._costly = 0
        self._gap_since: float | None = None

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._more_to_send = True
        self._wake.set()

    def hand_over(self) -> None:
        """Something was left for the friend that we hold."""
        self._handing.wake()
        self._wake.set()

    def took(self, taken: Taken) -> None:
        """Something of the friend's came by a carrier, and is on disk."""
        self._ack_due = taken.ack or self._ack_due
        self._settle(taken.delivered)
        if taken.broken:
            self._resync.ask(Reason.BROKEN)
        self.wake()

    def _say_collected(self, frame: Collected) -> None:
        self._collected.append(frame)
        self._wake.set()

    def renew(self) -> None:
        """Our owner wants the session renewed; it is on disk."""
        self._resync.ask(Reason.ASKED)
        self._wake.set()

    @property
    def renewed(self) -> bool:
        """Whether the session was renewed on this link."""
        return self._resync.renewed

    def tell_onions(self) -> None:
        """What we host or dial may have changed."""
        self._onions_due = True
        self._wake.set()

    def signal(self, signal: Signal) -> None:
        """Say this as soon as it may be said; of several of one type the last."""
        self._signals[signal.TYPE] = signal
        self._signals_due.set()

    def woken(self) -> None:
        """The machine slept, or its clock jumped: say something, so that a road that is gone breaks, and expect to hear
        from the friend as soon as from any that is there."""
        self._woken_at = self._around.clock.monotonic()
        self._keep_alive_due = True
        self._wake.set()

    def end(self, bye: str) -> None:
        """End soon, with this last word."""
        if not self._ended.done():
            self._ended.set_result(bye)

    async def run(self, early: Sequence[LinkEvent] = ()) -> str:
        """Work until the link ends; why it did, in words for `status`. ``early`` are events that came with the
        handshake.

        Raises: PeerMisbehaved, OnionUnreachable.
        """
        ending: BaseException | None = None
        failure: BaseException | None = None
        bye = "closing"
        try:
            await self._greet()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(early))
                group.create_task(self._write())
                group.create_task(self._say_signals())
                group.create_task(self._watch())
                group.create_task(self._collecting.run())
                # Awaited here and not in a task of its own: a group of Python 3.11 that is left while its tasks run
                # does not take back the cancellation by which a failing task ends it.
                await self._await_end()
        except* LinkEnded as endings:
            ending = _first(endings)
            bye = ending.bye if isinstance(ending, LinkEnded) else ""
        except* (PeerMisbehaved, OnionUnreachable, NotFound) as failures:
            failure = _first(failures)
            bye = ""
        finally:
            await self._say_bye(bye)
            await self._stream.close()
        heed_cancellation()
        if failure is not None:
            raise failure
        return str(ending)

    async def _await_end(self) -> None:
        bye = await self._ended
        raise LinkEnded("another link took its place" if bye == "replaced" else "it was closed", bye=bye)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, events: Sequence[LinkEvent]) -> None:
        while True:
            self._storing = True
            frames = [event.frame for event in events if not isinstance(event, Established)]
            await self._take(frames)
            size, self._costly = COSTLY * self._costly, 0
            size += sum(len(one.envelope) for one in frames if isinstance(one, EnvelopeFrame))
            await self._keep_to_allowance(size)
            self._storing = False
            if events:  # bytes that come to no message are no sign of life
                self._heard = self._around.clock.monotonic()
            data = await self._stream.read()
            if not data:
                raise LinkEnded("the friend hung up")
            events = await self._receive_fairly(data)

    async def _keep_to_allowance(self, size: int) -> None:
        """Read no more for as long as the friend has had us store more than it may."""
        pause = self._allowance.spend(size)
        if not pause:
            return
        reason = self._trouble.reason
        self._trouble.reason = "this friend sends more than anybody reads; it is read slowly from now on"
        await self._around.clock.sleep(pause)
        self._trouble.reason = reason

    async def _receive_fairly(self, data: bytes) -> Sequence[LinkEvent]:
        """What the bytes say. Reading them stops everybody else, so what takes long is followed by as long a pause."""
        clock = asyncio.get_running_loop().time
        began = clock()
        events = self._link.receive(data)
        spent = clock() - began
        if spent > LONG_READ:
            await asyncio.sleep(spent)
        return events

    async def _take(self, frames: Sequence[Frame]) -> None:
        envelopes: list[bytes] = []
        for frame in _telling(frames):
            if self._resync.muted and isinstance(frame, EnvelopeFrame | AckFrame):
                continue
            if isinstance(frame, EnvelopeFrame) and len(envelopes) < BATCH:
                envelopes.append(frame.envelope)
                continue
            await self._store(envelopes)
            envelopes = [frame.envelope] if isinstance(frame, EnvelopeFrame) else []
            match frame:
                case Hello():
                    await self._insist(partial(self._take_hello, frame))
                    self._mailbox.catching_up.greeted(self.peer_id, frame.highest_sent)
                    self._greeted = self._onions_due = True
                    self._on_greeted(self)
                    if self._resync.renewed:
                        raise LinkEnded(RENEWED, bye="renewed")
                    await self._begin_resync()
                case Onions():
                    await self._insist(partial(self._take_onions, frame))
                    self._onions_due = True
                    if frame.asks:  # it may not have heeded what it heard before it asked
                        self._onions_told = None
                case AckFrame(ack):
                    await self._insist(partial(self._take_ack, ack))
                    failpoint("ack-committed")
                    self._settle([ack])
                case ResyncStart() | ResyncAnswer() | ResyncDone():
                    for said in await self._insist(partial(self._resync.take, frame)):
                        self._link.send(said)
                case Block():
                    self._collecting.put(frame)
                case Holding():
                    await self._insist(partial(self._collecting.holding, frame))
                case Collected():
                    await self._insist(partial(self._handing.collected, frame))
                    failpoint("block-collected")
                case Bye(reason):
                    if reason == "too-soon":
                        await self._insist(self._resync.refused)
                    raise LinkEnded(f"the friend ended it: {reason}")
                case EnvelopeFrame() | KeepAlive() | SignalFrame():
                    pass  # stored with those before it; the others were left out
        await self._store(envelopes)
        if self._greeted:
            for frame in frames:
                if isinstance(frame, SignalFrame):
                    self._on_signal(frame.signal)
        self._wake.set()

    async def _store(self, envelopes: list[bytes]) -> None:
        if not envelopes:
            return
        taken = await self._insist(lambda: self._receive(envelopes))
        failpoint("receive-committed")
        self._more_to_send = True  # perhaps: some events are answered by the node itself
        self._costly += taken.costly
        if taken.ack is not None:
            self._ack_due = taken.ack
        self._settle(taken.delivered)
        if taken.broken:
            self._trouble.reason = "a message of this friend cannot be opened; the two sessions differ"
            self._resync.ask(Reason.BROKEN)
            await self._begin_resync()
        if not taken.gap:
            self._gap_since = None
        elif self._gap_since is None:
            self._gap_since = self._around.clock.monotonic()

    async def _begin_resync(self) -> None:
        """Begin a resync, if one is due."""
        for frame in await self._insist(self._resync.begin):
            self._link.send(frame)
            self._wake.set()

    async def _receive(self, envelopes: list[bytes]) -> Taken:
        async with self._around.store.transaction() as tx:
            return await self._mailbox.receive(tx, self.peer_id, envelopes)

    async def _take_ack(self, ack: Ack) -> None:
        async with self._around.store.transaction() as tx:
            await self._mailbox.delivered(tx, self.peer_id, ack, self._session_id)

    async def _take_hello(self, hello: Hello) -> None:
        """Agree on a version, and see that the two halves of the session belong together."""
        async with self._around.store.transaction() as tx:
            contact = await self._mailbox.locked(tx, self.peer_id)
            try:
                agreed = negotiate(Ours(), hello, contact.version)
            except NoCommonVersion as error:
                raise LinkEnded(str(error), bye="unsupported") from error
            greeted = replace(
                contact,
                version=agreed.version,
                capabilities=agreed.capabilities,
                established=contact.established or self._settles,
                heard_at=self._around.clock.now(),
            )
            greeted = await self._resync.compare(tx, greeted, hello)
            if not self._resync.muted:
                greeted = await self._mailbox.rekey(tx, greeted)
            await self._around.store.contacts.save(tx, greeted)

    async def _take_onions(self, onions: Onions) -> None:
        """Remember where the friend can be dialled, take down what it no longer dials, and see that one of us keeps
        hosting: we do when the friend would rather not, and leave it when we asked the friend, who does."""
        async with self._around.store.transaction() as tx:
            contact = await self._mailbox.locked(tx, self.peer_id)
            ours = hosted_onion(contact)
            if onions.hosts is None and ours is None:
                raise PeerMisbehaved("neither this friend nor we would host an onion for the other")
            moved = replace(contact, peer_onion=onions.hosts)
            if onions.dials is not None and onions.dials == ours:
                moved = replace(moved, former_seed=None)
            if onions.keeps and contact.role is Role.KNOCKER and self._asks():
                moved = replace(moved, keeps=False)
            elif ours is not None and (onions.asks or not onions.keeps):
                moved = replace(moved, keeps=True)
            if moved != contact:
                await self._around.store.contacts.save(tx, moved)
                tx.after_commit(self._moved)

    def _moved(self) -> None:
        self._costly += 1
        self._on_moved()

    def _settle(self, acks: Sequence[Ack]) -> None:
        for ack in acks:
            self._in_flight = {seq for seq in self._in_flight if not ack.covers(seq)}

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _greet(self) -> None:
        """Say where our half of the session stands: the hello, and what of the friend's is on disk here."""
        contact = await self._insist(self._look_up)
        session = Session.deserialize(contact.session)
        hello = hello_of(session, versions=PROTOCOL_VERSIONS, capabilities=CAPABILITIES)
        self._session_id = session.session_id
        self._link.send(hello)
        self._ack_due = session.received.ack()
        self._gap_since = self._around.clock.monotonic() if session.received.missing else None
        self._wake.set()

    async def _look_up(self) -> Contact:
        async with self._around.store.transaction() as tx:
            contact = await self._around.store.contacts.get(tx, self._node_id, self.peer_id)
        if contact is None:
            raise NotFound("no such contact")
        return contact

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            ack, self._ack_due = self._ack_due, None
            if self._greeted:
                await self._begin_resync()
            if ack is not None and not self._resync.muted:
                self._link.send(AckFrame(ack))
            sent = await self._fill() if self._greeted and not self._resync.muted else 0
            if self._greeted and self._onions_due:
                self._onions_due = False
                await self._say_onions()
            handed = await self._hand_over() if self._greeted else 0
            if self._keep_alive_due:
                self._keep_alive_due = False
                self._link.send(KeepAlive())
            data = self._link.data_to_send()
            if not data:
                continue
            await self._stream.write(data)
            self._spoke = self._around.clock.monotonic()
            if ack is not None:
                failpoint("ack-written")
            if handed:
                failpoint("blocks-written")
            if sent:
                failpoint("envelope-written")
                self._wake.set()  # there may be more

    async def _hand_over(self) -> int:
        """Queue what we hold for the friend, and say what of what it holds for us is on disk; how much was queued."""
        collected, self._collected = self._collected, []
        frames = [*collected, *await self._insist(self._handing.next)]
        for frame in frames:
            self._link.send(frame)
        return len(frames)

    async def _say_signals(self) -> None:
        while True:
            await self._signals_due.wait()
            self._signals_due.clear()
            due, self._signals = self._signals, {}
            for signal in due.values():
                self._link.send(SignalFrame(encode_signal(signal)))
            self._wake.set()
            await self._around.clock.sleep(SIGNAL_PAUSE)

    async def _say_onions(self) -> None:
        contact = await self._insist(self._look_up)
        hosts = hosted_onion(contact)
        keeps = contact.keeps and hosts is not None
        onions = Onions(hosts, contact.peer_onion, keeps=keeps, asks=keeps and self._asks())
        if onions != self._onions_told:
            self._onions_told = onions
            self._link.send(onions)

    async def _fill(self) -> int:
        """Queue envelopes that fit the window; how many. What the friend already has it drops and acknowledges."""
        room = min(MAX_IN_FLIGHT - len(self._in_flight), BATCH)
        if room <= 0 or not self._more_to_send:
            return 0
        self._more_to_send = False
        entries = await self._insist(lambda: self._waiting(room))
        if len(entries) == room:
            self._more_to_send = True
        for entry in entries:
            self._link.send(EnvelopeFrame(entry.envelope))
            self._in_flight.add(entry.seq)
            self._sent_up_to = entry.seq
        return len(entries)

    async def _waiting(self, limit: int) -> list[OutboxEntry]:
        async with self._around.store.transaction() as tx:
            return await self._around.store.outbox.after(tx, self._node_id, self.peer_id, self._sent_up_to, limit)

    async def _say_bye(self, reason: str) -> None:
        """A last word, if the link can still carry one."""
        if not reason:
            return
        try:
            self._link.send(Bye(reason))
            await within(self._around.clock, FAREWELL_TIMEOUT, self._flush())
        except (UsageError, PeerMisbehaved, OnionUnreachable, TimeoutError):
            return  # it cannot

    async def _flush(self) -> None:
        await self._stream.write(self._link.data_to_send())

    # --- watching ----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        clock = self._around.clock
        while True:
            silence = jitter(self._around.random, KEEPALIVE_INTERVAL / 2, KEEPALIVE_INTERVAL)
            speak_at = clock.monotonic() + silence
            while clock.monotonic() < speak_at:
                pause = min(speak_at - clock.monotonic(), WATCH_INTERVAL)
                due = clock.monotonic() + pause
                await clock.sleep(pause)
                if clock.monotonic() - due < WATCH_INTERVAL:  # else we slept, and what came meanwhile is read first
                    self._look_at_silence()
                await self._look_at_gap()
                speak_at = max(speak_at, self._spoke + silence)
            self._keep_alive_due = True
            self._wake.set()

    def _look_at_silence(self) -> None:
        now = self._around.clock.monotonic()
        if self._storing:
            return
        if not self._greeted and now - self._began >= HANDSHAKE_TIMEOUT:
            raise LinkEnded("the friend did not say hello in time")
        if now - self._heard >= LINK_TIMEOUT:
            raise LinkEnded("nothing was heard from the friend for too long")
        if self._heard < self._woken_at <= now - AWAKE_PATIENCE:
            raise LinkEnded("nothing was heard from the friend since this machine woke up")

    async def _look_at_gap(self) -> None:
        if (
            self._gap_since is None
            or self._mailbox.collecting
            or self._around.clock.monotonic() - self._gap_since < GAP_PATIENCE
        ):
            return
        self._gap_since = None
        await self._insist(self._show_past_gap)

    async def _show_past_gap(self) -> None:
        async with self._around.store.transaction() as tx:
            await self._mailbox.show_past_gap(tx, self.peer_id)

    # --- our own side ------------------------------------------------------------------------------------------------

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Until the database and the observer have it. Only this link waits."""
        result = await self._around.insist(
            work, on_failure=self._held_up, give_up=(PeerMisbehaved, LinkEnded, NotFound)
        )
        if self._trouble.failures:
            self._trouble.well()
        return result

    def _held_up(self, error: Exception, delay: float) -> None:
        self._trouble.failed(describe(error), self._around.clock.monotonic() + delay)


def hosted_onion(contact: Contact) -> OnionKey | None:
    """The onion we host for this friend."""
    return None if contact.hosted_seed is None else OnionKey(ed25519_public(contact.hosted_seed))


def _telling(frames: Sequence[Frame]) -> list[Frame]:
    """Without what is no work for the database (keep-alives and signals), and of acknowledgements, onions and what was
    collected in a row the last of each, which covers the others: one message holds 13,000 of them, and each costs a
    transaction."""
    telling: list[Frame] = []
    row: dict[object, Frame] = {}
    for frame in frames:
        if isinstance(frame, KeepAlive | SignalFrame):
            continue
        if isinstance(frame, AckFrame | Onions | Holding):
            row[type(frame)] = frame
            continue
        if isinstance(frame, Collected):
            row[frame.shelf] = frame
            continue
        telling += [*row.values(), frame]
        row = {}
    return [*telling, *row.values()]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
