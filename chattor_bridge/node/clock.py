"""The clock of the machine, as the nodes' port wants it."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """A `chattor_bridge.node.ports.Clock` that tells the time of this machine."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
