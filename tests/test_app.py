"""`chattor-bridge run` as a process: it waits for what is not there, stops in order, and says what must be mended."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from chattor_bridge import registration
from chattor_bridge.app import _matrix_settings
from chattor_bridge.cli import Exit, main
from chattor_bridge.config import load_config
from chattor_bridge.ops.ports import free_port

WAIT = 30.0
"""Seconds that any one thing may take on a busy machine; each takes well under one."""

ROOM = "!room:example.org"

OFFLINE = {"CHATTOR_TOR_TORRC_LINES": json.dumps(["DisableNetwork 1"])}
"""A real tor that stays where it is."""


class Configured:
    """A bridge that was set up in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "config.yaml"
        self.network = directory / "net"
        self.homeserver_port = free_port()
        address = f"http://127.0.0.1:{self.homeserver_port}"
        flags = ["--homeserver", address, "--domain", "example.org", "--port", str(free_port())]
        assert main(["init", "--config", str(self.file), *flags]) == Exit.DONE
        self.config = load_config(self.file, {})
        self.registration = registration.load(
            self.config.appservice.registration_file, "example.org", self.config.appservice.bot_localpart
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """The bridge over the memory network."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.programs.bridge_memory"),
            *("--config", str(self.file), "--network", str(self.network)),
            stdin=DEVNULL,
            stderr=PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def refused(self) -> str:
        """The real `chattor-bridge run`, which must not start; the line it complains with."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chattor_bridge.cli", "run", "--config", str(self.file)),
            stdin=DEVNULL,
            stderr=PIPE,
            env=os.environ | OFFLINE,
        )
        async with asyncio.timeout(WAIT):
            _, said = await process.communicate()
        assert process.returncode == Exit.CANNOT_START
        lines = said.decode().splitlines()
        [complaint] = [line for line in lines if line.startswith("chattor-bridge: ")]
        assert complaint == lines[-1]
        return complaint


@pytest.fixture
def bridge(tmp_path: Path) -> Configured:
    return Configured(tmp_path)


@pytest.mark.parametrize(("written", "only"), [("all", False), ("cross-signed", True)])
def test_who_can_read_in_encrypted_rooms_is_as_configured(bridge: Configured, written: str, only: bool) -> None:
    config = load_config(bridge.file, {"CHATTOR_ENCRYPTION_SHARE_KEYS_WITH": written})
    assert _matrix_settings(config, bridge.registration).only_cross_signed is only


async def logged(process: Process, words: str) -> str:
    """Wait for a line of its log."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(WAIT):
        while line := (await process.stderr.readline()).decode():
            said += line
            if words in line:
                return said
    raise AssertionError(f"it ended before {words!r}: {said}")


async def test_it_waits_for_the_homeserver_and_says_when_it_is_ready(bridge: Configured) -> None:
    pinged = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/ping"):
            pinged.set()
        return web.json_response({"duration_ms": 1, "device_id": "D", "user_id": "@chattorbot:example.org"})

    async with bridge.running() as process:
        before = await logged(process, "Not connected with the homeserver")
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", bridge.homeserver_port).start()
        try:
            after = await logged(process, "ready: start a chat with @chattorbot:example.org")
            assert pinged.is_set()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WAIT):
                _, last = await process.communicate()
        finally:
            await runner.cleanup()
        assert process.returncode == 0
        said = before + after + last.decode()
    assert said.splitlines()[-1].endswith("chattor_bridge.app: stopped")
    assert bridge.registration.as_token not in said
    assert bridge.registration.hs_token not in said


async def test_it_takes_no_transaction_before_an_older_one_of_which_it_learns_in_another_way(
    bridge: Configured,
) -> None:
    """The doubts that need nobody's word are spent on the first two that skip a number."""
    left_behind: dict[str, object] = {}

    async def answer(request: web.Request) -> web.Response:
        rooms = {"join": {ROOM: {"timeline": {"events": [left_behind]}}}} if left_behind else {}
        return web.json_response({"next_batch": "now", "rooms": rooms})

    async def bring(number: int, age: int = 0) -> int:
        url = f"http://127.0.0.1:{bridge.config.appservice.listen_port}/_matrix/app/v1/transactions/{number}"
        content = {"events": [said(f"$said-{number}", number) | {"unsigned": {"age": age}}]}
        async with session.put(url, json=content, headers=headers) as brought:
            return brought.status

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", bridge.homeserver_port).start()
    headers = {"Authorization": f"Bearer {bridge.registration.hs_token}"}
    try:
        async with bridge.running() as process, ClientSession() as session:
            await logged(process, "nodes at work")
            assert await bring(1, age=20_000) == 200
            for number in (3, 5):
                assert (await bring(number), await bring(number)) == (503, 200)
            left_behind.update(said("$older", 6))
            assert (await bring(7), await bring(7)) == (503, 200)
    finally:
        await runner.cleanup()


def said(event_id: str, at: int) -> dict[str, object]:
    return {
        "event_id": event_id,
        "room_id": ROOM,
        "sender": "@alice:example.org",
        "type": "m.room.message",
        "content": {"msgtype": "m.text", "body": "hello"},
        "origin_server_ts": at,
    }


async def test_it_stops_in_order_while_it_still_waits(bridge: Configured) -> None:
    async with bridge.running() as process:
        await logged(process, "nodes at work")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WAIT):
            _, last = await process.communicate()
        assert process.returncode == 0
        assert last.decode().splitlines()[-1].endswith("stopped")


@pytest.mark.tor
async def test_a_port_in_use_is_named_and_tor_is_stopped_again(bridge: Configured) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", bridge.config.appservice.listen_port))
        taken.listen()
        complaint = await bridge.refused()
    assert f"port {bridge.config.appservice.listen_port}" in complaint
    assert "appservice.listen_port" in complaint


async def test_a_missing_registration_is_named(bridge: Configured) -> None:
    bridge.config.appservice.registration_file.unlink()
    assert "chattor-bridge registration" in await bridge.refused()


async def test_tor_missing_is_said_with_the_mend(bridge: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTOR_TOR_EXECUTABLE", "/nowhere/tor")
    assert "install it" in await bridge.refused()


async def test_a_wrong_store_key_is_refused(bridge: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bridge.running() as process:
        await logged(process, "nodes at work")
    monkeypatch.setenv("CHATTOR_STORE_KEY", secrets.token_hex(32))
    assert "key" in await bridge.refused()
    monkeypatch.setenv("CHATTOR_STORE_KEY", "nonsense")
    assert "64 hexadecimal digits" in await bridge.refused()
    monkeypatch.delenv("CHATTOR_STORE_KEY")
    bridge.config.store_key_file.unlink()
    assert "there is no store key" in (complaint := await bridge.refused())
    assert "backup" in complaint


async def test_a_store_key_that_nothing_needs_yet_is_made_with_the_command_that_is_named(bridge: Configured) -> None:
    bridge.config.store_key_file.unlink()
    complaint = await bridge.refused()
    assert "backup" not in complaint
    made = await asyncio.create_subprocess_shell(complaint.partition("make a new one with ")[2])
    assert await made.wait() == 0
    async with bridge.running() as process:
        await logged(process, "nodes at work")


async def test_a_database_of_a_newer_version_is_refused(bridge: Configured) -> None:
    async with bridge.running() as process:
        await logged(process, "nodes at work")
    with sqlite3.connect(bridge.config.database.url.removeprefix("sqlite:")) as database:
        database.execute("INSERT INTO migrations VALUES (9999, '9999-later.sql', 'x', 0)")
    database.close()
    assert "newer" in await bridge.refused()


async def test_a_database_held_by_another_bridge_is_refused(bridge: Configured) -> None:
    async with bridge.running() as process:
        await logged(process, "nodes at work")
        assert "in use by another running process" in await bridge.refused()
