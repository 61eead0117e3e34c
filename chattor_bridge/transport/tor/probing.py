"""Finds onions of ours that nobody can reach although tor believes them published.

That happens without a word: the machine slept, changed its network, or a copy of it published the same onion. So each
onion is dialled now and then the way its friends do it, over tor: the descriptor as the directories have it, a circuit
of its own. One that does not answer is taken out of tor and published again. Whoever comes to an onion shows the same
for nothing, and one with open streams is not needed by anybody else, so an onion in use is hardly ever probed. What
probes show to whom is in docs/threat-model.md.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.transport.tor.onion import HostedOnion
from chattor_bridge.transport.tor.onions import Onions

log = logging.getLogger(__name__)

PROBE_IDLE = (3_600.0, 10_800.0)
"""Seconds, drawn evenly, after which an onion that nobody has come to is probed: sixty onions then make one probe in
two minutes."""

PROBE_LEFT = (60.0, 300.0)
"""Seconds, drawn evenly, after the last stream of an onion ended: whoever left may want to come back, and most have
by then."""

PROBE_DOUBTED = (15.0, 90.0)
"""Seconds, drawn evenly, after something that may have cut tor off: it needs some to find its way back."""

PROBE_AGAIN = 60.0
"""Seconds after an onion was found deaf and published again until it is probed; doubled each time, up to `PROBE_IDLE`.
Half to all of it, at random."""

PROBE_PAUSE = (2.0, 10.0)
"""Seconds, drawn evenly, between two probes; there is never more than one at a time."""

LOOK = 5.0
"""Seconds between two looks at what is due."""

DEAF = "nobody could reach it through the onion network; it is published again"

_jitter = secrets.SystemRandom().uniform


class Probing:
    """`run` it while tor is ready. Times are those of the event loop, in seconds."""

    def __init__(self, onions: Onions, reaches: Callable[[HostedOnion], Awaitable[bool]]) -> None:
        """``reaches`` says whether an onion answers, and raises TorUnavailable when our own tor is in the way."""
        self._onions = onions
        self._reaches = reaches
        self._due: dict[HostedOnion, float] = {}
        self._in_use: set[HostedOnion] = set()
        self._deaf: dict[HostedOnion, int] = {}
        self.found_deaf = 0

    def doubt(self) -> None:
        """Something may have cut tor off from its network: probe all that nobody is using, soon."""
        self._bring_forward(PROBE_DOUBTED)

    async def run(self) -> None:
        """Probe what is due, one after another, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            await self._onions.keep_open()
            while (hosted := self._next()) is not None:
                await self._probe(hosted)
                await asyncio.sleep(_jitter(*PROBE_PAUSE))

    def _next(self) -> HostedOnion | None:
        """The onion whose probe has been due for longest. Keeps account of what there is."""
        now = asyncio.get_running_loop().time()
        there = {hosted for hosted in self._onions if hosted.is_published}
        for hosted in self._due.keys() - there:
            del self._due[hosted]
        for hosted in there - self._due.keys():
            self._due[hosted] = now + self._patience(hosted)
        self._deaf = {hosted: times for hosted, times in self._deaf.items() if not hosted.withdrawn}
        for hosted in there:
            if hosted.streams:
                self._in_use.add(hosted)
                self._due[hosted] = now + _jitter(*PROBE_IDLE)
            elif hosted in self._in_use:
                self._in_use.discard(hosted)
                self._due[hosted] = now + _jitter(*PROBE_LEFT)
        self._in_use &= there
        due = [hosted for hosted, at in self._due.items() if at <= now]
        return min(due, key=self._due.__getitem__, default=None)

    async def _probe(self, hosted: HostedOnion) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            reached = await self._reaches(hosted)
        except Exception as error:
            # Our own side failed, which says nothing about the onion. What else runs for the onions must go on.
            if not isinstance(error, TorUnavailable):
                log.error("probing an onion failed with %s", type(error).__name__)
            self._due[hosted] = loop.time() + _jitter(*PROBE_DOUBTED)
            return
        if reached or hosted.reached_at >= began or not hosted.is_published:
            self._deaf.pop(hosted, None)
            self._due[hosted] = loop.time() + _jitter(*PROBE_IDLE)
            return
        log.warning("an onion of ours cannot be reached although it is published; publishing it again")
        self.found_deaf += 1
        self._deaf[hosted] = self._deaf.get(hosted, 0) + 1
        del self._due[hosted]  # until it is published
        self._bring_forward(PROBE_LEFT)  # what has happened to one may have happened to others
        await self._onions.renew(hosted, DEAF)

    def _patience(self, hosted: HostedOnion) -> float:
        """Seconds until an onion that was published just now is probed."""
        times = self._deaf.get(hosted, 0)
        if not times:
            return _jitter(*PROBE_IDLE)
        return float(min(PROBE_AGAIN * 2 ** (times - 1), PROBE_IDLE[1]) * _jitter(0.5, 1.0))

    def _bring_forward(self, within: tuple[float, float]) -> None:
        now = asyncio.get_running_loop().time()
        for hosted, due in self._due.items():
            if not self._deaf.get(hosted):
                self._due[hosted] = min(due, now + _jitter(*within))
