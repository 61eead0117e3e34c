"""One stream on which chunks of one file go over. Implements docs/protocol/files.md, "Stream".

As for a link, bytes go in with `FileStream.receive` and events come out, frames go in with its other methods and bytes
come out with `FileStream.data_to_send`. Whether a side fetches or offers is known to each from its own disk; neither is
said, so neither can be claimed. What a side may send, and the other must expect:

    state       sends                                           receives
    ----------  ----------------------------------------------  --------------------------------------------------
    HANDSHAKE   its handshake message                           the other's                              -> OPENING
    OPENING     dialling: Open; answering: Ready     -> OPEN    Ready, or Open                           -> OPEN
    OPEN        fetching: Want; offering: the chunks            offering: Want; fetching: the chunks it
                wanted, in the order in which they were         wants, in the order in which it asked
    CLOSED      nothing                                         nothing

End may come from either side once the handshake is through, and closes. Anything else is a violation: it raises, and so
does every later call.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from chattor_bridge.errors import MalformedData, PeerMisbehaved, UsageError
from chattor_bridge.ids import FileId, OnionKey
from chattor_bridge.protocol.chunks import SealedChunk
from chattor_bridge.protocol.fileframes import (
    End,
    FileFrame,
    Open,
    Ready,
    Want,
    decode_file_frame,
    encode_file_frame,
)
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.handshake import Dialling, LinkKeys, Secured
from chattor_bridge.protocol.limits import FILE_SIZES, HANDSHAKE_SIZE, MAX_CHUNKS_WANTED
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import TAG_SIZE, RandomBytes


class Part(Enum):
    """What a side does for a file."""

    OFFERS = auto()
    FETCHES = auto()


@dataclass(frozen=True, slots=True)
class Opened:
    """Answering side: the friend is there now, and means this file, of which it has so many chunks already if it is the
    one that fetches. `FileStream.ready` or `FileStream.end` is next."""

    file_id: FileId
    have: int | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """Dialling side: the friend has the file under way too, and is there now. ``have`` as in `Opened`."""

    have: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The friend ends the stream, for this reason."""

    reason: str


FileEvent = Opened | Begun | Want | SealedChunk | Ended


class _State(Enum):
    HANDSHAKE = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSED = auto()


_ROOM: Final = tuple(size - TAG_SIZE - 1 for size in FILE_SIZES)


class FileStream:
    """One end of a file stream. Made by `dial` or `answered`."""

    def __init__(self, part: Part | None, dialling: Dialling | None, secured: Secured | None) -> None:
        self._part = part
        self._dialling = dialling
        self._secured = secured
        self._splitter = FrameSplitter(HANDSHAKE_SIZE if secured is None else FILE_SIZES[-1])
        self._state = _State.HANDSHAKE if secured is None else _State.OPENING
        self._file_id: FileId | None = None
        self._have: int | None = None
        self._wanted: deque[int] = deque()
        self._out = bytearray() if dialling is None else bytearray(frame(dialling.message))
        self._violation: PeerMisbehaved | None = None

    @classmethod
    def dial(
        cls,
        keys: LinkKeys,
        dialled: OnionKey,
        random: RandomBytes,
        file_id: FileId,
        part: Part,
        have: int | None = None,
    ) -> FileStream:
        """The dialling end, on a stream just opened to the onion ``dialled``; its first message waits to be sent.
        ``have``: how many chunks we have, if we fetch.

        Raises: AuthenticationFailed when the friend's static key is of small order.
        """
        stream = cls(part, Dialling(keys, dialled, random), None)
        stream._file_id, stream._have = file_id, have
        return stream

    @classmethod
    def answered(cls, secured: Secured, first: bytes) -> FileStream:
        """The answering end, whose handshake is through; ``first`` is to be sent before all else (`Link.hand_over`)."""
        stream = cls(None, None, secured)
        stream._out += first
        return stream

    @property
    def under_way(self) -> int:
        """Chunks that were asked for and have not gone over."""
        return len(self._wanted)

    @property
    def room(self) -> int:
        """Chunks that may still be asked for now."""
        return MAX_CHUNKS_WANTED - len(self._wanted)

    def receive(self, data: bytes) -> list[FileEvent]:
        """Take some bytes of the stream; what they say, in order. Raises: PeerMisbehaved at a violation."""
        self._check_alive()
        events: list[FileEvent] = []
        try:
            self._splitter.feed(data)
            while (message := self._splitter.next_message()) is not None:
                if self._secured is None:
                    self._finish_handshake(message)
                else:
                    events.append(self._take(self._secured, message))
        except PeerMisbehaved as violation:
            self._violation = violation
            self._out.clear()
            raise
        return events

    def ready(self, part: Part, have: int | None = None) -> None:
        """Answer `Opened`: the file is under way here, this is what our side does for it, and if it fetches, how many
        chunks it has."""
        if self._state is not _State.OPENING or self._file_id is None:
            raise UsageError("a file stream is not being opened")
        self._part = part
        self._say(Ready(have))
        self._state = _State.OPEN

    def want(self, first: int, count: int) -> None:
        """Ask for chunks of one group. Raises: UsageError when that is not our part, or more than there is room for."""
        if self._state is not _State.OPEN or self._part is not Part.FETCHES or count > self.room:
            raise UsageError("chunks cannot be asked for now")
        self._say(Want(first, count))
        self._wanted += range(first, first + count)

    def send(self, chunk: SealedChunk) -> None:
        """Send the next chunk that is wanted. Raises: UsageError when it is another's turn."""
        if self._part is not Part.OFFERS or not self._wanted or self._wanted[0] != chunk.index:
            raise UsageError("it is not this chunk's turn")
        self._wanted.popleft()
        self._say(chunk)

    def end(self, reason: str) -> None:
        """Say the last word, if the stream can carry one."""
        if self._violation is None and self._state in (_State.OPENING, _State.OPEN):
            self._say(End(reason))
            self._state = _State.CLOSED

    def data_to_send(self) -> bytes:
        """Everything that waits to be written to the stream."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def _finish_handshake(self, message: bytes) -> None:
        assert self._dialling is not None
        assert self._file_id is not None
        self._secured = self._dialling.finish(message)
        self._dialling = None
        self._splitter.max_length = FILE_SIZES[-1]
        self._state = _State.OPENING
        self._say(Open(self._file_id, self._have))

    def _take(self, secured: Secured, message: bytes) -> FileEvent:
        if len(message) not in FILE_SIZES:
            raise MalformedData("a message of a file stream has a size that none may have")
        received = decode_file_frame(unpad(secured.open(message)))
        answering = self._part is None
        match received:
            case End(reason) if self._state is not _State.CLOSED:
                self._state = _State.CLOSED
                return Ended(reason)
            case Open(file_id, have) if self._state is _State.OPENING and answering and self._file_id is None:
                self._file_id = file_id
                return Opened(file_id, have)
            case Ready(have) if self._state is _State.OPENING and not answering:
                self._state = _State.OPEN
                return Begun(have)
            case Want(first, count) if self._state is _State.OPEN and self._part is Part.OFFERS:
                if count > self.room:
                    raise MalformedData("more chunks are wanted at once than may be")
                self._wanted += range(first, first + count)
                return received
            case SealedChunk(index) if self._part is Part.FETCHES and self._wanted and self._wanted[0] == index:
                self._wanted.popleft()
                return received
        raise MalformedData(f"{type(received).__name__} out of turn on a file stream")

    def _say(self, said: FileFrame) -> None:
        self._check_alive()
        assert self._secured is not None
        encoded = encode_file_frame(said)
        size = next(size for size, room in zip(FILE_SIZES, _ROOM, strict=True) if len(encoded) <= room)
        self._out += frame(self._secured.seal(pad(encoded, size - TAG_SIZE)))

    def _check_alive(self) -> None:
        if self._violation is not None:
            raise self._violation
