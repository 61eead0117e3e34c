"""How `chattor run` is connected to the onion network, as it shows itself to a person."""

from __future__ import annotations

from collections.abc import Callable

DONE = 100
"""Percent: connected."""


class Connection:
    """Kept up to date by the transport; ``changed`` is called with each new state.

    ``percent`` counts to 100 while tor connects, ``summary`` says in words where it is and what is in its way.
    """

    def __init__(self, changed: Callable[[Connection], None]) -> None:
        self._changed = changed
        self.percent = 0
        self.summary = "starting"

    @property
    def ready(self) -> bool:
        """Whether the onion network can be reached."""
        return self.percent >= DONE

    def update(self, percent: int, summary: str) -> None:
        """How it is now. Repeating a state says nothing."""
        if (percent, summary) != (self.percent, self.summary):
            self.percent, self.summary = percent, summary
            self._changed(self)
