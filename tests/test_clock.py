"""The clock of the tests keeps time as it says."""

from __future__ import annotations

import asyncio

from tests.clock import START, FakeClock


async def test_sleepers_wake_at_their_own_time_and_in_order() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("a", 10, 10))
        group.create_task(sleeper("b", 15))
        await asyncio.sleep(0)
        await clock.advance(19)
        assert woken == [("a", 10.0), ("b", 15.0)]
        await clock.advance(1)
    assert woken[-1] == ("a", 20.0)
    assert clock.now() == START + 20


async def test_whatever_wakes_in_between_as_many_seconds_have_passed_on_both_clocks() -> None:
    for part in range(2, 100):
        clock = FakeClock()
        await asyncio.gather(clock.sleep(1 / part), clock.sleep(0.9 / part), clock.advance(1))
        assert (clock.monotonic(), clock.now()) == (1, START + 1)


async def test_a_jump_of_the_wall_clock_wakes_nobody() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(60))
    clock.set_wall(START + 1_000_000)
    await clock.advance(59)
    assert not task.done()
    await clock.advance(1)
    assert task.done()
    assert clock.now() == START + 1_000_060


async def test_a_machine_that_sleeps_stops_its_timers_and_not_its_clocks() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(60))
    await asyncio.sleep(0)
    clock.suspend(3_600)
    assert (clock.monotonic(), clock.now()) == (3_600, START + 3_600)
    await clock.advance(59)
    assert not task.done()
    await clock.advance(1)
    assert task.done()


async def test_a_cancelled_sleeper_is_passed_over() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(5))
    await asyncio.sleep(0)
    assert clock.sleeping() == 1
    task.cancel()
    await asyncio.sleep(0)
    assert clock.sleeping() == 0
    await clock.advance(10)


async def test_time_passes_until_something_happened() -> None:
    clock = FakeClock()

    async def patient() -> str:
        await clock.sleep(50)
        return "done"

    assert await clock.pass_until(patient()) == "done"
    assert 50 <= clock.monotonic() <= 80
