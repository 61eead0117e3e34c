"""What portals show and their owners have not read; over both engines."""

from __future__ import annotations

import pytest

from chattor_bridge.ids import EventId, MatrixEventId, MatrixRoomId
from chattor_bridge.storage.store import Store

ROOM = MatrixRoomId("!room:example.test")
OTHER = MatrixRoomId("!other:example.test")


def _event(number: int) -> EventId:
    return EventId(number.to_bytes(16, "big"))


def _shown(number: int) -> MatrixEventId:
    return MatrixEventId(f"${number}")


async def _show(store: Store, room_id: MatrixRoomId, *numbers: int) -> None:
    async with store.transaction() as tx:
        for number in numbers:
            await store.unread.add(tx, room_id, _shown(number), _event(number))


async def _take(store: Store, room_id: MatrixRoomId, up_to: int) -> list[EventId]:
    async with store.transaction() as tx:
        return await store.unread.take(tx, room_id, _shown(up_to))


async def test_a_receipt_takes_what_stands_above_it_once_and_in_order(store: Store) -> None:
    await _show(store, ROOM, 3, 1, 2)
    assert await _take(store, ROOM, 1) == [_event(3), _event(1)]
    assert await _take(store, ROOM, 1) == []
    assert await _take(store, ROOM, 2) == [_event(2)]


async def test_a_notice_counts_for_what_stands_above_it(store: Store) -> None:
    await _show(store, ROOM, 1)
    async with store.transaction() as tx:
        await store.unread.add(tx, ROOM, _shown(2), None)
    assert await _take(store, ROOM, 2) == [_event(1)]


async def test_other_rooms_are_left_alone(store: Store) -> None:
    await _show(store, ROOM, 1)
    await _show(store, OTHER, 2)
    assert await _take(store, ROOM, 2) == []
    assert await _take(store, OTHER, 2) == [_event(2)]
    assert await _take(store, ROOM, 1) == [_event(1)]


async def test_showing_the_same_again_changes_nothing(store: Store) -> None:
    await _show(store, ROOM, 1, 2, 1)
    assert await _take(store, ROOM, 1) == [_event(1)]


async def test_only_the_newest_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chattor_bridge.storage.unread.MOST_UNREAD", 3)
    await _show(store, OTHER, 9)
    await _show(store, ROOM, 1, 2, 3, 4, 5)
    assert await _take(store, ROOM, 2) == []
    assert await _take(store, ROOM, 5) == [_event(3), _event(4), _event(5)]
    assert await _take(store, OTHER, 9) == [_event(9)]
