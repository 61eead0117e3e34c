"""What can happen to a PostgreSQL database: its settings, its server, the wire, a second process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from chattor_bridge.errors import ChattorError, DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.ids import PeerId
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage import Store, StoreKey, open_store, transaction
from chattor_bridge.storage.postgres import PostgresEngine, translate
from tests.postgres import PostgresCluster
from tests.storage import records
from tests.storage.proxy import Break, wire_to
from tests.storage.records import NODE, PEER
from tests.storage.test_sqlite import HOLD, ROOT

pytestmark = pytest.mark.postgres

BOUND = 20
"""Seconds after which a test that waits for an event has failed."""


@pytest.fixture
def store_url(postgres_url: str) -> str:
    return postgres_url


async def put(store: Store, value: str, called: list[str] | None = None) -> None:
    async with store.transaction() as tx:
        await store.set_setting(tx, "value", value)
        if called is not None:
            tx.after_commit(lambda: called.append(value))


async def get(store: Store) -> str | None:
    async with store.transaction() as tx:
        return await store.get_setting(tx, "value")


def database(url: str) -> str:
    return url.rpartition("/")[2]


class TestDurability:
    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
    async def test_a_server_that_would_lose_commits_is_refused(
        self, postgres: PostgresCluster, postgres_url: str, key: StoreKey, setting: str
    ) -> None:
        with _server_setting(postgres, setting, "off"), pytest.raises(DatabaseUnusable, match=f"{setting} off"):
            await open_store(postgres_url, key).start()
        async with open_store(postgres_url, key):
            pass

    async def test_a_database_that_would_lose_commits_is_refused(
        self, postgres: PostgresCluster, postgres_url: str, key: StoreKey
    ) -> None:
        postgres.sql(f"ALTER DATABASE {database(postgres_url)} SET synchronous_commit = off")
        with pytest.raises(DatabaseUnusable, match="synchronous_commit off"):
            await open_store(postgres_url, key).start()
        postgres.sql(f"ALTER DATABASE {database(postgres_url)} SET synchronous_commit = local")
        async with open_store(postgres_url, key):
            pass

    async def test_an_encoding_that_cannot_hold_every_text_is_refused(
        self, postgres: PostgresCluster, postgres_url: str, key: StoreKey
    ) -> None:
        name = database(postgres_url)
        postgres.sql(f"DROP DATABASE {name}")
        postgres.sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        with pytest.raises(DatabaseUnusable, match="UTF-8"):
            await open_store(postgres_url, key).start()


@contextlib.contextmanager
def _server_setting(cluster: PostgresCluster, name: str, value: str) -> Iterator[None]:
    def apply(statement: str, expected: str) -> None:
        cluster.sql(statement)
        cluster.sql("SELECT pg_reload_conf()")
        while cluster.sql(f"SHOW {name}") != expected:  # reloading is asynchronous; each question is a connection
            pass

    apply(f"ALTER SYSTEM SET {name} = {value}", value)
    try:
        yield
    finally:
        apply(f"ALTER SYSTEM RESET {name}", "on")


class TestAddress:
    async def test_no_server(self, postgres_url: str, key: StoreKey) -> None:
        nowhere = "postgresql://postgres@127.0.0.1:1/nothing"
        with pytest.raises(DatabaseUnavailable):
            await open_store(nowhere, key).start()

    @pytest.mark.parametrize("wrong", ["nobody@{}/postgres", "postgres@{}/nothing"])
    async def test_no_such_user_or_database(self, postgres_url: str, key: StoreKey, wrong: str) -> None:
        server = postgres_url.partition("@")[2].partition("/")[0]
        with pytest.raises(DatabaseUnusable, match="refuses us"):
            await open_store("postgresql://" + wrong.format(server), key).start()

    async def test_an_address_that_is_none(self, key: StoreKey) -> None:
        with pytest.raises(DatabaseUnusable, match="address"):
            await open_store("postgresql://user@host:port/database", key).start()


class Oblivious(PostgresEngine):
    """Does not look whether its lock is still there."""

    oblivious = False

    async def _own(self) -> asyncpg.Connection:
        if self.oblivious and self._owner is not None:
            return self._owner
        return await super()._own()


class TestOneProcess:
    async def test_a_second_store_is_refused_and_harms_nobody(
        self, store: Store, store_url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chattor_bridge.storage.postgres.TAKE_OVER_TIMEOUT", 1)
        with pytest.raises(DatabaseUnusable, match="in use by another running process"):
            await open_store(store_url, key).start()
        await put(store, "fine")

    async def test_another_process_is_refused_and_succeeds_after_a_kill(self, store_url: str, key: StoreKey) -> None:
        """The killed one had committed one value and was about to commit another."""
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLD, store_url, key.secret.hex(), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            async with asyncio.timeout(BOUND):
                assert await holder.stdout.readline() == b"holding\n"
        finally:
            holder.send_signal(signal.SIGKILL)
            await holder.wait()
        async with open_store(store_url, key) as store:
            assert await get(store) == "committed"

    async def test_the_lock_is_taken_again_when_its_connection_broke(
        self, store: Store, postgres: PostgresCluster, store_url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._break_all(postgres, store_url)
        await self._patiently(store)
        monkeypatch.setattr("chattor_bridge.storage.postgres.TAKE_OVER_TIMEOUT", 1)
        with pytest.raises(DatabaseUnusable, match="in use by another running process"):
            await open_store(store_url, key).start()

    async def test_who_was_replaced_without_noticing_is_fenced_out(
        self, postgres: PostgresCluster, store_url: str, key: StoreKey
    ) -> None:
        engine = Oblivious(store_url)
        async with Store(engine, key, packaged_directory("migrations")) as first:
            await put(first, "first")
            engine.oblivious = True
            self._break_owner(postgres, store_url)
            async with open_store(store_url, key) as second:
                await put(second, "second")
                with pytest.raises(DatabaseUnusable, match="taken the database over"):
                    await put(first, "late")
                assert await get(second) == "second"

    async def test_a_take_over_waits_for_the_transaction_under_way(
        self, store: Store, postgres: PostgresCluster, store_url: str, key: StoreKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        second = open_store(store_url, key)
        async with asyncio.timeout(BOUND), store.transaction() as tx:
            await store.set_setting(tx, "value", "in time")
            self._break_owner(postgres, store_url)
            taking_over = asyncio.create_task(second.start())
            waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2 AND NOT granted"
            while await asyncio.to_thread(postgres.sql, waiting, database(store_url)) != "1":
                assert not taking_over.done()
        await taking_over
        try:
            assert await get(second) == "in time"
            monkeypatch.setattr("chattor_bridge.storage.postgres.TAKE_OVER_TIMEOUT", 1)
            with pytest.raises(DatabaseUnusable):
                await put(store, "late")
        finally:
            await second.stop()

    @staticmethod
    def _break_all(cluster: PostgresCluster, url: str) -> None:
        cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database(url)}'")

    @staticmethod
    def _break_owner(cluster: PostgresCluster, url: str) -> None:
        owner = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted"
        cluster.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM ({owner}) AS owner", database(url))

    @staticmethod
    async def _patiently(store: Store) -> None:
        async with asyncio.timeout(BOUND):
            while True:
                try:
                    return await put(store, "again")
                except DatabaseUnavailable:
                    await asyncio.sleep(0.01)


class TestServer:
    async def test_a_crash_of_the_server_is_waited_out(
        self, store: Store, postgres: PostgresCluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        await put(store, "before")

        async def crash() -> None:
            async with store.transaction() as tx:
                await store.set_setting(tx, "value", "lost")
                await asyncio.to_thread(postgres.stop)

        try:
            with pytest.raises(DatabaseUnavailable):
                await crash()
            with pytest.raises(DatabaseUnavailable):
                await put(store, "nobody there")
        finally:
            await asyncio.to_thread(postgres.start)
        assert await get(store) == "before"
        await put(store, "after")
        assert not [line for line in caplog.records if line.name.startswith("asyncpg")]  # it would write down a trace

    async def test_a_server_that_only_lets_us_read_is_named_and_waited_for(
        self, postgres: PostgresCluster, postgres_url: str, key: StoreKey
    ) -> None:
        """One that its administrator has put so for a while, or that is a copy of another now."""
        async with open_store(postgres_url, key) as store:
            await put(store, "before")
        postgres.sql(f"ALTER DATABASE {database(postgres_url)} SET default_transaction_read_only = on")
        with pytest.raises(DatabaseUnavailable, match="only lets us read"):
            await open_store(postgres_url, key).start()
        postgres.sql(f"ALTER DATABASE {database(postgres_url)} RESET default_transaction_read_only")
        async with open_store(postgres_url, key) as store:
            assert await get(store) == "before"

    async def test_a_deadlock_is_broken_and_can_be_retried(self, store: Store) -> None:
        await records.settle(store)
        other = PeerId(b"Q" * 16)
        async with store.transaction() as tx:
            await store.contacts.add(tx, records.contact(other, peer_static=b"T" * 32))
        both = asyncio.Barrier(2)

        async def lock(first: PeerId, second: PeerId) -> None:
            async with store.transaction() as tx:
                await store.contacts.for_update(tx, NODE, first)
                await both.wait()
                await store.contacts.for_update(tx, NODE, second)

        async with asyncio.timeout(BOUND):
            outcomes = await asyncio.gather(lock(PEER, other), lock(other, PEER), return_exceptions=True)
        assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["DatabaseUnavailable", "NoneType"]

    async def test_nothing_is_logged_that_was_stored(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        await records.settle(store)
        async with store.transaction() as tx:
            await store.contacts.of_node(tx, NODE)
        assert "planted" not in caplog.text
        assert "example.org" not in caplog.text

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (asyncpg.DiskFullError("planted"), DatabaseUnavailable),
            (asyncpg.SerializationError("planted"), DatabaseUnavailable),
            (asyncpg.TooManyConnectionsError("planted"), DatabaseUnavailable),
            (asyncpg.AdminShutdownError("planted"), DatabaseUnavailable),
            (asyncpg.ReadOnlySQLTransactionError("planted"), DatabaseUnavailable),
            (asyncpg.InterfaceError("planted"), DatabaseUnavailable),
            (ConnectionResetError("planted"), DatabaseUnavailable),
            (asyncpg.DataCorruptedError("planted"), DatabaseUnusable),
            (asyncpg.UndefinedTableError("planted"), DatabaseUnusable),
        ],
    )
    async def test_errors_of_the_library_become_ours(self, error: Exception, expected: type[ChattorError]) -> None:
        translated = translate(error)
        assert type(translated) is expected
        assert "planted" not in str(translated)


class TestBrokenCommit:
    """The wire breaks in the one moment in which nobody knows."""

    async def test_the_server_heard_it(self, postgres_url: str, key: StoreKey) -> None:
        called: list[str] = []
        async with wire_to(postgres_url) as (wire, url), open_store(url, key) as store:
            wire.when = Break.AFTER
            await put(store, "stored", called)  # found out over another connection
            assert called == ["stored"]
            assert await get(store) == "stored"

    async def test_the_server_never_heard_it(self, postgres_url: str, key: StoreKey) -> None:
        called: list[str] = []
        async with wire_to(postgres_url) as (wire, url), open_store(url, key) as store:
            wire.when = Break.BEFORE
            with pytest.raises(DatabaseUnavailable):
                await put(store, "lost", called)
            assert await get(store) is None
            assert called == []

    @pytest.mark.parametrize("when", [Break.BEFORE, Break.AFTER])
    async def test_nobody_can_tell_until_the_server_is_back(
        self, postgres_url: str, key: StoreKey, when: Break, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The callback runs as soon as it is known that the data is on disk, and never if it is not."""
        monkeypatch.setattr(transaction, "OUTCOME_TIMEOUT", 0.3)
        called: list[str] = []
        async with wire_to(postgres_url) as (wire, url), open_store(url, key) as store:
            wire.when, wire.closed = when, True
            with pytest.raises(DatabaseUnavailable):
                await put(store, "doubtful", called)
            assert called == []
            wire.closed = False
            stored = when is Break.AFTER
            assert await get(store) == ("doubtful" if stored else None)
            assert called == (["doubtful"] if stored else [])
            await put(store, "next", called)
            assert called == (["doubtful", "next"] if stored else ["next"])

    async def test_cancelled_meanwhile(self, postgres_url: str, key: StoreKey) -> None:
        called: list[str] = []
        async with wire_to(postgres_url) as (wire, url), open_store(url, key) as store:
            wire.when = Break.AFTER
            task = asyncio.create_task(put(store, "stored", called))
            async with asyncio.timeout(BOUND):
                await wire.broken.wait()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            assert called == ["stored"]
            assert await get(store) == "stored"
