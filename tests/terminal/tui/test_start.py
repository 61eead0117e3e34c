"""`chattor tui` as a program in a terminal: what it starts and stops, and what it does not load for the others."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chattor_bridge.terminal.exits import Exit
from tests.terminal.resident import WAIT, Resident

CTRL_Q = b"\x11"

COLOUR = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")


class Terminal:
    """A terminal of 80 by 24 with `chattor tui` in it."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.written = b""
        self._master = master

    async def shows(self, words: str) -> None:
        """Wait until the program has written this."""
        async with asyncio.timeout(WAIT):
            while words.encode() not in self.written:
                self._read()
                await asyncio.sleep(0.02)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT):
            while self.process.returncode is None:
                self._read()
                await asyncio.sleep(0.02)
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 65_536):
                self.written += data
        except (BlockingIOError, OSError):  # nothing now, or its other end is closed
            pass


@asynccontextmanager
async def terminal(alice: Resident, directory: Path, **variables: str) -> AsyncIterator[Terminal]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.set_blocking(master, False)
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | variables
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.programs.chattor_memory", str(directory / "net")),
        *("--home", str(alice.home), "tui"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)


@pytest.fixture
async def alice(tmp_path: Path) -> Resident:
    alice = Resident(tmp_path, "Alice")
    await alice.get("init", "--name", "Alice")
    return alice


async def test_one_command_suffices(alice: Resident, tmp_path: Path) -> None:
    async with terminal(alice, tmp_path) as screen:
        await screen.shows("online while this runs")
        await screen.shows("No friends yet")
        assert (await alice.get("status"))[0]["name"] == "Alice"  # other commands find the node in it
        screen.press(CTRL_Q)
        assert await screen.ended() == Exit.DONE
    assert not alice.home.joinpath("control.sock").exists()
    assert b"\x1b[?1049l" in screen.written, "the terminal is as before"
    assert await (await alice.start()).stop() == Exit.DONE


async def test_a_daemon_that_runs_goes_on(alice: Resident, tmp_path: Path) -> None:
    daemon = await alice.start()
    async with terminal(alice, tmp_path, NO_COLOR="1") as screen:
        await screen.shows("tor connected")
        assert b"online while this runs" not in screen.written
        screen.process.send_signal(signal.SIGTERM)
        assert await screen.ended() == Exit.DONE
        assert {colour for colour in COLOUR.findall(screen.written) if len(set(colour)) > 1} == set()
    assert (await alice.get("status"))[0]["name"] == "Alice"
    assert await daemon.stop() == Exit.DONE


async def test_what_keeps_a_node_from_starting_is_said_before_the_screen_is_taken(
    alice: Resident, tmp_path: Path
) -> None:
    alice.home.joinpath("config.yaml").write_text("histroy: {}\n", encoding="utf-8")
    async with terminal(alice, tmp_path) as screen:
        assert await screen.ended() == Exit.CANNOT_START
    assert b"histroy: no such section" in screen.written
    assert b"\x1b[?1049h" not in screen.written


@pytest.mark.parametrize("form", [True, False])
async def test_without_a_terminal_it_is_refused(alice: Resident, form: bool) -> None:
    outcome = await alice.do("tui", json=form)
    assert outcome.code == Exit.REFUSED
    assert "for a person at a terminal" in outcome.complaint


def test_the_other_commands_do_not_load_what_draws_screens() -> None:
    program = (
        "import sys, chattor_bridge.terminal.app, chattor_bridge.terminal.daemon\n"
        "print(sorted({'textual', 'rich'} & sys.modules.keys()))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
