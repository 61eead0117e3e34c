"""In which order the transactions of a homeserver are taken: none before an older one that it still has.

Synapse numbers its transactions and repeats those that failed, the oldest first. Around a failure it may all the same
bring a younger one before an older. The one after a failed one may be on its way before the repeating begins; and what
it stores at the moment in which the repeating ends is left behind, to be brought after the next failure, which may be
weeks away. A younger one that is refused is such a failure: Synapse begins again with the oldest it has, and a ping has
it do so at once. So one that skips a number is refused once, and taken when it is the oldest that comes; the first one
after our start is treated alike, for nobody knows what was before it.

A number is skipped for another reason too: Synapse counts the transactions of all its application services together.
Therefore only so many are refused (`DOUBTS`), and none that is old, as all are that come after a long outage. A
homeserver whose transactions have no numbers is believed whatever it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import OutOfTurn
from chattor_bridge.matrix.listener import Accept
from chattor_bridge.node.ports import Clock

DOUBTS = 2
"""How often in a row, the start counted, a skipped number is doubted with nothing older coming of it. Each doubt is a
failure too, after which one may be left behind: after every seventh, when somebody talks without pause."""

DOUBT_AGAIN = 3600.0
"""Seconds after which one more is doubted then, or a failure before. On a homeserver with other application services
this is how often a transaction comes a moment later for nothing."""

FRESH = 10.0
"""Seconds since an event was said within which it may have come by itself. What is older comes out of a repetition,
which begins with the oldest."""

RETURNS_WITHIN = 30.0
"""Seconds for which younger ones wait for one that failed. They are milliseconds behind it, or come after it; should it
never come again, as after a repair of the homeserver by hand, the others must."""

LONGEST_NUMBER = 18
"""Digits; what is longer is no number of Synapse's, which counts in 64 bits."""


class Succession:
    """Wraps ``accept``. ``begin_again`` has the homeserver repeat at once what failed; it must not block."""

    def __init__(self, accept: Accept, clock: Clock, begin_again: Callable[[], None]) -> None:
        self._accept = accept
        self._clock = clock
        self._begin_again = begin_again
        self._last_taken: int | None = None  # not the highest: Synapse on SQLite counts anew when it starts
        self._awaited: int | None = None  # the lowest that failed and has not come again
        self._awaited_until = 0.0
        self._doubts_in_vain = 0
        self._last_doubt = 0.0

    async def accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        """An `Accept`, called for one transaction at a time.

        Raises: OutOfTurn, when it is to come again after any older one; what is ephemeral was taken then, for that is
        not repeated. Otherwise as ``accept``.
        """
        number = int(txn_id) if txn_id.isascii() and txn_id.isdigit() and len(txn_id) <= LONGEST_NUMBER else None
        if number is not None and self._is_out_of_turn(number, events):
            await self._accept(txn_id, [], ephemeral)
            self._begin_again()
            raise OutOfTurn("an older transaction may be missing")
        try:
            await self._accept(txn_id, events, ephemeral)
        except BaseException:
            if number is not None:
                self._await(number)
                self._doubts_in_vain = 0
            raise
        if number is not None:
            self._taken(number)

    def _is_out_of_turn(self, number: int, events: Sequence[JsonObject]) -> bool:
        now = self._clock.monotonic()
        if self._awaited is not None and now < self._awaited_until:
            return number > self._awaited
        self._awaited = None
        follows = self._last_taken is not None and number <= self._last_taken + 1
        if follows or not _fresh(events):
            return False
        if self._doubts_in_vain >= DOUBTS and now < self._last_doubt + DOUBT_AGAIN:
            return False
        self._doubts_in_vain += 1
        self._last_doubt = now
        self._await(number)
        return True

    def _await(self, number: int) -> None:
        self._awaited = number if self._awaited is None else min(number, self._awaited)
        self._awaited_until = self._clock.monotonic() + RETURNS_WITHIN

    def _taken(self, number: int) -> None:
        self._last_taken = number
        if self._awaited == number:
            self._awaited = None
        elif self._awaited is not None:
            self._doubts_in_vain = 0  # this is an older one


def _fresh(events: Sequence[JsonObject]) -> bool:
    """Whether one was said a moment ago, by the clock of the homeserver, or it does not say."""
    return min((_age(event) for event in events), default=0.0) < FRESH


def _age(event: JsonObject) -> float:
    """In seconds."""
    unsigned = event.get("unsigned")
    age = unsigned.get("age") if isinstance(unsigned, dict) else None
    return age / 1000 if isinstance(age, int) else 0.0
