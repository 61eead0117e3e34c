"""Lengths of time as a person writes and reads them."""

from __future__ import annotations

import re
from typing import Final

from chattor_bridge.errors import UsageError

UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
"""Seconds in each unit."""

_DURATION: Final = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_SECONDS: Final = re.compile(r"(\d{1,8})s", re.ASCII)
_NAMES: Final = {"w": "week", "d": "day", "h": "hour", "m": "minute"}


def read_duration(text: str) -> int:
    """Seconds in a text such as ``90m``, ``12h``, ``7d`` or ``2w``. Raises: UsageError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError("Write a length of time as a number and a letter: 30m, 12h, 7d or 2w.")
    return int(found[1]) * UNITS[found[2]]


def read_timer(text: str) -> int:
    """Seconds after which messages disappear: as above, or ``30s``, or ``off`` for 0. Raises: UsageError."""
    word = text.strip().lower()
    if word == "off":
        return 0
    found = _SECONDS.fullmatch(word)
    try:
        seconds = int(found[1]) if found is not None else read_duration(word)
    except UsageError:
        seconds = 0
    if not seconds:
        raise UsageError("Write off, or a length of time as a number and a letter: 30s, 5m, 12h, 7d or 2w.")
    return seconds


def timer_in_words(seconds: int) -> str:
    """Exactly how long that is, such as ``1 day`` or ``90 minutes``: in the largest unit that it is a multiple of."""
    units = ((name, UNITS[key]) for key, name in _NAMES.items())
    unit, size = next(((name, size) for name, size in units if seconds % size == 0), ("second", 1))
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def in_words(seconds: int) -> str:
    """About how long that is, such as ``3 days``: in the largest unit of which there are two or more."""
    unit, size = next(((name, UNITS[key]) for key, name in _NAMES.items() if seconds >= 2 * UNITS[key]), ("minute", 60))
    count = max(1, round(seconds / size))
    return f"{count} {unit}{'' if count == 1 else 's'}"
