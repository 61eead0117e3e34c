"""Where streams wait whose other end has not shown yet who it is: few places, and little time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from chattor_bridge.node.ports import Stream


class Antechamber:
    """At most ``places`` streams; the one that came first makes room for the next by being closed, so that stalling
    keeps nobody else out."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: dict[int, Stream] = {}
        self.turned_out = 0

    @contextlib.asynccontextmanager
    async def admit(self, stream: Stream) -> AsyncIterator[None]:
        """Hold a place while the block runs. A stream turned out reads its end."""
        if len(self._waiting) >= self._places:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self.turned_out += 1
            await oldest.close()
        self._waiting[id(stream)] = stream
        try:
            yield
        finally:
            self._waiting.pop(id(stream), None)
