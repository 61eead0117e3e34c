"""A transport that is started late: what becomes of one whose start comes to nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chattor_bridge.errors import TorUnusable
from chattor_bridge.transport.memory import MemoryTransport
from chattor_bridge.transport.on_demand import OnDemand


class _Slow(MemoryTransport):
    """Starts when it is let, or not."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, limit=1)
        self.let, self.starting, self.starts, self.stops = asyncio.Event(), asyncio.Event(), 0, 0
        self.works = True

    async def start(self) -> None:
        self.starts += 1
        self.starting.set()
        await self.let.wait()
        if not self.works:
            raise TorUnusable("it does not start")
        await super().start()

    async def stop(self) -> None:
        self.stops += 1
        await super().stop()


async def _publish(transport: OnDemand) -> None:
    publication = await transport.publish(bytes(32), lambda stream: stream.close(), clients=None)
    await publication.withdraw()


async def test_it_is_stopped_when_its_start_is_given_up(tmp_path: Path) -> None:
    slow = _Slow(tmp_path)
    publishing = asyncio.create_task(_publish(OnDemand(lambda: slow)))
    await slow.starting.wait()
    publishing.cancel()
    await asyncio.wait({publishing})
    assert slow.stops == 1


async def test_it_is_stopped_when_its_start_fails_and_started_again(tmp_path: Path) -> None:
    slow = _Slow(tmp_path)
    slow.let.set()
    slow.works = False
    transport = OnDemand(lambda: slow)
    with pytest.raises(TorUnusable):
        await _publish(transport)
    assert slow.stops == 1
    slow.works = True
    await _publish(transport)
    assert slow.starts == 2
    await transport.stop()
    assert slow.stops == 2
