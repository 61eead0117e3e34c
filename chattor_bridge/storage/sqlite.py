"""SQLite: one file, one process, one connection, one transaction at a time.

Statements run in the thread of the event loop: most take some 10 microseconds, and handing one to another thread and
its result back takes ten times as long. Only what has to wait for the disk, a COMMIT with something to write, is handed
to a thread; and nothing waits inside SQLite for another program's lock.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from mautrix.util.async_db import Database, SQLiteDatabase, UpgradeTable
from mautrix.util.async_db.aiosqlite import TxnConnection
from yarl import URL

from chattor_bridge.errors import (
    AlreadyExists,
    ChattorError,
    DatabaseDamaged,
    DatabaseUnavailable,
    DatabaseUnusable,
    NotFound,
)
from chattor_bridge.storage.engine import ACQUIRE_TIMEOUT, STOP_TIMEOUT, Dialect, EngineConnection, Row, finish
from chattor_bridge.storage.sqlite_file import NOT_NOW, SqliteFile

log = logging.getLogger(__name__)

JOURNAL_SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes the write-ahead log shrinks back to after a burst."""

INIT_COMMANDS = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # mautrix would say NORMAL, which may lose the last commits in a power cut
    "PRAGMA busy_timeout = 0",  # `SqliteConnection.begin` waits, and meanwhile others go on
    f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT}",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = ON",  # what was taken back is not to be found in free pages
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)

SYNCHRONOUS_FULL = 2

LOCK_PATIENCE = 5.0
"""Seconds to wait for another program's lock on the file; only a backup program could have one."""

LOCK_INTERVAL = 0.02
"""Seconds between two tries to get it."""

PRIMARY_CODE = 0xFF
"""The low byte of an extended result code (https://www.sqlite.org/rescode.html)."""

DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


def translate(error: BaseException) -> ChattorError:
    """One of our errors for one of sqlite3's or aiosqlite's. The message never quotes a value."""
    code, primary = getattr(error, "sqlite_errorcode", None), _primary_code(error)
    if code is None:
        return DatabaseUnavailable("the database is closed")
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound("what this belongs to is not there")
    if code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        return AlreadyExists("this is there already")
    if primary in NOT_NOW:
        return DatabaseUnavailable(f"the database does not answer: {NOT_NOW[primary]}")
    if primary in DAMAGED:
        return DatabaseDamaged("the database file is damaged: restore it from a backup")
    return DatabaseUnusable(f"the database refused a statement: {getattr(error, 'sqlite_errorname', 'unknown')}")


def _primary_code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE


ARGUMENT = re.compile(r"\$(\d+)")
"""Queries are written as for PostgreSQL; SQLite says ``?1``."""

MAX_QUERIES = 512
"""Queries whose form for SQLite is remembered: there are some 200."""


@functools.lru_cache(MAX_QUERIES)
def _for_sqlite(query: str) -> str:
    return ARGUMENT.sub(r"?\1", query)


ERRORS = (sqlite3.Error, ValueError)
"""What sqlite3 raises, and what aiosqlite raises on a closed connection."""


class SqliteConnection:
    """The one connection, for one transaction: ``raw`` as it is, and ``wrapped`` for what belongs into its thread."""

    dialect = Dialect.SQLITE

    def __init__(self, raw: sqlite3.Connection, wrapped: TxnConnection) -> None:
        self._raw = raw
        self._wrapped = wrapped
        self._changes_before = 0

    async def begin(self) -> None:
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + LOCK_PATIENCE
        while True:
            try:
                if self._raw.in_transaction:  # an earlier ROLLBACK failed
                    self._raw.execute("ROLLBACK")
                self._raw.execute("BEGIN IMMEDIATE")
                self._changes_before = self._raw.total_changes
                return
            except ERRORS as error:
                locked = _primary_code(error) == sqlite3.SQLITE_BUSY
                if not locked or clock() >= give_up_at:
                    raise translate(error) from None
            await asyncio.sleep(LOCK_INTERVAL)

    async def commit(self) -> None:
        try:
            if self._raw.total_changes == self._changes_before:  # then no disk has to be waited for
                self._raw.execute("COMMIT")
            else:
                await self._wrapped.execute("COMMIT")
        except ERRORS as error:
            raise translate(error) from None

    async def rollback(self) -> None:
        # Mostly it fails because SQLite has rolled back by itself, as it does when the disk is full. Should the
        # transaction really be open still, `begin` will see it.
        with suppress(ChattorError):
            await self.execute("ROLLBACK")

    async def committed(self, receipt: str) -> bool | None:
        raise AssertionError(f"SQLite always knows what it committed, and never issued {receipt}")

    async def execute(self, query: str, *args: object) -> int:
        return self._run(query, args).rowcount

    async def fetch(self, query: str, *args: object) -> list[Row]:
        try:
            return self._run(query, args).fetchall()
        except ERRORS as error:
            raise translate(error) from None

    def _run(self, query: str, args: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._raw.execute(_for_sqlite(query), args)
        except ERRORS as error:
            raise translate(error) from None

    async def tables(self) -> set[str]:
        rows = await self.fetch("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {row["name"] for row in rows}

    async def serialise(self, name: str) -> None:
        """Transactions here come one at a time anyway."""


class SqliteEngine:
    """The database in one file. See `chattor_bridge.storage.engine.Engine`."""

    dialect = Dialect.SQLITE

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path)
        self._database: SQLiteDatabase | None = None
        self._raw: sqlite3.Connection
        self._wrapped: TxnConnection | None = None
        self._damage: DatabaseDamaged | None = None
        self._turns = asyncio.Lock()
        """Whoever waits longest is next. mautrix's pool is a queue of asyncio, which gives the connection back to
        whoever put it there last and asks again at once, for as long as they do."""

    @property
    def database(self) -> Database:
        if self._database is None:
            raise DatabaseUnavailable("the database is closed")
        return self._database

    async def start(self) -> None:
        # It prints the arguments of every statement at DEBUG.
        logging.getLogger("aiosqlite").setLevel(logging.INFO)
        await finish(asyncio.to_thread(self._file.open))
        self._database = SQLiteDatabase(
            URL.build(scheme="sqlite", path=str(self._file.path)),
            UpgradeTable(),
            db_args={
                "min_size": 1,
                "init_commands": list(INIT_COMMANDS),
                "check_same_thread": False,
                "factory": self._connect,
            },
        )
        try:
            await self._database.start()
        except ERRORS as error:
            raise translate(error) from None
        await self._require_durability()
        self._file.opened()

    async def claim(self) -> None:
        """The lock on the file has shut out everybody else since `start`. Mark the file, so that its log is not taken
        for that of another."""
        async with self.acquire():
            try:
                await finish(asyncio.to_thread(self._file.mark, self._mark))
            except ERRORS as error:
                raise translate(error) from None
            except OSError as error:
                raise DatabaseUnavailable(f"the database does not answer: {error.strerror}") from None

    def _mark(self, mark: int) -> bool:
        self._raw.execute(f"PRAGMA user_version = {mark}")
        (busy, *_) = self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy  # with somebody who reads, it is in the log alone

    async def stop(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(DatabaseUnusable):  # only so that nothing is written into another
                self._file.require_in_place()
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await database.stop()
            except TimeoutError:
                log.error("A transaction does not end; it is broken off")
                if self._wrapped is not None and (closing := self._wrapped.stop()) is not None:
                    await closing
        self._file.close()

    async def scrub(self) -> None:
        """Empty the write-ahead log, which holds former versions of pages."""
        try:
            async with self.acquire():
                await finish(asyncio.to_thread(lambda: self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()))
        except (ChattorError, *ERRORS) as error:
            log.warning("The log of the database could not be emptied yet: %s", type(error).__name__)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[EngineConnection]:
        turn = self.database.acquire_direct()
        if self._damage is not None:
            raise self._damage
        self._file.require_in_place()
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            try:
                async with asyncio.timeout(ACQUIRE_TIMEOUT):
                    connection = await turn.__aenter__()
            except TimeoutError:
                raise _busy() from None
            except RuntimeError:  # mautrix's word for a pool that was stopped
                raise DatabaseUnavailable("the database is closed") from None
            try:
                self._wrapped = cast("TxnConnection", connection.wrapped)
                yield SqliteConnection(self._raw, self._wrapped)
            except DatabaseDamaged as error:
                self._damage = error  # nothing is written to it any more
                raise
            finally:
                self._file.wrote()
                await turn.__aexit__(None, None, None)
        finally:
            self._turns.release()

    def _connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        self._raw = sqlite3.Connection(*args, **kwargs)
        return self._raw

    async def _require_durability(self) -> None:
        async with self.acquire() as connection:
            (journal,) = await connection.fetch("PRAGMA journal_mode")
            (synchronous,) = await connection.fetch("PRAGMA synchronous")
        if journal["journal_mode"] != "wal" or synchronous["synchronous"] != SYNCHRONOUS_FULL:
            raise DatabaseUnusable(
                "this file system cannot keep SQLite's write-ahead log safe: put the database on a local disk"
            )


def _busy() -> DatabaseUnavailable:
    return DatabaseUnavailable("the database is busy: another transaction does not end")
