"""Virtual time: nothing waits, and what happens at once happens in the order in which it was asked for."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from chattor_bridge.node.clock import CLOCK_JUMP, SteadyClock
from tests.sim.loop import START, StandStill, VirtualClock, run


def test_a_month_takes_no_time() -> None:
    async def sleep() -> tuple[float, int]:
        clock = VirtualClock()
        await clock.sleep(30 * 86_400)
        return clock.monotonic(), clock.now()

    began = time.monotonic()
    assert run(sleep()) == (30 * 86_400, START + 30 * 86_400)
    assert time.monotonic() - began < 5


def test_whoever_asked_first_is_first() -> None:
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(name)

    async def everybody() -> None:
        await asyncio.gather(sleeper("late", 2.0), sleeper("one", 1.0), sleeper("other", 1.0), sleeper("soon", 0.5))

    run(everybody())
    assert woken == ["soon", "one", "other", "late"]


def test_timeouts_are_virtual_too() -> None:
    async def give_up() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(120.0):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert run(give_up()) == 120.0


def test_a_cancelled_sleeper_holds_nobody_up() -> None:
    async def cancel_many() -> float:
        clock = VirtualClock()
        sleepers = [asyncio.create_task(clock.sleep(1_000_000.0)) for _ in range(3_000)]
        await clock.sleep(1.0)
        for sleeper in sleepers:
            sleeper.cancel()
        await asyncio.wait(sleepers)
        await clock.sleep(1.0)
        return clock.monotonic()

    assert run(cancel_many()) == 2.0


def test_what_nothing_will_wake_is_told() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StandStill):
        run(wait_for_nothing())


def test_a_thread_is_none() -> None:
    async def elsewhere() -> int:
        return await asyncio.to_thread(threading.get_ident)

    assert run(elsewhere()) == threading.get_ident()


def test_sets_of_tasks_have_the_same_order_everywhere() -> None:
    async def order() -> list[int]:
        tasks = {asyncio.create_task(asyncio.sleep(1.0)) for _ in range(50)}
        await asyncio.wait(tasks)
        return [hash(task) for task in tasks]

    assert run(order()) == run(order())


def test_the_wall_clock_goes_as_the_other_does() -> None:
    async def watch() -> float:
        clock = VirtualClock()
        steady = SteadyClock(clock)
        await clock.sleep(86_400.5)
        return steady.now() - START - clock.monotonic()

    assert abs(run(watch())) < CLOCK_JUMP
