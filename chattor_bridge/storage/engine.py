"""What the two database engines have in common, as the transactions above them see it.

Everything below this line of the house raises only the errors of `chattor_bridge.errors`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from mautrix.util.async_db import Database

from chattor_bridge.errors import ChattorError

Result = TypeVar("Result")

ACQUIRE_TIMEOUT = 30
"""Seconds a transaction waits for its turn. Transactions last milliseconds, so this is an emergency brake: something
holds one across a wait, or the disk has stopped."""


STOP_TIMEOUT = 10
"""Seconds that a transaction still open at the end gets; then it is broken off, and so rolled back."""


class Dialect(StrEnum):
    """The word a marked line of a migration uses."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Row(Protocol):
    """One row of a result, by column name."""

    def __getitem__(self, column: str, /) -> Any: ...


class CommitUncertain(Exception):
    """The connection broke during COMMIT; ``receipt`` lets `EngineConnection.committed` answer later. Not an error of
    the tree: it never leaves this package."""

    def __init__(self, receipt: str, error: ChattorError) -> None:
        super().__init__()
        self.receipt = receipt
        self.error = error


class EngineConnection(Protocol):
    """A connection held for one transaction. Queries write their arguments as ``$1``, ``$2``.

    Every method but `rollback` raises: DatabaseUnavailable, DatabaseUnusable.
    """

    @property
    def dialect(self) -> Dialect: ...

    async def begin(self) -> None: ...
    async def commit(self) -> None:
        """Raises besides: CommitUncertain, when nobody can tell yet."""

    async def rollback(self) -> None:
        """Never raises: a connection that cannot roll back is thrown away, and that rolls back too."""

    async def committed(self, receipt: str) -> bool | None:
        """What became of an uncertain commit; ``None`` while it is still going on."""

    async def execute(self, query: str, *args: object) -> int:
        """The number of rows changed. Raises besides: AlreadyExists, NotFound (a broken reference)."""

    async def fetch(self, query: str, *args: object) -> list[Row]: ...
    async def tables(self) -> set[str]:
        """The names of all tables in this database, or in the schema of it that is ours."""

    async def serialise(self, name: str) -> None:
        """Let only one transaction at a time pass here, until it ends."""


class Engine(Protocol):
    """One database server or file."""

    @property
    def dialect(self) -> Dialect: ...
    @property
    def database(self) -> Database:
        """mautrix's view of it, for those parts of mautrix that keep tables of their own."""

    async def start(self) -> None:
        """Become the only process that uses this database, and prove that what is committed is on disk.

        Raises: DatabaseUnavailable, DatabaseUnusable.
        """

    async def claim(self) -> None:
        """After the migrations: shut out whoever may still think it is the one process.

        Raises: DatabaseUnavailable, DatabaseUnusable.
        """

    async def stop(self) -> None:
        """Close every connection, within `STOP_TIMEOUT` each, then let the next process in. Safe at any stage of
        `start`, and again."""

    async def scrub(self) -> None:
        """See `chattor_bridge.node.store_ports.NodeStore.scrub`."""

    def acquire(self) -> AbstractAsyncContextManager[EngineConnection]:
        """A connection, within `ACQUIRE_TIMEOUT`. Raises: DatabaseUnavailable, DatabaseUnusable."""


Callback = Callable[[], None]


async def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end even when the caller is cancelled meanwhile, then let the cancellation go on.

    Cancelling a COMMIT would leave nobody knowing whether it happened.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # seen: the cancellation outranks it
    raise cancelled
