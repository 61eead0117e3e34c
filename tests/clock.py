"""Virtual time: a clock that moves only when a test says so, so that a back-off of ten minutes takes none.

While it stands still nothing can time out, which is what most tests want: they wait on events, bounded in real time.
A test about waiting moves the clock itself, with `advance` or `pass_until`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

START = 1_760_000_000
"""Where the wall clock starts, in seconds since the epoch."""

REAL_SECONDS_PER_STEP = 0.2
"""How long `pass_until` lets real input and output go on before it moves virtual time again."""

REAL_SECONDS_AT_MOST = 30.0
"""How long a test waits, in real seconds, for something that must happen."""

REAL_SECONDS_PER_BREATH = 0.05
"""The same for `pass_slowly`, which need not wait for anything in particular."""

SETTLING_ROUNDS = 20
"""Turns of the event loop granted to whoever was woken, before time moves on."""


class FakeClock:
    """A `chattor_bridge.node.ports.Clock` whose time is moved by hand."""

    def __init__(self, now: int = START) -> None:
        self._ahead = now
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        # In whole seconds all along: a sum of floats that large loses some of what is added, and its second comes late.
        return int(self._monotonic) + self._ahead

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        await woken

    def set_wall(self, now: int) -> None:
        """Let the wall clock jump, as it does when a machine learns the time; monotonic time does not notice."""
        self._ahead = now - int(self._monotonic)

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: both clocks go on, and every timer stands still meanwhile."""
        self._sleepers = [(due + seconds, order, woken) for due, order, woken in self._sleepers]
        self._monotonic += seconds

    def sleeping(self, *, at_least: float = 0.0) -> int:
        """How many sleepers have at least this many seconds to go."""
        return sum(1 for due, _, woken in self._sleepers if not woken.done() and due - self._monotonic >= at_least)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, waking every sleeper at its own time and in order."""
        await self._settle()  # whoever is about to fall asleep does so now, not after the time has passed
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():  # its sleeper was cancelled
                continue
            self._monotonic = max(due, self._monotonic)
            woken.set_result(None)
            await self._settle()
        self._monotonic = end
        await self._settle()

    async def pass_until(self, awaitable: Awaitable[T], *, step: float = 20.0) -> T:
        """Let time pass in steps of ``step`` seconds until ``awaitable`` is done, and return its result.

        Between steps real input and output get `REAL_SECONDS_PER_STEP`. Raises: TimeoutError when it takes more than
        `REAL_SECONDS_AT_MOST`.
        """
        waited_for = asyncio.ensure_future(awaitable)
        try:
            async with asyncio.timeout(REAL_SECONDS_AT_MOST):
                while True:
                    done, _ = await asyncio.wait({waited_for}, timeout=REAL_SECONDS_PER_STEP)
                    if done:
                        return waited_for.result()
                    await self.advance(step)
        finally:
            waited_for.cancel()

    async def pass_slowly(self, seconds: float, *, step: float = 20.0) -> None:
        """Let ``seconds`` pass in steps, with a breath of real time after each for input and output."""
        end = self._monotonic + seconds
        while self._monotonic < end:
            await self.advance(min(step, end - self._monotonic))
            await asyncio.sleep(REAL_SECONDS_PER_BREATH)

    async def _settle(self) -> None:
        for _ in range(SETTLING_ROUNDS):
            await asyncio.sleep(0)
