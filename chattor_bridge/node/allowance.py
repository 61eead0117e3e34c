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
    """One friend's, over all its links; full again when the program starts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(DAILY_ALLOWANCE)
        self._at = clock.monotonic()

    def spend(self, size: int) -> float:
        """Bytes of envelopes were stored; the seconds until as many more may be."""
        rate = DAILY_ALLOWANCE / DAY
        now = self._clock.monotonic()
        self._left = min(DAILY_ALLOWANCE, self._left + (now - self._at) * rate) - size
        self._at = now
        return max(0.0, -self._left / rate)
