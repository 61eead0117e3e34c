"""The one that writes on a link: the envelopes of the outbox from its beginning, acknowledgements, and the rest.

Implements docs/protocol/link.md, "Using a link".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.carrying.handing import Handing
from chattor_bridge.node.greeting import Greeting
from chattor_bridge.node.insisting import Insist
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.node.resyncing import Resyncing
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.frames import AckFrame, Collected, EnvelopeFrame, KeepAlive, Onions, SignalFrame
from chattor_bridge.protocol.limits import MAX_IN_FLIGHT, SIGNAL_PAUSE
from chattor_bridge.protocol.link import Link
from chattor_bridge.protocol.signals import Signal, encode_signal
from chattor_bridge.protocol.window import Ack

BATCH: Final = 16
"""Envelopes stored in one transaction, and taken from the outbox at a time: one flush to disk for all of them, and at
most a quarter of a megabyte in memory."""


class Writing:
    """What is due on one link. ``greeted``: the friend's hello has come, and more than an acknowledgement may be said.
    ``spoke_at``: when something was written last, on the monotonic clock."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        peer_id: PeerId,
        link: Link,
        stream: Stream,
        greeting: Greeting,
        resync: Resyncing,
        handing: Handing,
        insist: Insist,
    ) -> None:
        self._around = around
        self._node_id = node_id
        self._peer_id = peer_id
        self._link = link
        self._stream = stream
        self._greeting = greeting
        self._resync = resync
        self._handing = handing
        self._insist = insist
        self.greeted = False
        self.spoke_at = around.clock.monotonic()
        self._due = asyncio.Event()
        self._ack_due: Ack | None = None
        self._owed = False
        self._onions_due = False
        self._onions_told: Onions | None = None
        self._keep_alive_due = False
        self._collected: list[Collected] = []
        self._signals: dict[str, Signal] = {}
        self._signals_due = asyncio.Event()
        self._more_to_send = True
        self._sent_up_to = 0
        self._in_flight: set[int] = set()

    def wake(self) -> None:
        """Something is to be written."""
        self._due.set()

    def look_at_outbox(self) -> None:
        """Perhaps something was put into the outbox; written with the next `wake`."""
        self._more_to_send = True

    def acknowledge(self, ack: Ack | None, *, owed: bool = False) -> None:
        """This is on disk here, to be said with the next `wake`; None is nothing new. ``owed``: until it was said here,
        it is to be left at the friend's carriers too."""
        self._ack_due = ack or self._ack_due
        self._owed = self._owed or owed

    def settle(self, acks: Sequence[Ack]) -> None:
        """The friend has these."""
        for ack in acks:
            self._in_flight = {seq for seq in self._in_flight if not ack.covers(seq)}

    def collected(self, frame: Collected) -> None:
        """Say that this is on disk."""
        self._collected.append(frame)
        self.wake()

    def keep_alive(self) -> None:
        """Say something."""
        self._keep_alive_due = True
        self.wake()

    def tell_onions(self, *, again: bool = False) -> None:
        """What we host or dial may have changed: say it with the next `wake`, and ``again`` even if it has not."""
        self._onions_due = True
        if again:
            self._onions_told = None

    def signal(self, signal: Signal) -> None:
        """Say this as soon as it may be said; of several of one type the last."""
        self._signals[signal.TYPE] = signal
        self._signals_due.set()

    def send_ack(self) -> bool:
        """Queue the acknowledgement that is due; whether there was one. Once a resync has begun it would mean nothing
        to the friend."""
        ack, self._ack_due = self._ack_due, None
        if ack is None or self._resync.muted:
            return False
        self._link.send(AckFrame(ack))
        return True

    async def begin_resync(self) -> None:
        """Begin a resync, if one is due."""
        for frame in await self._insist(self._resync.begin):
            self._link.send(frame)
            self.wake()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self.greeted:
                await self.begin_resync()
            acknowledged = self.send_ack()
            sent = await self._fill() if self.greeted and not self._resync.muted else 0
            if self.greeted and self._onions_due:
                self._onions_due = False
                await self._say_onions()
            handed = await self._hand_over() if self.greeted else 0
            if self._keep_alive_due:
                self._keep_alive_due = False
                self._link.send(KeepAlive())
            data = self._link.data_to_send()
            if not data:
                continue
            await self._stream.write(data)
            self.spoke_at = self._around.clock.monotonic()
            if acknowledged:
                failpoint("ack-written")
                if self._owed and self.greeted:
                    self._owed = False
                    await self._insist(self._note_acknowledged)
            if handed:
                failpoint("blocks-written")
            if sent:
                failpoint("envelope-written")
            if handed or sent:
                self.wake()  # there may be more

    async def _note_acknowledged(self) -> None:
        async with self._around.store.transaction() as tx:
            await self._around.store.deposits.said(tx, self._node_id, self._peer_id)

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
            return await self._around.store.outbox.after(tx, self._node_id, self._peer_id, self._sent_up_to, limit)

    async def _hand_over(self) -> int:
        """Queue what we hold for the friend, and say what of what it holds for us is on disk; how much was queued."""
        collected, self._collected = self._collected, []
        frames = [*collected, *await self._insist(self._handing.next)]
        for frame in frames:
            self._link.send(frame)
        return len(frames)

    async def _say_onions(self) -> None:
        onions = await self._insist(self._greeting.onions)
        if onions != self._onions_told:
            self._onions_told = onions
            self._link.send(onions)

    async def run_signals(self) -> None:
        """Write what is signalled, at the pace at which that may be said. Until cancelled."""
        while True:
            await self._signals_due.wait()
            self._signals_due.clear()
            due, self._signals = self._signals, {}
            for signal in due.values():
                self._link.send(SignalFrame(encode_signal(signal)))
            self.wake()
            await self._around.clock.sleep(SIGNAL_PAUSE)
