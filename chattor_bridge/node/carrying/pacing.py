"""How fast what one carrier holds is taken, and for how long it is waited for. That is so over all links with it: a new
one begins nothing anew. Implements docs/protocol/carriers.md, "Collecting"."""

from __future__ import annotations

from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import ShelfId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.ports import Clock
from chattor_bridge.protocol.limits import CARRIER_DELAY, MAX_SHELF_BLOCKS, MAX_SHELVES

SLOW_PAUSE: Final = 60.0
"""Seconds before the next block of a shelf on which somebody leaves more than it may, or what opens under nobody's key:
a block a minute adds little, and whoever shares the shelf need not wait for a day."""

MOST_SHELVES: Final = 2 * MAX_SHELVES
"""Shelves at one carrier: those it offers, and those whose place they take."""

MOST_HELD: Final = MOST_SHELVES * MAX_SHELF_BLOCKS
"""Blocks that a carrier can hold."""

ANSWERED_AGAIN: Final = 8
"""Blocks a day of one shelf that brought nothing new and are acknowledged all the same: each acknowledgement says all
that has come, and one is lost now and then. More would let a carrier fill, by handing one block over again and again,
the shelf on which they are left."""


class Pacing:
    """Of one carrier; full again when the program starts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slow_until: dict[ShelfId, float] = {}
        self._made_up: dict[ShelfId, Allowance] = {}
        self._again: dict[ShelfId, Allowance] = {}
        self._unknown = Allowance(clock, MOST_HELD)
        self._delay = Allowance(clock, CARRIER_DELAY)

    def wait(self, shelf_id: ShelfId) -> float:
        """Seconds until the next block of this shelf may be taken; not more than 0 for now."""
        return self._slow_until.get(shelf_id, float("-inf")) - self._clock.monotonic()

    def slow_down(self, shelf_id: ShelfId) -> None:
        """Take no more of this shelf for a while."""
        now = self._clock.monotonic()
        self._slow_until = {one: until for one, until in self._slow_until.items() if until > now}
        self._slow_until[shelf_id] = now + SLOW_PAUSE

    def made_up(self, shelf_id: ShelfId) -> None:
        """A block of this shelf of ours opened under nobody's key: a shelf full of them a day is taken at once."""
        if self._of(self._made_up, shelf_id, MAX_SHELF_BLOCKS).spend(1):
            self.slow_down(shelf_id)

    def answers_again(self, shelf_id: ShelfId) -> bool:
        """Whether to acknowledge a block of this shelf of ours that brought nothing new."""
        return self._of(self._again, shelf_id, ANSWERED_AGAIN).grants(1)

    def unknown(self) -> None:
        """A block of a shelf that is none of ours: there may be some after a backup was put back. Raises: MalformedData
        when in a day there were more than a carrier can hold."""
        if self._unknown.spend(1):
            raise MalformedData("a carrier hands over ever more of shelves that are not ours")

    def delayed(self, seconds: float) -> bool:
        """For so long were gaps kept open because the carrier has said that it holds more; whether it may have that no
        longer."""
        return self._delay.spend(seconds) > 0

    def _of(self, allowances: dict[ShelfId, Allowance], shelf_id: ShelfId, daily: int) -> Allowance:
        """That of one shelf."""
        if shelf_id not in allowances and len(allowances) >= MOST_SHELVES:
            del allowances[next(iter(allowances))]  # a shelf that is no more; no carrier makes one
        return allowances.setdefault(shelf_id, Allowance(self._clock, daily))
