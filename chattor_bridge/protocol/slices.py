"""A small file as it travels in envelopes: cut into slices, and put together again. Implements docs/protocol/files.md,
"Slices".

The sealed chunks, one after the other, are cut without regard to where one ends: each slice fills an event. That they
are those of the offer is seen when all are there, by the same key and the same root as on a stream.
"""

from __future__ import annotations

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.protocol.chunks import Content
from chattor_bridge.protocol.limits import MAX_SLICED_FILE, SLICE_SIZE
from chattor_bridge.protocol.primitives import TAG_SIZE
from chattor_bridge.protocol.tree import OutlineBuilder, Tree


def sealed_size(content: Content) -> int:
    """Bytes of all sealed chunks."""
    return content.size + content.count * TAG_SIZE


def slice_count(content: Content) -> int:
    """How many slices there are; none of an empty file."""
    return -(-sealed_size(content) // SLICE_SIZE)


def is_slice(content: Content, number: int, length: int) -> bool:
    """Whether this file may go in slices, and has one of this number and this many bytes."""
    if content.size > MAX_SLICED_FILE or not 0 <= number < slice_count(content):
        return False
    return length == min(SLICE_SIZE, sealed_size(content) - number * SLICE_SIZE)


def cut(sealed: bytes) -> list[bytes]:
    """The slices of all sealed chunks, one after the other."""
    return [sealed[at : at + SLICE_SIZE] for at in range(0, len(sealed), SLICE_SIZE)]


class Joining:
    """Puts slices together, in order: the sealed chunks come out, and in the end whether they are what was offered."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._outline = OutlineBuilder()
        self._next = 0
        self._waiting = b""

    def add(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take the next slice; the chunks that it completes, sealed, with their numbers. Raises: AuthenticationFailed
        when one does not open."""
        self._waiting += data
        complete = []
        while self._next < self._content.count:
            length = self._content.length_of(self._next) + TAG_SIZE
            if len(self._waiting) < length:
                break
            sealed, self._waiting = self._waiting[:length], self._waiting[length:]
            self._outline.add(self._content.open(self._next, sealed))
            complete.append((self._next, sealed))
            self._next += 1
        return complete

    def end(self) -> None:
        """Every slice was added. Raises: AuthenticationFailed when this is not the file that was offered."""
        whole = self._next == self._content.count and not self._waiting
        if not whole or Tree(self._outline.outline()).root != self._content.root:
            raise AuthenticationFailed("a file is not what was offered")
