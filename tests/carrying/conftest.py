"""One world per test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.carrying.circle_of_three import Three
from tests.node.world import World
from tests.postgres import Databases


@pytest.fixture
async def directory() -> AsyncIterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))  # short: it holds unix sockets
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
async def world(databases: Databases, directory: Path) -> AsyncIterator[World]:
    world = World(directory, databases=databases)
    try:
        yield world
    finally:
        await world.stop()


@pytest.fixture
async def three(world: World) -> Three:
    """They have agreed, and all are there."""
    three = await Three.meet(world)
    await three.agree()
    return three
