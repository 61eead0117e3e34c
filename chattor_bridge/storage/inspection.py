"""A look into a database without taking it: read-only, beside the process it may belong to.

Nothing is locked, made, migrated or recovered. What `Store.start` would refuse is raised here as the same error.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from mautrix.util.async_db import Database

from chattor_bridge.errors import DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.ids import NodeId, OnionKey
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage.doors import SqlDoors
from chattor_bridge.storage.engine import STOP_TIMEOUT, Dialect, Engine, EngineConnection, Row
from chattor_bridge.storage.key import StoreKey
from chattor_bridge.storage.migrations import load, outstanding
from chattor_bridge.storage.postgres import (
    COMMAND_TIMEOUT,
    CONNECT_TIMEOUT,
    PostgresConnection,
    refusal,
    require_durability,
)
from chattor_bridge.storage.postgres import ERRORS as POSTGRES_ERRORS
from chattor_bridge.storage.sealing import Sealer, identity_from_key_check
from chattor_bridge.storage.sqlite import ARGUMENT, translate
from chattor_bridge.storage.sqlite_file import MIN_FILE_SIZE
from chattor_bridge.storage.transaction import SqlTransaction, Transactions


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. ``made`` is whether there is a schema at all, ``outstanding`` how many steps of it the next
    start will take. ``nodes`` is how many are at work, ``doors`` the onions behind those friend codes that are open,
    none without a key. ``shelves`` are open for mail of friends; of ``blocks``, which they may have, ``held`` are
    there."""

    made: bool
    outstanding: int
    nodes: int
    doors: tuple[OnionKey, ...] = ()
    shelves: int = 0
    blocks: int = 0
    held: int = 0


async def inspect(url: str, key: StoreKey | None, *, migrations: Path | None = None) -> Inspection:
    """Look at the database at ``url``, in the forms of `chattor_bridge.storage.open_store`; without ``key`` only at
    what is not sealed.

    Raises: DatabaseUnavailable, DatabaseUnusable, WrongStoreKey.
    """
    files = load(migrations or packaged_directory("migrations"))
    engine = _reader(url)
    if engine is None:
        return Inspection(made=False, outstanding=len(files), nodes=0)
    transactions = Transactions(engine)
    await engine.start()
    try:
        missing = await outstanding(transactions, files)
        if len(missing) == len(files):
            return Inspection(made=False, outstanding=len(missing), nodes=0)
        async with transactions.begin() as tx:
            nodes = [NodeId(row["node_id"]) for row in await tx.fetch("SELECT node_id FROM nodes WHERE running")]
            found = Inspection(made=True, outstanding=len(missing), nodes=len(nodes))
            if not missing:
                shelves, blocks, held = await _mail(tx)
                found = replace(found, shelves=shelves, blocks=blocks, held=held)
            check = await tx.fetch_value("SELECT key_check AS value FROM store WHERE id = 1")
            if key is None or check is None:
                return found
            sealer = Sealer(key, identity_from_key_check(key, check))
            # the records of an older schema may have other columns
            doors = [] if missing else [each for node in nodes for each in await SqlDoors(sealer).of_node(tx, node)]
            now = int(time.time())
            onions = tuple(
                OnionKey(ed25519_public(door.onion_seed))
                for door in doors
                if not (door.parked or door.has_expired(now) or door.is_used_up)
            )
            return replace(found, doors=onions)
    finally:
        await engine.stop()


async def _mail(tx: SqlTransaction) -> tuple[int, int, int]:
    """What is held for friends: ``shelves``, ``blocks`` and ``held`` of `Inspection`."""
    rows = await tx.fetch(
        "SELECT nodes.holds, COUNT(*) AS shelves, SUM(carriages.blocks) AS blocks FROM held_shelves JOIN carriages "
        "ON carriages.node_id = held_shelves.node_id AND carriages.peer_id = held_shelves.peer_id JOIN nodes "
        "ON nodes.node_id = held_shelves.node_id WHERE held_shelves.closed_at IS NULL "
        "GROUP BY nodes.node_id, nodes.holds"
    )
    blocks = sum(int(row["blocks"] if row["holds"] is None else min(row["blocks"], row["holds"])) for row in rows)
    held = await tx.fetch_value("SELECT COUNT(*) AS value FROM held_blocks")
    return sum(row["shelves"] for row in rows), blocks, held


def _reader(url: str) -> Engine | None:
    """``None`` when there is no file yet."""
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite":
        return _PostgresReader(url)
    path = Path(rest.removeprefix("//"))
    return _SqliteReader(path) if path.exists() else None


class _Reader:
    """What both engines have in common here."""

    @property
    def database(self) -> Database:
        raise DatabaseUnavailable("the database is only being looked at")

    async def claim(self) -> None:
        raise DatabaseUnavailable("the database is only being looked at")


class _SqliteReader(_Reader):
    """SQLite's own read-only mode: it sees what is committed, and never writes into the database."""

    dialect = Dialect.SQLITE

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        try:
            if self._path.stat().st_size < MIN_FILE_SIZE:
                raise DatabaseUnusable(
                    f"the database {self._path} was cut off and is empty: restore a backup, or remove it to begin anew"
                )
            self._connection = sqlite3.connect(
                f"file:{quote(str(self._path))}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
            )
            self._connection.row_factory = sqlite3.Row
            (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            (journal,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        except OSError as error:
            raise DatabaseUnavailable(f"the database {self._path} cannot be read: {error.strerror}") from None
        except sqlite3.Error as error:
            raise translate(error) from None
        if verdict != "ok":
            raise DatabaseUnusable(f"the database {self._path} is damaged: restore it from a backup")
        if journal != "wal":
            raise DatabaseUnusable(
                "this file system cannot keep SQLite's write-ahead log safe: put the database on a local disk"
            )

    async def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def scrub(self) -> None:
        """Nothing is written here."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[EngineConnection]:
        assert self._connection is not None
        yield _SqliteReading(self._connection)


class _SqliteReading:
    """One connection of `_SqliteReader`; its few statements are short, and run where they are asked for."""

    dialect = Dialect.SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def begin(self) -> None:
        await self.execute("BEGIN")

    async def commit(self) -> None:
        await self.execute("COMMIT")

    async def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    async def committed(self, receipt: str) -> bool | None:
        raise AssertionError(f"nothing is written here, and {receipt} was never issued")

    async def execute(self, query: str, *args: object) -> int:
        await self.fetch(query, *args)
        return 0

    async def fetch(self, query: str, *args: object) -> list[Row]:
        parameters: Any = args
        try:
            return self._connection.execute(ARGUMENT.sub(r"?\1", query), parameters).fetchall()
        except sqlite3.Error as error:
            raise translate(error) from None

    async def tables(self) -> set[str]:
        rows = await self.fetch("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {row["name"] for row in rows}

    async def serialise(self, name: str) -> None:
        """Nobody writes."""


class _PostgresReader(_Reader):
    """One connection whose transactions are read-only."""

    dialect = Dialect.POSTGRES

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None

    async def start(self) -> None:
        try:
            self._connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                server_settings={"default_transaction_read_only": "on"},
            )
            await require_durability(self._connection)
        except (*POSTGRES_ERRORS, ValueError) as error:
            await self.stop()
            raise refusal(error) from None
        except DatabaseUnusable:
            await self.stop()
            raise

    async def stop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*POSTGRES_ERRORS):
                await connection.close(timeout=STOP_TIMEOUT)

    async def scrub(self) -> None:
        """Nothing is written here."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[EngineConnection]:
        assert self._connection is not None
        yield PostgresConnection(self._connection, None)
