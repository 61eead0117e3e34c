"""What a person may call something: bounds of names, labels and notes."""

from __future__ import annotations

import unicodedata
from typing import Final

from chattor_bridge.errors import LimitReached, UsageError
from chattor_bridge.protocol.limits import MAX_NAME

MAX_LABEL: Final = 64
"""Bytes (UTF-8) of a code's label or of an alias: one line of a list, as a profile name is."""


def check_profile_name(name: str) -> None:
    """Raises: UsageError when no friend's node would take this name."""
    check_line(name, MAX_NAME, "a profile name")


def check_alias(alias: str) -> None:
    """Raises: UsageError when a friend cannot be called that; an empty one is none."""
    if alias:
        check_line(alias, MAX_LABEL, "an alias")


def check_line(text: str, at_most: int, what: str) -> None:
    """Raises: UsageError when it is empty, longer than ``at_most`` bytes, or has control characters."""
    if not text.strip():
        raise UsageError(f"{what} cannot be empty")
    check_text(text, at_most, what)


def check_text(text: str, at_most: int, what: str, *, allowed: str = "") -> None:
    """Raises: UsageError when it is longer than ``at_most`` bytes, or has control characters but those ``allowed``."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} has characters that cannot be sent") from error
    if size > at_most:
        raise LimitReached(f"{what} is {size} bytes long; it may have {at_most}")
    if any(unicodedata.category(character) == "Cc" and character not in allowed for character in text):
        raise UsageError(f"{what} cannot have control characters")
