"""tor: is it there and new enough, does it reach its network, is the clock right, and can our onions be reached?

A tor that runs for what we examine is asked over its control socket. Where none runs, one is started in a directory of
its own that is removed afterwards, with the same options.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.config import TorOptions
from chattor_bridge.errors import OnionNotAuthorised, TorUnavailable, TorUnusable, Unavailable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.ops.doctor.finding import Finding, fine, from_error, problem, warning
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorState, TorStatus, TorTransport
from chattor_bridge.transport.tor.binary import OLDEST_TOR, find_program, tor_version
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.process import DONE

PATIENCE = 120.0
"""Seconds a tor of ours may take to connect, and then to reach each onion. From nothing it takes 10 to 30, through a
slow bridge a minute; a cold dial takes up to 30."""

_PHASE = re.compile(r'PROGRESS=(\d+).*?SUMMARY="([^"]*)"(?:.*?WARNING="([^"]*)")?')
_SKEW = re.compile(r"clock skew|clock is", re.IGNORECASE)

_SET_CLOCK = "set the clock, its date and its time zone, on Debian with: timedatectl set-ntp true"
_UNBLOCK = (
    "check that this machine reaches the internet; where tor is blocked, get bridges from "
    "https://bridges.torproject.org and put their lines into tor.torrc_lines"
)


@dataclass(frozen=True, slots=True)
class _Progress:
    percent: int
    summary: str
    problem: str

    @property
    def is_clock(self) -> bool:
        return bool(_SKEW.search(self.problem))


class TorCheck:
    """``patience`` bounds each wait, in seconds."""

    def __init__(self, options: TorOptions, *, patience: float = PATIENCE) -> None:
        self._options = options
        self._patience = patience

    async def findings(self, doors: Sequence[OnionKey] | None) -> AsyncIterator[Finding]:
        """Examine tor, and with ``doors`` also whether these onions can be reached through it."""
        try:
            version = await tor_version(find_program(self._options.executable))
        except TorUnusable as error:
            yield from_error("tor", error)
            return
        if version < OLDEST_TOR:
            said = f"tor {version} has known holes, {OLDEST_TOR} or newer is needed"
            mend = "upgrade it; where Debian's is not newer, take https://support.torproject.org/apt/"
            yield warning("tor", said, mend) if self._options.allow_old else problem("tor", said, mend)
            if not self._options.allow_old:
                return
        else:
            yield fine("tor", f"version {version}")
        running = await self._ask_running()
        if running is not None:
            yield _judge(running, "the tor that runs")
        if running is None or doors:
            async for finding in self._try_own(doors or (), report=running is None):
                yield finding
        if doors is not None and not doors:
            yield fine("onions", "there is no friend code in use, so nothing to dial")

    async def _ask_running(self) -> _Progress | None:
        """How the tor in the directory of the configuration stands; ``None`` when none runs there."""
        try:
            control = await Control.connect(
                self._options.data_directory / "s" / "control", lambda _action, _address: None
            )
        except TorUnavailable:
            return None
        try:
            said = " ".join(await control.command("GETINFO status/bootstrap-phase"))
        except TorUnavailable:
            return None
        finally:
            await control.close()
        match = _PHASE.search(said)
        return None if match is None else _Progress(int(match[1]), match[2], match[3] or "")

    async def _try_own(self, doors: Sequence[OnionKey], *, report: bool) -> AsyncIterator[Finding]:
        try:
            async with self._own_tor() as (transport, progress):
                if report or progress.percent < DONE:
                    yield _judge(progress, "a tor with these options")
                if progress.percent < DONE:
                    return
                for number, door in enumerate(doors, start=1):
                    yield await self._dial(transport, door, f"{number} of {len(doors)}")
        except (TorUnusable, UsageError) as error:
            yield problem("tor", str(error), "correct tor.torrc_lines")

    @asynccontextmanager
    async def _own_tor(self) -> AsyncIterator[tuple[TorTransport, _Progress]]:
        """A tor that is connected, or as far as it came; a clock that is wrong ends the wait at once."""
        settled = asyncio.Event()

        skew = ""  # said once, and forgotten with the next step tor takes

        def told(status: TorStatus) -> None:
            nonlocal skew
            if _SKEW.search(status.problem):
                skew = status.problem
            if status.state is TorState.READY or skew:
                settled.set()

        with tempfile.TemporaryDirectory(prefix="chattor-doctor-") as directory:
            settings = TorSettings(
                Path(directory),
                program=self._options.executable,
                extra_torrc=self._options.torrc_lines,
                allow_old=self._options.allow_old,
            )
            tor = ManagedTor(settings, told=told)
            transport = TorTransport(tor)
            await transport.start()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience):
                        await settled.wait()
                status = tor.status
                yield transport, _Progress(status.percent, status.summary, skew or status.problem)
            finally:
                await transport.stop()

    async def _dial(self, transport: TorTransport, door: OnionKey, which: str) -> Finding:
        """Whether a door can be reached from outside. No address is named: a report is easily passed on."""
        try:
            stream = await transport.dial(door, client_key=None, isolation="doctor", timeout=self._patience)
        except (
            OnionNotAuthorised
        ):  # it is published, and asks for a code's secret that the database does not keep in clear
            return fine("onions", f"friend code {which}: published, for holders of its secret")
        except Unavailable as error:
            return problem(
                "onions",
                f"friend code {which} cannot be reached from outside ({error})",
                "start what hosts it; a fresh one takes a minute to be published; a deaf one comes back with a restart",
            )
        await stream.close()
        return fine("onions", f"friend code {which}: reached over tor")


def _judge(progress: _Progress, which: str) -> Finding:
    if progress.is_clock:
        return problem("clock", f"the clock of this machine is wrong, says tor ({progress.problem})", _SET_CLOCK)
    if progress.percent >= DONE:
        return fine("tor network", f"{which} is connected")
    because = f" ({progress.problem})" if progress.problem else ""
    return problem("tor network", f"{which} stands at {progress.percent}%: {progress.summary}{because}", _UNBLOCK)
