"""Virtual time: an event loop that never waits.

When nothing is ready to run, time jumps to the next timer. There are no sockets, threads or signals in it, so the same
program with the same seed does the same things in the same order; what would break that is an error here. Sets of tasks
are ordered by their addresses in memory elsewhere, which no two processes share: here every future has a number.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Callback = Callable[[Unpack[Ts]], object]

START = 1_760_000_000
"""Where the wall clock starts, in seconds since the epoch."""


FEW_TIMERS = 1_000
"""Cancelled timers that are not worth being cleared away."""


class StandStill(Exception):
    """Everything waits for something that nothing will bring about."""


class _NumberedFuture(asyncio.Future[Any]):
    """A future whose place in a set is the same in every process."""

    _number: int = 0

    def __hash__(self) -> int:
        return self._number


class _NumberedTask(asyncio.Task[Any]):
    """The same for a task."""

    def __init__(
        self,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        number: int,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._number = number  # before asyncio puts it into a set
        super().__init__(work, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class _Timer(asyncio.TimerHandle):
    """A timer that knows whether it is still waited for."""

    waiting = True


class VirtualLoop(asyncio.BaseEventLoop):
    """Run something on it with `run`."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._numbers = itertools.count(1)
        self._due: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._cancelled_timers = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def call_soon(
        self, callback: Callback[*Ts], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callback[*Ts], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Of several at one time, the one that was asked for first comes first."""
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callback[*Ts],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        assert isinstance(handle, _Timer)
        self._cancelled_timers += handle.waiting
        if self._cancelled_timers > FEW_TIMERS and self._cancelled_timers > len(self._timers) // 2:
            self._timers = [timer for timer in self._timers if not timer[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _run_once(self) -> None:
        """What asyncio's loop does between two looks at whether it shall stop."""
        if not self._due:
            self._let_time_pass()
        for _ in range(len(self._due)):
            handle = self._due.popleft()
            if not handle.cancelled():
                handle._run()

    def _let_time_pass(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
            self._cancelled_timers -= 1
        if not self._timers:
            raise StandStill("nothing is ready, nothing is due")
        self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            _, _, timer = heapq.heappop(self._timers)
            if timer.cancelled():
                self._cancelled_timers -= 1
            else:
                timer.waiting = False
                self._due.append(timer)

    def create_future(self) -> asyncio.Future[Any]:
        future = _NumberedFuture(loop=self)
        future._number = next(self._numbers)
        return future

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """At once and here: a thread would be done when it pleases."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        *,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        return _NumberedTask(work, next(self._numbers), loop, context)

    def _write_to_self(self) -> None:
        """There is no other thread to wake up."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns or raises, however much virtual time it takes. Tasks it leaves behind are cancelled."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(work)
        finally:
            left = sorted(asyncio.all_tasks(loop), key=hash)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class VirtualClock:
    """A `chattor_bridge.node.ports.Clock` that tells the time of the loop it is asked in."""

    def now(self) -> int:
        return START + int(asyncio.get_running_loop().time())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = loop.call_later(seconds, _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
