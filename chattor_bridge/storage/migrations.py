"""The schema: plain SQL files, applied in order, each in a transaction of its own, each recorded with its checksum.

Files are named ``0001-what.sql``, from 1 without a gap. They are written for both engines; a line that only one of them
understands ends in ``-- only: sqlite`` or ``-- only: postgres``. A file that has been released is never edited, because
databases remember what they were made with: a change is a new file.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import DatabaseUnusable
from chattor_bridge.storage.engine import Dialect
from chattor_bridge.storage.transaction import SqlTransaction, Transactions

FILE_NAME = re.compile(r"(\d{4})-[a-z0-9-]+\.sql")
ONLY = re.compile(r"--\s*only:\s*(\w+)\s*$")

RECORD = """
CREATE TABLE IF NOT EXISTS migrations (
    number     BIGINT PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. ``checksum`` is the SHA-256 of its bytes, hexadecimal."""

    number: int
    name: str
    checksum: str
    sql: str

    def statements(self, dialect: Dialect) -> list[str]:
        """The statements for one engine, in order."""
        statements: list[str] = []
        pending = ""
        for line in self.sql.splitlines(keepends=True):
            only = ONLY.search(line)
            if only is not None and only[1] != dialect:
                continue
            pending += line
            if sqlite3.complete_statement(pending):
                statements.append(pending)
                pending = ""
        return statements


def load(directory: Path) -> list[Migration]:
    """All migrations of a directory, in order. Raises: DatabaseUnusable when the installation is incomplete."""
    migrations = [_read(path) for path in sorted(directory.glob("*.sql"))]
    if not migrations or [each.number for each in migrations] != list(range(1, len(migrations) + 1)):
        raise DatabaseUnusable(f"the schema files in {directory} are incomplete: install chattor-bridge again")
    return migrations


def _read(path: Path) -> Migration:
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise DatabaseUnusable(f"{path} does not belong among the schema files: install chattor-bridge again")
    content = path.read_bytes()
    return Migration(int(named[1]), path.name, hashlib.sha256(content).hexdigest(), content.decode("utf-8"))


async def outstanding(transactions: Transactions, migrations: Sequence[Migration]) -> list[Migration]:
    """What the database still needs; nothing of it is changed.

    Raises: DatabaseUnusable when it is somebody else's, newer than this program, or was made with other files.
    """
    async with transactions.begin() as tx:
        applied = await _applied(tx)
    for number, checksum in applied.items():
        if number > len(migrations):
            raise DatabaseUnusable(
                "the database was made by a newer version of chattor-bridge: install that version or a newer one"
            )
        if checksum != migrations[number - 1].checksum:
            raise DatabaseUnusable(
                f"the database was made with another {migrations[number - 1].name}: "
                "install the version of chattor-bridge that made it"
            )
    if list(applied) != list(range(1, len(applied) + 1)):
        raise DatabaseUnusable("the database lacks a part of its schema: restore it from a backup")
    return list(migrations[len(applied) :])


async def apply(transactions: Transactions, migration: Migration) -> None:
    """Take one step."""
    async with transactions.begin() as tx:
        await tx.execute(RECORD)
        for statement in migration.statements(tx.dialect):
            await tx.execute(statement)
        await tx.execute(
            "INSERT INTO migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
            migration.number,
            migration.name,
            migration.checksum,
            int(time.time()),
        )


async def _applied(tx: SqlTransaction) -> dict[int, str]:
    """The checksums of the migrations a database has seen, by number, in order."""
    tables = await tx.tables()
    if not tables:
        return {}
    if "migrations" not in tables:
        raise DatabaseUnusable("this database belongs to another program: give chattor-bridge one of its own")
    rows = await tx.fetch("SELECT number, checksum FROM migrations ORDER BY number")
    return {row["number"]: row["checksum"] for row in rows}
