"""Transactions: begun, committed and rolled back here and nowhere else.

mautrix's own SQLite transactions roll back on `Exception` only, so a cancellation would leave one open on the pooled
connection, and they are found through a context variable, which child tasks inherit. Here a transaction is an object
that is handed down, belongs to the task that began it, and ends on every way out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from chattor_bridge.errors import ChattorError, DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Callback, CommitUncertain, Dialect, Engine, EngineConnection, Row, finish

log = logging.getLogger(__name__)

OUTCOME_TIMEOUT = 5
"""Seconds to find out what became of a commit whose connection broke, before its caller is told that nobody knows."""

OUTCOME_INTERVAL = 0.1
"""Seconds between two questions."""


class SqlTransaction:
    """One transaction, for the task that began it, until its block is left.

    After a statement has failed the transaction can only be rolled back, as PostgreSQL has it: whoever catches that
    error inside the block gets it again at the next statement and at the end.
    """

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self._task = asyncio.current_task()
        self._over = False
        self.failure: ChattorError | None = None
        self.callbacks: list[Callback] = []

    def after_commit(self, callback: Callback) -> None:
        self._check()
        self.callbacks.append(callback)

    def end(self) -> None:
        """No statement from here on."""
        self._over = True

    async def execute(self, query: str, *args: object) -> int:
        """Run a statement; the number of rows it changed."""
        self._check()
        try:
            return await self._connection.execute(query, *args)
        except ChattorError as error:
            self.failure = error
            raise

    async def fetch(self, query: str, *args: object) -> list[Row]:
        """All rows of a query, or of a statement with RETURNING."""
        self._check()
        try:
            return await self._connection.fetch(query, *args)
        except ChattorError as error:
            self.failure = error
            raise

    async def fetch_row(self, query: str, *args: object) -> Row | None:
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def fetch_value(self, query: str, *args: object) -> Any:
        """The column named ``value`` of the first row, ``None`` without a row."""
        row = await self.fetch_row(query, *args)
        return None if row is None else row["value"]

    async def tables(self) -> set[str]:
        """The names of all tables."""
        self._check()
        return await self._connection.tables()

    async def serialise(self, name: str) -> None:
        """Let only one transaction at a time pass here, until it ends."""
        self._check()
        try:
            await self._connection.serialise(name)
        except ChattorError as error:
            self.failure = error
            raise

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    def _check(self) -> None:
        if self._over:
            raise RuntimeError("this transaction is over: its block has been left")
        if asyncio.current_task() is not self._task:
            raise RuntimeError("a transaction belongs to the task that began it")
        if self.failure is not None:
            raise self.failure


def sql(tx: Transaction) -> SqlTransaction:
    """The transaction as this package made it."""
    if not isinstance(tx, SqlTransaction):
        raise TypeError("this transaction was begun by another store")
    return tx


class Transactions:
    """Begins transactions on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inside: set[asyncio.Task[object]] = set()
        self._doubtful: list[tuple[str, list[Callback]]] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlTransaction]:
        """See `chattor_bridge.node.store_ports.NodeStore.transaction`.

        When the task is cancelled while COMMIT is under way, COMMIT is awaited, the callbacks run if it succeeded, and
        the cancellation goes on.

        Raises: DatabaseUnavailable; RuntimeError for a transaction inside a transaction.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        if task in self._inside:
            raise RuntimeError("a transaction inside a transaction: hand the outer one down instead")
        self._inside.add(task)
        try:
            async with self._engine.acquire() as connection:
                tx = SqlTransaction(connection)
                try:
                    await self._settle(connection)
                    await connection.begin()
                    yield tx
                    if tx.failure is not None:
                        raise tx.failure
                except BaseException:
                    tx.end()
                    await finish(connection.rollback())
                    raise
                tx.end()
                await finish(self._commit(connection, tx))
        finally:
            self._inside.discard(task)

    async def _commit(self, connection: EngineConnection, tx: SqlTransaction) -> None:
        try:
            await connection.commit()
        except CommitUncertain as uncertain:
            await connection.rollback()  # gives up the broken connection
            committed = await self._outcome(uncertain.receipt)
            if committed is None:
                self._doubtful.append((uncertain.receipt, tx.callbacks))
            if not committed:
                raise uncertain.error from None
        except BaseException:
            await connection.rollback()
            raise
        _call(tx.callbacks)

    async def _outcome(self, receipt: str) -> bool | None:
        """Ask over another connection, for a while, what became of a commit."""
        with suppress(TimeoutError, DatabaseUnusable):
            async with asyncio.timeout(OUTCOME_TIMEOUT):
                while True:
                    with suppress(DatabaseUnavailable):
                        async with self._engine.acquire() as connection:
                            committed = await connection.committed(receipt)
                        if committed is not None:
                            return committed
                    await asyncio.sleep(OUTCOME_INTERVAL)
        return None

    async def _settle(self, connection: EngineConnection) -> None:
        """Learn what became of commits during which the connection broke, and make up for their callbacks."""
        for doubt in tuple(self._doubtful):
            receipt, callbacks = doubt
            committed = await connection.committed(receipt)
            if committed is None or doubt not in self._doubtful:
                continue
            self._doubtful.remove(doubt)
            if committed:
                _call(callbacks)


def _call(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:  # what is on disk stays there: one broken callback must not keep the others asleep
            log.exception("A callback after a commit failed")
