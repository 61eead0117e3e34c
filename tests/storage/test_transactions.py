"""Every way out of a transaction, on both engines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from chattor_bridge.errors import AlreadyExists, DatabaseUnavailable
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.postgres import PostgresConnection
from chattor_bridge.storage.sqlite import SqliteConnection
from tests.storage import records

BOUND = 20
"""Seconds after which a test that waits for an event has failed."""


async def value(store: Store) -> str | None:
    async with store.transaction() as tx:
        return await store.get_setting(tx, "value")


async def put(store: Store, tx: Transaction, text: str) -> None:
    await store.set_setting(tx, "value", text)


Call = Callable[..., Coroutine[Any, Any, Any]]
"""A method of a connection."""


class DeliberateError(Exception):
    pass


async def test_what_a_block_did_is_there_afterwards_and_after_a_restart(
    store: Store, store_url: str, key: StoreKey
) -> None:
    async with store.transaction() as tx:
        await put(store, tx, "stored")
    assert await value(store) == "stored"
    await store.stop()
    async with open_store(store_url, key) as again:
        assert await value(again) == "stored"


@pytest.mark.parametrize("error", [DeliberateError, asyncio.CancelledError, KeyboardInterrupt])
async def test_any_exception_rolls_back(store: Store, error: type[BaseException]) -> None:
    called: list[str] = []

    async def fail() -> None:
        async with store.transaction() as tx:
            await put(store, tx, "lost")
            tx.after_commit(lambda: called.append("callback"))
            raise error

    with pytest.raises(error):
        await fail()
    assert await value(store) is None
    assert called == []


async def test_callbacks_run_after_the_commit_in_order(store: Store) -> None:
    seen: list[str] = []
    async with store.transaction() as tx:
        await put(store, tx, "stored")
        tx.after_commit(lambda: seen.append("first"))
        tx.after_commit(lambda: seen.append("second"))
        assert seen == []
    assert seen == ["first", "second"]


async def test_a_broken_callback_keeps_nobody_asleep(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise DeliberateError

    seen: list[str] = []
    async with store.transaction() as tx:
        await put(store, tx, "stored")
        tx.after_commit(broken)
        tx.after_commit(lambda: seen.append("second"))
    assert seen == ["second"]
    assert await value(store) == "stored"
    assert [record.levelno for record in caplog.records if record.name.startswith("chattor")] == [logging.ERROR]


async def test_a_transaction_inside_a_transaction_is_an_error_not_a_deadlock(store: Store) -> None:
    async with store.transaction() as tx:
        with pytest.raises(RuntimeError, match="inside a transaction"):
            async with store.transaction():
                pass
        await put(store, tx, "stored")  # the outer one goes on
    assert await value(store) == "stored"


async def test_a_transaction_ends_with_its_block(store: Store) -> None:
    async with store.transaction() as tx:
        pass
    with pytest.raises(RuntimeError, match="over"):
        await put(store, tx, "late")
    with pytest.raises(RuntimeError, match="over"):
        tx.after_commit(lambda: None)


async def test_a_transaction_belongs_to_its_task(store: Store) -> None:
    async with store.transaction() as tx:
        child = asyncio.create_task(put(store, tx, "from elsewhere"))
        with pytest.raises(RuntimeError, match="task"):
            await child
    assert await value(store) is None


async def test_a_child_task_has_a_transaction_of_its_own(store: Store) -> None:
    async with store.transaction() as tx:
        await put(store, tx, "parent")
        child = asyncio.create_task(value(store))
    assert await child in {None, "parent"}  # before or after, but never inside


async def test_another_kind_of_transaction_is_refused(store: Store) -> None:
    class Other:
        def after_commit(self, callback: object) -> None: ...

    with pytest.raises(TypeError):
        await put(store, Other(), "x")


async def test_after_a_failed_statement_there_is_only_the_way_back(store: Store) -> None:
    async with store.transaction() as tx:
        await store.nodes.add(tx, records.node())

    async def go_on() -> None:
        async with store.transaction() as tx:
            await put(store, tx, "lost")
            with pytest.raises(AlreadyExists):
                await store.nodes.add(tx, records.node())
            with pytest.raises(AlreadyExists):
                await put(store, tx, "still lost")
            # leaving the block as if nothing had happened

    with pytest.raises(AlreadyExists):
        await go_on()
    assert await value(store) is None


async def test_concurrent_writers_take_turns_on_one_contact(store: Store) -> None:
    await records.settle(store)

    async def turn() -> None:
        for _ in range(10):
            async with store.transaction() as tx:
                contact = await store.contacts.for_update(tx, records.NODE, records.PEER)
                assert contact is not None
                counted = int(contact.alias.removeprefix("planted alias") or 0) + 1
                await asyncio.sleep(0)
                await store.contacts.save(tx, replace(contact, alias=str(counted)))

    async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(turn())
    async with store.transaction() as tx:
        contact = await store.contacts.get(tx, records.NODE, records.PEER)
    assert contact is not None
    assert contact.alias == "60"


async def test_concurrent_writers_take_turns_on_one_request_of_ours(store: Store) -> None:
    async with store.transaction() as tx:
        await store.nodes.add(tx, records.node())
        await store.knocks.add_outgoing(tx, replace(records.outgoing(), attempts=0))

    async def turn() -> None:
        for _ in range(10):
            async with store.transaction() as tx:
                knock = await store.knocks.get_outgoing(tx, records.KNOCK)
                assert knock is not None
                await asyncio.sleep(0)
                await store.knocks.save_outgoing(tx, replace(knock, attempts=knock.attempts + 1))

    async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(turn())
    async with store.transaction() as tx:
        knock = await store.knocks.get_outgoing(tx, records.KNOCK)
    assert knock is not None
    assert knock.attempts == 60


async def test_everybody_gets_a_turn(store: Store) -> None:
    """Also beside somebody who begins the next transaction as soon as one has ended."""
    taken = 0
    begun = asyncio.Event()

    async def greedy() -> None:
        nonlocal taken
        while True:
            async with store.transaction() as tx:
                await store.nodes.all(tx)
            taken += 1
            begun.set()

    hogging = asyncio.ensure_future(greedy())
    try:
        await begun.wait()
        before = taken
        async with asyncio.timeout(20):
            for _ in range(3):
                async with store.transaction() as tx:
                    await store.nodes.all(tx)
        assert taken - before < 100
    finally:
        hogging.cancel()
        await asyncio.wait([hogging])


async def test_cancelled_while_waiting_for_its_turn(store: Store) -> None:
    """On SQLite there is one connection; on PostgreSQL eight, all taken here."""
    release = asyncio.Event()
    holding = asyncio.Semaphore(0)

    async def hold() -> None:
        async with store.transaction():
            holding.release()
            await release.wait()

    async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
        held = [group.create_task(hold()) for _ in range(9)]
        await holding.acquire()
        waiting = asyncio.create_task(value(store))
        await asyncio.sleep(0)
        waiting.cancel()
        held[-1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
    assert await value(store) is None


@pytest.mark.parametrize("call", range(1, 12))
async def test_cancelled_during_any_call(store: Store, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a call to the database is under way the task is cancelled: afterwards the data is there if and only if the
    callback ran, and the next transaction works."""
    ran: list[bool] = []
    calls: list[str] = []

    async def write() -> None:
        async with store.transaction() as tx:
            await put(store, tx, "written")
            await store.inbox.add(tx, [{"event_id": "$e", "room_id": "!r"}], 1)
            await store.inbox.count(tx)
            tx.after_commit(lambda: ran.append(True))

    def counted(name: str, method: Call) -> Call:
        async def wrapper(connection: object, *args: object) -> object:
            calls.append(name)
            if len(calls) == call:
                asyncio.get_running_loop().call_soon(task.cancel)
            result = await method(connection, *args)
            await asyncio.sleep(0)  # SQLite's statements wait for nothing, so that the cancellation comes after them
            return result

        return wrapper

    for kind in (SqliteConnection, PostgresConnection):
        for name in ("begin", "execute", "fetch", "commit"):
            monkeypatch.setattr(kind, name, counted(name, getattr(kind, name)))
    task = asyncio.create_task(write())
    async with asyncio.timeout(BOUND):
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    monkeypatch.undo()

    assert (outcome is None) == (len(calls) < call)
    assert outcome is None or isinstance(outcome, asyncio.CancelledError)
    assert (await value(store) == "written") == bool(ran)
    assert bool(ran) == ("commit" in calls[:call]), "once COMMIT has been said it is seen through"
    async with store.transaction() as tx:
        await put(store, tx, "works")
    assert await value(store) == "works"


def _held(commit: Call, at_the_door: asyncio.Event, go_on: asyncio.Event) -> Call:
    async def held(connection: object) -> None:
        at_the_door.set()
        await go_on.wait()
        await commit(connection)

    return held


async def test_cancelled_during_commit_learns_the_outcome(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is held at its door until the cancellation has come; then it goes through."""
    at_the_door, cancelled = asyncio.Event(), asyncio.Event()
    ran: list[bool] = []
    for kind in (SqliteConnection, PostgresConnection):
        monkeypatch.setattr(kind, "commit", _held(kind.commit, at_the_door, cancelled))

    async def write() -> None:
        async with store.transaction() as tx:
            await put(store, tx, "stored")
            tx.after_commit(lambda: ran.append(True))

    task = asyncio.create_task(write())
    async with asyncio.timeout(BOUND):
        await at_the_door.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # twice, as an impatient shutdown does
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    monkeypatch.undo()
    assert ran == [True]
    assert await value(store) == "stored"


async def test_a_timeout_around_a_transaction_rolls_it_back(store: Store) -> None:

    async def hang() -> None:
        async with asyncio.timeout(0.01), store.transaction() as tx:
            await put(store, tx, "lost")
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await hang()
    assert await value(store) is None


async def test_one_that_never_ends_does_not_keep_the_store_open(
    store: Store, store_url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in ("postgres", "sqlite"):
        monkeypatch.setattr(f"chattor_bridge.storage.{engine}.STOP_TIMEOUT", 0.05)
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        async with store.transaction() as tx:
            await put(store, tx, "lost")
            begun.set()
            await stopped.wait()

    hanging = asyncio.create_task(hang())
    async with asyncio.timeout(BOUND):
        await begun.wait()
        await store.stop()
        stopped.set()
        with pytest.raises(DatabaseUnavailable):
            await hanging
    async with open_store(store_url, key) as again:
        assert await value(again) is None


async def test_a_stopped_store_says_so(store: Store) -> None:
    await store.stop()
    await store.stop()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await value(store)
