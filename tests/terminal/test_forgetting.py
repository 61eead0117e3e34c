"""A history has an end: by age, and by how much one friend has said."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.terminal.bell import Bell
from chattor_bridge.terminal.forgetting import DAY, INTERVAL, Forgetting
from chattor_bridge.terminal.ports import Direction
from tests.clock import FakeClock
from tests.storage import records
from tests.storage.records import NODE, PEER


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:{tmp_path / 'chattor.db'}", StoreKey(secrets.token_bytes(32))) as store:
        await records.settle(store)
        yield store


async def _say(store: Store, *texts: str, peer_id: PeerId = PEER, at: int = 0) -> None:
    async with store.transaction() as tx:
        for text in texts:
            event_id = EventId(secrets.token_bytes(16))
            await store.history.add(tx, NODE, peer_id, event_id, Direction.IN, text, sent_at=at, stored_at=at)


async def _texts(store: Store, peer_id: PeerId = PEER) -> list[str]:
    async with store.transaction() as tx:
        return [entry.text for entry in await store.history.last(tx, NODE, peer_id, 99)]


async def test_who_fills_the_history_loses_its_oldest_words_and_the_owner_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.terminal.forgetting.MAX_HISTORY_SIZE", 3_000)
    bell = Bell()
    forgetting = Forgetting(store, NODE, SteadyClock(FakeClock()), bell, None)
    await _say(store, *[f"{number} ".ljust(900, "x") for number in range(6)])
    rung = bell.next()
    await forgetting.forget()
    *_, told = kept = await _texts(store)
    assert [text.split()[0] for text in kept[:-1]] == ["3", "4", "5"]
    assert "Removed here: the oldest 3 messages of this friend" in told
    async with store.transaction() as tx:
        [entry] = await store.history.last(tx, NODE, PEER, 1)
    assert entry.kind == "note"  # which nobody can answer, for the friend has not said it
    assert rung.is_set()
    await _say(store, "and it goes on ".ljust(900, "x"))
    await forgetting.forget()  # each time
    assert len([text for text in await _texts(store) if "Removed here" in text]) == 2


async def test_nobody_else_is_told_anything(store: Store) -> None:
    await _say(store, "a", "b")
    bell = Bell()
    rung = bell.next()
    await Forgetting(store, NODE, SteadyClock(FakeClock()), bell, None).forget()
    assert await _texts(store) == ["a", "b"]
    assert not rung.is_set()


async def test_a_clock_that_is_wrong_for_less_than_a_day_takes_nothing_away(store: Store) -> None:
    clock = FakeClock()
    forgetting = Forgetting(store, NODE, SteadyClock(clock), Bell(), 2)
    await _say(store, "young", at=clock.now() - DAY)
    clock.set_wall(clock.now() + 30 * DAY)
    await forgetting.forget()
    assert await _texts(store) == ["young"]
    clock.set_wall(clock.now() - 30 * DAY)  # somebody put it right
    await forgetting.forget()
    assert await _texts(store) == ["young"]


async def test_what_is_older_than_wanted_goes(store: Store) -> None:
    clock = FakeClock()
    await _say(store, "old", at=clock.now() - 3 * DAY)
    await _say(store, "young", at=clock.now() - DAY)
    await Forgetting(store, NODE, SteadyClock(clock), Bell(), 2).forget()
    assert await _texts(store) == ["young"]
    assert INTERVAL <= DAY


async def test_a_clock_that_is_wrong_at_the_start_takes_nothing_away(store: Store) -> None:
    clock = FakeClock()
    before = SteadyClock(clock).remember()
    await _say(store, "young", at=clock.now() - DAY)
    clock.set_wall(clock.now() + 30 * DAY)
    started = SteadyClock(clock)
    started.recall(before)
    await Forgetting(store, NODE, started, Bell(), 2).forget()
    assert await _texts(store) == ["young"]
