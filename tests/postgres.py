"""A real PostgreSQL for tests: one cluster per run on a free loopback port, one fresh database per test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

SUPERUSER = "postgres"
"""The database user, and the system user it runs as when we are root, which PostgreSQL refuses to be."""

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

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"chattor_{uuid4().hex}"
        self.run("createdb", *self._address(), "--encoding=UTF8", "--template=template0", name)
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{name}"

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """A new server; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="chattor-postgres-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, SUPERUSER, SUPERUSER)
        cluster = PostgresCluster(_programs(), directory, _free_port())
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
    """A fresh database."""
    url = postgres.create_database()
    try:
        yield url
    finally:
        postgres.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
