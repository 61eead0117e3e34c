"""Lanes: in order each, fair to one another, and patient."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from chattor_bridge.bridge.lanes import LONGEST_PAUSE, Lanes
from chattor_bridge.errors import HomeserverUnavailable
from tests.clock import FakeClock

WAIT = 10.0


class Work:
    """Lanes of numbers, taken one by one; what is in ``failures`` of a lane is raised first."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[int]] = defaultdict(list)
        self.failures: dict[str, list[Exception]] = defaultdict(list)
        self.done: list[tuple[str, int]] = []
        self.running = 0
        self.most_running = 0
        self._news = asyncio.Condition()

    async def step(self, lane: str) -> bool:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if self.failures[lane]:
                raise self.failures[lane].pop(0)
            if not self.waiting[lane]:
                return False
            self.done.append((lane, self.waiting[lane].pop(0)))
            return True
        finally:
            self.running -= 1
            async with self._news:
                self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(condition)


@asynccontextmanager
async def working(work: Work, clock: FakeClock, *, width: int = 2) -> AsyncIterator[Lanes]:
    lanes = Lanes("test", work.step, clock, width=width)
    running = asyncio.create_task(lanes.run())
    try:
        yield lanes
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_each_lane_is_worked_off_in_order() -> None:
    work = Work()
    async with working(work, FakeClock()) as lanes:
        for lane in "abc":
            work.waiting[lane] = list(range(5))
            lanes.wake(lane)
        await work.until(lambda: len(work.done) == 15)
    for lane in "abc":
        assert [number for which, number in work.done if which == lane] == list(range(5))


async def test_a_long_lane_does_not_hold_up_a_short_one() -> None:
    work = Work()
    async with working(work, FakeClock(), width=1) as lanes:
        work.waiting["long"] = list(range(100))
        work.waiting["short"] = [1]
        lanes.wake("long")
        lanes.wake("short")
        await work.until(lambda: ("short", 1) in work.done)
        assert len(work.done) <= 3


async def test_no_more_run_at_once_than_allowed() -> None:
    work = Work()
    async with working(work, FakeClock(), width=3) as lanes:
        for lane in map(str, range(20)):
            work.waiting[lane] = [1, 2]
            lanes.wake(lane)
        await work.until(lambda: len(work.done) == 40)
    assert work.most_running == 3


async def test_news_that_come_while_a_lane_runs_are_not_missed() -> None:
    work = Work()
    lanes: Lanes

    async def step(lane: str) -> bool:
        if len(work.done) < 3:
            lanes.wake(lane)  # more came in while this ran
        work.done.append((lane, 0))
        async with work._news:
            work._news.notify_all()
        return False

    lanes = Lanes("test", step, FakeClock(), width=1)
    running = asyncio.create_task(lanes.run())
    lanes.wake("a")
    await work.until(lambda: len(work.done) == 4)
    running.cancel()
    await asyncio.wait({running})


async def test_a_lane_that_fails_rests_and_goes_on_where_it_was() -> None:
    work, clock = Work(), FakeClock()
    work.waiting["a"] = [1, 2]
    work.failures["a"] = [HomeserverUnavailable("down"), HomeserverUnavailable("down")]
    async with working(work, clock) as lanes:
        lanes.wake("a")
        await work.until(lambda: len(work.failures["a"]) == 1)
        lanes.wake("a")  # what is new does not overtake
        await clock.pass_until(work.until(lambda: len(work.done) == 2), step=1.0)
        assert lanes.resting() == {}
    assert work.done == [("a", 1), ("a", 2)]


async def test_others_go_on_while_a_lane_rests_and_its_reason_is_told() -> None:
    work, clock = Work(), FakeClock()
    work.failures["a"] = [HomeserverUnavailable("down")]
    work.waiting["b"] = [1]
    async with working(work, clock, width=1) as lanes:
        lanes.wake("a")
        lanes.wake("b")
        await work.until(lambda: work.done == [("b", 1)])
        assert lanes.resting()["a"].reason == "down"
        assert lanes.resting()["a"].tries == 1


async def test_pauses_grow_to_a_bound() -> None:
    work, clock = Work(), FakeClock()
    work.waiting["a"] = [1]
    work.failures["a"] = [HomeserverUnavailable("down") for _ in range(10)]
    async with working(work, clock) as lanes:
        lanes.wake("a")
        await work.until(lambda: len(work.failures["a"]) == 9)
        started = clock.monotonic()
        await clock.pass_until(work.until(lambda: bool(work.done)), step=LONGEST_PAUSE)
        assert clock.monotonic() - started <= 10 * LONGEST_PAUSE


async def test_hurrying_ends_a_pause_at_once() -> None:
    work = Work()
    work.waiting["a"] = [1]
    work.failures["a"] = [HomeserverUnavailable("down")]
    async with working(work, FakeClock()) as lanes:
        lanes.wake("a")
        await work.until(lambda: not work.failures["a"])
        await _resting(lanes)
        lanes.hurry()
        await work.until(lambda: work.done == [("a", 1)])


async def test_who_was_asked_for_patience_is_not_hurried() -> None:
    work, clock = Work(), FakeClock()
    work.waiting["a"] = [1]
    work.failures["a"] = [HomeserverUnavailable("later", retry_after=300.0)]
    async with working(work, clock) as lanes:
        lanes.wake("a")
        await work.until(lambda: not work.failures["a"])
        await _resting(lanes)
        lanes.hurry()
        await clock.advance(299.0)
        assert work.done == []
        await clock.advance(2.0)
        await work.until(lambda: work.done == [("a", 1)])


async def test_an_error_nobody_foresaw_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    work, clock = Work(), FakeClock()
    work.failures["a"] = [KeyError("somebody's secret words")]
    async with working(work, clock) as lanes:
        lanes.wake("a")
        await work.until(lambda: not work.failures["a"])
        await _resting(lanes)
    assert "KeyError" in caplog.text
    assert "secret words" not in caplog.text


async def _resting(lanes: Lanes) -> None:
    """Let the worker note the failure it has just been given."""
    async with asyncio.timeout(WAIT):
        while not lanes.resting():  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
