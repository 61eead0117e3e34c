"""Which sequence numbers have been accepted, and how that is told (docs/protocol/session.md, Acknowledgement).

A window is a cumulative number (everything up to it was accepted) and a few runs above it. Its size is bounded twice:
by the number of runs, and by how many numbers may be missing, which is also how many message keys the ratchet keeps.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import MAX_RANGES, MAX_SEQ, MAX_SKIPPED


@dataclass(frozen=True, slots=True)
class Ack:
    """What a receiver has on disk: everything up to ``cumulative``, and the inclusive ``ranges`` above it.

    Ranges are ascending, apart from one another and from ``cumulative`` by at least one missing number. Absorbing an
    acknowledgement twice, or an old one after a new one, changes nothing.
    """

    cumulative: int
    ranges: tuple[tuple[int, int], ...] = ()

    def covered(self) -> tuple[tuple[int, int], ...]:
        """Every acknowledged number as ascending inclusive ranges."""
        if self.cumulative == 0:
            return self.ranges
        return ((1, self.cumulative), *self.ranges)

    def covers(self, seq: int) -> bool:
        """Whether ``seq`` is acknowledged."""
        return any(first <= seq <= last for first, last in self.covered())

    def to_cbor(self) -> list[object]:
        """The CBOR array ``[cumulative, first, last, first, last, ...]``."""
        flat: list[object] = [self.cumulative]
        for first, last in self.ranges:
            flat += (first, last)
        return flat

    @classmethod
    def from_cbor(cls, value: object) -> Ack:
        """Read what `to_cbor` made. Raises: MalformedData when it is not in the one allowed form."""
        if not isinstance(value, list) or len(value) % 2 == 0 or len(value) > 1 + 2 * MAX_RANGES:
            raise MalformedData("an acknowledgement is not a list of one number and a few ranges")
        numbers: list[int] = []
        for number in value:
            if type(number) is not int or not 0 <= number <= MAX_SEQ:
                raise MalformedData("an acknowledgement holds something that is no sequence number")
            numbers.append(number)
        ranges = tuple(zip(numbers[1::2], numbers[2::2], strict=True))
        end = numbers[0]
        for first, last in ranges:
            if first < end + 2 or last < first:
                raise MalformedData("the ranges of an acknowledgement touch, overlap or descend")
            end = last
        return cls(numbers[0], ranges)


class ReceiveWindow:
    """The sequence numbers accepted so far; starts empty, before number 1."""

    def __init__(self, ack: Ack | None = None, given_up: int = 0) -> None:
        """``ack`` and ``given_up``: what `ack` and `given_up` were when the window was stored."""
        self._cumulative = ack.cumulative if ack else 0
        self._ranges = list(ack.ranges) if ack else []
        self.given_up = given_up
        """What is missing before this number, which was accepted, is not waited for any more; 0 for nothing."""

    @property
    def cumulative(self) -> int:
        """Everything up to this number was accepted; 0 at the start."""
        return self._cumulative

    @property
    def highest(self) -> int:
        """The highest number accepted; 0 at the start."""
        return self._ranges[-1][1] if self._ranges else self._cumulative

    @property
    def first_gap(self) -> int:
        """The lowest number not yet accepted."""
        return self._cumulative + 1

    @property
    def missing(self) -> int:
        """How many numbers below the highest were not accepted."""
        return self.highest - self._cumulative - sum(last - first + 1 for first, last in self._ranges)

    @property
    def in_turn(self) -> int:
        """Everything accepted up to this number is handed on: nothing before it is missing, or is waited for."""
        if self.given_up <= self._cumulative:
            return self._cumulative
        return self._ranges[self._run_of(self.given_up)][1]

    @property
    def held(self) -> int:
        """How many numbers above `in_turn` were accepted."""
        low = self.in_turn
        return sum(last - first + 1 for first, last in self._ranges if first > low)

    def missing_between(self, low: int, high: int) -> int:
        """How many numbers above ``low`` and below ``high`` were not accepted; ``low`` is not below `cumulative`."""
        accepted = (min(last, high - 1) - max(first, low + 1) + 1 for first, last in self._ranges)
        return high - low - 1 - sum(max(0, count) for count in accepted)

    def contains(self, seq: int) -> bool:
        """Whether ``seq`` was accepted."""
        if seq <= self._cumulative:
            return seq > 0
        at = self._run_of(seq)
        return at < len(self._ranges) and self._ranges[at][0] <= seq

    def would_overflow(self, seq: int) -> bool:
        """Whether accepting ``seq`` would leave more numbers missing, or more separate runs, than are allowed."""
        if self.contains(seq):
            return False
        if seq < self.highest:
            return len(self._grown(seq)._ranges) > MAX_RANGES
        skipped = seq - self.highest - 1
        return self.missing + skipped > MAX_SKIPPED or (skipped > 0 and len(self._ranges) >= MAX_RANGES)

    def accept(self, seq: int) -> bool:
        """Note ``seq``; true if it is new.

        Raises: ValueError when ``seq`` is no sequence number, or `would_overflow` says no.
        """
        if not 1 <= seq <= MAX_SEQ:
            raise ValueError(f"{seq} is no sequence number")
        if self.contains(seq):
            return False
        if self.would_overflow(seq):
            raise ValueError("the window is full")
        grown = self._grown(seq)
        self._cumulative, self._ranges = grown._cumulative, grown._ranges
        return True

    def _run_of(self, seq: int) -> int:
        """Index of the first run that does not end before ``seq``."""
        return bisect_left(self._ranges, seq, key=lambda run: run[1])

    def _grown(self, seq: int) -> ReceiveWindow:
        runs = [(0, self._cumulative), *self._ranges]
        at = bisect_left(runs, seq, key=lambda run: run[0])
        first = last = seq
        if at < len(runs) and runs[at][0] == seq + 1:
            last = runs.pop(at)[1]
        if runs[at - 1][1] == seq - 1:
            at -= 1
            first = runs.pop(at)[0]
        runs.insert(at, (first, last))
        return ReceiveWindow(Ack(runs[0][1], tuple(runs[1:])))

    def ack(self) -> Ack:
        """What to acknowledge, and what to store of this window."""
        return Ack(self._cumulative, tuple(self._ranges))
