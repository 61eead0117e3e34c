"""Which transactions are refused for an older one to come first, and which are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import DatabaseUnavailable, OutOfTurn
from chattor_bridge.matrix.succession import DOUBT_AGAIN, DOUBTS, FRESH, RETURNS_WITHIN, UNEASY, WAITED, Succession
from tests.clock import FakeClock


class Bridge:
    """What was taken, and how often the homeserver was asked to begin again."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.taken: list[str] = []
        self.ephemeral: list[JsonObject] = []
        self.pings = 0
        self.broken = False
        self.looks = 0
        self.asked: list[str] = []
        self.missing: bool | None = False
        self.succession = Succession(self._accept, self.clock, self._ping)
        self.succession.lookout = self

    def look(self) -> None:
        self.looks += 1

    async def is_overtaken(self, events: Sequence[JsonObject]) -> bool | None:
        self.asked += [event["event_id"] for event in events]
        missing, self.missing = self.missing, False
        return missing

    async def _accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        if self.broken:
            raise DatabaseUnavailable("gone")
        self.taken += [txn_id] if events else []
        self.ephemeral += ephemeral

    def _ping(self) -> None:
        self.pings += 1

    async def takes(
        self, *txn_ids: object, age: float = 0.0, ephemeral: Sequence[JsonObject] = (), said: bool = True
    ) -> bool:
        """Whether all of these are, each an event that was said ``age`` seconds ago, or if nothing was said none."""
        try:
            for txn_id in txn_ids:
                event = {"event_id": f"${txn_id}", "unsigned": {"age": int(age * 1000)}}
                await self.succession.accept(str(txn_id), [event] if said else [], ephemeral)
        except (OutOfTurn, DatabaseUnavailable):
            return False
        return True


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
async def busy(bridge: Bridge) -> Bridge:
    """One that has taken numbers 1 to 3."""
    await bridge.takes(1)
    assert await bridge.takes(1, 2, 3)
    bridge.pings = 0
    return bridge


async def test_the_first_after_a_start_comes_twice(bridge: Bridge) -> None:
    assert not await bridge.takes(7)
    assert bridge.pings == 1
    assert await bridge.takes(7, 8)
    assert (bridge.taken, bridge.pings) == (["7", "8"], 1)


async def test_what_was_left_behind_comes_first(busy: Bridge) -> None:
    assert not await busy.takes(6)
    assert busy.pings == 1
    assert not await busy.takes(7)  # it may have been on its way already
    assert await busy.takes(4, 5, 6, 7)
    assert busy.taken == ["1", "2", "3", "4", "5", "6", "7"]


async def test_a_repetition_is_no_surprise(busy: Bridge) -> None:
    assert await busy.takes(2, 3, 4)
    assert busy.pings == 0


async def test_what_is_ephemeral_is_taken_at_once_for_it_does_not_come_again(busy: Bridge) -> None:
    receipt = {"type": "m.receipt"}
    assert not await busy.takes(5, ephemeral=[receipt])
    assert busy.ephemeral == [receipt]
    assert "5" not in busy.taken


async def test_nothing_younger_is_taken_before_what_failed(busy: Bridge) -> None:
    busy.broken = True
    assert not await busy.takes(4)
    busy.broken = False
    assert not await busy.takes(5)
    assert await busy.takes(4, 5)
    assert busy.taken == ["1", "2", "3", "4", "5"]


async def test_what_failed_is_not_waited_for_for_ever(busy: Bridge) -> None:
    busy.broken = True
    await busy.takes(4)
    busy.broken = False
    await busy.clock.advance(RETURNS_WITHIN)
    assert not await busy.takes(5)  # now as one that skips a number
    assert await busy.takes(5, 6)


async def test_old_events_are_not_doubted(busy: Bridge) -> None:
    assert await busy.takes(9, age=FRESH)
    assert not await busy.takes(11, age=FRESH - 1)


async def test_where_numbers_are_skipped_anyhow_it_is_seldom_doubted(busy: Bridge) -> None:
    """As with a second application service at the same homeserver."""
    number = 3
    for _ in range(DOUBTS - 1):  # the first was at the start
        number += 2
        assert not await busy.takes(number)
        assert await busy.takes(number)
    assert await busy.takes(number + 2, number + 4)
    await busy.clock.advance(DOUBT_AGAIN)
    assert not await busy.takes(number + 6)
    assert await busy.takes(number + 6, number + 8)
    busy.broken = True
    await busy.takes(number + 9)
    busy.broken = False
    await busy.takes(number + 9)
    assert not await busy.takes(number + 11)


async def beyond_doubt(busy: Bridge) -> int:
    """The number it is at when nothing is doubted unseen any more."""
    assert not await busy.takes(5)
    assert await busy.takes(5)
    busy.asked.clear()
    return 5


async def test_beyond_doubt_the_lookout_is_asked_before_a_skipped_number_is_taken(busy: Bridge) -> None:
    number = await beyond_doubt(busy)
    busy.missing = True
    assert not await busy.takes(number + 2)
    assert await busy.takes(number + 1, number + 2)  # the one that was missing first
    assert busy.asked == [f"${number + 2}"]
    assert await busy.takes(number + 3)
    assert busy.asked == [f"${number + 2}"]  # nothing is between


async def test_the_lookout_is_asked_each_time_after_a_failure_and_seldom_later(busy: Bridge) -> None:
    number = await beyond_doubt(busy)
    assert await busy.takes(number + 2, number + 4)
    assert busy.asked == [f"${number + 2}", f"${number + 4}"]
    await busy.clock.advance(UNEASY)
    assert await busy.takes(number + 6, number + 8)
    assert busy.asked[2:] == [f"${number + 6}"]
    assert await busy.takes(number + 9)  # which follows one that nobody looked into
    await busy.clock.advance(UNEASY)
    busy.missing = True
    assert not await busy.takes(number + 10)
    assert await busy.takes(number + 10, number + 12, age=WAITED * 2)  # out of a repetition that we did not cause
    assert busy.asked[3:] == [f"${number + 10}", f"${number + 12}"]


async def test_what_brings_no_event_hides_no_gap(busy: Bridge) -> None:
    number = await beyond_doubt(busy)
    assert await busy.takes(number + 2, said=False)
    assert busy.asked == []
    busy.missing = True
    assert not await busy.takes(number + 3)


async def test_what_is_known_to_be_left_behind_comes_before_the_next(busy: Bridge) -> None:
    number = await beyond_doubt(busy)
    busy.succession.left_behind()
    assert not await busy.takes(number + 1, said=False)  # it follows, for the gap was taken for none
    assert await busy.takes(number - 1, number + 1, number + 2)
    assert busy.asked == []


async def test_a_lookout_without_an_answer_closes_no_gap_and_is_left_in_peace(busy: Bridge) -> None:
    number = await beyond_doubt(busy)
    busy.missing = None
    assert await busy.takes(number + 2, number + 3)
    assert busy.asked == [f"${number + 2}"]
    await busy.clock.advance(UNEASY)
    busy.missing = True
    assert not await busy.takes(number + 4)


async def test_the_lookout_looks_whenever_something_may_be_lost(busy: Bridge) -> None:
    looks = busy.looks
    assert await busy.takes(4)
    assert busy.looks == looks
    assert await busy.takes(4)  # our answer was lost
    assert busy.looks == looks + 1
    assert await busy.takes(5, age=WAITED * 2)  # Synapse could not reach us
    assert busy.looks == looks + 2
    busy.broken = True
    assert not await busy.takes(6)
    assert busy.looks == looks + 3


async def test_numbers_that_begin_again_are_followed(busy: Bridge) -> None:
    """As on SQLite, where Synapse counts from 1 when it starts with nothing to repeat."""
    assert await busy.takes(1)
    assert busy.pings == 0
    assert not await busy.takes(3)
    assert await busy.takes(2, 3)
    assert busy.taken == ["1", "2", "3", "1", "2", "3"]


async def test_it_is_doubted_as_often_as_something_older_comes_of_it(busy: Bridge) -> None:
    for number in range(4, 4 + 3 * 2 * DOUBTS, 2):
        assert not await busy.takes(number + 1)
        assert await busy.takes(number, number + 1)


@pytest.mark.parametrize("txn_id", ["abc", "12x", "", "-1", "²", "9" * 30])
async def test_a_homeserver_without_numbers_is_believed(busy: Bridge, txn_id: str) -> None:
    assert await busy.takes(txn_id, "7a", txn_id)
    assert busy.pings == 0
    assert await busy.takes(4)
