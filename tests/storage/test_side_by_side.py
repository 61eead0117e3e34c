"""Two transactions at once about the same thing, as only PostgreSQL lets them go on: nothing of either is lost.

Under READ COMMITTED whoever reads, thinks and writes may write over what another has committed meanwhile, so what is
changed that way is locked when it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bridge.files.notes import Note, Notes
from chattor_bridge.ids import FileId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import TransferState
from chattor_bridge.storage import Store
from chattor_bridge.storage.transaction import SqlTransaction
from tests.storage import records
from tests.storage.records import NODE, ROOM, numbered
from tests.storage.test_contract_bridge import event
from tests.storage.test_contract_files import transfer

pytestmark = pytest.mark.engines("postgres")

BOUND = 20
"""Seconds after which a test that waits for an event has failed."""

UNTIL_IT_WAITS = 0.5
"""Seconds in which the second transaction comes to what the first has locked, or to its end when nothing is."""

Work = Callable[[Transaction], Awaitable[object]]


async def _do(store: Store, work: Work) -> None:
    async with store.transaction() as tx:
        await work(tx)


async def _overlapping(store: Store, first: Work, second: Work) -> None:
    """The second begins before the first is committed."""
    async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group, store.transaction() as tx:
        await first(tx)
        working = group.create_task(_do(store, second))
        await asyncio.wait({working}, timeout=UNTIL_IT_WAITS)


async def _waiting(store: Store) -> list[str]:
    """The events of the room in their order, taken out."""
    found = []
    async with store.transaction() as tx:
        while (item := await store.inbox.next(tx, ROOM)) is not None:
            found.append(item.event["event_id"])
            await store.inbox.remove(tx, item.order)
    return found


async def test_what_comes_while_earlier_events_are_put_before_is_behind_them(store: Store) -> None:
    await _do(store, lambda tx: store.inbox.add(tx, [event(3)], 5))
    await _overlapping(
        store,
        lambda tx: store.inbox.add(tx, [event(4)], 6),
        lambda tx: store.inbox.add_before(tx, ROOM, [event(1), event(2), event(3)], 6),
    )
    assert await _waiting(store) == ["$event1", "$event2", "$event3", "$event4"]


async def test_what_comes_while_earlier_events_are_put_before_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking what waits and taking it out."""
    await _do(store, lambda tx: store.inbox.add(tx, [event(3)], 5))
    execute = SqlTransaction.execute
    coming: list[asyncio.Task[None]] = []

    async def meanwhile(self: SqlTransaction, query: str, *args: object) -> int:
        if query.startswith("DELETE FROM inbox WHERE room_id") and not coming:
            coming.append(asyncio.create_task(_do(store, lambda tx: store.inbox.add(tx, [event(4)], 6))))
            await asyncio.wait(coming, timeout=UNTIL_IT_WAITS)
        return await execute(self, query, *args)

    monkeypatch.setattr(SqlTransaction, "execute", meanwhile)
    await _do(store, lambda tx: store.inbox.add_before(tx, ROOM, [event(1), event(2)], 6))
    await asyncio.wait_for(coming[0], BOUND)
    assert await _waiting(store) == ["$event1", "$event2", "$event3", "$event4"]


async def test_no_number_is_given_twice(store: Store) -> None:
    """``accept 1`` must not mean another request than the one that was announced so."""
    first, second = numbered(1), numbered(2)
    numbers = Numbers(store)
    await _overlapping(
        store,
        lambda tx: numbers.one(tx, NODE, Kind.REQUEST, first),
        lambda tx: numbers.one(tx, NODE, Kind.REQUEST, second),
    )
    async with store.transaction() as tx:
        given = [await numbers.known(tx, NODE, Kind.REQUEST, each) for each in (first, second)]
    assert given == [1, 2]


async def test_a_list_forgets_no_number_that_is_given_meanwhile(store: Store) -> None:
    announced = numbered(1)
    numbers = Numbers(store)
    await _overlapping(
        store,
        lambda tx: numbers.one(tx, NODE, Kind.CONTACT, announced),
        lambda tx: numbers.of(tx, NODE, Kind.CONTACT, [numbered(2), announced]),
    )
    async with store.transaction() as tx:
        assert await numbers.known(tx, NODE, Kind.CONTACT, announced) == 1


async def test_a_file_that_is_taken_back_stays_so_while_it_is_uploaded(store: Store) -> None:
    await records.settle(store)
    notes, file_id, portal = Notes(store), FileId(numbered(1)), records.portal()
    await _overlapping(
        store,
        lambda tx: notes.take_back(tx, portal, file_id),
        lambda tx: notes.uploaded(tx, portal, file_id, ROOM, {"url": "mxc://example.org/1"}),
    )
    async with store.transaction() as tx:
        assert await notes.get(tx, portal, file_id) == Note(
            uploaded={"url": "mxc://example.org/1"}, room=ROOM, taken_back=True
        )


async def test_room_for_a_file_is_found_once(store: Store) -> None:
    await records.settle(store)
    seen = []

    async def accept(tx: Transaction, number: int) -> None:
        seen.append(await store.transfers.kept(tx))
        await store.transfers.add(tx, replace(transfer(number), size=1_000, state=TransferState.ACCEPTED), b"")

    await _overlapping(store, lambda tx: accept(tx, 1), lambda tx: accept(tx, 2))
    assert seen == [0, 1_000]
