"""How a link ends when nobody did anything wrong."""

from __future__ import annotations

from typing import Final

RENEWED: Final = "the session was renewed"
"""Reason of a link that ended so that the next one can use the new session."""


class LinkEnded(Exception):
    """The link is over, and nobody did anything wrong. ``reason`` is for `status`, ``bye`` the last word, if any."""

    def __init__(self, reason: str, *, bye: str = "") -> None:
        super().__init__(reason)
        self.bye = bye
