"""Bad days of the database in the middle of a conversation: a real Synapse, the bridge as it runs, both people talking.

Nobody helps but by ending what was wrong. Then everything said meanwhile has arrived, once and in order.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from tests.disk import fill
from tests.kill.conftest import over_memory
from tests.kill.stage import PATIENCE, Conversation
from tests.postgres import PostgresCluster, running_cluster

pytestmark = pytest.mark.synapse


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """A server of its own, for everybody else's would suffer too."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name: it holds sockets."""
    with tempfile.TemporaryDirectory(prefix="chattor-") as place:
        yield Path(place)


@asynccontextmanager
async def _friends(directory: Path, settings: dict[str, str]) -> AsyncIterator[Conversation]:
    async with over_memory(directory, settings) as ground, ground.strangers() as conversation:
        await conversation.ask()
        await conversation.friends()
        await _talk(conversation, "before")
        await conversation.settled()
        yield conversation


async def _talk(conversation: Conversation, when: str) -> None:
    """Both say something, whether or not it can go on its way."""
    for number in range(5):
        await conversation.say(f"{when} {number} from Matrix")
        await conversation.tell(f"{when} {number} from Chattor")


async def _complains(log: Path, words: str) -> None:
    """Wait until the bridge has written so."""
    async with asyncio.timeout(PATIENCE):
        while words not in log.read_text():  # noqa: ASYNC110, ASYNC240 -- another process writes it
            await asyncio.sleep(0.1)


def _fill(disk: Path, database: Path) -> Path:
    """Leave no room in the database's ``-wal`` either, which would be written over; as `fill`."""
    with closing(sqlite3.connect(database)) as connection, suppress(sqlite3.OperationalError):  # no room for that even
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return fill(disk)


@pytest.mark.postgres
async def test_a_database_server_that_crashes_while_both_talk(tmp_path: Path, cluster: PostgresCluster) -> None:
    async with _friends(tmp_path, {"CHATTOR_DATABASE_URL": cluster.create_database()}) as conversation:
        for number in range(3):
            talking = asyncio.create_task(_talk(conversation, f"crash {number}"))
            await asyncio.to_thread(cluster.stop, "immediate")
            await asyncio.to_thread(cluster.start)
            await talking
        await conversation.settled()


@pytest.mark.postgres
async def test_a_database_server_that_only_lets_us_read_while_both_talk(
    tmp_path: Path, cluster: PostgresCluster
) -> None:
    url = cluster.create_database()
    name = url.rpartition("/")[2]

    async def apply(statement: str) -> None:
        await asyncio.to_thread(cluster.sql, f"ALTER DATABASE {name} {statement}")
        kick = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        await asyncio.to_thread(cluster.sql, kick)

    async with _friends(tmp_path, {"CHATTOR_DATABASE_URL": url}) as conversation:
        await apply("SET default_transaction_read_only = on")
        await _talk(conversation, "during")
        await _complains(tmp_path / "bridge.log", "the server only lets us read")
        await apply("RESET default_transaction_read_only")
        await _talk(conversation, "after")
        await conversation.settled()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, for which one has to be root")
async def test_a_disk_that_is_full_while_both_talk(place: Path, small_disk: Path) -> None:
    """With the log on it too; once the bridge is killed meanwhile."""
    (place / "bridge.log").symlink_to(small_disk / "bridge.log")
    database = small_disk / "bridge.db"
    settings = {
        "CHATTOR_DATABASE_URL": f"sqlite:{database}",
        "CHATTOR_FILES_DIRECTORY": str(small_disk / "files"),
    }
    async with _friends(place, settings) as conversation:
        for killed in (False, True):
            filler = _fill(small_disk, database)
            await _talk(conversation, f"full {killed}")
            if killed:
                await conversation.bridge.kill()
                _fill(small_disk, database)
                await conversation.bridge.start()
            await _talk(conversation, f"still full {killed}")
            if killed:  # and cannot take its database before there is room
                assert "still full True 0 from Matrix" not in conversation.peer.ears.texts()
            filler.unlink()
            await _talk(conversation, f"after {killed}")
            await conversation.settled()
