"""Whether so much goes on that a request which waits at the homeserver is woken all the time.

A homeserver that has something for a user begins to answer whatever request of that user waits, and the bot is in every
room: with each message it finds that it has no keys to bring, and waits on. That is an eighth of a message's work for
Synapse (docs/benchmarks.md). While much goes on the bot therefore asks now and then, without waiting there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from chattor_bridge.node.patience import unless
from chattor_bridge.node.ports import Clock

RUSH: Final = 5
"""Transactions of the homeserver within `PAUSE` from which on asking costs less than waiting. With fewer there is
nothing to save, and a request that waits is answered sooner."""

PAUSE: Final = 1.0
"""Seconds between two requests in a rush: for so long a device somebody has got, or lost, is not noticed, and clients
take as long to notice each other's."""


class Rush:
    """Tell it of each transaction (`noticed`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noticed: deque[float] = deque(maxlen=RUSH)
        self._hurry = asyncio.Event()
        self.on = asyncio.Event()
        """Set during one."""

    def noticed(self) -> None:
        """The homeserver has brought something."""
        self._noticed.append(self._clock.monotonic())
        if self._is_on():
            self.on.set()

    def _is_on(self) -> bool:
        return len(self._noticed) == RUSH and self._clock.monotonic() - self._noticed[0] <= PAUSE

    def hurry(self) -> None:
        """A key is missing: `pause` no longer."""
        self._hurry.set()

    async def pause(self) -> None:
        """Wait for the time of the next request, and find out whether the rush is over."""
        await unless(self._hurry, self._clock.sleep(PAUSE))
        self._hurry.clear()
        if not self._is_on():
            self.on.clear()
