"""How a link is kept from falling silent, and given up when the other side has.

Implements docs/protocol/link.md, "Using a link".
"""

from __future__ import annotations

from typing import Final

from chattor_bridge.ids import PeerId
from chattor_bridge.node.ending import LinkEnded
from chattor_bridge.node.insisting import Insist
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.patience import jitter
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.writing import Writing
from chattor_bridge.protocol.limits import HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL, LINK_TIMEOUT

GAP_PATIENCE: Final = 60.0
"""Seconds of link after which what came behind a gap is shown all the same: the friend has had its turn to send the
rest again."""

WATCH_INTERVAL: Final = 15.0
"""Seconds between two looks at a link's silences: a tenth of the shortest that ends it."""

AWAKE_PATIENCE: Final = KEEPALIVE_INTERVAL + WATCH_INTERVAL
"""Seconds after a sleep in which a friend who is still there has said something; how long it was silent before was not
ours to hear."""


class Watching:
    """Watches the silences of one link, and what waits behind a gap. ``storing``: what was heard is still being stored,
    and the silence is ours."""

    def __init__(
        self, around: Surroundings, peer_id: PeerId, mailbox: Mailbox, writing: Writing, insist: Insist
    ) -> None:
        self._around = around
        self._peer_id = peer_id
        self._mailbox = mailbox
        self._writing = writing
        self._insist = insist
        self.storing = False
        self._began = self._heard = around.clock.monotonic()
        self._woken_at = float("-inf")
        self._gap_since: float | None = None

    def heard(self) -> None:
        """The friend has said something."""
        self._heard = self._around.clock.monotonic()

    def woken(self) -> None:
        """The machine slept, or its clock jumped: expect to hear from the friend as soon as from any that is there."""
        self._woken_at = self._around.clock.monotonic()

    def gap(self, *, there: bool) -> None:
        """Whether something is missing before what has come."""
        if not there:
            self._gap_since = None
        elif self._gap_since is None:
            self._gap_since = self._around.clock.monotonic()

    async def run(self) -> None:
        """Raises: LinkEnded."""
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
                speak_at = max(speak_at, self._writing.spoke_at + silence)
            self._writing.keep_alive()

    def _look_at_silence(self) -> None:
        now = self._around.clock.monotonic()
        if self.storing:
            return
        if not self._writing.greeted and now - self._began >= HANDSHAKE_TIMEOUT:
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
            await self._mailbox.show_past_gap(tx, self._peer_id)
