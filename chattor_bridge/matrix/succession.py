"""In which order the transactions of a homeserver are taken: none before an older one that it still has.

Synapse numbers its transactions and repeats those that failed, the oldest first. Around a failure it may all the same
bring a younger one before an older. The one after a failed one may be on its way before the repeating begins; and what
it stores at the moment in which the repeating ends is left behind, to be brought after the next failure, which may be
weeks away. A younger one that is refused is such a failure: Synapse begins again with the oldest it has, and a ping has
it do so at once. So one that skips a number is refused once, and taken when it is the oldest that comes; the first one
after our start is treated alike, for nobody knows what was before it.

A number is skipped for another reason too: Synapse counts the transactions of all its application services together. A
refusal for nothing is a failure as well. So only a few are refused unseen (`DOUBTS`), and then a `Lookout` is asked
whether something older is missing. None is doubted that is old, as all are that come after a long outage; only when
something is known to be left behind (`Succession.left_behind`) the next is refused, whatever it is. A homeserver whose
transactions have no numbers is believed whatever it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import OutOfTurn
from chattor_bridge.matrix.listener import Accept
from chattor_bridge.node.ports import Clock

DOUBTS = 2
"""How often in a row, the start counted, a skipped number is doubted with nothing older coming of it. Each doubt is a
failure too, after which one may be left behind: after every seventh, when somebody talks without pause."""

DOUBT_AGAIN = 3600.0
"""Seconds after which one more is doubted unseen then, or a failure before: the lookout does not see every room. On a
homeserver with other application services this is how often a transaction comes a moment later for nothing."""

FRESH = 10.0
"""Seconds since an event was said within which it may have come by itself. What is older comes out of a repetition,
which begins with the oldest."""

WAITED = 1.0
"""Seconds since an event was said after which it seems to be repeated, perhaps after a failure that we did not see:
Synapse waits for two before it repeats."""

UNEASY = 10.0
"""Seconds after a failure in which the lookout is asked at every skipped number. Later it is asked no more often than
this: where other application services have numbers skipped all day, asking each time would cost more than the messages.
"""

RETURNS_WITHIN = 30.0
"""Seconds for which younger ones wait for one that failed. They are milliseconds behind it, or come after it; should it
never come again, as after a repair of the homeserver by hand, the others must."""

LONGEST_NUMBER = 18
"""Digits; what is longer is no number of Synapse's, which counts in 64 bits."""


class Lookout(Protocol):
    """Knows by another way what happened in Matrix."""

    async def is_overtaken(self, events: Sequence[JsonObject]) -> bool | None:
        """Whether something older than all of these exists and has not come; None when that cannot be found out now.
        Bounded in time; never raises."""

    def look(self) -> None:
        """Something may be lost or left behind: look soon, and again when it has settled. Must not block."""


class _Turn(Enum):
    RIGHT = auto()
    PERHAPS = auto()  # nobody looked
    OUT = auto()


class Succession:
    """Wraps ``accept``. ``begin_again`` has the homeserver repeat at once what failed; it must not block."""

    def __init__(self, accept: Accept, clock: Clock, begin_again: Callable[[], None]) -> None:
        self._accept = accept
        self._clock = clock
        self._begin_again = begin_again
        self.lookout: Lookout | None = None
        self._complete_to: int | None = None  # not the highest: Synapse on SQLite counts anew when it starts
        self._awaited: int | None = None  # the lowest that failed and has not come again
        self._awaited_until = 0.0
        self._doubts_in_vain = 0
        self._last_doubt = 0.0
        self._uneasy_until = 0.0
        self._asked_at = 0.0
        self._has_answer = True
        self._is_left_behind = False

    def left_behind(self) -> None:
        """Something is: refuse the next transaction, whatever number it has."""
        self._is_left_behind = True

    async def accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        """An `Accept`, called for one transaction at a time.

        Raises: OutOfTurn, when it is to come again after any older one; what is ephemeral was taken then, for that is
        not repeated. Otherwise as ``accept``.
        """
        number = int(txn_id) if txn_id.isascii() and txn_id.isdigit() and len(txn_id) <= LONGEST_NUMBER else None
        turn = _Turn.PERHAPS if number is None else await self._turn(number, events)
        if turn is _Turn.OUT:
            self._be_uneasy()
            await self._accept(txn_id, [], ephemeral)
            self._begin_again()
            raise OutOfTurn("an older transaction may be missing")
        try:
            await self._accept(txn_id, events, ephemeral)
        except BaseException:
            self._be_uneasy()
            if number is not None:
                self._await(number)
                self._doubts_in_vain = 0
            raise
        if number is not None:
            self._taken(number, turn)

    async def _turn(self, number: int, events: Sequence[JsonObject]) -> _Turn:
        now = self._clock.monotonic()
        if self._awaited is not None and now < self._awaited_until:
            return _Turn.OUT if number > self._awaited else _Turn.RIGHT
        self._awaited = None
        if self._is_left_behind:  # a number that follows proves nothing then: the gap before it was taken for none
            self._is_left_behind = False
            self._await(number)
            return _Turn.OUT
        age = min((_age(event) for event in events), default=0.0)
        if age > WAITED or (self._complete_to is not None and number <= self._complete_to):
            self._be_uneasy()
        if age >= FRESH or (self._complete_to is not None and number <= self._complete_to + 1):
            return _Turn.RIGHT
        turn = _Turn.OUT if self._is_to_be_doubted(now) else await self._ask(events, now)
        if turn is _Turn.OUT:
            self._await(number)
        return turn

    async def _ask(self, events: Sequence[JsonObject], now: float) -> _Turn:
        may_ask = now < self._uneasy_until and self._has_answer
        if self.lookout is None or not events or not (may_ask or now >= self._asked_at + UNEASY):
            return _Turn.PERHAPS
        self._asked_at = now
        overtaken = await self.lookout.is_overtaken(events)
        self._has_answer = overtaken is not None  # else the next would wait as long for none
        return _Turn.PERHAPS if overtaken is None else _Turn.OUT if overtaken else _Turn.RIGHT

    def _is_to_be_doubted(self, now: float) -> bool:
        if self._doubts_in_vain >= DOUBTS and now < self._last_doubt + DOUBT_AGAIN:
            return False
        self._doubts_in_vain += 1
        self._last_doubt = now
        return True

    def _be_uneasy(self) -> None:
        self._uneasy_until = self._clock.monotonic() + UNEASY
        if self.lookout is not None:
            self.lookout.look()

    def _await(self, number: int) -> None:
        self._awaited = number if self._awaited is None else min(number, self._awaited)
        self._awaited_until = self._clock.monotonic() + RETURNS_WITHIN

    def _taken(self, number: int, turn: _Turn) -> None:
        if turn is _Turn.RIGHT:
            self._complete_to = number
        if self._awaited == number:
            self._awaited = None
        elif self._awaited is not None:
            self._doubts_in_vain = 0  # this is an older one


def _age(event: JsonObject) -> float:
    """In seconds."""
    unsigned = event.get("unsigned")
    age = unsigned.get("age") if isinstance(unsigned, dict) else None
    return age / 1000 if isinstance(age, int) else 0.0
