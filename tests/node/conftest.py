"""One world per test, and two friends in it for those that want them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chattor_bridge.ids import PeerId
from tests.node.puppet import Puppet
from tests.node.renewing import Friends
from tests.node.world import Person, World
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


@pytest.fixture
async def anna(world: World) -> Person:
    return await world.person("Anna")


@pytest.fixture
async def ben(world: World) -> Person:
    return await world.person("Ben")


@pytest.fixture
async def peer(anna: Person, ben: Person) -> PeerId:
    return await anna.befriend(ben)


@pytest.fixture
async def friends(anna: Person, ben: Person, peer: PeerId) -> Friends:
    return anna, ben, peer


@pytest.fixture
async def puppet(anna: Person, ben: Person, peer: PeerId) -> AsyncIterator[Puppet]:
    """Ben, moved by hand, as a friend of Anna's whose link is not up."""
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer))
    yield puppet
    await puppet.close()
