"""How many onions are published at once: more while it goes well, half as many when it does not.

Additive increase and multiplicative decrease, as in congestion control: what a tor and its network bear differs by
orders of magnitude, and nobody can know it beforehand. Measured in a private network on two processors, 60 onions three
at a time cost their tor 4 seconds of processor time, eight at a time 15, and all at once 68 with most of them left
unreachable.
"""

from __future__ import annotations

from typing import Final

WIDTH_FIRST: Final = 3
WIDTH_LEAST: Final = 1
WIDTH_MOST: Final = 8
"""Publications under way at once: at the start, and the bounds of what is learnt from them."""

QUICK: Final = 8.0
SLOW: Final = 30.0
"""Seconds. A publication quicker than the one leaves room for more; one slower than the other waited for processor or
network that the others take."""


class Stage:
    """Times are those of the event loop, in seconds."""

    def __init__(self) -> None:
        self.width = WIDTH_FIRST
        self._well = 0
        self._narrowed_at = float("-inf")

    def ended(self, began: float, now: float, *, enough: bool, failed: int) -> None:
        """Learn from a publication that began then and ends now. ``enough``: the directories waited for have its
        descriptor; ``failed``: how many others would not have it."""
        took = now - began
        if not enough or failed > 1 or took > SLOW:
            if began > self._narrowed_at:  # what was under way then is one crowd, and narrows the stage once
                self.width = max(WIDTH_LEAST, self.width // 2)
                self._narrowed_at = now
            self._well = 0
        elif took < QUICK and not failed:
            self._well += 1
            if self._well >= self.width:
                self.width = min(WIDTH_MOST, self.width + 1)
                self._well = 0
