"""One link at work, from its established handshake to its end. Implements docs/protocol/link.md, "Using a link".

Three tasks share it. The reader, which is here, stores what comes and only then lets an acknowledgement leave; the
writer (`chattor_bridge.node.writing`) is the only one that writes, and sends what the outbox holds from its beginning,
again on every new link; the watch (`chattor_bridge.node.watching`) keeps the link from falling silent and gives up when
the other side has. Nobody ever waits for the writer, so two sides that are both flooded cannot wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from chattor_bridge.errors import NotFound, OnionUnreachable, PeerMisbehaved, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.carrying.collecting import Collecting
from chattor_bridge.node.carrying.handing import Handing
from chattor_bridge.node.ending import RENEWED, LinkEnded
from chattor_bridge.node.greeting import Greeting
from chattor_bridge.node.insisting import Insist
from chattor_bridge.node.mailbox import Mailbox, Taken
from chattor_bridge.node.patience import FAREWELL_TIMEOUT, heed_cancellation, within
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.resyncing import Attempts, Resyncing
from chattor_bridge.node.sending import Of
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble
from chattor_bridge.node.watching import Watching
from chattor_bridge.node.writing import BATCH, Writing
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
from chattor_bridge.protocol.limits import COSTLY
from chattor_bridge.protocol.link import Established, Link, LinkEvent
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import Standing, hello_of
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.protocol.window import Ack

Carry = Callable[[Callable[[Collected], None]], tuple[Handing, Collecting]]
"""Makes what a link needs to carry, given how to tell the friend what was collected."""

LONG_READ: Final = 0.005
"""Seconds of work on what was read at once: several times what a message full of envelopes takes, and a fifth of one
full of the smallest frames."""


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
        attempts: Attempts,
        before: Standing,
        settles: bool,
        asks: Callable[[], bool],
        carry: Carry,
        on_greeted: Callable[[Connection], None],
        on_moved: Callable[[], None],
        on_renewed: Callable[[Connection], None],
        on_signal: Callable[[bytes], None],
    ) -> None:
        """``allowance``: what the friend may have us store. ``attempts``: what is known of resyncs on its other links.
        ``before``: where our half of the session stood before the stream was opened; the friend's hello, being younger,
        cannot know less. ``settles``: this link shows that the friend has learnt of the friendship, so that the
        accepting handshake is not answered any more. ``asks``: whether the friend is to host for both. ``carry`` makes
        the two ends of what friends carry for each other. ``on_greeted`` is called once the friend's hello has come:
        only then is it certain who is there and that it is now. It may `end` this connection or another. ``on_moved``
        is called when the friend hosts another onion than before, or has learnt of one of ours; ``on_renewed`` when the
        session was renewed on this link. ``on_signal`` is called with what the friend signals."""
        self._around = around
        self.peer_id = peer_id
        self._mailbox = mailbox
        self._link = link
        self._stream = stream
        self._trouble = trouble
        self._allowance = allowance
        self._on_greeted = on_greeted
        self._on_moved = on_moved
        self._on_signal = on_signal
        self._insist = Insist(around, trouble)
        self._resync = Resyncing(
            around,
            node_id,
            peer_id,
            mailbox,
            link.handshake_hash,
            before,
            attempts,
            on_renewed=lambda: on_renewed(self),
            on_superseded=partial(self.end, "replaced"),
        )
        self._greeting = Greeting(
            around, node_id, peer_id, mailbox, self._resync, settles=settles, asks=asks, on_moved=self._moved
        )
        self._handing, self._collecting = carry(lambda frame: self._writing.collected(frame))
        self._writing = Writing(
            around, node_id, peer_id, link, stream, self._greeting, self._resync, self._handing, self._insist
        )
        self._watching = Watching(around, peer_id, mailbox, self._writing, self._insist)
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._session_id = b""
        self._costly = 0

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._writing.look_at_outbox()
        self._writing.wake()

    def hand_over(self) -> None:
        """Something was left for the friend that we hold."""
        self._handing.wake()
        self._writing.wake()

    def took(self, taken: Taken) -> None:
        """Something of the friend's came by a carrier, and is on disk."""
        self._writing.acknowledge(taken.ack, owed=True)
        self._writing.settle(taken.delivered)
        self._watching.gap(there=taken.gap)
        if taken.renew is not None:
            self._resync.ask(taken.renew)
        self.wake()

    def renew(self) -> None:
        """Our owner wants the session renewed; it is on disk."""
        self._resync.ask(Reason.ASKED)
        self._writing.wake()

    @property
    def renewed(self) -> bool:
        """Whether the session was renewed on this link."""
        return self._resync.renewed

    def tell_onions(self) -> None:
        """What we host or dial may have changed."""
        self._writing.tell_onions()
        self._writing.wake()

    def signal(self, signal: Signal) -> None:
        """Say this as soon as it may be said; of several of one type the last."""
        self._writing.signal(signal)

    def woken(self) -> None:
        """The machine slept, or its clock jumped: say something, so that a road that is gone breaks, and expect to hear
        from the friend as soon as from any that is there."""
        self._watching.woken()
        self._writing.keep_alive()

    def end(self, bye: str) -> None:
        """End soon, with this last word."""
        self._resync.give_up()
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
                group.create_task(self._writing.run())
                group.create_task(self._writing.run_signals())
                group.create_task(self._watching.run())
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
            self._resync.give_up()
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
            self._watching.storing = True
            frames = [event.frame for event in events if not isinstance(event, Established)]
            await self._take(frames)
            size, self._costly = COSTLY * self._costly, 0
            size += sum(len(one.envelope) for one in frames if isinstance(one, EnvelopeFrame))
            await self._keep_to_allowance(size)
            self._watching.storing = False
            if events:  # bytes that come to no message are no sign of life
                self._watching.heard()
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
                    owed = await self._insist(partial(self._greeting.take_hello, frame))
                    self._writing.acknowledge(owed, owed=owed is not None)
                    self._mailbox.catching_up.greeted(self.peer_id, frame.highest_sent)
                    self._writing.greeted = True
                    self._writing.tell_onions()
                    self._on_greeted(self)
                    if self._resync.renewed:
                        raise LinkEnded(RENEWED, bye="renewed")
                    await self._writing.begin_resync()
                case Onions():
                    await self._insist(partial(self._greeting.take_onions, frame))
                    self._writing.tell_onions(again=frame.asks)  # it may not have heeded what it heard before it asked
                case AckFrame(ack):
                    of = await self._insist(partial(self._take_ack, ack))
                    failpoint("ack-committed")
                    self._writing.settle([ack])  # whatever it is of, something arrived: more may be on its way
                    if of is Of.OTHERS:
                        await self._renew(Reason.CONTRADICTION)
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
        if self._writing.greeted:
            for frame in frames:
                if isinstance(frame, SignalFrame):
                    self._on_signal(frame.signal)
        self._writing.wake()

    async def _store(self, envelopes: list[bytes]) -> None:
        if not envelopes:
            return
        taken = await self._insist(lambda: self._receive(envelopes))
        failpoint("receive-committed")
        self._writing.look_at_outbox()  # some events are answered by the node itself
        self._costly += taken.costly
        self._writing.acknowledge(taken.ack)
        self._writing.settle(taken.delivered)
        if taken.renew is not None:
            await self._renew(taken.renew)
        self._watching.gap(there=taken.gap)

    async def _receive(self, envelopes: list[bytes]) -> Taken:
        async with self._around.store.transaction() as tx:
            return await self._mailbox.receive(tx, self.peer_id, envelopes)

    async def _take_ack(self, ack: Ack) -> Of:
        async with self._around.store.transaction() as tx:
            of, more_to_say = await self._mailbox.delivered(tx, self.peer_id, ack, self._session_id)
        if more_to_say:
            self._writing.look_at_outbox()
        return of

    async def _renew(self, reason: Reason) -> None:
        """The session is to begin anew; that is on disk."""
        self._trouble.reason = "what this friend says does not fit what was said before; the two sessions differ"
        self._resync.ask(reason)
        await self._writing.begin_resync()

    def _moved(self) -> None:
        self._costly += 1
        self._on_moved()

    # --- the first word and the last ---------------------------------------------------------------------------------

    async def _greet(self) -> None:
        """Say where our half of the session stands: the hello, and what of the friend's is on disk here."""
        session = await self._insist(self._greeting.session)
        hello = hello_of(session, versions=PROTOCOL_VERSIONS, capabilities=CAPABILITIES)
        self._session_id = session.session_id
        self._link.send(hello)
        self._writing.acknowledge(session.received.ack())
        self._watching.gap(there=session.received.held > 0)
        self._writing.wake()

    async def _say_bye(self, reason: str) -> None:
        """A last word, if the link can still carry one; before a long absence, what is on disk is acknowledged too."""
        if not reason:
            return
        try:
            if reason == "closing":
                self._writing.send_ack()
            self._link.send(Bye(reason))
            await within(self._around.clock, FAREWELL_TIMEOUT, self._flush())
        except (UsageError, PeerMisbehaved, OnionUnreachable, TimeoutError):
            return  # it cannot

    async def _flush(self) -> None:
        await self._stream.write(self._link.data_to_send())


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
