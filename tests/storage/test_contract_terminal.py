"""What `chattor_bridge.terminal.ports` promises of a store, on both engines."""

from __future__ import annotations

import pytest

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage import Store
from chattor_bridge.storage.transaction import sql
from chattor_bridge.terminal.ports import Direction, HistoryEntry, TerminalStore
from tests.storage.records import NODE, PEER, numbered

OTHER_PEER = PeerId(b"Q" * 16)


async def say(
    store: Store,
    tx: Transaction,
    number: int,
    direction: Direction = Direction.IN,
    peer_id: PeerId = PEER,
    thread: EventId | None = None,
) -> int:
    return await store.history.add(
        tx,
        NODE,
        peer_id,
        EventId(numbered(number)),
        direction,
        f"planted text {number} 🧅",
        sent_at=1000 + number,
        stored_at=2000 + number,
        thread=thread,
    )


def numbers(entries: list[HistoryEntry]) -> list[int]:
    return [int.from_bytes(entry.event_id, "big") for entry in entries]


async def test_the_store_is_a_terminal_store(store: Store) -> None:
    terminal_store: TerminalStore = store
    async with terminal_store.transaction() as tx:
        assert await terminal_store.history.last(tx, NODE, PEER, 1) == []


async def test_an_entry_comes_back_as_it_was_said(store: Store) -> None:
    async with store.transaction() as tx:
        order = await say(store, tx, 1, Direction.OUT)
    async with store.transaction() as tx:
        expected = HistoryEntry(
            order=order,
            node_id=NODE,
            peer_id=PEER,
            event_id=EventId(numbered(1)),
            direction=Direction.OUT,
            text="planted text 1 🧅",
            sent_at=1001,
            stored_at=2001,
            delivered_at=None,
            read_at=None,
            failure="",
        )
        assert await store.history.get(tx, NODE, PEER, EventId(numbered(1))) == expected
        assert await store.history.get(tx, NODE, PEER, EventId(numbered(2))) is None


async def test_adding_again_changes_nothing(store: Store) -> None:
    async with store.transaction() as tx:
        first = await say(store, tx, 1)
        second = await say(store, tx, 2)
        again = await store.history.add(
            tx, NODE, PEER, EventId(numbered(1)), Direction.IN, "else", sent_at=0, stored_at=0
        )
        assert first == again < second
        entry = await store.history.get(tx, NODE, PEER, EventId(numbered(1)))
        assert entry is not None
        assert entry.text == "planted text 1 🧅"


async def test_a_change_is_found_by_what_it_changes_and_goes_with_it(store: Store) -> None:
    text, edit, reaction = (EventId(numbered(number)) for number in (1, 2, 3))
    async with store.transaction() as tx:
        order = await say(store, tx, 1)
        for event_id, kind in ((edit, "edit"), (reaction, "reaction")):
            await store.history.add(
                tx,
                NODE,
                PEER,
                event_id,
                Direction.IN,
                "planted change",
                sent_at=1,
                stored_at=2,
                kind=kind,
                target=text,
                reply=text,
                thread=edit,
                detail={"kind": "planted detail"},
            )
    async with store.transaction() as tx:
        history = store.history
        first, second = await history.changes(tx, NODE, PEER, text, 9)
        assert (first.event_id, first.kind, first.target, first.read_at) == (edit, "edit", text, 2)
        assert (first.reply, first.thread, first.detail) == (text, edit, {"kind": "planted detail"})
        assert await history.changes(tx, NODE, PEER, text, 1) == [second]
        assert await history.changes(tx, NODE, OTHER_PEER, text, 9) == []
        assert await history.by_order(tx, NODE, second.order) == second
        assert await history.by_order(tx, NODE, 10_000) is None
        assert await history.by_order(tx, NodeId(b"M" * 16), second.order) is None
        assert numbers(await history.last(tx, NODE, PEER, 9)) == [1]
        assert numbers(await history.after(tx, NODE, 0, 9, PEER, changes=False)) == [1]
        assert numbers(await history.after(tx, NODE, 0, 9, PEER)) == [1, 2, 3]
        assert numbers(await history.after(tx, NODE, 0, 9, changes=False)) == [1]
        assert len(await history.unread(tx, NODE, PEER, 9)) == 1
        await history.take_back(tx, NODE, PEER, reaction, 7)
        assert await history.get(tx, NODE, PEER, reaction) is None
        await history.take_back(tx, NODE, PEER, text, 8)
        assert await history.changes(tx, NODE, PEER, text, 9) == []
        gone = await history.get(tx, NODE, PEER, text)
        assert gone is not None
        assert (gone.order, gone.text, gone.detail, gone.deleted_at) == (order, "", None, 8)


async def test_the_last_entries_of_a_friend_oldest_first(store: Store) -> None:
    async with store.transaction() as tx:
        for number in (9, 8, 7, 6):
            await say(store, tx, number)
        await say(store, tx, 5, peer_id=OTHER_PEER)
        assert numbers(await store.history.last(tx, NODE, PEER, 3)) == [8, 7, 6]
        assert numbers(await store.history.last(tx, NODE, PEER, 99)) == [9, 8, 7, 6]
        newest = (await store.history.last(tx, NODE, PEER, 1))[0].order
        assert numbers(await store.history.last(tx, NODE, PEER, 2, newest)) == [8, 7]
        assert await store.history.last(tx, NodeId(b"M" * 16), PEER, 99) == []


async def test_a_thread_is_its_first_message_and_what_is_said_in_it(store: Store) -> None:
    root = EventId(numbered(1))
    async with store.transaction() as tx:
        for number in (1, 2, 3, 4):
            thread = root if number in (2, 4) else None
            await say(store, tx, number, thread=thread)
        assert numbers(await store.history.last(tx, NODE, PEER, 9, thread=root)) == [1, 2, 4]
        newest = (await store.history.last(tx, NODE, PEER, 1, thread=root))[0].order
        assert numbers(await store.history.last(tx, NODE, PEER, 1, newest, root)) == [2]
        assert numbers(await store.history.after(tx, NODE, newest - 3, 9, PEER, root)) == [2, 4]
        assert await store.history.last(tx, NODE, OTHER_PEER, 9, thread=root) == []


async def test_following_by_order(store: Store) -> None:
    async with store.transaction() as tx:
        orders = [await say(store, tx, n, peer_id=PEER if n % 2 else OTHER_PEER) for n in range(6)]
        assert orders == sorted(orders)
        assert numbers(await store.history.after(tx, NODE, 0, 99)) == [0, 1, 2, 3, 4, 5]
        assert numbers(await store.history.after(tx, NODE, orders[1], 3)) == [2, 3, 4]
        assert numbers(await store.history.after(tx, NODE, orders[1], 99, PEER)) == [3, 5]
        assert await store.history.after(tx, NODE, orders[-1], 99) == []


async def test_delivered_once(store: Store) -> None:
    async with store.transaction() as tx:
        await say(store, tx, 1, Direction.OUT)
        await say(store, tx, 2, Direction.IN)
        assert await store.history.mark_delivered(tx, NODE, PEER, EventId(numbered(1)), 3000)
        assert await store.history.mark_delivered(tx, NODE, PEER, EventId(numbered(1)), 4000)
        assert not await store.history.mark_delivered(tx, NODE, PEER, EventId(numbered(2)), 3000), "not ours"
        assert not await store.history.mark_delivered(tx, NODE, PEER, EventId(numbered(3)), 3000), "unknown"
        assert [entry.delivered_at for entry in await store.history.last(tx, NODE, PEER, 2)] == [3000, None]


@pytest.mark.parametrize("direction", list(Direction))
async def test_read_once_and_in_one_direction(store: Store, direction: Direction) -> None:
    ids = [EventId(numbered(number)) for number in range(1, 5)]
    async with store.transaction() as tx:
        for number in (1, 2, 3):
            await say(store, tx, number, direction)
        assert await store.history.mark_read(tx, NODE, PEER, ids[:2], direction, 3000) == 2
        assert await store.history.mark_read(tx, NODE, PEER, ids, direction, 4000) == 1
        other = Direction.IN if direction is Direction.OUT else Direction.OUT
        assert await store.history.mark_read(tx, NODE, PEER, ids, other, 5000) == 0
        entries = await store.history.last(tx, NODE, PEER, 3)
        assert [entry.read_at for entry in entries] == [3000, 3000, 4000]
        delivered = [3000, 3000, 4000] if direction is Direction.OUT else [None] * 3
        assert [entry.delivered_at for entry in entries] == delivered


async def test_failed_with_a_reason(store: Store) -> None:
    async with store.transaction() as tx:
        await say(store, tx, 1, Direction.OUT)
        assert await store.history.mark_failed(tx, NODE, PEER, EventId(numbered(1)), "planted reason")
        assert not await store.history.mark_failed(tx, NODE, PEER, EventId(numbered(2)), "unknown")
        (entry,) = await store.history.last(tx, NODE, PEER, 1)
        assert entry.failure == "planted reason"


async def test_unread_are_the_friends_words(store: Store) -> None:
    async with store.transaction() as tx:
        for number in range(4):
            await say(store, tx, number)
        await say(store, tx, 4, Direction.OUT)
        await say(store, tx, 5, peer_id=OTHER_PEER)
        await store.history.mark_read(tx, NODE, PEER, [EventId(numbered(1))], Direction.IN, 3000)
        assert numbers(await store.history.unread(tx, NODE, PEER, 99)) == [0, 2, 3]
        assert numbers(await store.history.unread(tx, NODE, PEER, 2)) == [0, 2]


async def test_pruning_by_age_and_orders_never_used_twice(store: Store) -> None:
    async with store.transaction() as tx:
        orders = [await say(store, tx, number) for number in range(4)]
        assert await store.history.prune(tx, 2002) == 2
        assert numbers(await store.history.last(tx, NODE, PEER, 9)) == [2, 3]
        assert await store.history.prune(tx, 9999) == 2
    async with store.transaction() as tx:
        assert await say(store, tx, 9) > orders[-1]


@pytest.mark.parametrize("at_once", [2, 1000])
async def test_the_oldest_of_a_friends_words_go_until_the_rest_fits(
    store: Store, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("chattor_bridge.storage.history.FORGOTTEN_AT_ONCE", at_once)
    async with store.transaction() as tx:
        for number in range(7):
            await say(store, tx, number, Direction.OUT if number == 0 else Direction.IN)
            await say(store, tx, number, peer_id=OTHER_PEER)
        size = await sql(tx).fetch_value("SELECT LENGTH(text) AS value FROM history LIMIT 1")
        assert await store.history.shorten(tx, NODE, PEER, 6 * size) == 0
        assert await store.history.shorten(tx, NODE, PEER, 6 * size - 1) == 1
        assert await store.history.shorten(tx, NODE, PEER, 2 * size) == 3
        assert numbers(await store.history.last(tx, NODE, PEER, 99)) == [0, 5, 6]  # the first of which is ours
        assert await store.history.shorten(tx, NODE, PEER, 0) == 2
        assert numbers(await store.history.last(tx, NODE, OTHER_PEER, 99)) == list(range(7))


async def test_a_thousand_entries(store: Store) -> None:
    async with store.transaction() as tx:
        for number in range(1000):
            await say(store, tx, number)
    async with store.transaction() as tx:
        assert numbers(await store.history.last(tx, NODE, PEER, 1000)) == list(range(1000))
