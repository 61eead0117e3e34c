"""One private Tor network for the whole test run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chattor_bridge.ops.tornet import TorNetwork


@pytest.fixture(scope="session")
async def tor_network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TorNetwork]:
    """A network that is up. Tests that stop relays boot one of their own."""
    async with TorNetwork(tmp_path_factory.mktemp("tornet")) as network:
        yield network
