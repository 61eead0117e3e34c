"""Clocks that jump and disks that are full, at whoever carries, is carried for or sends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from chattor_bridge.errors import DatabaseUnavailable
from chattor_bridge.node.carrying import settling
from chattor_bridge.node.clock import JUMP_DOUBTED
from chattor_bridge.protocol.limits import SHELF_LIFETIME
from chattor_bridge.storage import Store
from chattor_bridge.storage.transaction import sql
from tests.carrying.circle_of_three import Three
from tests.node.world import World

Method = Callable[..., Coroutine[Any, Any, Any]]

DAY, MONTH = 86_400, 30 * 86_400
"""Seconds."""

WORDS = [f"word {number}" for number in range(40)]
"""Three blocks."""


@pytest.fixture
async def three(world: World) -> Three:
    """Rita is away."""
    three = await Three.meet(world)
    await three.agree()
    await three.rita.house.stop()
    return three


async def _comes_once(three: Three) -> None:
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.texts()) >= len(WORDS), time_passes=True)
    await three.until_held(0)
    assert three.rita.texts() == WORDS
    await three.sam.until(lambda: len(three.sam.delivered()) == len(set(three.sam.delivered())) > 0)


@pytest.mark.parametrize("jump", [MONTH, -DAY])
async def test_a_clock_that_jumps_loses_nothing_and_replaces_no_shelf(three: Three, world: World, jump: int) -> None:
    """What is held lives for 21 days and a shelf for 30: none of them are over because a clock says so."""
    [before] = await three.targets()
    await three.sam.say(three.with_sam, *WORDS[:20])
    await three.until_held(2)
    world.clock.set_wall(world.clock.now() + jump)
    await world.clock.pass_slowly(3 * 3600, step=600)  # over three looks at what has become old
    assert await three.held() == 2
    await three.sam.say(three.with_sam, *WORDS[20:])
    await three.until_held(4)
    world.clock.set_wall(world.clock.now() - jump)
    await world.clock.pass_slowly(3 * 3600, step=600)
    assert await three.held() == 4
    await _comes_once(three)
    assert await three.targets() == [before]


async def test_a_clock_that_stays_wrong_is_followed_after_a_day_and_what_is_lost_is_left_again(
    three: Three, world: World
) -> None:
    await three.sam.say(three.with_sam, *WORDS)
    await three.until_held(3)
    world.clock.set_wall(world.clock.now() + MONTH - 10 * DAY)
    await world.clock.pass_slowly(2 * DAY, step=3600)
    await _comes_once(three)


@pytest.mark.parametrize("corrected", [True, False])
async def test_a_carrier_that_starts_with_its_clock_ahead_drops_nothing_for_a_day(
    three: Three, world: World, *, corrected: bool
) -> None:
    """Until then it is set right, or somebody has noticed: what it would drop is with its sender alone."""
    await three.sam.say(three.with_sam, *WORDS)
    await three.until_held(3)
    for person in (three.sam, three.carl):
        await person.house.stop()
    world.clock.set_wall(world.clock.now() + MONTH)
    await three.carl.house.start()
    await world.clock.pass_slowly(JUMP_DOUBTED - 3600, step=3600)
    assert await three.held() == 3
    if corrected:
        world.clock.set_wall(world.clock.now() - MONTH)
    await world.clock.pass_slowly(3 * 3600, step=600)
    assert await three.held() == (3 if corrected else 0)


async def test_what_was_kept_by_a_clock_that_was_ahead_goes_in_its_time(three: Three, world: World) -> None:
    for person in (three.carl, three.sam):
        await person.house.stop()
    world.clock.set_wall(world.clock.now() + 12 * MONTH)
    for person in (three.carl, three.sam):
        await person.house.start()
    await three.sam.say(three.with_sam, *WORDS)
    await three.until_held(3)
    for person in (three.carl, three.sam):
        await person.house.stop()
    world.clock.set_wall(world.clock.now() - 12 * MONTH)
    await three.carl.house.start()
    await world.clock.pass_slowly(JUMP_DOUBTED + 2 * 3600, step=3600)
    assert await three.held() == 3
    world.clock.suspend(SHELF_LIFETIME)
    await world.clock.pass_slowly(DAY, step=3600)
    assert await three.held() == 0
    await three.sam.house.start()
    await three.until_held(3)  # what was left there, by that clock, in a year is left again
    await _comes_once(three)


async def test_what_is_too_old_is_dropped_a_few_at_a_time(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes through the log of a database whose disk it may have filled."""
    await three.sam.say(three.with_sam, *WORDS)
    await three.until_held(3)
    await three.sam.house.stop()
    carriages, gone = three.carl.house.store.carriages, list[int]()

    async def expire(*args: Any, inner: Method = carriages.expire) -> int:
        gone.append(await inner(*args))
        return gone[-1]

    monkeypatch.setattr(carriages, "expire", expire)
    monkeypatch.setattr(settling, "EXPIRED_AT_ONCE", 2)
    async with three.carl.house.store.transaction() as tx:
        await sql(tx).execute("UPDATE held_blocks SET kept_at = kept_at - $1", SHELF_LIFETIME + 1)
    three.carl.node.work.carrying.look_again()
    await three.until_held(0)
    assert [count for count in gone if count] == [2, 1]


async def _limit(store: Store, pages: int) -> None:
    async with store.transaction() as tx:
        await sql(tx).execute(f"PRAGMA max_page_count = {pages}")


async def test_a_carrier_whose_disk_is_full_says_nothing_that_is_not_so(three: Three, world: World) -> None:
    await _limit(three.carl.house.store, 1)  # which is as many as there are
    await three.sam.say(three.with_sam, *WORDS)
    await world.clock.pass_slowly(1800)
    assert await three.held() == 0
    assert any(one.what == "carrier" and one.failures for one in three.sam.node.work.work_status())
    await _limit(three.carl.house.store, 1_000_000)
    await three.until_held(3)
    await _comes_once(three)


def _full(monkeypatch: pytest.MonkeyPatch, table: object, name: str) -> list[int]:
    """Have this method meet a full disk."""
    met: list[int] = []

    async def full(*_: object, **__: object) -> object:
        met.append(1)
        raise DatabaseUnavailable("the database does not answer: the disk is full")

    monkeypatch.setattr(table, name, full)
    return met


async def test_a_recipient_whose_disk_is_full_collects_nothing_until_it_is_not(
    three: Three, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await three.sam.say(three.with_sam, *WORDS)
    await three.until_held(3)
    await three.rita.house.start()
    met = _full(monkeypatch, three.rita.house.store.received, "remember")
    await world.clock.pass_slowly(600)
    assert met
    assert await three.held() == 3
    assert three.rita.texts() == []
    monkeypatch.undo()
    await three.rita.until(lambda: len(three.rita.texts()) == len(WORDS), time_passes=True)
    await three.until_held(0)
    assert three.rita.texts() == WORDS


async def test_a_sender_whose_disk_is_full_leaves_again_what_it_could_not_note(
    three: Three, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = _full(monkeypatch, three.sam.house.store.deposits, "left")
    await three.sam.say(three.with_sam, *WORDS)
    await world.clock.pass_slowly(1800)
    assert len(met) > 1
    assert await three.held() >= 3  # which Sam does not know
    monkeypatch.undo()
    await world.clock.pass_slowly(1800)
    await _comes_once(three)
