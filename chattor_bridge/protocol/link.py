"""A link: a friendship's private channel over one stream. Implements docs/protocol/link.md.

Bytes go in with `Link.receive`, events come out; frames go in with `Link.send`, bytes come out with
`Link.data_to_send`. Nothing leaves by itself, so whoever drives a link can store what an event says before the answer
to it goes out. Each direction walks its own way:

    state         sends                        receives
    ------------  ---------------------------  -------------------------------------------------
    HANDSHAKE     its handshake message        the other's handshake message      -> HELLO
    HELLO         one Hello       -> OPEN      one Hello                          -> OPEN
    OPEN          any frame but Hello          any frame but Hello
                  Bye             -> CLOSED    Bye                                -> CLOSED
    CLOSED        nothing                      nothing

Anything else that arrives is a violation: it raises, and so does every later call, for a link that was lied to once
has nothing more to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from chattor_bridge.errors import MalformedData, PeerMisbehaved, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.frames import Bye, Frame, Hello, decode_frames, encode_frame
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.handshake import Dialling, LinkKeys, Pattern, Secured, answer
from chattor_bridge.protocol.limits import HANDSHAKE_SIZE, LINK_SIZES
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import TAG_SIZE, RandomBytes

__all__ = ["Established", "FrameReceived", "Link", "LinkEvent", "LinkKeys", "Pattern"]


@dataclass(frozen=True, slots=True)
class Established:
    """The handshake is through. ``candidate`` is the index of the keys that fitted, 0 on the dialling side.

    On the answering side the first message could still be a replay: nobody is known to be there, and no other link of
    the friendship may be given up, before the first frame arrives.
    """

    candidate: int
    peer_static: bytes
    handshake_hash: bytes


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A frame came."""

    frame: Frame


LinkEvent = Established | FrameReceived


class _State(Enum):
    HANDSHAKE = auto()
    HELLO = auto()
    OPEN = auto()
    CLOSED = auto()


_ROOM: Final = tuple(size - TAG_SIZE - 1 for size in LINK_SIZES)
"""Bytes of frames that fit each size of message: what the tag and the first byte of padding leave."""

_USUAL: Final = _ROOM[-2]
"""What a message is filled to."""

_PLENTY: Final = 3 * _USUAL
"""From here on the largest message wastes less than several usual ones."""


class Link:
    """One end of a link."""

    def __init__(
        self, dialling: Dialling | None, candidates: Sequence[LinkKeys], dialled: OnionKey, random: RandomBytes
    ) -> None:
        """Use `dial` or `answer`."""
        self._dialling = dialling
        self._candidates = candidates
        self._dialled = dialled
        self._random = random
        self._secured: Secured | None = None
        self._splitter = FrameSplitter(HANDSHAKE_SIZE)
        self._sending = _State.HANDSHAKE
        self._receiving = _State.HANDSHAKE
        self._out = bytearray() if dialling is None else bytearray(frame(dialling.message))
        self._frames: deque[bytes] = deque()
        self._violation: PeerMisbehaved | None = None

    @classmethod
    def dial(cls, keys: LinkKeys, dialled: OnionKey, random: RandomBytes) -> Link:
        """The dialling end, on a stream just opened to the onion ``dialled``. Its first message waits to be sent.

        Raises: AuthenticationFailed when the friend's static key is of small order, ValueError when ``keys`` are not
        those of a dialler.
        """
        return cls(Dialling(keys, dialled, random), (), dialled, random)

    @classmethod
    def answer(cls, candidates: Sequence[LinkKeys], dialled: OnionKey, random: RandomBytes) -> Link:
        """The answering end, on a stream somebody opened to our onion ``dialled``. ``candidates`` are tried in
        order, each costing about a millisecond."""
        return cls(None, tuple(candidates), dialled, random)

    @property
    def established(self) -> bool:
        """Whether the handshake is through."""
        return self._secured is not None

    @property
    def handshake_hash(self) -> bytes:
        """Noise's hash of this link's handshake, 32 bytes, once it is through."""
        assert self._secured is not None
        return self._secured.handshake_hash

    def hand_over(self) -> tuple[Secured, bytes]:
        """Give up the stream to what it was opened for instead of a link, as the keys that fitted say: its ciphers, and
        the bytes to be sent first. To be called right after `Established` on the answering side; nothing else may be
        called then."""
        assert self._secured is not None
        return self._secured, self.data_to_send()

    def receive(self, data: bytes) -> list[LinkEvent]:
        """Take some bytes of the stream; what they say, in order.

        Raises: PeerMisbehaved (MalformedData, AuthenticationFailed) at a violation. Events of the same call before
        it are lost with it, as they would be had the stream broken there; what matters is sent again.
        """
        self._check_alive()
        events: list[LinkEvent] = []
        try:
            self._splitter.feed(data)
            while (message := self._splitter.next_message()) is not None:
                events += self._take(message)
        except PeerMisbehaved as violation:
            self._violation = violation
            self._frames.clear()
            self._out.clear()
            raise
        return events

    def send(self, frame: Frame) -> None:
        """Queue a frame. The first one is a Hello, nothing follows a Bye.

        Raises: UsageError when it is not this frame's turn, ValueError when the frame itself is wrong, PeerMisbehaved
        when the link is dead.
        """
        self._check_alive()
        if self._sending is _State.HANDSHAKE:
            raise UsageError("nothing is said on a link before it is established")
        following = _follow(self._sending, frame)
        if following is None:
            raise UsageError(f"a link has no place for {type(frame).__name__} here: Hello is first, Bye is last")
        self._frames.append(encode_frame(frame))
        self._sending = following

    def data_to_send(self) -> bytes:
        """Everything that waits, sealed and padded, to be written to the stream. Raises: PeerMisbehaved when the link
        is dead."""
        self._check_alive()
        if self._secured is not None:
            while self._frames:
                message = self._secured.seal(self._next_plaintext())
                self._out += frame(message)
        data = bytes(self._out)
        self._out.clear()
        return data

    def _check_alive(self) -> None:
        if self._violation is not None:
            raise type(self._violation)(*self._violation.args)

    def _take(self, message: bytes) -> list[LinkEvent]:
        if self._secured is None:
            return [self._finish_handshake(message)]
        if len(message) not in LINK_SIZES:
            raise MalformedData("a message of the link has a size that none may have")
        events: list[LinkEvent] = []
        for received in decode_frames(unpad(self._secured.open(message))):
            following = _follow(self._receiving, received)
            if following is None:
                raise MalformedData(f"{type(received).__name__} out of turn: Hello is first, Bye is last")
            self._receiving = following
            events.append(FrameReceived(received))
        return events

    def _finish_handshake(self, message: bytes) -> Established:
        index = 0
        if self._dialling is not None:
            self._secured = self._dialling.finish(message)
        else:
            index, reply, self._secured = answer(self._candidates, self._dialled, self._random, message)
            self._out += frame(reply)
        # Keys that have done their work are not kept for as long as the link lives.
        self._dialling, self._candidates = None, ()
        self._sending = self._receiving = _State.HELLO
        self._splitter.max_length = LINK_SIZES[-1]
        return Established(index, self._secured.peer_static, self._secured.handshake_hash)

    def _next_plaintext(self) -> bytes:
        """As many waiting frames as fit one message, padded."""
        room = _ROOM[-1] if sum(map(len, self._frames)) > _PLENTY else _USUAL
        content = bytearray(self._frames.popleft())
        while self._frames and len(content) + len(self._frames[0]) <= room:
            content += self._frames.popleft()
        size = next(size for size, fitting in zip(LINK_SIZES, _ROOM, strict=True) if len(content) <= fitting)
        return pad(bytes(content), size - TAG_SIZE)


def _follow(state: _State, frame: Frame) -> _State | None:
    """The state after this frame, None when it must not come now."""
    if state is _State.HELLO:
        return _State.OPEN if isinstance(frame, Hello) else None
    if state is _State.OPEN and not isinstance(frame, Hello):
        return _State.CLOSED if isinstance(frame, Bye) else _State.OPEN
    return None
