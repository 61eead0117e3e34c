"""Somebody who uses `chattor` as its users do: the daemon and every command in processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]

PROGRAM = "chattor_bridge.terminal.app"

WAIT = 30.0
"""Seconds that any one thing may take on a busy machine; each takes well under one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    output: str
    complaint: str

    @property
    def objects(self) -> list[JsonObject]:
        """Its standard output as JSON, an object a line."""
        return [loads(line) for line in self.output.splitlines()]


class Program:
    """A program that stays up and writes JSON lines, read as they come."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[JsonObject] = []
        self.complaint = ""
        self._news = asyncio.Condition()
        self._silent = False
        self._listening = asyncio.gather(self._listen(), self._listen_to_complaints())

    async def saw(self, key: str, nth: int = 1, *, timeout: float = WAIT) -> JsonObject:
        """Wait for the ``nth`` object with this key."""
        found = await self.saw_all(lambda said: key in said, nth, timeout=timeout)
        return found[nth - 1]

    async def saw_all(
        self, wanted: Callable[[JsonObject], bool], count: int, *, timeout: float = WAIT
    ) -> list[JsonObject]:
        """Wait until ``count`` wanted objects were said; all there are."""

        def enough() -> bool:
            return sum(map(wanted, self.said)) >= count or self._silent

        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(enough)
        found = [said for said in self.said if wanted(said)]
        assert len(found) >= count, f"it ended: {self.complaint}"
        return found

    async def ended(self) -> int:
        """Wait until it has ended; its exit code."""
        async with asyncio.timeout(WAIT):
            code = await self.process.wait()
            await self._listening
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                self.said.append(loads(line))
                self._news.notify_all()
        async with self._news:
            self._silent = True
            self._news.notify_all()

    async def _listen_to_complaints(self) -> None:
        assert self.process.stderr is not None
        self.complaint = (await self.process.stderr.read()).decode()


class Resident:
    """A home, and the commands of `chattor` on it."""

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        torrc: Sequence[str] | None = None,
        quick: bool = False,
        within: Sequence[str] = (),
    ) -> None:
        """``torrc``: lines that join a private Tor network; without them the daemon is over the memory network.
        ``quick``: it is less patient over tor than it is shipped. ``within``: what stands before every command, to run
        it in another place."""
        self._torrc = torrc
        self._quick = quick
        self._within = within
        self.name = name
        self.home = directory / name.lower()
        self._network = directory / "net"
        self._programs: list[Program] = []

    async def do(self, *words: str, stdin: str | bytes | None = None, json: bool = True, **variables: str) -> Outcome:
        """Run one command to its end."""
        process = await asyncio.create_subprocess_exec(
            *self._command(PROGRAM, words=words, json=json),
            stdin=DEVNULL if stdin is None else PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | variables,
        )
        async with asyncio.timeout(WAIT):
            output, complaint = await process.communicate(stdin.encode() if isinstance(stdin, str) else stdin)
        assert process.returncode is not None
        return Outcome(process.returncode, output.decode(), complaint.decode())

    async def get(self, *words: str, stdin: str | None = None) -> list[JsonObject]:
        """Run one command that succeeds; what it showed."""
        outcome = await self.do(*words, stdin=stdin)
        assert outcome.code == 0, outcome.complaint
        return outcome.objects

    async def start(self) -> Program:
        """`chattor run`, answering commands."""
        daemon = await self.launch("run")
        await daemon.saw("answering")
        return daemon

    async def launch(self, *words: str, **variables: str) -> Program:
        """A command that stays up, with these environment variables."""
        program: tuple[str, ...] = (PROGRAM,)
        if words[0] == "run" and self._torrc is None:
            program = ("tests.programs.chattor_memory", str(self._network))
        elif words[0] == "run" and self._quick:
            program = ("tests.programs.quick_over_tor", "chattor")
        command = self._command(*program, words=words, json=True)
        if self._torrc is not None:
            variables["CHATTOR_TOR_TORRC_LINES"] = dumps(list(self._torrc))
        launched = Program(
            await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=os.environ | variables
            )
        )
        self._programs.append(launched)
        return launched

    async def leave(self) -> None:
        """Stop whatever of this resident's still runs."""
        for program in reversed(self._programs):
            await program.stop(signal.SIGKILL)

    def _command(self, module: str, *first: str, words: tuple[str, ...], json: bool) -> list[str]:
        form = ["--json"] if json else []
        return [*self._within, sys.executable, "-m", module, *first, "--home", str(self.home), *form, *words]


@asynccontextmanager
async def residents(
    directory: Path, *names: str, torrc: Sequence[str] | None = None, within: Sequence[str] = ()
) -> AsyncIterator[list[Resident]]:
    """People with an identity each, not running yet; whatever they leave running is ended."""
    everybody = [Resident(directory, name, torrc=torrc, within=within) for name in names]
    try:
        for resident in everybody:
            await resident.get("init", "--name", resident.name)
        yield everybody
    finally:
        for resident in everybody:
            await resident.leave()


async def befriend(alice: Resident, alices: Program, bob: Resident, bobs: Program) -> None:
    """Bob asks with a code of Alice's, and Alice accepts; each is the other's contact 1, and known by name."""
    code = (await alice.get("code", "new", "for bob"))[0]["code"]
    await bob.get("add", "--note", "it is me", stdin=f"{code}\n")
    request = await alices.saw("request")
    await alice.get("accept", request["request"])
    await bobs.saw("friend")
    async with asyncio.timeout(WAIT):
        while (await bob.get("contacts"))[0]["name"] != alice.name:
            pass


async def state_of(resident: Resident, event_id: str, wanted: str) -> JsonObject:
    """Wait until what was said to contact 1 has this state; the message."""
    async with asyncio.timeout(WAIT):
        while True:
            history = await resident.get("history", "1", "--limit", "1000")
            [message] = [each for each in history if each["event_id"] == event_id]
            if message["state"] == wanted:
                return message
