"""How `chattor run` is connected to the onion network, as it shows itself to a person."""

from __future__ import annotations

from collections.abc import Callable


class Connection:
    """Kept up to date by whoever starts the transport; ``changed`` is called with each new state.

    ``percent`` counts to 100 while tor connects, ``summary`` is its own phrase for where it is.
    """

    def __init__(self, changed: Callable[[Connection], None]) -> None:
        self._changed = changed
        self.ready = False
        self.percent = 0
        self.summary = "starting"

    def progress(self, percent: int, summary: str) -> None:
        """Tor got this far. Repeating a state says nothing."""
        ready = percent >= 100
        if (percent, summary, ready) == (self.percent, self.summary, self.ready):
            return
        self.percent, self.summary, self.ready = percent, summary, ready
        self._changed(self)

    def trouble(self, summary: str) -> None:
        """There is no connection just now; ``summary`` says why."""
        self.progress(0, summary)
