"""The programs of the demo, run as a user runs them: in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chattor_bridge.errors import Unusable

STOP_TIMEOUT = 20.0
"""Seconds a program gets to stop after SIGTERM before it is killed; its own steps are bounded below that."""

POLL = 0.1
"""Seconds between two looks into a log file."""

BRIDGE = (sys.executable, "-m", "chattor_bridge.cli")
CHATTOR = (sys.executable, "-m", "chattor_bridge.terminal.app")


class Program:
    """A program that stays up, its output in a file."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Program:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | environment
            )
        return cls(name, process, log)

    async def logged(self, text: str, timeout: float) -> None:
        """Wait until its output holds ``text``. Raises: Unusable with the end of the output when it ended instead."""
        try:
            async with asyncio.timeout(timeout):
                while text not in self._log.read_text(errors="replace"):
                    if self._process.returncode is not None:
                        raise Unusable(f"{self._name} ended: {self._last_words()}")
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise Unusable(f"{self._name} is not ready after {timeout:.0f} s: {self._last_words()}") from None

    async def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        if self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


async def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command to its end; its standard output. Raises: Unusable with what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=os.environ | environment
    )
    output, complaint = await process.communicate()
    if process.returncode != 0:
        raise Unusable(f"{' '.join(command[2:5])} failed: {complaint.decode(errors='replace').strip()}")
    return output.decode()


class Chattor:
    """A `chattor` identity in a home directory, spoken to through its command line."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment

    def command(self, *words: str) -> tuple[str, ...]:
        return (*CHATTOR, "--home", str(self._home), "--json", *words)

    async def do(self, *words: str) -> list[dict[str, Any]]:
        """Run one command; the JSON objects it printed."""
        output = await run(self.command(*words), self._environment)
        return [json.loads(line) for line in output.splitlines()]

    async def run(self, log: Path) -> Program:
        """Start the daemon."""
        return await Program.start("chattor run", self.command("run"), log, self._environment)

    async def follow(self) -> Follower:
        """Listen to what arrives; what is unread comes first."""
        process = await asyncio.create_subprocess_exec(
            *self.command("follow"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            env=os.environ | self._environment,
        )
        return Follower(process)


class Follower:
    """`chattor follow`, line by line."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def next(self, timeout: float | None) -> dict[str, Any]:
        """The next message. Raises: TimeoutError, Unusable when the program ended."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout)
        if not line:
            raise Unusable("chattor follow ended")
        message: dict[str, Any] = json.loads(line)
        return message

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
