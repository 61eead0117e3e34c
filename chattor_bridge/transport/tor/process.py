"""One tor process: started, listened to, stopped.

Everything tor says goes through here, because a pipe nobody reads stops tor. What it says about its start-up becomes
`Bootstrap`; its warnings are kept for a moment, to explain an exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import TorUnavailable, TorUnusable

STOP_TIMEOUT = 10.0
"""Seconds a tor may take to end after it was asked to; then it is killed. It takes a fraction of one."""

COMPLAINTS_KEPT = 2
"""Lines of warnings and errors kept to explain why a tor ended: its last one often says no more than that the one
before was serious."""

LONGEST_LINE = 1 << 20
"""Bytes of one line of tor's; far more than it ever says at once, since a longer one would end our listening."""

DONE = 100
"""Percent: connected to the network, circuits can be built."""

_BOOTSTRAPPED = re.compile(r"\[notice\] Bootstrapped (\d+)% \([^)]*\): (.*)$")
_STUCK = re.compile(r"\[warn\] Problem bootstrapping\. Stuck at (\d+)% \([^)]*\): (.*?)\. \(([^;]*);")
_PHASE = re.compile(r'BOOTSTRAP PROGRESS=(\d+).*?SUMMARY="([^"]*)"(?:.*?WARNING="([^"]*)")?')
_COMPLAINT = re.compile(r"\[(?:warn|err)\] (.*)$")


class DiskFull(TorUnavailable):
    """There is no room for what a tor keeps. It may come by itself."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How far a tor has come: ``percent``, in its own words, and what is in its way (empty when nothing is)."""

    percent: int
    summary: str
    problem: str = ""

    @classmethod
    def parse(cls, said: str) -> Bootstrap | None:
        """Out of what the control port says of it; ``None`` when it is about something else."""
        match = _PHASE.search(said)
        return None if match is None else cls(int(match[1]), match[2], match[3] or "")


class TorProcess:
    """A running tor. Made by `launch`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        data_directory: Path,
        told: Callable[[Bootstrap], None] | None,
    ) -> None:
        self._process = process
        self._data_directory = data_directory
        self._told = told
        self._complaints: deque[str] = deque(maxlen=COMPLAINTS_KEPT)
        self._bootstrapped = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def launch(
        cls,
        program: Path,
        torrc: Iterable[str],
        data_directory: Path,
        *,
        told: Callable[[Bootstrap], None] | None = None,
    ) -> TorProcess:
        """Start ``program`` with these torrc lines, in ``data_directory`` (made with mode 0700 when missing).

        ``told`` hears of every step of the bootstrap. The process ends itself within 15 seconds of ours ending, by
        ``__OwningControllerProcess``.

        Raises: TorUnusable when it cannot be started; DiskFull.
        """
        try:
            configuration = _write_torrc(data_directory, torrc)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"the disk of tor's directory {data_directory} is full: make room") from error
            raise TorUnusable(
                f"tor's directory {data_directory} cannot be written ({error.strerror}): run this as its owner"
            ) from error
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                "--defaults-torrc",
                "/dev/null",
                "-f",
                configuration,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=LONGEST_LINE,
                start_new_session=True,  # Ctrl-C in a terminal is for us: we stop tor in order
            )
        except OSError as error:
            raise TorUnusable(f"tor cannot be started: {error.strerror}") from error
        return cls(process, data_directory, told)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def reason(self) -> str:
        """Why it ended, for a person; only once it has."""
        status = self._process.returncode
        if status is not None and status < 0:
            return f"tor was killed by signal {-status}"
        return "; ".join(self._complaints) or f"tor exited with status {status}"

    async def bootstrapped(self) -> None:
        """Wait until it is connected to the network; for ever if it never is."""
        await self._bootstrapped.wait()

    def reload(self, torrc: Iterable[str]) -> None:
        """Go on with other torrc lines."""
        _write_torrc(self._data_directory, torrc)
        self._process.send_signal(signal.SIGHUP)

    async def ended(self) -> int:
        """Wait until the process has ended and everything it said was heard; its exit status."""
        status = await self._process.wait()
        await asyncio.shield(self._listening)
        return status

    async def stop(self) -> None:
        """End it, kill it if it does not, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            if not isinstance(error, TimeoutError):
                raise
        await self.ended()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            if match := _BOOTSTRAPPED.search(line):
                self._advance(Bootstrap(int(match[1]), match[2]))
            elif match := _STUCK.search(line):
                self._advance(Bootstrap(int(match[1]), match[2], match[3]))
            elif match := _COMPLAINT.search(line):
                self._complaints.append(match[1])

    def _advance(self, bootstrap: Bootstrap) -> None:
        if self._told is not None:
            self._told(bootstrap)
        if bootstrap.percent >= DONE:
            self._bootstrapped.set()


def _write_torrc(data_directory: Path, torrc: Iterable[str]) -> Path:
    data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_directory.chmod(0o700)
    configuration = data_directory / "torrc"
    configuration.touch(mode=0o600)
    lines = [
        f'DataDirectory "{data_directory}"',
        "SafeLogging 1",
        "Log notice stdout",
        f"__OwningControllerProcess {os.getpid()}",
        *torrc,
    ]
    configuration.write_text("\n".join(lines) + "\n")
    return configuration
