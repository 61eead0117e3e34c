"""A database in memory, which outlives the process that uses it.

It is SQLite, with the schema and the statements of the real thing, in the thread of the event loop: no file, nothing to
wait for. It runs under the contract tests of the store (tests/storage), by `Disk.store`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mautrix.util.async_db import Database

from chattor_bridge.errors import DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage import Store, StoreKey
from chattor_bridge.storage.engine import ACQUIRE_TIMEOUT, Dialect, EngineConnection, Row
from chattor_bridge.storage.sealing import FORMAT, Part, Sealer
from chattor_bridge.storage.sqlite import ERRORS, SqliteConnection, translate
from tests.sim.process import DEAD, Process

STATEMENTS = 512
"""Statements that stay compiled: there are some 200."""


class Disk:
    """What lasts: one database, for one process at a time."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS)
        self.raw.row_factory = sqlite3.Row
        self.raw.execute("PRAGMA foreign_keys = ON")
        self.user: MemoryEngine | None = None
        self._uncommitted: list[Callable[[], None]] = []

    def store(self, key: StoreKey, process: Process | None = None, *, migrations: Path | None = None) -> Store:
        """A store over it, for this process; not started yet."""
        return Store(MemoryEngine(self, process or Process()), key, migrations or packaged_directory("migrations"))

    def with_commit(self, action: Callable[[], None]) -> None:
        """Do this if the transaction that is open is committed, as part of the commit: what a test notes down of a
        transaction lasts exactly if the transaction does."""
        self._uncommitted.append(action)

    def begin(self) -> None:
        self.raw.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.raw.execute("COMMIT")
        actions, self._uncommitted = self._uncommitted, []
        for action in actions:
            action()

    def roll_back(self) -> None:
        self._uncommitted = []
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")

    def close(self) -> None:
        """Throw it away."""
        self.raw.close()


class PlainSealer(Sealer):
    """Writes a seal and closes nothing, for worlds in which opening columns would be a sixth of all the work."""

    def seal(self, value: bytes, table: str, column: str, *row: Part) -> bytes:
        return FORMAT + value

    def open(self, sealed: bytes, table: str, column: str, *row: Part) -> bytes:
        return sealed[len(FORMAT) :]


class MemoryConnection(SqliteConnection):
    """The one connection, for one transaction."""

    def __init__(self, disk: Disk, process: Process) -> None:
        super().__init__(disk.raw, None)  # type: ignore[arg-type]  # that is only for what waits for a disk
        self._disk = disk
        self._process = process

    async def begin(self) -> None:
        self._require_life()
        self._disk.begin()

    async def commit(self) -> None:
        self._require_life()
        try:
            self._disk.commit()
        except ERRORS as error:
            raise translate(error) from None
        self._require_life()  # a process may die between a commit and its first thought after it

    async def rollback(self) -> None:
        if self._process.alive:  # what a dead one left open was rolled back at its death
            self._disk.roll_back()

    async def execute(self, query: str, *args: object) -> int:
        self._require_life()
        return self._run(query, args).rowcount

    async def fetch(self, query: str, *args: object) -> list[Row]:
        self._require_life()
        try:
            return self._run(query, args).fetchall()
        except ERRORS as error:
            raise translate(error) from None

    def _require_life(self) -> None:
        if not self._process.step():
            raise DatabaseUnavailable(DEAD)


class MemoryEngine:
    """See `chattor_bridge.storage.engine.Engine`."""

    dialect = Dialect.SQLITE

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._turns = asyncio.Lock()
        process.on_death(self._let_go)

    @property
    def database(self) -> Database:
        raise DatabaseUnavailable("mautrix has no tables in here")

    async def start(self) -> None:
        if self._disk.user not in (None, self):
            raise DatabaseUnusable("another process uses this database")
        self._disk.user = self

    async def claim(self) -> None:
        """Nobody else can have it since `start`."""

    async def stop(self) -> None:
        if self._disk.user is self:
            async with self._turns:  # a transaction still open at the end is waited for
                self._let_go()

    async def scrub(self) -> None:
        """There is no log in which anything would be left."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[EngineConnection]:
        if not self._process.alive:
            raise DatabaseUnavailable(DEAD)
        if self._disk.user is not self:
            raise DatabaseUnavailable("the database is closed")
        if self._turns.locked():
            try:
                async with asyncio.timeout(ACQUIRE_TIMEOUT):
                    await self._turns.acquire()
            except TimeoutError:
                raise DatabaseUnavailable("the database is busy: another transaction does not end") from None
        else:
            await self._turns.acquire()
        try:
            if self._disk.user is not self:
                raise DatabaseUnavailable("the database is closed" if self._process.alive else DEAD)
            yield MemoryConnection(self._disk, self._process)
        finally:
            self._turns.release()

    def _let_go(self) -> None:
        """At the end, or at the death of the process, with which an open transaction never was."""
        if self._disk.user is self:
            self._disk.user = None
            self._disk.roll_back()
