"""A file stream at work: the bytes of one `Stream` through one `FileStream`, and whether it is still alive."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.errors import OnionUnreachable, PeerMisbehaved, Unavailable
from chattor_bridge.node.patience import FAREWELL_TIMEOUT, within
from chattor_bridge.node.ports import Clock, Stream
from chattor_bridge.protocol.filestream import Ended, FileEvent, FileStream
from chattor_bridge.protocol.limits import FILE_STREAM_TIMEOUT


class FileStreamEnded(Unavailable):
    """The friend ended a file stream; ``reason`` is one of `END_REASONS`, or another word."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the friend ended it: {reason}")
        self.reason = reason


class FileConnection:
    """One file stream. Whoever reads from it also writes to it, so nothing here waits for anything else."""

    def __init__(self, stream: Stream, file_stream: FileStream, clock: Clock) -> None:
        self._stream = stream
        self.file_stream = file_stream
        self._clock = clock
        self._alive_at = clock.monotonic()
        self._waiting: Sequence[FileEvent] = ()

    async def first(self) -> FileEvent:
        """The first thing the friend says, with the handshake before it. Raises: as `read`."""
        while not (events := await self.read()):
            await self.flush()
        self._waiting = events[1:]
        return events[0]

    async def read(self) -> Sequence[FileEvent]:
        """What comes next. Raises: FileStreamEnded, OnionUnreachable, PeerMisbehaved."""
        if self._waiting:
            events, self._waiting = self._waiting, ()
            return events
        data = await self._stream.read()
        if not data:
            raise OnionUnreachable("the friend hung up")
        events = self.file_stream.receive(data)
        if events:  # bytes that come to no message are no sign of life
            self._alive_at = self._clock.monotonic()
        for event in events:
            if isinstance(event, Ended):
                raise FileStreamEnded(event.reason)
        return events

    async def flush(self) -> None:
        """Write everything that waits. Raises: OnionUnreachable."""
        data = self.file_stream.data_to_send()
        if data:
            await self._stream.write(data)
            self._alive_at = self._clock.monotonic()

    async def close(self, reason: str = "") -> None:
        """Close, with a last word if there is one. Never raises."""
        try:
            if reason:
                self.file_stream.end(reason)
                await within(self._clock, FAREWELL_TIMEOUT, self.flush())
        except (PeerMisbehaved, OnionUnreachable, TimeoutError):
            pass  # it cannot carry one
        finally:
            await self._stream.close()

    @property
    def stale(self) -> bool:
        """Whether nothing has come or gone for so long that nothing will."""
        return self._clock.monotonic() - self._alive_at >= FILE_STREAM_TIMEOUT

    async def drop(self) -> None:
        """Break it: whoever works on it finds out."""
        await self._stream.close()
