"""A running Matrix side against the shared Synapse."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.synapse import Homestead, Intake, homestead, keys, private_homestead

__all__ = ["homestead", "keys", "private_homestead"]


@pytest_asyncio.fixture
async def intake() -> Intake:
    return Intake()


@pytest_asyncio.fixture
async def service(homestead: Homestead, intake: Intake, keys: Store) -> AsyncIterator[MatrixService]:
    """Started and connected."""
    service = MatrixService(homestead.settings(), intake.accept, SystemClock(), keys)
    await service.start()
    try:
        await service.reachable()
        yield service
    finally:
        await service.stop()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    server = FakeHomeserver()
    await server.start()
    yield server
    await server.stop()
