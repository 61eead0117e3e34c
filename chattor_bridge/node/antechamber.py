"""Where streams wait whose other end has not shown yet who it is: few places, and little time."""

from __future__ import annotations

from chattor_bridge.node.ports import Stream


class Antechamber:
    """At most ``places`` streams; the one that came first makes room for the next by being closed, so that stalling
    keeps nobody else out."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: dict[int, Stream] = {}

    async def enter(self, stream: Stream) -> None:
        """Take a place, until `leave`. A stream turned out reads its end."""
        oldest = self._waiting.pop(next(iter(self._waiting))) if len(self._waiting) >= self._places else None
        self._waiting[id(stream)] = stream
        if oldest is not None:
            await oldest.close()

    def leave(self, stream: Stream) -> None:
        """Give the place back: the other end has shown who it is, or is gone. Twice is once."""
        self._waiting.pop(id(stream), None)

    async def turn_out(self) -> None:
        """Close every stream that waits. Each reads its end."""
        for stream in list(self._waiting.values()):
            await stream.close()
