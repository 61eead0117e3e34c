"""What a friend may have us do in a day."""

from __future__ import annotations

from chattor_bridge.node.allowance import Allowance
from tests.clock import FakeClock

HOUR = 3_600


async def test_a_day_brings_as_much_however_often_somebody_asks() -> None:
    clock = FakeClock()
    allowance = Allowance(clock, 4)
    assert [allowance.grants(1) for _ in range(6)] == [True] * 4 + [False] * 2
    granted = []
    for hour in range(1, 26):
        await clock.advance(HOUR)
        granted += [hour] * allowance.grants(1)
    assert len(granted) == 4


async def test_who_has_spent_more_is_granted_nothing_until_it_is_made_up() -> None:
    clock = FakeClock()
    allowance = Allowance(clock, 24)
    assert allowance.spend(25) == HOUR
    await clock.advance(HOUR)
    assert not allowance.grants(1)
    await clock.advance(HOUR)
    assert allowance.grants(1)
