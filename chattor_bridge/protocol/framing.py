"""Messages on a stream: u16 big-endian length, then that many bytes (docs/protocol/encoding.md, Framing).

Door streams carry CBOR messages this way, links carry Noise messages. There is no empty message.
"""

from __future__ import annotations

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import MAX_FRAME

_HEAD = 2


def frame(message: bytes) -> bytes:
    """``message`` with its length before it. Raises: ValueError when it is empty or above 65,535 bytes."""
    if not 0 < len(message) <= MAX_FRAME:
        raise ValueError(f"a frame holds 1 to {MAX_FRAME} bytes, not {len(message)}")
    return len(message).to_bytes(_HEAD, "big") + message


class FrameSplitter:
    """Cuts a byte stream into messages, however the bytes arrive.

    ``max_length`` bounds one message, in bytes; it may be changed between messages (a handshake has smaller ones).
    What is buffered never exceeds one message and what was just received.
    """

    def __init__(self, max_length: int = MAX_FRAME) -> None:
        self.max_length = max_length
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """Take some bytes; the messages they complete, in order.

        Raises: MalformedData when a length is zero or above ``max_length``; the stream is useless from then on.
        Messages completed before the bad length are lost with it.
        """
        self._buffer += data
        messages = []
        while (message := self.next_message()) is not None:
            messages.append(message)
        return messages

    def feed(self, data: bytes) -> None:
        """Take some bytes without cutting; for a reader whose limit changes between messages."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next complete message, or None. Raises: MalformedData as `receive` does."""
        if len(self._buffer) < _HEAD:
            return None
        length = int.from_bytes(self._buffer[:_HEAD], "big")
        if not 0 < length <= self.max_length:
            raise MalformedData(f"a message of {length} bytes where 1 to {self.max_length} are allowed")
        if len(self._buffer) < _HEAD + length:
            return None
        message = bytes(self._buffer[_HEAD : _HEAD + length])
        del self._buffer[: _HEAD + length]
        return message
