"""What can happen to a SQLite database: its file, its disk, its neighbours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chattor_bridge.errors import ChattorError, DatabaseDamaged, DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.storage import Store, StoreKey, open_store, sqlite
from chattor_bridge.storage.holding import hold
from chattor_bridge.storage.transaction import sql
from tests.storage import records

ROOT = Path(__file__).parents[2]

BOUND = 20
"""Seconds after which a test that waits for an event has failed."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store_url(path: Path) -> str:
    return f"sqlite:{path}"


def modes(path: Path) -> dict[str, int]:
    """The permissions of the database and all that lies beside it."""
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.glob(f"*{path.name}*")}


def open_to_others(path: Path) -> None:
    path.chmod(0o644)


def size(path: Path) -> int:
    """In bytes."""
    return path.stat().st_size


@pytest.mark.parametrize("form", ["sqlite:{}", "sqlite://{}"])
async def test_both_forms_of_the_address(tmp_path: Path, key: StoreKey, form: str) -> None:
    path = tmp_path / "with space, %41, # and ?"
    async with open_store(form.format(path), key):
        assert path.name in modes(path)


@pytest.mark.parametrize("url", ["", "sqlite", "sqlite:", "mysql://x/y", "/var/lib/store.db"])
def test_any_other_address_is_refused(key: StoreKey, url: str) -> None:
    with pytest.raises(DatabaseUnusable, match="must begin with"):
        open_store(url, key)


async def test_all_files_are_closed_to_others(store: Store, path: Path) -> None:
    await records.settle(store)
    assert modes(path) == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600)


async def test_a_file_left_open_to_others_is_closed(path: Path, key: StoreKey) -> None:
    async with open_store(f"sqlite:{path}", key):
        pass
    open_to_others(path)
    async with open_store(f"sqlite:{path}", key):
        assert modes(path)[path.name] == 0o600


async def test_commits_are_on_disk(store: Store) -> None:
    async with store.transaction() as tx:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
        for pragma, value in wanted.items():
            (row,) = await sql(tx).fetch(f"PRAGMA {pragma}")
            assert row[pragma] == value


async def test_a_database_that_would_lose_commits_is_refused(
    path: Path, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [command.replace("= FULL", "= NORMAL") for command in sqlite.INIT_COMMANDS]
    monkeypatch.setattr(sqlite, "INIT_COMMANDS", commands)
    with pytest.raises(DatabaseUnusable, match="local disk"):
        await open_store(f"sqlite:{path}", key).start()


async def test_a_second_store_is_refused_and_harms_nobody(store: Store, store_url: str, key: StoreKey) -> None:
    with pytest.raises(DatabaseUnusable, match=rf"in use by another running process \({os.getpid()}\)"):
        await open_store(store_url, key).start()
    await records.settle(store)


HOLD = """
import asyncio, sys
from chattor_bridge.storage import StoreKey, open_store

async def hold(url, key):
    async with open_store(url, StoreKey.parse(key)) as store:
        async with store.transaction() as tx:
            await store.set_setting(tx, "value", "committed")
        async with store.transaction() as tx:
            await store.set_setting(tx, "value", "under way")
            print("holding", flush=True)
            await asyncio.sleep(600)

asyncio.run(hold(*sys.argv[1:]))
"""


async def test_another_process_is_refused_and_succeeds_after_a_kill(path: Path, key: StoreKey) -> None:
    """The killed one had committed one value and was about to commit another."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, f"sqlite:{path}", key.secret.hex(), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        async with asyncio.timeout(BOUND):
            assert await holder.stdout.readline() == b"holding\n"
        with pytest.raises(DatabaseUnusable, match=f"{holder.pid}"):
            await open_store(f"sqlite:{path}", key).start()
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.wait()
    async with open_store(f"sqlite:{path}", key) as store, store.transaction() as tx:
        assert await store.get_setting(tx, "value") == "committed"


async def filled(path: Path, key: StoreKey) -> int:
    """Make a database of some size; the size in bytes."""
    async with open_store(f"sqlite:{path}", key) as store:
        await records.settle(store)
        async with store.transaction() as tx:
            for seq in range(1, 300):
                await store.outbox.add(tx, records.NODE, records.entry(seq))
    return size(path)


@pytest.mark.parametrize("left", [0, 1, 50, 100, 4096, 10_000, 0.5, 0.99])
async def test_a_truncated_file_is_refused(path: Path, key: StoreKey, left: float) -> None:
    whole = await filled(path, key)
    os.truncate(path, int(left if left >= 1 else left * whole))
    with pytest.raises(DatabaseUnusable, match=r"(restore|backup)") as caught:
        await open_store(f"sqlite:{path}", key).start()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("place", [0, 0.2, 0.4, 0.6, 0.8])
async def test_a_damaged_file_is_refused(path: Path, key: StoreKey, place: float) -> None:
    whole = await filled(path, key)
    with path.open("r+b") as file:
        file.seek(int(place * whole) // 4096 * 4096)
        file.write(bytes(range(256)) * 16)
    with pytest.raises(DatabaseUnusable, match=r"(restore|backup)"):
        await open_store(f"sqlite:{path}", key).start()


@pytest.fixture
def letter(path: Path) -> Iterator[None]:
    """Something else where the database should be, and still there afterwards."""
    path.write_bytes(b"not a database" * 1000)
    yield
    assert path.read_bytes() == b"not a database" * 1000


@pytest.mark.usefixtures("letter")
async def test_a_file_of_another_kind_is_refused_and_kept(path: Path, key: StoreKey) -> None:
    with pytest.raises(DatabaseUnusable, match="not a SQLite database"):
        await open_store(f"sqlite:{path}", key).start()


async def test_an_attempt_to_make_it_that_was_cut_short_is_no_obstacle(path: Path, key: StoreKey) -> None:
    path.with_name(f".{path.name}.new").write_bytes(b"half")
    async with open_store(f"sqlite:{path}", key):
        pass
    assert set(modes(path)) == {"store.db", "store.db.lock"}


@pytest.mark.parametrize("place", ["nowhere/store.db", ""])
async def test_a_place_that_cannot_be_is_named(tmp_path: Path, key: StoreKey, place: str) -> None:
    with pytest.raises(DatabaseUnusable, match=re.escape(str(tmp_path))):
        await open_store(f"sqlite:{tmp_path / place}", key).start()


async def test_a_full_disk_is_waited_out(store: Store) -> None:
    await records.settle(store)

    async def add(seq: int) -> None:
        async with store.transaction() as tx:
            large = replace(records.entry(seq), envelope=b"x" * 1_000_000)
            await store.outbox.add(tx, records.NODE, large)

    async def limit(pages: int) -> None:
        async with store.transaction() as tx:
            await sql(tx).execute(f"PRAGMA max_page_count = {pages}")

    await limit(100)
    with pytest.raises(DatabaseUnavailable, match="disk is full"):
        await add(1)
    async with store.transaction() as tx:
        assert await store.outbox.count(tx, records.NODE, records.PEER) == 0
    await limit(1_000_000)
    await add(1)


async def test_a_backup_program_that_holds_the_lock_is_waited_out(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await records.settle(store)

    async def nodes() -> list[NodeRecord]:
        async with store.transaction() as tx:
            return await store.nodes.all(tx)

    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(nodes())
        await asyncio.sleep(sqlite.LOCK_INTERVAL)  # it waits and nobody else has to, or we would not get here
        assert not waiting.done()
        other.rollback()
        assert await waiting == [records.node()]
        monkeypatch.setattr(sqlite, "LOCK_PATIENCE", 0.05)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked by another program"):
            await nodes()
        other.rollback()
    assert await nodes() == [records.node()]


async def test_what_was_read_cannot_change_before_it_is_written_back(store: Store, path: Path) -> None:
    """A transaction that only reads so far has the lock already: it cannot fail later for having read old data."""
    async with store.transaction() as tx:
        assert await store.nodes.all(tx) == []
        locked = pytest.raises(sqlite3.OperationalError, match="locked")
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as other, locked:
            other.execute("BEGIN IMMEDIATE")
        await store.nodes.add(tx, records.node())


def _damage(path: Path) -> None:
    """As a disk does: it leaves no date."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (size(path) - 4096 * 4))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_damage_that_shows_later_is_named(store: Store, path: Path) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        for seq in range(1, 300):
            await store.outbox.add(tx, records.NODE, records.entry(seq))
    await store.stop()
    await store.start()  # with nothing in memory
    _damage(path)
    with pytest.raises(DatabaseUnusable, match="damaged"):
        async with store.transaction() as tx:
            await store.outbox.after(tx, records.NODE, records.PEER, 0, 999)
    with pytest.raises(DatabaseDamaged):  # and whoever holds it for a program gives it up
        await hold(store, asyncio.Event())


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, DatabaseUnavailable("the database does not answer: the disk does not work")),
        (
            sqlite3.SQLITE_BUSY_SNAPSHOT,
            DatabaseUnavailable("the database does not answer: it is locked by another program"),
        ),
        (sqlite3.SQLITE_CORRUPT_VTAB, DatabaseDamaged("the database file is damaged: restore it from a backup")),
        (sqlite3.SQLITE_TOOBIG, DatabaseUnusable("the database refused a statement: unknown")),
        (None, DatabaseUnavailable("the database is closed")),
    ],
)
def test_errors_of_the_library_become_ours(code: int | None, expected: ChattorError) -> None:
    error = sqlite3.OperationalError("planted")
    if code is not None:
        error.sqlite_errorcode = code
    translated = sqlite.translate(error)
    assert (type(translated), str(translated)) == (type(expected), str(expected))


async def test_a_store_that_could_not_start_can_be_started_again(path: Path, key: StoreKey) -> None:
    store = open_store(f"sqlite:{path}", key)
    async with open_store(f"sqlite:{path}", key):
        with pytest.raises(DatabaseUnusable):
            await store.start()
    async with store:
        await records.settle(store)


async def test_nothing_is_logged_that_was_stored(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await records.settle(store)
    async with store.transaction() as tx:
        await store.inbox.add(tx, [{"event_id": "$e", "room_id": "!r", "body": "planted"}], 1)
        await store.contacts.of_node(tx, records.NODE)
    assert "planted" not in caplog.text
    assert "example.org" not in caplog.text
