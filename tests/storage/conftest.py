"""A store on each engine, open for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chattor_bridge.storage import Store, StoreKey, open_store
from tests.postgres import MEMORY
from tests.sim.engine import Disk


@pytest.fixture
def key(tmp_path: Path) -> StoreKey:
    return StoreKey.create(tmp_path / "store.key")


@pytest.fixture
async def store(store_url: str, key: StoreKey) -> AsyncIterator[Store]:
    async with Disk().store(key) if store_url == MEMORY else open_store(store_url, key) as store:
        yield store
