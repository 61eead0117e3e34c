"""One world per test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.node.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))  # short: it holds unix sockets
    world = World(directory)
    try:
        yield world
    finally:
        await world.stop()
        shutil.rmtree(directory)
