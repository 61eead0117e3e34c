"""Lengths of time, written and read."""

from __future__ import annotations

import pytest

from chattor_bridge.durations import in_words, read_duration
from chattor_bridge.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1_800), ("12h", 43_200), (" 7D ", 604_800), ("2w", 1_209_600), ("0d", 0)]
)
def test_what_people_write(text: str, seconds: int) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5d", "7 days", "\u0667d", "9999999d", "1d2h"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="7d"):
        read_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 minute"),
        (59, "1 minute"),
        (119, "2 minutes"),
        (7_199, "120 minutes"),
        (7_200, "2 hours"),
        (86_400, "24 hours"),
        (7 * 86_400, "7 days"),
        (30 * 86_400, "4 weeks"),
    ],
)
def test_how_long_that_is(seconds: int, words: str) -> None:
    assert in_words(seconds) == words
