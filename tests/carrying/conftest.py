"""One world per test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.node.world import World
from tests.postgres import Databases


@pytest.fixture
async def world(databases: Databases) -> AsyncIterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))  # short: it holds unix sockets
    world = World(directory, databases=databases)
    try:
        yield world
    finally:
        await world.stop()
        shutil.rmtree(directory)
