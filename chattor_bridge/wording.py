"""What the bot and `chattor` show in the same way. It loads at once, as the commands of `chattor` have to."""

from __future__ import annotations

from typing import Final

MANY_REQUESTS: Final = 20
"""Requests from which on a list says what each has cost its sender: more than a screenful, and perhaps a flood."""

MICRO: Final = 1_000_000
"""Parts of a degree in which a place is said: a tenth of a metre at most."""


def in_groups(number: str) -> str:
    """A safety number as it is read aloud: twelve groups of five."""
    return " ".join(number[at : at + 5] for at in range(0, len(number), 5))
