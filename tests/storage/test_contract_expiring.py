"""What was said and is to disappear; over both engines."""

from __future__ import annotations

import pytest

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.storage import expiring
from chattor_bridge.storage.store import Store
from tests.storage import records
from tests.storage.records import NODE, PEER, numbered

OTHER = PeerId(b"O" * 16)


def _event(number: int) -> EventId:
    return EventId(numbered(number))


async def _add(store: Store, *numbers: int, peer: PeerId = PEER, begins: bool = True) -> None:
    async with store.transaction() as tx:
        for number in numbers:
            await store.expiring.add(tx, NODE, peer, _event(number), 10 * number, said_at=100, begins=begins)


async def test_each_is_taken_once_when_it_is_due(store: Store) -> None:
    await records.settle(store)
    await _add(store, 2, 1)
    await _add(store, 1)  # again
    async with store.transaction() as tx:
        assert await store.expiring.next_due(tx, NODE) == 110
        assert await store.expiring.take(tx, NODE, 109, 9) == []
        assert await store.expiring.take(tx, NODE, 120, 1) == [(PEER, _event(1))]
        assert await store.expiring.take(tx, NODE, 120, 9) == [(PEER, _event(2))]
        assert await store.expiring.next_due(tx, NODE) is None


async def test_what_waits_to_be_read_begins_once(store: Store) -> None:
    await records.settle(store)
    await _add(store, 1, begins=False)
    async with store.transaction() as tx:
        assert await store.expiring.next_due(tx, NODE) is None
        assert await store.expiring.begin(tx, NODE, PEER, [_event(7), _event(1)], 500)
        assert not await store.expiring.begin(tx, NODE, PEER, [_event(1)], 900)
        assert await store.expiring.next_due(tx, NODE) == 510


@pytest.mark.parametrize("begins", [True, False])
async def test_of_too_many_the_oldest_are_due(store: Store, monkeypatch: pytest.MonkeyPatch, begins: bool) -> None:
    monkeypatch.setattr(expiring, "MOST_EXPIRING", 2)
    await records.settle(store)
    await _add(store, 1, 2, 3, 4, begins=begins)
    async with store.transaction() as tx:
        assert await store.expiring.take(tx, NODE, 100, 9) == [(PEER, _event(1)), (PEER, _event(2))]


async def test_they_move_and_outlive_the_contact_but_not_the_node(store: Store) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        await store.contacts.add(tx, records.contact(OTHER, peer_static=b"o" * 32))
    await _add(store, 1, 2)
    await _add(store, 2, peer=OTHER)
    async with store.transaction() as tx:
        await store.expiring.move(tx, NODE, PEER, OTHER)
        assert await store.expiring.take(tx, NODE, 110, 9) == [(OTHER, _event(1))]
        await store.expiring.add(tx, NODE, OTHER, _event(3), 5, said_at=100, begins=False)
        await store.expiring.begin_all(tx, NODE, OTHER, 200)
        await store.contacts.remove(tx, NODE, OTHER)
        assert await store.expiring.take(tx, NODE, 205, 9) == [(OTHER, _event(2)), (OTHER, _event(3))]
        await store.expiring.add(tx, NODE, PEER, _event(4), 5, said_at=100, begins=True)
        await store.nodes.remove(tx, NODE)
        assert await store.expiring.next_due(tx, NODE) is None
