"""A real PostgreSQL for tests: one cluster per run on a free loopback port, fresh databases for each test.

What asks for `databases` runs on the engines that its mark names; ``pytest --engine NAME`` runs all of that on one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from chattor_bridge.ops.ports import free_port
from chattor_bridge.storage import StoreKey, open_store

SUPERUSER = "postgres"
"""The database user, and the system user it runs as when we are root, which PostgreSQL refuses to be."""

ENGINES = ("sqlite", "postgres")

MEMORY = "memory"
"""The engine of the simulator (tests/sim), which keeps the same contract and has no file to be opened again."""

EMPTY = "template0"
"""The template of databases that have nothing in them."""

DISOWN = "DELETE FROM store"
"""Makes a database one that belongs to nobody yet."""

COMMAND_TIMEOUT = 60
"""Seconds for any one of PostgreSQL's programs: `initdb` takes two on an idle machine."""


def _programs() -> Path:
    """Where PostgreSQL's programs are; Debian keeps them out of the search path, by version."""
    found = shutil.which("initdb")
    candidates = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if not candidates:
        pytest.fail("these tests need PostgreSQL: apt-get install postgresql")
    return candidates[-1].resolve().parent


def _version(initdb: Path) -> int:
    return int(initdb.parent.parent.name)


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A running server. Everybody on this machine may connect: it holds nothing but tests."""

    programs: Path
    directory: Path
    port: int

    def run(self, program: str, *args: str) -> str:
        """Run one of PostgreSQL's programs as the user the server runs as; its standard output."""
        command = [str(self.programs / program), *args]
        if os.geteuid() == 0:
            command = ["runuser", "-u", SUPERUSER, "--", *command]
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser; its result without decoration."""
        arguments = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement)
        return self.run("psql", *self._address(), "-d", database, *arguments).strip()

    def create_database(self, template: str = EMPTY) -> str:
        """The URL of a new database, empty or a copy."""
        name = f"chattor_{uuid4().hex}"
        self.run("createdb", *self._address(), "--encoding=UTF8", f"--template={template}", name)
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{name}"

    def create_template(self) -> str:
        """The name of a new database with the newest schema that belongs to nobody yet."""
        url = self.create_database()
        name = url.rpartition("/")[2]
        _migrate(url)
        self.sql(DISOWN, name)
        return name

    def drop_database(self, url: str) -> None:
        self.run("dropdb", *self._address(), "--force", "--if-exists", url.rpartition("/")[2])

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.directory}"
        log = self.directory / "log"
        self.run("pg_ctl", "start", "-w", "-D", str(self.directory / "data"), "-l", str(log), "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """``fast`` says good-bye to clients; ``immediate`` is a crash."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.directory / "data"))

    def running(self) -> bool:
        try:
            self.run("pg_ctl", "status", "-D", str(self.directory / "data"))
        except AssertionError:
            return False
        return True

    def _address(self) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER)


def _migrate(url: str) -> None:
    """Make the newest schema."""

    async def migrate() -> None:
        async with open_store(url, StoreKey(bytes(32))):
            pass

    with ThreadPoolExecutor(1) as elsewhere:  # in this thread a loop may be running
        elsewhere.submit(asyncio.run, migrate()).result()


@contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """A new server; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="chattor-postgres-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, SUPERUSER, SUPERUSER)
        cluster = PostgresCluster(_programs(), directory, free_port())
        cluster.run("initdb", "-D", str(directory / "data"), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "-N")
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The server of this test run."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: PostgresCluster) -> Iterator[str]:
    """A fresh database, empty."""
    url = postgres.create_database()
    try:
        yield url
    finally:
        postgres.drop_database(url)


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresCluster) -> str:
    """What databases are copied from: the schema costs more than the copy."""
    return postgres.create_template()


Databases = Callable[[str], str]
"""Makes a fresh database for the directory and name of the file it would be: its URL."""


def sqlite_databases(path: str) -> str:
    """Databases that are files, with the schema made: that costs more than all else about a file."""
    file = Path(path)
    file.write_bytes(_sqlite_template())
    file.chmod(0o600)
    return f"sqlite:{path}"


@cache
def _sqlite_template() -> bytes:
    """A file with the newest schema that belongs to nobody yet."""
    with tempfile.TemporaryDirectory(prefix="chattor-sqlite-") as directory:
        file = Path(directory) / "template.db"
        _migrate(f"sqlite:{file}")
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            database.execute(DISOWN)
        return file.read_bytes()


@pytest.fixture
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Fresh databases on one engine, gone at the end of the test; see `pytest_generate_tests`."""
    engine = getattr(request, "param", "sqlite")
    if engine != "postgres":
        yield sqlite_databases if engine == "sqlite" else lambda path: MEMORY
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    template: str = request.getfixturevalue("postgres_template")
    made = []

    def make(_path: str) -> str:
        made.append(cluster.create_database(template))
        return made[-1]

    yield make
    for url in made:
        cluster.drop_database(url)


Copies = Callable[[str], str]
"""Copies a database that nobody has open: the URL of the copy."""


@pytest.fixture
def copies(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Copies]:
    """Backups, gone at the end of the test."""
    made: list[str] = []

    def copy(url: str) -> str:
        if url.startswith("sqlite:"):
            file = Path(url.removeprefix("sqlite:"))
            return f"sqlite:{shutil.copy(file, file.with_name(f'{uuid4().hex}.db'))}"
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        made.append(cluster.create_database(url.rpartition("/")[2]))
        return made[-1]

    yield copy
    for url in made:
        request.getfixturevalue("postgres").drop_database(url)


@pytest.fixture
def store_url(databases: Databases, tmp_path: Path) -> str:
    """A fresh database."""
    return databases(f"{tmp_path / 'store.db'}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=ENGINES, help="run every test that can on this database engine alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses `databases` on the engines that ``pytest.mark.engines("sqlite", "postgres")`` names; without that
    mark, tests of the store (`store_url`) on both, those of its contract on the simulator's too, and all others on
    SQLite."""
    if "databases" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("engines")
    chosen = metafunc.config.getoption("--engine")
    usual: tuple[str, ...] = ENGINES if "store_url" in metafunc.fixturenames else ENGINES[:1]
    if metafunc.module.__name__.startswith("tests.storage.test_contract_"):
        usual = (*ENGINES, MEMORY)
    engines = (chosen,) if chosen else mark.args if mark else usual
    marks = {"postgres": [pytest.mark.postgres]}
    parameters = [pytest.param(engine, marks=marks.get(engine, [])) for engine in engines]
    metafunc.parametrize("databases", parameters, indirect=True)
