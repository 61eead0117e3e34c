"""Which sequence numbers have been accepted, and how that is told (docs/protocol/session.md, Acknowledgement).

A window is a cumulative number (everything up to it was accepted) and a few runs above it. Its size is bounded twice:
by the number of runs, and by how many numbers may be missing, which is also how many message keys the ratchet keeps.

Both sides keep one digest of all envelopes of a direction, so that an acknowledgement says which ones it means: a side
whose database was put back uses numbers again. It is a checksum against such an accident, not against anybody: what it
is made of was authenticated.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import DIGEST_SIZE, MAX_RANGES, MAX_SEQ, MAX_SKIPPED
from chattor_bridge.protocol.primitives import hash256

NO_DIGEST: Final = bytes(DIGEST_SIZE)
"""The digest of no envelope."""


def envelope_digest(envelope: bytes) -> bytes:
    """16 bytes by which the sender of an envelope knows it again."""
    return hash256("seen", envelope)[:DIGEST_SIZE]


def joined(one: bytes, other: bytes) -> bytes:
    """The digest of the envelopes of two digests together; of those that are in both it has none."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True)
class Ack:
    """What a receiver has on disk: everything up to ``cumulative``, and the inclusive ``ranges`` above it, with the
    ``digest`` of all these envelopes.

    Ranges are ascending, apart from one another and from ``cumulative`` by at least one missing number. Absorbing an
    acknowledgement twice, or an old one after a new one, changes nothing.
    """

    cumulative: int
    ranges: tuple[tuple[int, int], ...] = ()
    digest: bytes = NO_DIGEST

    @property
    def highest(self) -> int:
        """The highest acknowledged number; 0 for none."""
        return self.ranges[-1][1] if self.ranges else self.cumulative

    def covered(self) -> tuple[tuple[int, int], ...]:
        """Every acknowledged number as ascending inclusive ranges."""
        if self.cumulative == 0:
            return self.ranges
        return ((1, self.cumulative), *self.ranges)

    def covers(self, seq: int) -> bool:
        """Whether ``seq`` is acknowledged."""
        return any(first <= seq <= last for first, last in self.covered())

    def to_cbor(self) -> list[object]:
        """The CBOR array ``[cumulative, digest, first, last, first, last, ...]``."""
        flat: list[object] = [self.cumulative, self.digest]
        for first, last in self.ranges:
            flat += (first, last)
        return flat

    @classmethod
    def from_cbor(cls, value: object) -> Ack:
        """Read what `to_cbor` made. Raises: MalformedData when it is not in the one allowed form."""
        if not isinstance(value, list) or len(value) % 2 or not 2 <= len(value) <= 2 + 2 * MAX_RANGES:
            raise MalformedData("an acknowledgement is not a list of a number, a digest and a few ranges")
        digest = value[1]
        if not isinstance(digest, bytes) or len(digest) != DIGEST_SIZE:
            raise MalformedData("an acknowledgement has no digest")
        numbers: list[int] = []
        for number in (value[0], *value[2:]):
            if type(number) is not int or not 0 <= number <= MAX_SEQ:
                raise MalformedData("an acknowledgement holds something that is no sequence number")
            numbers.append(number)
        ranges = tuple(zip(numbers[1::2], numbers[2::2], strict=True))
        end = numbers[0]
        for first, last in ranges:
            if first < end + 2 or last < first:
                raise MalformedData("the ranges of an acknowledgement touch, overlap or descend")
            end = last
        return cls(numbers[0], ranges, digest)


class ReceiveWindow:
    """The sequence numbers accepted so far; starts empty, before number 1."""

    def __init__(self, ack: Ack | None = None, given_up: int = 0) -> None:
        """``ack`` and ``given_up``: what `ack` and `given_up` were when the window was stored."""
        self._cumulative = ack.cumulative if ack else 0
        self._ranges = list(ack.ranges) if ack else []
        self._digest = ack.digest if ack else NO_DIGEST
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

    def accept(self, seq: int, digest: bytes) -> bool:
        """Note ``seq``, which was used for the envelope with this digest; true if it is new.

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
        self._digest = joined(self._digest, digest)
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
        return Ack(self._cumulative, tuple(self._ranges), self._digest)


@dataclass(frozen=True, slots=True)
class Kept:
    """An ``envelope`` that was not acknowledged, and the digest of all that were sealed ``before`` it."""

    before: bytes
    envelope: bytes


class SendWindow:
    """The sequence numbers used so far; starts empty, before number 1."""

    def __init__(self, highest: int = 0, digest: bytes = NO_DIGEST) -> None:
        """What `highest` and `digest` were when the window was stored."""
        self.highest = highest
        self.digest = digest
        """Of every envelope that was sealed."""

    def add(self, envelope: bytes) -> Kept:
        """Note the envelope with the next number; what to keep until it is acknowledged."""
        kept = Kept(self.digest, envelope)
        self.highest += 1
        self.digest = joined(self.digest, envelope_digest(envelope))
        return kept

    def asks(self, ack: Ack) -> list[int]:
        """Where the runs of ``ack`` end: `means` needs what is kept of each of these numbers and of the next."""
        ends = {end for first, last in ack.covered() for end in (first - 1, last)}
        return sorted(ends - {0, self.highest})

    def means(self, ack: Ack, kept: Mapping[int, Kept]) -> bool:
        """Whether ``ack`` is of the envelopes that were sealed here. Also false when that cannot be told: of one that
        is older than another, or when something that it does not name is kept no more."""
        digest = NO_DIGEST
        for first, last in ack.covered():
            for end in (first - 1, last):
                up_to = self._up_to(end, kept)
                if up_to is None:
                    return False
                digest = joined(digest, up_to)
        return digest == ack.digest

    def _up_to(self, seq: int, kept: Mapping[int, Kept]) -> bytes | None:
        """The digest of everything up to this number, which is at the end or at the edge of what is kept."""
        if seq == 0:
            return NO_DIGEST
        if seq == self.highest:
            return self.digest
        if (following := kept.get(seq + 1)) is not None:
            return following.before
        if (last := kept.get(seq)) is not None:
            return joined(last.before, envelope_digest(last.envelope))
        return None
