"""Databases of every released schema are upgraded and lose nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from chattor_bridge.storage import Store, open_store
from chattor_bridge.storage.transaction import sql
from tests.postgres import PostgresCluster
from tests.storage.snapshots import DIRECTORY, KEY, assert_filled

SQLITE = sorted(DIRECTORY.glob("*.sqlite.sql"))
POSTGRES = sorted(DIRECTORY.glob("*.postgres.sql"))

SQLITE_SCHEMA = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
POSTGRES_SCHEMA = """
SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS sql
FROM information_schema.columns WHERE table_schema = 'public'
UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 0
ORDER BY 1
"""


async def schema(store: Store, query: str) -> list[str]:
    async with store.transaction() as tx:
        return [" ".join(row["sql"].split()) for row in await sql(tx).fetch(query)]


def read(snapshot: Path) -> str:
    return snapshot.read_text(encoding="utf-8")


def test_there_is_one_of_each_engine() -> None:
    assert SQLITE
    assert [path.name.partition(".")[0] for path in SQLITE] == [path.name.partition(".")[0] for path in POSTGRES]


@pytest.mark.parametrize("snapshot", SQLITE, ids=lambda path: path.name)
async def test_a_sqlite_snapshot_is_upgraded(snapshot: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(read(snapshot))
    async with open_store(f"sqlite:{tmp_path / 'old.db'}", KEY) as old:
        await assert_filled(old)
        upgraded = await schema(old, SQLITE_SCHEMA)
    async with open_store(f"sqlite:{tmp_path / 'new.db'}", KEY) as new:
        assert upgraded == await schema(new, SQLITE_SCHEMA)


@pytest.mark.postgres
@pytest.mark.parametrize("snapshot", POSTGRES, ids=lambda path: path.name)
async def test_a_postgresql_snapshot_is_upgraded(snapshot: Path, postgres: PostgresCluster, postgres_url: str) -> None:
    other = postgres.create_database()
    try:
        postgres.sql(read(snapshot), postgres_url.rpartition("/")[2])
        async with open_store(postgres_url, KEY) as old:
            await assert_filled(old)
            upgraded = await schema(old, POSTGRES_SCHEMA)
        async with open_store(other, KEY) as new:
            assert upgraded == await schema(new, POSTGRES_SCHEMA)
    finally:
        postgres.drop_database(other)
