"""Noticing that the homeserver takes our messages and sends us none."""

from __future__ import annotations

from chattor_bridge.ids import MatrixEventId
from chattor_bridge.matrix.hearing import ECHO_EXPECTED_WITHIN, REMEMBERED, Hearing
from tests.clock import FakeClock


def said(hearing: Hearing, *events: str) -> None:
    for event in events:
        hearing.said(MatrixEventId(event))


async def test_echo_in_time_is_silence_for_nobody() -> None:
    clock = FakeClock()
    hearing = Hearing(clock)
    said(hearing, "$1")
    assert not hearing.check()
    hearing.heard(["$0", "$1"])
    await clock.advance(ECHO_EXPECTED_WITHIN)
    assert not hearing.check()
    assert hearing.silent_rounds == 0


async def test_missing_echo_is_noticed_once_and_counted() -> None:
    clock = FakeClock()
    hearing = Hearing(clock)
    said(hearing, "$1")
    await clock.advance(ECHO_EXPECTED_WITHIN)
    assert hearing.check()
    assert not hearing.check()
    assert hearing.silent_rounds == 1
    said(hearing, "$2")
    await clock.advance(ECHO_EXPECTED_WITHIN)
    assert hearing.check()
    assert hearing.silent_rounds == 2
    hearing.heard(["$elsewhere"])
    assert hearing.silent_rounds == 0


async def test_echo_may_overtake_the_answer() -> None:
    clock = FakeClock()
    hearing = Hearing(clock)
    hearing.heard(["$1"])
    said(hearing, "$1")
    await clock.advance(ECHO_EXPECTED_WITHIN)
    assert not hearing.check()


async def test_later_echo_covers_what_was_said_before() -> None:
    """A repeated request gets the event it made the first time, whose echo came long ago."""
    clock = FakeClock()
    hearing = Hearing(clock)
    said(hearing, "$repeated", "$new", "$newer")
    hearing.heard(["$new"])
    said(hearing, "$new")
    hearing.heard(["$newer"])
    await clock.advance(ECHO_EXPECTED_WITHIN)
    assert not hearing.check()


def test_memory_is_bounded() -> None:
    hearing = Hearing(FakeClock())
    for number in range(REMEMBERED * 2):
        said(hearing, f"$s{number}")
        hearing.heard([f"$h{number}"])
    assert len(hearing._said) == len(hearing._heard) == REMEMBERED
