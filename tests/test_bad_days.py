"""What happens to the database of a running program, shown on the program as it runs."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
from asyncio.subprocess import Process
from pathlib import Path

import aiohttp
import pytest

from chattor_bridge.cli import Exit
from chattor_bridge.terminal.exits import Exit as TerminalExit
from tests.disk import fill
from tests.postgres import PostgresCluster
from tests.terminal.resident import befriend, residents
from tests.test_app import WAIT, Configured, logged

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, for which one has to be root")


@pytest.fixture
def bridge(tmp_path: Path) -> Configured:
    return Configured(tmp_path)


def _database(bridge: Configured) -> Path:
    return Path(bridge.config.database.url.removeprefix("sqlite:"))


async def _gives_up(process: Process) -> str:
    """Wait until it has ended because it could not go on; its complaint."""
    async with asyncio.timeout(WAIT):
        _, said = await process.communicate()
    assert process.returncode == Exit.REFUSED  # of tests/programs, which know no other
    return said.decode().splitlines()[-1]


@pytest.mark.postgres
async def test_a_database_server_that_is_down_is_waited_for(
    bridge: Configured, postgres: PostgresCluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATTOR_DATABASE_URL", postgres_url)
    postgres.stop("fast")
    try:
        async with bridge.running() as process:
            await logged(process, "waiting for the database")
            postgres.start()
            await logged(process, "nodes at work")
    finally:
        if not postgres.running():
            postgres.start()


@pytest.mark.postgres
async def test_who_was_replaced_gives_up_without_being_asked_anything(
    bridge: Configured, postgres: PostgresCluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first bridge hangs while its connections break, and another takes its place. It must not go on publishing."""
    monkeypatch.setenv("CHATTOR_DATABASE_URL", postgres_url)
    async with bridge.running() as first:
        await logged(first, "nodes at work")
        first.send_signal(signal.SIGSTOP)
        name = postgres_url.rpartition("/")[2]
        postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        monkeypatch.setenv("CHATTOR_APPSERVICE_LISTEN_PORT", "29391")
        async with bridge.running() as second:
            await logged(second, "nodes at work")
            first.send_signal(signal.SIGCONT)
            complaint = await _gives_up(first)
            assert "in use by another running process" in complaint or "taken the database over" in complaint
            assert second.returncode is None


async def test_a_database_that_is_moved_away_ends_the_bridge_before_anything_is_lost(bridge: Configured) -> None:
    async with bridge.running() as process:
        await logged(process, "nodes at work")
        _database(bridge).rename(bridge.file.with_name("moved.db"))
        assert "was moved, removed or replaced" in await _gives_up(process)


async def test_a_copy_of_a_database_in_use_is_refused(bridge: Configured, tmp_path: Path) -> None:
    async with bridge.running() as process:
        await logged(process, "nodes at work")
        await _stop(process)
    (tmp_path / "copy").mkdir()
    copy = Configured(tmp_path / "copy")
    copy.config.store_key_file.unlink()
    shutil.copy(bridge.config.store_key_file, copy.config.store_key_file)
    shutil.copy(_database(bridge), _database(copy))
    async with bridge.running() as process:
        await logged(process, "nodes at work")
        assert "a copy of this database is in use" in await copy.refused()
    async with copy.running() as process:
        await logged(process, "nodes at work")


@as_root
async def test_a_full_disk_acknowledges_nothing_and_is_waited_out(small_disk: Path) -> None:
    bridge = Configured(small_disk)
    filler = fill(small_disk)
    async with bridge.running() as process:
        await logged(process, "waiting for the database")
        filler.unlink()
        await logged(process, "nodes at work")
        assert await _transaction(bridge) == 200
        filler = fill(small_disk)
        assert await _transaction(bridge) == 503
        filler.unlink()
        assert await _transaction(bridge) == 200
        await _stop(process)


async def _stop(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WAIT):
        await process.communicate()
    assert process.returncode == 0


async def _transaction(bridge: Configured) -> int:
    """Bring the bridge an event as a homeserver does; the status of its answer."""
    event = {
        "type": "m.room.member",
        "event_id": f"${secrets.token_hex(8)}",
        "room_id": "!room:example.org",
        "sender": "@alice:example.org",
        "state_key": "@alice:example.org",
        "content": {"membership": "join", "reason": "x" * 40_000},
    }
    port = bridge.config.appservice.listen_port
    address = f"http://127.0.0.1:{port}/_matrix/app/v1/transactions/{secrets.token_hex(8)}"
    headers = {"Authorization": f"Bearer {bridge.registration.hs_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.put(address, json={"events": [event]}) as answer,
    ):
        return answer.status


async def test_a_terminal_whose_database_is_moved_away_says_so_and_ends(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice") as [alice]:
        daemon = await alice.start()
        (alice.home / "chattor.db").rename(tmp_path / "moved.db")
        assert await daemon.ended() != 0
        assert "was moved, removed or replaced" in daemon.complaint


async def test_a_terminal_whose_log_is_removed_says_so_and_has_all_of_it_when_it_starts_again(tmp_path: Path) -> None:
    """Somebody cleans up, and takes SQLite's log for something that is left over."""
    async with residents(tmp_path, "Alice", "Bob") as [alice, bob]:
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        await alice.get("send", "1", "acknowledged", "--wait")
        (alice.home / "chattor.db-wal").unlink()
        assert await alices.ended() != 0
        assert "was moved, removed or replaced" in alices.complaint
        alices = await alice.start()
        await alice.get("send", "1", "and more", "--wait")
        for one in (alice, bob):
            said = [entry["text"] for entry in await one.get("history", "1") if "text" in entry]
            assert said == ["acknowledged", "and more"]


@as_root
async def test_a_chattor_whose_disk_is_full_says_so_loses_nothing_and_goes_on(small_disk: Path) -> None:
    async with residents(small_disk, "Alice", "Bob") as [alice, bob]:
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        await alice.get("send", "1", "before", "--wait")
        filler = fill(small_disk)
        refused = await alice.do("send", "1", "x" * 10_000)
        assert refused.code == TerminalExit.NOT_YET
        assert "the disk is full" in refused.complaint
        filler.unlink()
        await alice.get("send", "1", "after", "--wait")
        said = [entry["text"] for entry in await bob.get("history", "1") if "text" in entry]
        assert said == ["before", "after"]
        filler = fill(small_disk)
        assert await alices.stop() == TerminalExit.DONE
        waiting = await alice.launch("run")
        filler.unlink()
        await waiting.saw("answering")
