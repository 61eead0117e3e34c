"""The schema and how a database gets to it."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chattor_bridge.errors import DatabaseUnusable, WrongStoreKey
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.engine import Dialect
from chattor_bridge.storage.migrations import load
from chattor_bridge.storage.transaction import sql

ROOT = Path(__file__).parents[2]


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    """A copy of the schema files that a test may change."""
    return Path(shutil.copytree(ROOT / "migrations", tmp_path / "migrations"))


def extend(schema: Path, name: str, statements: str) -> Path:
    """Add one more file."""
    path = schema / f"{len(list(schema.glob('*.sql'))) + 1:04}-{name}.sql"
    path.write_text(statements)
    return path


def remove(schema: Path, pattern: str) -> None:
    for path in schema.glob(pattern):
        path.unlink()


async def tables(store: Store) -> set[str]:
    async with store.transaction() as tx:
        return await sql(tx).tables()


def test_every_statement_is_whole_on_both_engines() -> None:
    for migration in load(ROOT / "migrations"):
        for dialect in Dialect:
            statements = migration.statements(dialect)
            assert statements
            rest = re.sub(r"--.*", "", migration.sql[migration.sql.rindex(";") + 1 :])
            assert not rest.strip(), "nothing after the last semicolon"


def test_a_marked_line_is_for_one_engine(tmp_path: Path) -> None:
    (tmp_path / "0001-a.sql").write_text(
        "-- a comment; with a semicolon\nCREATE TABLE a (\n"
        "    x INTEGER, -- only: sqlite\n    x BIGINT, -- only: postgres\n    y TEXT DEFAULT ';'\n);\n"
        "SELECT 1; -- only: postgres\n"
    )
    (migration,) = load(tmp_path)
    (create,) = migration.statements(Dialect.SQLITE)
    assert "INTEGER" in create
    assert "BIGINT" not in create
    assert len(migration.statements(Dialect.POSTGRES)) == 2


async def test_a_fresh_database_gets_everything_once(store: Store, store_url: str, key: StoreKey) -> None:
    before = await tables(store)
    assert {"migrations", "nodes", "inbox", "history"} <= before
    async with store.transaction() as tx:
        rows = await sql(tx).fetch("SELECT number, name, checksum, applied_at FROM migrations ORDER BY number")
    files = sorted((ROOT / "migrations").glob("*.sql"))
    assert [row["name"] for row in rows] == [path.name for path in files]
    assert [row["checksum"] for row in rows] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    await store.stop()
    async with open_store(store_url, key) as again:
        assert await tables(again) == before


async def test_a_new_file_is_applied_to_an_old_database(
    store: Store, store_url: str, key: StoreKey, schema: Path
) -> None:
    await store.stop()
    extend(schema, "more", "CREATE TABLE more (a BIGINT);\nCREATE TABLE yet_more (a BIGINT);\n")
    async with open_store(store_url, key, migrations=schema) as newer:
        assert {"more", "yet_more"} <= await tables(newer)
    with pytest.raises(DatabaseUnusable, match="newer version"):
        await open_store(store_url, key).start()


async def test_a_file_that_fails_leaves_nothing_of_itself(
    store: Store, store_url: str, key: StoreKey, schema: Path
) -> None:
    await store.stop()
    extend(schema, "good", "CREATE TABLE good (a BIGINT);\n")
    bad = extend(schema, "bad", "CREATE TABLE half (a BIGINT);\nCREATE NONSENSE;\n")
    with pytest.raises(DatabaseUnusable, match="refused a statement"):
        await open_store(store_url, key, migrations=schema).start()
    bad.unlink()
    async with open_store(store_url, key, migrations=schema) as mended:
        names = await tables(mended)
    assert "good" in names
    assert "half" not in names


async def test_an_edited_file_is_noticed(store: Store, store_url: str, key: StoreKey, schema: Path) -> None:
    await store.stop()
    with (schema / "0002-node.sql").open("a") as file:
        file.write("-- edited\n")
    with pytest.raises(DatabaseUnusable, match=r"0002-node\.sql"):
        await open_store(store_url, key, migrations=schema).start()


async def test_a_part_of_the_schema_that_is_missing_is_noticed(store: Store, store_url: str, key: StoreKey) -> None:
    async with store.transaction() as tx:
        await sql(tx).execute("DELETE FROM migrations WHERE number = 2")
    await store.stop()
    with pytest.raises(DatabaseUnusable, match="lacks a part"):
        await open_store(store_url, key).start()


async def test_a_wrong_key_does_not_migrate(store: Store, store_url: str, key: StoreKey, schema: Path) -> None:
    await store.stop()
    extend(schema, "more", "CREATE TABLE more (a BIGINT);\n")
    with pytest.raises(WrongStoreKey):
        await open_store(store_url, StoreKey(b"x" * 32), migrations=schema).start()
    async with open_store(store_url, key) as again:
        assert "more" not in await tables(again)


@pytest.mark.parametrize("table", ["state_groups_state", "migrations_of_another_kind"])
async def test_somebody_elses_database_is_left_alone(tmp_path: Path, key: StoreKey, table: str) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {table} (a)")
    connection.close()
    with pytest.raises(DatabaseUnusable, match="another program"):
        await open_store(f"sqlite:{path}", key).start()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [(table,)]
    connection.close()


@pytest.mark.parametrize("gone", ["*.sql", "0001-*.sql", "0002-*.sql"])
async def test_an_incomplete_installation_says_so(tmp_path: Path, key: StoreKey, schema: Path, gone: str) -> None:
    remove(schema, gone)
    with pytest.raises(DatabaseUnusable, match="install chattor-bridge again"):
        await open_store(f"sqlite:{tmp_path}/store.db", key, migrations=schema).start()
    assert not (tmp_path / "store.db").exists()


async def test_a_stray_file_among_the_schema_says_so(tmp_path: Path, key: StoreKey, schema: Path) -> None:
    (schema / "notes.sql").write_text("")
    with pytest.raises(DatabaseUnusable, match=r"notes\.sql"):
        await open_store(f"sqlite:{tmp_path}/store.db", key, migrations=schema).start()


def test_a_checkout_uses_the_files_beside_the_package() -> None:
    assert packaged_directory("migrations") == ROOT / "migrations"


def test_a_wheel_brings_the_files_along(tmp_path: Path) -> None:
    """Built from this checkout and unpacked elsewhere, the package finds the same schema inside itself."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    ask = (
        "from chattor_bridge.packaged import packaged_directory; from chattor_bridge.storage.migrations import load;"
        "d = packaged_directory('migrations'); print(d); print(*(m.checksum for m in load(d)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path / "installed",
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    directory, checksums = answer.stdout.splitlines()
    assert Path(directory) == tmp_path / "installed" / "chattor_bridge" / "_data" / "migrations"
    assert checksums.split() == [migration.checksum for migration in load(ROOT / "migrations")]
