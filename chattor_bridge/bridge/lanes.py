"""Many queues worked off at once, each of them strictly in order.

A *lane* is one queue in the database: the inbox of a room, or the pending actions of a portal. A fixed number of
workers takes ready lanes in turn, one step each, so that a busy conversation cannot starve the others. A lane whose
step fails for a passing reason rests with growing, jittered pauses; nothing behind it overtakes, and no worker waits
for it. All that is kept here is in memory and rebuilt from the database at start.

::

    idle ──wake──> ready ──worker──> running ──step: nothing left──> idle
                     ^                  │ └─────step: more──> ready
                     └──pause over── resting <──step failed
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from chattor_bridge.errors import HomeserverUnavailable, Unavailable
from chattor_bridge.node.patience import describe, heed_cancellation
from chattor_bridge.node.ports import Clock

FIRST_PAUSE = 1.0
"""Seconds before the second try: a hiccup should not be noticed."""

LONGEST_PAUSE = 60.0
"""Seconds: after a long outage nobody should wait much longer than a minute. `Lanes.hurry` cuts it short."""

_jitter = random.SystemRandom().random

log = logging.getLogger(__name__)

Step = Callable[[str], Awaitable[bool]]
"""Take one item of the lane from the database and finish it; true if there may be more."""


class _State(Enum):
    READY = 1
    RUNNING = 2
    RUNNING_AND_WOKEN = 3
    RESTING = 4


@dataclass(frozen=True, slots=True)
class Resting:
    """Why a lane stands still. ``tries`` counts its failures in a row."""

    reason: str
    tries: int


class Lanes:
    """Works off lanes, at most ``width`` at a time. ``name`` is for the log."""

    def __init__(self, name: str, step: Step, clock: Clock, *, width: int) -> None:
        self._name = name
        self._step = step
        self._clock = clock
        self._width = width
        self._ready: asyncio.Queue[str] = asyncio.Queue()  # each lane is in it once at most
        self._states: dict[str, _State] = {}
        self._resting: dict[str, Resting] = {}
        self._pauses: dict[str, asyncio.Task[None]] = {}
        self._patient: set[str] = set()

    def wake(self, lane: str) -> None:
        """There may be something in this lane. Cheap, never blocks, callable from any `after_commit`."""
        state = self._states.get(lane)
        if state is None:
            self._make_ready(lane)
        elif state is _State.RUNNING:
            self._states[lane] = _State.RUNNING_AND_WOKEN

    def hurry(self) -> None:
        """What the resting lanes wait for seems to be back: try again now, unless they were asked for patience."""
        for lane in [lane for lane in self._pauses if lane not in self._patient]:
            self._pauses.pop(lane).cancel()
            self._make_ready(lane)

    def resting(self) -> dict[str, Resting]:
        """The lanes that stand still at the moment."""
        return dict(self._resting)

    async def run(self) -> None:
        """Work until cancelled. Cancelling is safe at any moment: steps are transactions and repeatable requests."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._width):
                group.create_task(self._work(group))

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            lane = await self._ready.get()
            self._states[lane] = _State.RUNNING
            try:
                more = await self._step(lane)
            except Exception as error:
                heed_cancellation()
                self._rest(group, lane, error)
            else:
                self._resting.pop(lane, None)
                if more or self._states[lane] is _State.RUNNING_AND_WOKEN:
                    self._make_ready(lane)
                else:
                    del self._states[lane]

    def _make_ready(self, lane: str) -> None:
        self._states[lane] = _State.READY
        self._ready.put_nowait(lane)

    def _rest(self, group: asyncio.TaskGroup, lane: str, error: Exception) -> None:
        tries = self._resting[lane].tries + 1 if lane in self._resting else 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 16)) * (0.5 + _jitter() / 2)
        self._patient.discard(lane)
        if isinstance(error, HomeserverUnavailable) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
            self._patient.add(lane)
        reason = describe(error)
        log.log(
            logging.INFO if isinstance(error, Unavailable) else logging.ERROR,
            "%s: a lane rests for %.0f s after %d failures in a row: %s",
            self._name,
            pause,
            tries,
            reason,
        )
        self._resting[lane] = Resting(reason, tries)
        self._states[lane] = _State.RESTING
        self._pauses[lane] = group.create_task(self._pause(lane, pause))

    async def _pause(self, lane: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        del self._pauses[lane]
        self._make_ready(lane)
