"""The checking of proofs, one at a time and a few per second, however many come (docs/protocol/knock.md, Proof)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from chattor_bridge.errors import LimitReached
from chattor_bridge.node.labour import Labour
from chattor_bridge.node.ports import Clock
from chattor_bridge.protocol.effort import Proof
from chattor_bridge.protocol.limits import MAX_PROOFS_PER_SECOND, MAX_PROOFS_WAITING

WINDOW: Final = 1.0
"""Seconds in which `MAX_PROOFS_PER_SECOND` are checked at most."""


class Proving:
    """Checks the proofs of all doors of a node."""

    def __init__(self, clock: Clock, labour: Labour) -> None:
        self._clock = clock
        self._labour = labour
        self._turn = asyncio.Lock()
        self._begun: deque[float] = deque(maxlen=MAX_PROOFS_PER_SECOND)
        self._waiting = 0

    async def effort(self, proof: Proof) -> int:
        """What the proof shows, in bits, when its turn has come. Raises: LimitReached when too many wait."""
        if self._waiting >= MAX_PROOFS_WAITING:
            raise LimitReached("more knocks wait at the doors than can be checked; those who knock come again")
        self._waiting += 1
        try:
            async with self._turn:
                if len(self._begun) == MAX_PROOFS_PER_SECOND:
                    await self._clock.sleep(self._begun[0] + WINDOW - self._clock.monotonic())
                self._begun.append(self._clock.monotonic())
                return await self._labour.check(proof.effort)
        finally:
            self._waiting -= 1
