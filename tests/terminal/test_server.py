"""The control socket between processes: bounds, refusals, endless answers, and what is left for others to see."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

import pytest

from chattor_bridge.errors import AddressInUse, NotFound, TorUnavailable
from chattor_bridge.terminal import server as server_module
from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import MAX_LINE_BYTES, Answer, Done, Item, Request
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.server import MAX_CONNECTIONS, ControlServer

PATIENCE = 10.0
"""Seconds that any wait of these tests may take; each takes milliseconds."""


class Answers:
    """A service with one operation of every kind."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.started = asyncio.Semaphore(0)

    async def answer(self, request: Request, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        match request.operation:
            case "echo":
                yield Item(request.arguments)
                yield Done({"end": True})
            case "refuse":
                raise NotFound("no such contact: see `chattor contacts`")
            case "later":
                raise TorUnavailable("tor is not connected")
            case "break":
                raise ValueError("dear diary")
            case "stop":
                yield Item({})
            case "wait":
                self.started.release()
                yield Item({})
                await gone.wait()
                self.left.set()
                yield Done({})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    home.database.touch()
    return home


@asynccontextmanager
async def serving(home: Home) -> AsyncIterator[Answers]:
    answers = Answers()
    with closing(ControlServer(home, answers.answer)) as server:
        task = asyncio.create_task(server.serve())
        try:
            yield answers
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_an_answer_comes_in_parts(home: Home) -> None:
    async with serving(home):
        assert await ask_once(home, "echo", text="Grüße\n日本") == ([{"text": "Grüße\n日本"}], {"end": True})


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_socket_that_was_removed_is_made_again(home: Home, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(server_module, "LOOK_INTERVAL", 0.01)
    async with serving(home) as answers, aclosing(ask(home, "wait")) as waiting:
        assert await anext(waiting) == Item({})
        if how == "removed":
            home.socket.unlink()
        else:
            (other := home.directory / "other").touch()
            other.rename(home.socket)
        async with asyncio.timeout(PATIENCE):
            while not home.is_listening:  # noqa: ASYNC110 - there is no event for a file that is made
                await asyncio.sleep(0.01)
        assert (await ask_once(home, "echo"))[1] == {"end": True}
        assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
        assert not answers.left.is_set()  # and who was there before is still served


async def test_only_the_owner_may_use_it(home: Home) -> None:
    async with serving(home):
        assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.directory.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("operation", "code", "words"),
    [
        ("refuse", Exit.REFUSED, "no such contact"),
        ("later", Exit.NOT_YET, "not now: tor is not connected"),
        ("stop", Exit.NOT_RUNNING, "stopped before it was done"),
    ],
)
async def test_errors_arrive_with_their_code(home: Home, operation: str, code: Exit, words: str) -> None:
    async with serving(home):
        with pytest.raises(CommandError, match=words) as caught:
            await ask_once(home, operation)
        assert caught.value.code is code


async def test_a_refusal_names_commands_as_they_are_typed_for_this_home(home: Home) -> None:
    async with serving(home):
        with pytest.raises(CommandError) as caught:
            await ask_once(home, "refuse")
    assert str(caught.value) == f"no such contact: see chattor --home {home.directory} contacts"


async def test_a_failure_nobody_foresaw_is_logged_without_its_words(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        async with serving(home):
            with pytest.raises(CommandError) as caught:
                await ask_once(home, "break")
            assert caught.value.code is Exit.UNEXPECTED
            assert "diary" not in str(caught.value)
            assert (await ask_once(home, "echo"))[1] == {"end": True}
    assert "a command failed" in caplog.messages


async def test_an_endless_answer_ends_when_its_reader_leaves(home: Home) -> None:
    async with serving(home) as answers:
        async with aclosing(ask(home, "wait")) as parts:
            assert await anext(parts) == Item({})
        async with asyncio.timeout(PATIENCE):
            await answers.left.wait()


async def test_a_reader_notices_that_the_daemon_stopped(home: Home) -> None:
    async with serving(home):
        parts = ask(home, "wait")
        await anext(parts)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(CommandError, match="chattor run stopped") as caught:
            await anext(parts)
    assert caught.value.code is Exit.NOT_RUNNING


@pytest.mark.parametrize("line", [b"nonsense\n", b"x" * (2 * MAX_LINE_BYTES) + b"\n"])
async def test_what_is_no_request_is_answered_and_closed(home: Home, line: bytes) -> None:
    async with serving(home):
        reader, writer = await asyncio.open_unix_connection(sock=home.connect())

        async def write() -> None:
            try:
                writer.write(line)
                await writer.drain()
            except ConnectionError:
                pass  # it need not listen to the end

        async with asyncio.timeout(PATIENCE):
            await write()
            try:
                answer = await reader.read()
            except ConnectionError:
                answer = b'{"error"'  # closed with our bytes unread
        assert answer.startswith(b'{"error"')
        writer.close()
        assert (await ask_once(home, "echo"))[1] == {"end": True}


async def test_connections_are_bounded(home: Home) -> None:
    async with serving(home) as answers:
        waiting = [ask(home, "wait") for _ in range(MAX_CONNECTIONS)]
        for parts in waiting:
            await anext(parts)
        with pytest.raises(CommandError, match="try again later") as caught:
            await ask_once(home, "echo")
        assert caught.value.code is Exit.NOT_YET
        await waiting.pop().aclose()
        async with asyncio.timeout(PATIENCE):
            await answers.left.wait()
            while True:  # the place is free when the daemon has closed its end too
                try:
                    await ask_once(home, "echo")
                    break
                except CommandError:
                    await asyncio.sleep(0)
        for parts in waiting:
            await parts.aclose()


async def test_nobody_there_says_how_to_start_it(home: Home) -> None:
    with pytest.raises(CommandError, match="chattor run is not running: start it") as caught:
        await ask_once(home, "echo")
    assert caught.value.code is Exit.NOT_RUNNING
    assert str(home.directory) in str(caught.value)


async def test_a_socket_left_by_a_killed_daemon_is_told_apart_and_replaced(home: Home) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(home.socket))
    left.close()
    with pytest.raises(CommandError, match="chattor run is not running"):
        await ask_once(home, "echo")
    async with serving(home):
        assert (await ask_once(home, "echo"))[1] == {"end": True}


async def test_a_home_deep_in_the_tree_works_too(tmp_path: Path) -> None:
    home = Home(tmp_path / ("deep" * 30) / "home")
    home.create()
    home.database.touch()
    async with serving(home):
        assert (await ask_once(home, "echo"))[1] == {"end": True}


async def test_no_identity_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"make one with chattor --home .* init") as caught:
        await ask_once(Home(tmp_path), "echo")
    assert caught.value.code is Exit.CANNOT_START


def test_a_second_daemon_is_refused_by_the_process_number_of_the_first(home: Home) -> None:
    with home.locked(), pytest.raises(AddressInUse, match=rf"process {os.getpid()}\b"), home.locked():
        pass
    with home.locked():
        pass


def test_the_plain_command_is_shown_for_the_default_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CHATTOR_HOME", raising=False)
    assert Home(Path("~/.local/share/chattor")).command("run") == "chattor run"
    assert Home(tmp_path).command("run") == f"chattor --home {tmp_path} run"
    monkeypatch.setenv("CHATTOR_HOME", str(tmp_path))
    assert Home(tmp_path).command("run") == "chattor run"
    assert Home(tmp_path / "my home").command("run") == f"chattor --home '{tmp_path}/my home' run"
