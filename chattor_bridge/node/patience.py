"""How a node waits: jittered back-offs, bounded waits, and what it says about a failure.

Every duration here is counted on the monotonic clock, so that a wall clock that jumps moves nothing; what a sleeping
machine has slept through is begun anew (`Alarm`).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from chattor_bridge.errors import ChattorError
from chattor_bridge.node.ports import Clock, RandomBytes
from chattor_bridge.protocol.limits import DEPOSIT_GATHERING, DEPOSIT_WAIT, DEPOSIT_WAIT_JITTER

T = TypeVar("T")

DIAL_TIMEOUT: Final = 120.0
"""Seconds for opening a stream to an onion: tor itself gives up after two minutes."""

FAREWELL_TIMEOUT: Final = 1.0
"""Seconds a last word may take to leave; the closed stream says the same, only less clearly."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a node is; all values in seconds.

    The defaults are those of docs/protocol/limits.md. Whoever runs a node where waiting proves nothing (tests with a
    real clock) makes it quicker.
    """

    start_jitter: float = 10.0
    """Dials and publications at start are spread over this long, each by its own draw: what starts together could
    otherwise be told to live together."""

    dial_first: float = 30.0
    """Wait after the first failed dial; doubled with each further one."""

    dial_most: float = 600.0
    """Longest wait between two dials: a friend who comes back is found within ten minutes."""

    knock_first: float = 30.0
    knock_most: float = 600.0
    """The same for knocking at a door."""

    deposit_wait: float = DEPOSIT_WAIT
    deposit_jitter: float = DEPOSIT_WAIT_JITTER
    deposit_gathering: float = DEPOSIT_GATHERING
    """Wait without a link before something is left at a carrier, and what is added to it, drawn anew; and how long what
    is said later gathers, at most."""

    repair_first: float = 1.0
    repair_most: float = 60.0
    """Wait before trying again what failed on our own side: the database, the observer, tor."""


class Backoff:
    """Waiting times that double from ``first`` to ``most`` seconds, each drawn from the upper half of its step, so that
    two nodes that failed together do not come back together."""

    def __init__(self, first: float, most: float, random: RandomBytes) -> None:
        self._first = first
        self._most = most
        self._random = random
        self._step = first

    def next(self) -> float:
        step = self._step
        self._step = min(self._step * 2, self._most)
        return jitter(self._random, step / 2, step)

    def reset(self) -> None:
        self._step = self._first


class Alarm:
    """Ends a pause before its time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the pause that is going on; when there is none, the next one."""
        self._rung.set()

    async def sleep(self, seconds: float) -> bool:
        """Pause for at most ``seconds``; whether it was cut short."""
        await unless(self._rung, self._clock.sleep(seconds))
        rung = self._rung.is_set()
        self._rung.clear()
        return rung


def jitter(random: RandomBytes, low: float, high: float) -> float:
    """A number of seconds between ``low`` and ``high``, evenly drawn."""
    return low + (high - low) * int.from_bytes(random(4), "big") / 0xFFFFFFFF


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` for at most ``seconds`` of the given clock. Raises: TimeoutError, after ``work`` was cancelled."""
    done, result = await _race(work, clock.sleep(seconds))
    if not done:
        raise TimeoutError
    return cast(T, result)


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Run ``work`` while ``event`` is not set; None when that cut it short."""
    _, result = await _race(work, event.wait())
    return result


async def _race(work: Coroutine[Any, Any, T], end: Coroutine[Any, Any, object]) -> tuple[bool, T | None]:
    """Whether ``work`` was done before ``end`` was, and its result; neither goes on afterwards."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        return (True, working.result()) if working.done() else (False, None)
    finally:
        ending.cancel()
        working.cancel()
        await asyncio.wait({working, ending})
        if not working.cancelled():
            working.exception()  # looked at, even where nobody is left to be told


def heed_cancellation() -> None:
    """Let a cancellation go on that a failure has covered up.

    A task group of Python before 3.13 whose child fails while its task is being cancelled raises only the failure; a
    loop that tries again after failures would then never end. Raises: CancelledError.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def describe(error: BaseException) -> str:
    """What may be written down about a failure: our own errors hold no secrets, anybody else's might."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(inner) for inner in error.exceptions)
    if isinstance(error, ChattorError):
        return str(error) or type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
