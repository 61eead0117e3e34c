"""How much one friend may have us store: a day's worth at once, and then as much as a day brings.

Who is over it is not refused, which would lose what was said, but read as slowly as it comes to: its messages wait on
its own disk, and nobody else's with them.
"""

from __future__ import annotations

from chattor_bridge.node.ports import Clock
from chattor_bridge.protocol.limits import DAILY_ALLOWANCE

DAY = 86_400.0
"""Seconds."""


class Allowance:
    """One friend's, over all its links; full again when the program starts. ``daily`` in bytes, or whatever is
    spent."""

    def __init__(self, clock: Clock, daily: float = DAILY_ALLOWANCE) -> None:
        self._clock = clock
        self._daily = daily
        self._left = daily
        self._at = clock.monotonic()

    def spend(self, size: float) -> float:
        """Bytes of envelopes were stored; the seconds until as many more may be."""
        rate = self._daily / DAY
        now = self._clock.monotonic()
        self._left = min(self._daily, self._left + (now - self._at) * rate) - size
        self._at = now
        return max(0.0, -self._left / rate)

    def grants(self, size: float) -> bool:
        """Whether so much may be now; it counts only then, so that whoever asks often is granted no less."""
        self.spend(0)
        if self._left < size:
            return False
        self._left -= size
        return True
