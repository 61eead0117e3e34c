"""The clock of the machine, as the nodes' port wants it, and time by which ages are judged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from chattor_bridge.node.ports import Clock

CLOCK_JUMP: Final = 60.0
"""Seconds that the wall clock may gain or lose on the monotonic one at once; more than any clock is slewed by."""

JUMP_DOUBTED: Final = 86_400.0
"""Seconds for which a jump of the wall clock is not believed where ages are judged. What expires is gone for good, and
lives for days: a day later is late enough for it, and gives whoever set the clock wrong the time to notice."""

ABSENCE: Final = 3 * 86_400
"""Seconds that a program may have been off, for all that is known: a long weekend. A clock that says more at the start
is doubted as one that jumps."""

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


@dataclass(frozen=True, slots=True)
class Memory:
    """What a clock said last, in seconds since the epoch: `SteadyClock.at_least` and `SteadyClock.wall`, and since when
    by the latter the two differ, if they do."""

    at_least: int
    wall: int
    since: int


class SteadyClock:
    """Another clock, whose wall-clock time goes on over jumps: a jump is followed only when it has lasted for
    `JUMP_DOUBTED`. A day with a wrong clock then lets nothing expire too early, and nothing live for years.

    What is new is dated by `now`; what is erased or given up for good is judged by `at_least`, which differs when the
    machine was started with a clock that is far ahead of the time that is remembered (`recall`). It may have been off
    for as long, so that what is dated must not be too old when that turns out. `wall` is the other clock's own time,
    for what is said to others.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sure: float | None = None  # what `at_least` exceeds the monotonic clock by, when that is not `_offset`
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
                self._sure = None
            self._offset, self._doubted = offset, None
            return wall
        if not lasted:
            self._doubted, self._since = offset, monotonic
        return round(monotonic + self._offset)

    def at_least(self) -> int:
        """So late it is for sure, unless somebody leaves a wrong clock alone for a day."""
        now, monotonic = self.now(), self._clock.monotonic()
        if self._sure is not None and self._doubted is None and monotonic - self._since >= JUMP_DOUBTED:
            self._sure = None
        return now if self._sure is None else min(now, round(monotonic + self._sure))

    def remember(self) -> Memory:
        """For `recall` after the next start, be that after a crash: to be kept every few minutes."""
        at_least, wall = self.at_least(), self.wall()
        doubted_for = self._clock.monotonic() - self._since
        return Memory(at_least, wall, round(wall - doubted_for))

    def recall(self, memory: Memory) -> None:
        """At the start. A clock that nobody has put right over several starts is as good as one that runs for long."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        was_doubted = abs(memory.wall - memory.at_least) >= CLOCK_JUMP and wall > memory.wall - CLOCK_JUMP
        doubted_for = wall - memory.since if was_doubted else 0
        gained = wall - memory.at_least
        if -CLOCK_JUMP < gained <= ABSENCE or doubted_for >= JUMP_DOUBTED or memory.at_least < PLAUSIBLE:
            return
        self._since = monotonic - doubted_for
        if gained > 0:
            self._sure = memory.at_least - monotonic
        else:
            self._offset, self._doubted = memory.at_least - monotonic, wall - monotonic

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
