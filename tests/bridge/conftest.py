"""A bridge in a town of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.bridge.town import Town, chattor_friend
from tests.peer import Peer
from tests.postgres import Databases


@pytest_asyncio.fixture
async def town(tmp_path: Path, databases: Databases) -> AsyncIterator[Town]:
    town = Town(tmp_path, databases)
    await town.start()
    try:
        yield town
    finally:
        await town.stop()


@pytest_asyncio.fixture
async def friend(town: Town) -> AsyncIterator[Peer]:
    async with chattor_friend(town.directory, town.network) as friend:
        yield friend
