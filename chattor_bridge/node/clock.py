"""The clock of the machine, as the nodes' port wants it, and time by which ages are judged."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from chattor_bridge.node.ports import Clock

CLOCK_JUMP: Final = 60.0
"""Seconds that the wall clock may gain or lose on the monotonic one at once; more than any clock is slewed by."""

JUMP_DOUBTED: Final = 86_400.0
"""Seconds for which a jump of the wall clock is not believed where ages are judged. What expires is gone for good, and
lives for days: a day later is late enough for it, and gives whoever set the clock wrong the time to notice."""

PLAUSIBLE: Final = 1_735_689_600
"""Seconds since the epoch, the first day of 2025: a clock before that has not been set yet."""


class SystemClock:
    """A `chattor_bridge.node.ports.Clock` that tells the time of this machine."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        # Counts while the machine sleeps, which time.monotonic() does not: a link is as dead after a night with the
        # lid closed as after one with it open.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SteadyClock:
    """Another clock, whose wall-clock time goes on over jumps: a jump is followed only when it has lasted for
    `JUMP_DOUBTED`. A day with a wrong clock then lets nothing expire too early, and nothing live for years.

    `wall` is the other clock's own time, for what is said to others.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._doubted: float | None = None
        self._since = 0.0
        self._followed_at = clock.monotonic()

    def now(self) -> int:
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        offset = wall - monotonic
        unset = monotonic + self._offset < PLAUSIBLE
        lasted = self._doubted is not None and abs(offset - self._doubted) < CLOCK_JUMP
        if abs(offset - self._offset) < CLOCK_JUMP or unset or (lasted and monotonic - self._since >= JUMP_DOUBTED):
            if abs(offset - self._offset) >= CLOCK_JUMP:
                self._followed_at = monotonic
            self._offset, self._doubted = offset, None
            return wall
        if not lasted:
            self._doubted, self._since = offset, monotonic
        return round(monotonic + self._offset)

    @property
    def is_sure(self) -> bool:
        """Whether `now` is a time that nobody has put right for `JUMP_DOUBTED`, as is soon done to one that is wrong
        since the start."""
        self.now()
        return self._doubted is None and self._clock.monotonic() - self._followed_at >= JUMP_DOUBTED

    def wall(self) -> int:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
