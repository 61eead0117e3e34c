"""What every group of tables shares: a sealer, and how small values are written."""

from __future__ import annotations

import json
from collections.abc import Sequence

from chattor_bridge.errors import NotFound
from chattor_bridge.node.ports import Transaction
from chattor_bridge.storage.engine import Dialect, Row
from chattor_bridge.storage.sealing import Part, Sealer
from chattor_bridge.storage.transaction import SqlTransaction, sql

MAX_INTEGER = 2**63 - 1
"""The largest value of a BIGINT column."""


class Table:
    """A group of tables. Sealed columns are closed for their table, their name and the key of their row."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer


class SealedRow:
    """Seals and opens the columns of one row."""

    def __init__(self, sealer: Sealer, table: str, *key: Part) -> None:
        self._sealer = sealer
        self._table = table
        self._key = key

    def seal(self, column: str, value: bytes) -> bytes:
        return self._sealer.seal(value, self._table, column, *self._key)

    def seal_optional(self, column: str, value: bytes | None) -> bytes | None:
        return None if value is None else self.seal(column, value)

    def seal_text(self, column: str, value: str) -> bytes:
        return self._sealer.seal_text(value, self._table, column, *self._key)

    def open(self, column: str, sealed: bytes) -> bytes:
        return self._sealer.open(sealed, self._table, column, *self._key)

    def open_optional(self, column: str, sealed: bytes | None) -> bytes | None:
        return None if sealed is None else self.open(column, sealed)

    def open_text(self, column: str, sealed: bytes) -> str:
        return self._sealer.open_text(sealed, self._table, column, *self._key)


def locking(tx: Transaction, query: str) -> str:
    """``query`` so that what it finds stays as it is until the transaction ends, while rows that refer to it may still
    be added. SQLite has one writer at a time and needs nothing for that."""
    return f"{query} FOR NO KEY UPDATE" if sql(tx).dialect is Dialect.POSTGRES else query


async def update_one(tx: SqlTransaction, what: str, query: str, *args: object) -> None:
    """Run an UPDATE of one row. Raises: NotFound, naming ``what``, when there is none."""
    if not await tx.execute(query, *args):
        raise NotFound(f"there is no such {what}")


async def parked_of(tx: Transaction, table: str, column: str, queues: Sequence[str] | None) -> list[Row]:
    """The parked rows of ``table`` whose ``column`` is one of ``queues``, or all of them, in order."""
    rows = await sql(tx).fetch(f"SELECT * FROM {table} WHERE parked IS NOT NULL ORDER BY position")  # noqa: S608
    return [row for row in rows if queues is None or row[column] in queues]


def write_words(words: Sequence[str]) -> str:
    return json.dumps(list(words))


def read_words(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
