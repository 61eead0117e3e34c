"""What of a file has come, and what to ask for next on which stream. Implements docs/protocol/files.md, "Fetching".

The fetching side alone divides the work: every stream asks for a little more whenever something has come on it, so a
quick circuit fetches more than a slow one, and what was asked for on a stream that broke is asked for on another. When
nothing is left to ask for, what others still wait for is asked for once more, so that no slow stream holds up the end.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from chattor_bridge.protocol.chunks import Content, SealedChunk
from chattor_bridge.protocol.limits import CHUNKS_OF_GROUP

_BITS: Final = 8


class Bitmap:
    """A set of chunks, as it is kept on disk: a bit for each, the first in the highest bit of the first byte."""

    def __init__(self, count: int, encoded: bytes = b"") -> None:
        """``encoded``: what `encode` returned, or nothing for the empty set. Raises: ValueError for anything else."""
        self._count = count
        size = -(-count // _BITS)
        if len(encoded) not in (0, size):
            raise ValueError("the bitmap of a file has another length")
        self._bits = bytearray(encoded or bytes(size))
        spare = size * _BITS - count
        if spare and self._bits[-1] & ((1 << spare) - 1):
            raise ValueError("the bitmap of a file has bits beyond its end")
        self.missing = count - sum(byte.bit_count() for byte in self._bits)

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index // _BITS] & (0x80 >> index % _BITS))

    def add(self, index: int) -> None:
        """Note a chunk. Raises: IndexError when there is none of this number."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        if index not in self:
            self._bits[index // _BITS] |= 0x80 >> index % _BITS
            self.missing -= 1

    def encode(self) -> bytes:
        """The bytes to keep."""
        return bytes(self._bits)


class Fetching:
    """One file being fetched, over any number of streams."""

    def __init__(self, content: Content, stored: bytes = b"") -> None:
        """``stored``: the bitmap as it is on disk. Raises: ValueError when it is not one of this file."""
        self.content = content
        self.stored = Bitmap(content.count, stored)
        self._came = Bitmap(content.count, stored)
        self._next = 0
        self._asked: dict[Hashable, list[int]] = {}
        self._given_back: list[int] = []
        self._again: set[int] = set()

    @property
    def complete(self) -> bool:
        """Whether every chunk is stored."""
        return self.stored.missing == 0

    @property
    def all_came(self) -> bool:
        """Whether every chunk has come, stored or not."""
        return self._came.missing == 0

    def ask(self, stream: Hashable, at_most: int) -> range | None:
        """Chunks of one group to ask for on this stream, ``at_most`` so many; None when there is nothing to ask for."""
        run = self._free_run(at_most) if at_most > 0 else None
        if run is None and at_most > 0 and not self._asked.get(stream):
            run = self._run_of_others(at_most)
        if run is not None:
            self._asked.setdefault(stream, []).extend(run)
        return run

    def check(self, chunk: SealedChunk) -> None:
        """Raises: MalformedData, AuthenticationFailed when this is not the chunk that was offered."""
        self.content.check(chunk.index, chunk.sealed, chunk.path)

    def came(self, stream: Hashable, index: int) -> bool:
        """A chunk that was asked for on this stream has come, was checked and written; whether it is the first time."""
        self._asked[stream].remove(index)
        if index in self._came:
            return False
        self._came.add(index)
        return True

    def lost(self, stream: Hashable) -> None:
        """This stream is gone; what was asked for on it has to be asked for again."""
        elsewhere = {index for other, asked in self._asked.items() if other != stream for index in asked}
        for index in self._asked.pop(stream, ()):
            self._again.discard(index)
            if index not in self._came and index not in elsewhere:
                self._given_back.append(index)
        self._given_back.sort()

    def _free_run(self, at_most: int) -> range | None:
        """Chunks that nobody has been asked for: those given back first, then further ones in order."""
        if self._given_back:
            first = self._given_back.pop(0)
            last = first
            while self._given_back and self._given_back[0] == last + 1 and _may_join(first, last + 1, at_most):
                last = self._given_back.pop(0)
            return range(first, last + 1)
        while self._next < self.content.count and self._next in self._came:
            self._next += 1
        if self._next == self.content.count:
            return None
        first = self._next
        while self._next < self.content.count and _may_join(first, self._next, at_most):
            if self._next in self._came:
                break
            self._next += 1
        return range(first, self._next)

    def _run_of_others(self, at_most: int) -> range | None:
        """Chunks that another stream was asked for first and has not brought, each once more at most."""
        for asked in self._asked.values():
            waiting = [index for index in asked if index not in self._came and index not in self._again]
            if not waiting:
                continue
            first = last = waiting[0]
            for index in waiting[1:]:
                if index != last + 1 or not _may_join(first, index, at_most):
                    break
                last = index
            self._again.update(range(first, last + 1))
            return range(first, last + 1)
        return None


def _may_join(first: int, index: int, at_most: int) -> bool:
    """Whether a run from ``first`` may go on to ``index``: in the same group, and not longer than ``at_most``."""
    return index // CHUNKS_OF_GROUP == first // CHUNKS_OF_GROUP and index - first < at_most
