"""PostgreSQL: many connections, still one process.

That one process holds an advisory lock on a connection of its own. Should that connection break unnoticed and another
process take over, the *generation* fences the first one out: it rises with every take-over, and every transaction
begins by comparing it under a shared lock that a take-over holds exclusively.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import asyncpg
from mautrix.util.async_db import Database, PostgresDatabase, UpgradeTable
from yarl import URL

from chattor_bridge.errors import AlreadyExists, ChattorError, DatabaseUnavailable, DatabaseUnusable, NotFound
from chattor_bridge.storage.engine import (
    ACQUIRE_TIMEOUT,
    STOP_TIMEOUT,
    CommitUncertain,
    Dialect,
    EngineConnection,
    Row,
    finish,
)

log = logging.getLogger(__name__)

MIN_VERSION = 130000
"""PostgreSQL 13, which first has pg_xact_status for what pg_current_xact_id says."""

MAX_CONNECTIONS = 8
"""Transactions at once. They last milliseconds; a handful keeps the disk's commits together."""

CONNECT_TIMEOUT = 10
"""Seconds to reach the server."""

COMMAND_TIMEOUT = 60
"""Seconds for one statement; a migration over a large table is the slowest."""

LOCK_TIMEOUT = "30s"
"""How long one transaction waits for another's row; then it fails and is retried."""

IDLE_TIMEOUT = "60s"
"""After which the server ends a transaction that does nothing: nothing may be held across a network call."""

TAKE_OVER_TIMEOUT = 5
"""Seconds to wait for a predecessor's locks: the server needs a moment to see that a killed process is gone."""

LOCK_CLASS = 0x43484154
"""First half of our advisory locks' keys ("CHAT"), so that other programs' locks are not met by chance."""
OWNER_LOCK = 1
TAKE_OVER_LOCK = 2
SERIAL_LOCK_CLASS = LOCK_CLASS + 1

FENCE = (
    f"; SELECT pg_advisory_xact_lock_shared({LOCK_CLASS}, {TAKE_OVER_LOCK})"  # noqa: S608 -- numbers
    "; SELECT 1 / COUNT(*) FROM ownership WHERE generation = {:d}"
)

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

FOREIGN_KEY_VIOLATION = "23503"
UNIQUE_VIOLATION = "23505"
READ_ONLY = "25006"
DAMAGED = {"XX001", "XX002"}
NOT_NOW = {
    "08": "the connection broke",
    "25": "the transaction was ended by the server",
    "40": "another transaction was in the way",
    "53": "the server has run out of disk, memory or connections",
    "55": "another transaction holds what is needed",
    "57": "the server is stopping or starting",
    "58": "the server's disk does not work",
}
"""By class of SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def translate(error: BaseException) -> ChattorError:
    """One of our errors for one of asyncpg's. The message never quotes a value."""
    if not isinstance(error, asyncpg.PostgresError):
        return DatabaseUnavailable("the database does not answer")
    state = error.sqlstate or ""
    if state == FOREIGN_KEY_VIOLATION:
        return NotFound("what this belongs to is not there")
    if state == UNIQUE_VIOLATION:
        return AlreadyExists("this is there already")
    if state in DAMAGED:
        return DatabaseUnusable("the database is damaged: restore it from a backup")
    if state == READ_ONLY:
        return DatabaseUnavailable("the database does not answer: the server only lets us read")
    if state[:2] in NOT_NOW:
        return DatabaseUnavailable(f"the database does not answer: {NOT_NOW[state[:2]]}")
    return DatabaseUnusable(f"the database refused a statement: {type(error).__name__}")


def refusal(error: BaseException) -> ChattorError:
    """One of our errors for what went wrong while connecting, asyncpg's or yarl's complaint about the address too."""
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
        return DatabaseUnusable(
            f"the database server refuses us ({error.args[0]}): check database.url and database.password_file"
        )
    if isinstance(error, ValueError):  # it would quote the address, and a password may be in it
        return DatabaseUnusable("the address of the database is not postgresql://user@host/database")
    return translate(error)


class PostgresConnection:
    """One pooled connection, for one transaction."""

    dialect = Dialect.POSTGRES

    def __init__(self, wrapped: asyncpg.Connection, generation: int | None) -> None:
        self._wrapped = wrapped
        self._begin = "BEGIN"
        if generation is not None:  # one round trip; no row of this generation divides by zero
            self._begin += FENCE.format(generation)

    async def begin(self) -> None:
        try:
            await self._wrapped.execute(self._begin)
        except asyncpg.DivisionByZeroError:
            raise DatabaseUnusable("another process has taken the database over: stop one of them") from None
        except ERRORS as error:
            raise translate(error) from None

    async def commit(self) -> None:
        (row,) = await self.fetch("SELECT pg_current_xact_id_if_assigned()::text AS receipt")
        try:
            answer = await self._wrapped.execute("COMMIT")
        except ERRORS as error:
            if row["receipt"] is None:  # nothing was written
                raise translate(error) from None
            raise CommitUncertain(row["receipt"], translate(error)) from None
        if answer != "COMMIT":
            raise DatabaseUnavailable("the database rolled back instead")

    async def rollback(self) -> None:
        try:
            await self._wrapped.execute("ROLLBACK", timeout=STOP_TIMEOUT)
        except ERRORS:
            with suppress(*ERRORS):
                self._wrapped.terminate()

    async def committed(self, receipt: str) -> bool | None:
        try:
            status = await self._wrapped.fetchval("SELECT pg_xact_status($1::text::xid8)", receipt)
        except asyncpg.InvalidParameterValueError:  # "in the future": the server crashed and never knew of it
            return False
        except ERRORS as error:
            raise translate(error) from None
        return None if status == "in progress" else status == "committed"

    async def execute(self, query: str, *args: object) -> int:
        try:
            status = await self._wrapped.execute(query, *args)
        except ERRORS as error:
            raise translate(error) from None
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def fetch(self, query: str, *args: object) -> list[Row]:
        try:
            return list(await self._wrapped.fetch(query, *args))
        except ERRORS as error:
            raise translate(error) from None

    async def tables(self) -> set[str]:
        rows = await self.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return {row["tablename"] for row in rows}

    async def serialise(self, name: str) -> None:
        await self.fetch("SELECT pg_advisory_xact_lock($1::int4, hashtext($2::text))", SERIAL_LOCK_CLASS, name)


class PostgresEngine:
    """The database on a server. See `chattor_bridge.storage.engine.Engine`."""

    dialect = Dialect.POSTGRES

    def __init__(self, url: str) -> None:
        self._url = url
        self._database: PostgresDatabase | None = None
        self._owner: asyncpg.Connection | None = None
        self._owning = asyncio.Lock()
        self._generation: int | None = None

    @property
    def database(self) -> Database:
        if self._database is None:
            raise DatabaseUnavailable("the database is closed")
        return self._database

    async def start(self) -> None:
        try:
            owner = await self._own()
            await require_durability(owner)
            await self._lock(owner, TAKE_OVER_LOCK)
            database = PostgresDatabase(
                URL(self._url),
                UpgradeTable(),
                db_args={
                    "meow_exit_on_ice": False,  # a broken driver is our caller's business, not the end of the process
                    "min_size": 0,  # asyncpg would fill the log while it keeps one up and the server is down
                    "max_size": MAX_CONNECTIONS,
                    "timeout": CONNECT_TIMEOUT,
                    "command_timeout": COMMAND_TIMEOUT,
                    "reset": _keep,
                    "server_settings": {
                        "lock_timeout": LOCK_TIMEOUT,
                        "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
                    },
                },
            )
            await database.start()
            self._database = database
        except (*ERRORS, ValueError) as error:
            raise refusal(error) from None

    async def claim(self) -> None:
        async with self.acquire() as connection:
            await connection.begin()
            try:
                (row,) = await connection.fetch("UPDATE ownership SET generation = generation + 1 RETURNING generation")
                await connection.commit()
            except CommitUncertain as uncertain:
                raise uncertain.error from None
            except BaseException:
                await finish(connection.rollback())
                raise
        self._generation = row["generation"]
        try:
            await self._require_owner().execute("SELECT pg_advisory_unlock($1, $2)", LOCK_CLASS, TAKE_OVER_LOCK)
        except ERRORS as error:
            raise translate(error) from None

    async def stop(self) -> None:
        database, self._database = self._database, None
        self._generation = None  # of the next start there is none yet, and its transactions must not wait for its lock
        if database is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await database.stop()
            except TimeoutError:
                log.error("A transaction does not end; it is broken off")
                database.pool.terminate()
        owner, self._owner = self._owner, None
        if owner is not None:
            try:
                await owner.close(timeout=STOP_TIMEOUT)
            except ERRORS:
                owner.terminate()

    async def scrub(self) -> None:
        """The server's own vacuum does that in time."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[EngineConnection]:
        turn = self.database.acquire_direct()
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT):
                await self._own()
                connection = await turn.__aenter__()
        except TimeoutError:
            raise DatabaseUnavailable("the database does not answer, or other transactions do not end") from None
        except ERRORS as error:
            raise translate(error) from None
        try:
            yield PostgresConnection(cast("asyncpg.Connection", connection.wrapped), self._generation)
        finally:
            with suppress(*ERRORS):  # a connection that cannot be given back has been terminated
                await turn.__aexit__(None, None, None)

    async def _own(self) -> asyncpg.Connection:
        """The connection that holds the lock, opened again if it broke."""
        async with self._owning:
            if self._owner is not None and not self._owner.is_closed():
                return self._owner
            owner = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT)
            try:
                await self._lock(owner, OWNER_LOCK)
            except BaseException:
                owner.terminate()
                raise
            self._owner = owner
            return owner

    def _require_owner(self) -> asyncpg.Connection:
        if self._owner is None:
            raise DatabaseUnavailable("the database is closed")
        return self._owner

    async def _lock(self, owner: asyncpg.Connection, lock: int) -> None:
        await owner.execute(f"SET lock_timeout = '{TAKE_OVER_TIMEOUT}s'")
        try:
            await owner.execute("SELECT pg_advisory_lock($1, $2)", LOCK_CLASS, lock)
        except asyncpg.LockNotAvailableError:
            raise DatabaseUnusable("the database is in use by another running process: stop that one first") from None


async def require_durability(connection: asyncpg.Connection) -> None:
    """Ask a server whether it keeps what it was given. Raises: DatabaseUnusable when it may not, naming the setting."""
    names = ("server_version_num", "server_encoding", "fsync", "full_page_writes", "synchronous_commit")
    settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in names}
    if int(settings["server_version_num"]) < MIN_VERSION:
        raise DatabaseUnusable("this PostgreSQL is too old: use version 13 or newer")
    if settings["server_encoding"] != "UTF8":
        raise DatabaseUnusable("the database is not in UTF-8: create it with ENCODING 'UTF8'")
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if settings[name] == "off":
            raise DatabaseUnusable(f"PostgreSQL has {name} off and may lose what was acknowledged: turn it on")


async def _keep(_connection: Any) -> None:
    """Give a connection back as it is: we change nothing in its session, and asyncpg's own reset is a round trip."""
