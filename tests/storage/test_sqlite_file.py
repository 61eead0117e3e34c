"""What others may do to the files of a SQLite database: while it is in use, and between two programs that use it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import filecmp
import os
import shutil
import signal
import sqlite3
import sys
from functools import partial
from pathlib import Path

import pytest

from chattor_bridge.errors import DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.sqlite_file import SqliteFile
from chattor_bridge.storage.touches import Touches
from tests.storage import records
from tests.storage.test_sqlite import BOUND, HOLD, ROOT, size

MOVED = "was moved, removed or replaced while it was in use"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store_url(path: Path) -> str:
    return f"sqlite:{path}"


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.write_bytes(b"")


async def put(store: Store, value: str) -> None:
    async with store.transaction() as tx:
        await store.set_setting(tx, "value", value)


async def value(store: Store) -> str | None:
    async with store.transaction() as tx:
        return await store.get_setting(tx, "value")


async def killed(path: Path, key: StoreKey) -> None:
    """A program commits ``value`` and is killed; its log stays."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, f"sqlite:{path}", key.secret.hex(), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        async with asyncio.timeout(BOUND):
            assert await holder.stdout.readline() == b"holding\n"
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.wait()
    assert beside(path, "-wal").stat().st_size


class TestInUse:
    @pytest.mark.parametrize("ending", ["-wal", "-shm"])
    @pytest.mark.parametrize("deed", [remove, replace])
    async def test_a_file_of_sqlites_that_goes_is_noticed_and_nothing_of_it_is_lost(
        self, store: Store, path: Path, ending: str, deed: object
    ) -> None:
        """The log has what was acknowledged. SQLite would go on with a file that has no name any more."""
        await put(store, "acknowledged")
        assert callable(deed)
        deed(beside(path, ending))
        for _ in range(2):
            with pytest.raises(DatabaseUnusable, match=MOVED):
                await put(store, "lost")
        await store.stop()
        await store.start()
        assert await value(store) == "acknowledged"

    async def test_a_file_that_is_cut_off_is_not_written_to_any_more(self, store: Store, path: Path) -> None:
        await records.settle(store)
        await store.scrub()
        await put(store, "acknowledged")
        os.truncate(path, size(path) // 2)
        for _ in range(2):
            with pytest.raises(DatabaseUnusable, match="cut off or written over"):
                await put(store, "lost")

    @pytest.mark.parametrize("noticed", [pytest.param(True, id="at work"), pytest.param(False, id="when it stops")])
    async def test_a_backup_that_is_copied_over_it_is_noticed_and_stays_whole(
        self, store: Store, path: Path, tmp_path: Path, noticed: bool
    ) -> None:
        """One that this very program has written, as large as what is there now."""
        await records.settle(store)
        await put(store, "backed up")
        backup = tmp_path / "backup"
        with contextlib.closing(sqlite3.connect(path)) as reading, contextlib.closing(sqlite3.connect(backup)) as copy:
            reading.backup(copy)
        await put(store, "later")
        await store.scrub()
        await put(store, "in the log")
        shutil.copyfile(backup, path)
        for _ in range(2 if noticed else 0):
            with pytest.raises(DatabaseUnusable, match=r"cut off or written over .* put a backup there, move .*-wal"):
                await put(store, "lost")
        await store.stop()
        assert filecmp.cmp(path, backup, shallow=False)
        with pytest.raises(DatabaseUnusable, match=r"is not the one that .*-wal belongs to"):
            await store.start()
        for ending in ("-wal", "-shm"):
            beside(path, ending).unlink()
        await store.start()
        assert await value(store) == "backed up"

    async def test_one_whose_time_alone_was_changed_goes_on(self, store: Store, path: Path) -> None:
        await records.settle(store)
        await put(store, "acknowledged")
        for at in ((0, 0), None):
            os.utime(path, at)
            assert await value(store) == "acknowledged"
        await store.scrub()
        os.utime(path)
        await put(store, "later")
        assert await value(store) == "later"

    async def test_one_that_is_written_over_is_noticed_whatever_its_time_says(self, store: Store, path: Path) -> None:
        """As a backup program does, which sets the time when it has written."""
        await records.settle(store)
        await put(store, "acknowledged")
        os.utime(path)
        with path.open("r+b", buffering=0) as other:
            other.write(other.read(100))
            os.utime(other.fileno(), ns=(0, 0))
            with pytest.raises(DatabaseUnusable, match="cut off or written over"):
                await put(store, "lost")

    async def test_what_is_said_of_one_whose_time_was_changed_loses_nothing(
        self, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the kernel is not asked, a touch looks like a backup. With the log would go what was acknowledged."""
        await store.stop()

        def refuse(path: Path) -> Touches:
            raise OSError(errno.EMFILE, path)

        monkeypatch.setattr("chattor_bridge.storage.sqlite_file.Touches", refuse)
        await store.start()
        await records.settle(store)
        await put(store, "acknowledged")
        os.utime(path, ns=(0, 0))
        with pytest.raises(DatabaseUnusable, match=r"only its time was changed, .* remove .*\.lock"):
            await put(store, "lost")
        await store.stop()
        with pytest.raises(DatabaseUnusable, match=r"remove .*\.lock, .* nobody has restored any"):
            await store.start()
        beside(path, ".lock").unlink()
        await store.start()
        assert await value(store) == "acknowledged"

    async def test_a_backup_that_is_put_in_its_place_before_it_has_ended_stays_whole(
        self, store: Store, path: Path, tmp_path: Path
    ) -> None:
        await records.settle(store)
        await put(store, "backed up")
        backup = tmp_path / "backup"
        with contextlib.closing(sqlite3.connect(path)) as reading, contextlib.closing(sqlite3.connect(backup)) as copy:
            reading.backup(copy)
        await store.scrub()
        await put(store, "in the log")
        for ending in ("-wal", "-shm"):
            beside(path, ending).unlink()
        shutil.copyfile(backup, path)
        with pytest.raises(DatabaseUnusable, match="cut off or written over"):
            await put(store, "lost")
        await store.stop()
        assert filecmp.cmp(path, backup, shallow=False)
        await store.start()
        assert await value(store) == "backed up"

    async def test_another_program_may_write_the_log_into_it(self, store: Store, path: Path) -> None:
        """As some that make backups do."""
        for number in range(3):
            await put(store, str(number))
            with contextlib.closing(sqlite3.connect(path)) as other:
                assert other.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
        assert await value(store) == "2"

    async def test_a_log_that_is_written_into_it_while_we_look_is_no_backup(
        self, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A transaction that waits for its turn looks while another one is written."""
        await put(store, "1")
        look = SqliteFile._look

        def late(file: SqliteFile) -> object:
            monkeypatch.undo()
            with contextlib.closing(sqlite3.connect(path)) as other:
                assert other.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
            return look(file)

        monkeypatch.setattr(SqliteFile, "_look", late)
        for _ in range(2):
            assert await value(store) == "1"

    async def test_another_program_may_make_it_smaller(self, store: Store, path: Path) -> None:
        """By way of SQLite, as with VACUUM."""
        await records.settle(store)
        await put(store, "x" * 1_000_000)
        await store.scrub()
        await put(store, "kept")
        before = size(path)
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("VACUUM")
            assert other.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
        assert size(path) < before
        assert await value(store) == "kept"
        await put(store, "more")
        await store.stop()
        await store.start()
        assert await value(store) == "more"


class TestBackup:
    async def test_one_put_beside_the_log_of_a_killed_program_is_refused_and_not_touched(
        self, path: Path, tmp_path: Path, key: StoreKey
    ) -> None:
        """SQLite would play that log into it, and neither the one nor the other would be left."""
        backup = tmp_path / "backup"

        def untouched() -> bool:
            return path.read_bytes() == backup.read_bytes()

        async with open_store(f"sqlite:{path}", key) as store:
            await put(store, "backed up")
        shutil.copy(path, backup)
        await killed(path, key)
        shutil.copy(backup, path)
        with pytest.raises(DatabaseUnusable, match=r"is not the one that .*-wal belongs to"):
            await open_store(f"sqlite:{path}", key).start()
        assert untouched()
        for ending in ("-wal", "-shm"):
            beside(path, ending).unlink()
        async with open_store(f"sqlite:{path}", key) as store:
            assert await value(store) == "backed up"

    async def test_one_of_all_files_is_taken(self, path: Path, tmp_path: Path, key: StoreKey) -> None:
        """As a snapshot of a disk has them, put back long afterwards and without the lock."""
        await killed(path, key)
        snapshot = {ending: beside(path, ending).read_bytes() for ending in ("", "-wal", "-shm")}
        async with open_store(f"sqlite:{path}", key) as store:
            await put(store, "later")
        for ending, content in snapshot.items():
            beside(path, ending).write_bytes(content)
        with pytest.raises(DatabaseUnusable, match=r"\.lock, if they came with it"):
            await open_store(f"sqlite:{path}", key).start()
        beside(path, ".lock").unlink()
        async with open_store(f"sqlite:{path}", key) as store:
            assert await value(store) == "committed"

    async def test_a_killed_program_goes_on_wherever_its_files_are_moved(
        self, path: Path, tmp_path: Path, key: StoreKey
    ) -> None:
        await killed(path, key)
        elsewhere = tmp_path / "elsewhere" / path.name
        elsewhere.parent.mkdir()
        for ending in ("", "-wal", ".lock"):
            shutil.copy(beside(path, ending), beside(elsewhere, ending))
        async with open_store(f"sqlite:{elsewhere}", key) as store:
            assert await value(store) == "committed"

    async def test_no_mark_is_relied_on_that_somebody_who_reads_kept_in_the_log(
        self, path: Path, key: StoreKey
    ) -> None:
        async with open_store(f"sqlite:{path}", key):
            pass
        with contextlib.closing(sqlite3.connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM migrations").fetchall()
            await killed(path, key)
            assert beside(path, ".lock").read_text().splitlines()[1:] == [""]


def marks(path: Path) -> list[str]:
    """That the lock beside it names."""
    return beside(path, ".lock").read_text().split()[1:]


def test_whenever_a_program_dies_its_lock_names_the_mark_of_the_file(path: Path) -> None:
    """Or any, where it cannot tell."""
    file = SqliteFile(path)
    during: list[list[str]] = []

    def write(mark: int, *, into_file: bool) -> bool:
        during.append(marks(path))
        assert during[-1] in ([], [*known, str(mark)])
        return into_file

    file.open()
    try:
        known = ["0"]
        for into_file in (True, True, False, True, True):
            file.mark(partial(write, into_file=into_file))
            known = marks(path)
            assert len(known) == into_file
    finally:
        file.close()
    assert [len(each) for each in during] == [2, 2, 2, 0, 2]


async def test_who_locks_it_at_the_start_is_named(path: Path, key: StoreKey) -> None:
    async with open_store(f"sqlite:{path}", key):
        pass
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable, match="locked by another program"):
            await open_store(f"sqlite:{path}", key).start()
        other.rollback()


def test_a_program_without_standard_input_lets_the_next_one_in_too(path: Path) -> None:
    """Its lock may have the number of that."""
    first, second = SqliteFile(path), SqliteFile(path)
    standard_input = os.dup(0)
    os.close(0)
    try:
        first.open()
        first.close()
        second.open()
        second.close()
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)
