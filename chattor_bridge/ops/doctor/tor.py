"""tor: is it there and new enough, does it reach its network, is the clock right, and can our onions be reached?

A tor that runs for what we examine is asked over its control socket. Where none runs, one is started in a directory of
its own that is removed afterwards, with the same options. One that is not ours is used as the program would.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from chattor_bridge.config import TorOptions
from chattor_bridge.errors import OnionNotAuthorised, TorUnavailable, TorUnusable, Unavailable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.onion_network import for_shelves, tor_of
from chattor_bridge.ops.doctor.files import READABLE_TO_A_GROUP, check_private
from chattor_bridge.ops.doctor.finding import Finding, Verdict, fine, from_error, problem, warning
from chattor_bridge.transport.tor import ExternalTor, TorState, TorStatus, TorTransport
from chattor_bridge.transport.tor.binary import OLDEST_TOR, find_program, tor_version
from chattor_bridge.transport.tor.control import Control, ControlAbsent
from chattor_bridge.transport.tor.network import LOOK, has_network, has_relays
from chattor_bridge.transport.tor.process import DONE, Bootstrap
from chattor_bridge.transport.tor.supervised import SupervisedTor
from chattor_bridge.transport.tor.vanguards import Vanguards, vanguards_of

PATIENCE = 120.0
"""Seconds a tor of ours may take to connect, and then to reach each onion. From nothing it takes 10 to 30, through a
slow bridge a minute; a cold dial takes up to 30."""

_SKEW = re.compile(r"clock skew|clock is", re.IGNORECASE)

_SET_CLOCK = "set the clock, its date and its time zone, on Debian with: timedatectl set-ntp true"
_SHARED = (
    "what is held for friends is on that tor too: whoever leaves something there can tell by its uptime which other "
    "onions are yours. A tor of our own (tor.mode: managed) has another for that"
)
_SHELVES_TOR = "the tor that runs for what is held for friends"
_UNBLOCK = (
    "check that this machine reaches the internet; where tor is blocked, get bridges from "
    "https://bridges.torproject.org and put their lines into tor.torrc_lines"
)


def tor_files(options: TorOptions) -> Iterator[Finding]:
    """Who may use what tor and we share."""
    if (external := options.external) is None:
        for what, own in (("tor's directory", options), ("the directory of the shelves' tor", for_shelves(options))):
            if own is not None:
                yield from check_private(what, own.data_directory, written=True)
        return
    yield from check_private("tor's sockets", external.socket_directory, forbidden=0o007, written=True)
    if external.password_file is not None:
        yield from check_private("tor's password", external.password_file, forbidden=READABLE_TO_A_GROUP)


class TorCheck:
    """``patience`` bounds each wait, in seconds."""

    def __init__(self, options: TorOptions, *, patience: float = PATIENCE) -> None:
        self._options = options
        self._patience = patience

    async def findings(self, doors: Sequence[OnionKey] | None) -> AsyncIterator[Finding]:
        """Examine tor, and with ``doors`` also whether these onions can be reached through it."""
        if self._options.external is not None:
            async for finding in self._external(doors or ()):
                yield finding
        else:
            async for finding in self._managed(doors or ()):
                yield finding
        if doors is not None and not doors:
            yield fine("onions", "there is no friend code in use, so nothing to dial")

    async def _external(self, doors: Sequence[OnionKey]) -> AsyncIterator[Finding]:
        try:
            async with self._in_use() as (tor, transport, progress):
                status = tor.status
                if status.state is TorState.ABSENT:
                    yield problem("tor", status.problem, "start that tor, and see that tor.control is its control port")
                    return
                yield fine("tor", f"version {status.version}, which runs already")
                yield fine("shelves", _SHARED)
                if isinstance(tor, ExternalTor):
                    for advice in tor.advice:
                        what, _, mend = advice.partition(": ")
                        yield warning("tor", what, mend)
                    yield _guarded(tor.vanguards)
                    yield _judge_running(progress, tor.network, "the tor that runs")
                async for finding in self._dials(transport, progress, doors):
                    yield finding
        except TorUnusable as error:
            yield from_error("tor", error)
        except UsageError as error:
            yield problem("tor", str(error), "correct tor.socket_directory")

    async def _managed(self, doors: Sequence[OnionKey]) -> AsyncIterator[Finding]:
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
        running = 0
        for which, options in (("the tor that runs", self._options), (_SHELVES_TOR, for_shelves(self._options))):
            if options is None:
                continue
            try:
                found = await _ask_running(options)
            except TorUnavailable as error:
                running += 1
                yield problem("tor", f"{which} is of no use ({error})", "restart the program whose tor it is")
                continue
            if found is not None:
                running += 1
                progress, network, vanguards = found
                yield _judge_running(progress, network, which)
                yield _guarded(vanguards)
        if not running or doors:
            async for finding in self._try_own(doors, report=not running):
                yield finding

    async def _try_own(self, doors: Sequence[OnionKey], *, report: bool) -> AsyncIterator[Finding]:
        try:
            async with self._in_use() as (_, transport, progress):
                if report or progress.percent < DONE:
                    yield _judge(progress, "a tor with these options")
                async for finding in self._dials(transport, progress, doors):
                    yield finding
        except (TorUnusable, UsageError) as error:
            yield problem("tor", str(error), "correct tor.torrc_lines")

    async def _dials(
        self, transport: TorTransport, progress: Bootstrap, doors: Sequence[OnionKey]
    ) -> AsyncIterator[Finding]:
        if progress.percent >= DONE:
            for number, door in enumerate(doors, start=1):
                yield await self._dial(transport, door, f"{number} of {len(doors)}")

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[tuple[SupervisedTor, TorTransport, Bootstrap]]:
        """A tor that is connected, or as far as it came; a clock that is wrong ends the wait at once."""
        settled = asyncio.Event()

        skew = ""  # said once, and forgotten with the next step tor takes

        def told(status: TorStatus) -> None:
            nonlocal skew
            if _SKEW.search(status.problem):
                skew = status.problem
            if status.state in (TorState.READY, TorState.ABSENT) or skew:
                settled.set()

        with tempfile.TemporaryDirectory(prefix="chattor-doctor-") as directory, self._leaving_no_directory():
            tor = tor_of(self._options, told, directory=Path(directory))
            transport = TorTransport(tor)
            await transport.start()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience):
                        await settled.wait()
                status = tor.status
                yield tor, transport, Bootstrap(status.percent, status.summary, skew or status.problem)
            finally:
                await transport.stop()

    @contextlib.contextmanager
    def _leaving_no_directory(self) -> Iterator[None]:
        """What a tor that is not ours made us make, as a user who may be another than the program's."""
        external = self._options.external
        wanted = () if external is None else (external.socket_directory, *external.socket_directory.parents)
        missing = [directory for directory in wanted if not directory.exists()]
        try:
            yield
        finally:
            for directory in missing:
                with contextlib.suppress(OSError):
                    directory.rmdir()

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


async def _ask_running(options: TorOptions) -> tuple[Bootstrap, list[str], Vanguards] | None:
    """How the tor in the directory of these options stands, and what it answers to `LOOK`; ``None`` when none runs
    there.

    Raises: TorUnavailable when it does not answer, or not us.
    """
    try:
        control = await Control.connect(options.data_directory / "s" / "control", lambda _action, _address: None)
    except ControlAbsent:
        return None
    try:
        said = " ".join(await control.command("GETINFO status/bootstrap-phase"))
        network = await control.command(LOOK)
        vanguards = await vanguards_of(control)
    finally:
        await control.close()
    progress = Bootstrap.parse(said)
    return None if progress is None else (progress, network, vanguards)


def _guarded(vanguards: Vanguards) -> Finding:
    if vanguards is Vanguards.OFF:
        return warning(
            "vanguards",
            "vanguards are off, so that onions can be followed to tor's guard in time",
            "take VanguardsLiteEnabled 0 out of tor's configuration",
        )
    return fine("vanguards", f"on: {vanguards}")


def _judge_running(progress: Bootstrap, network: Sequence[str], which: str) -> Finding:
    """A tor that runs for somebody goes on to stand at 100 when its network is gone: ``network`` is what it answers to
    `LOOK`, nothing if it does not."""
    if progress.percent >= DONE and not has_network(network):
        progress = replace(progress, problem="it was connected, and hears nothing from its network now")
    finding = _judge(progress, which)
    if finding.verdict is not Verdict.FINE or not network or has_relays(network):
        return finding
    said = f"{which} has no connection to a relay: its network is gone, or nothing was to be done for an hour"
    return warning("tor network", said, _UNBLOCK)


def _judge(progress: Bootstrap, which: str) -> Finding:
    if _SKEW.search(progress.problem):
        return problem("clock", f"the clock of this machine is wrong, says tor ({progress.problem})", _SET_CLOCK)
    if progress.percent >= DONE and not progress.problem:
        return fine("tor network", f"{which} is connected")
    because = f" ({progress.problem})" if progress.problem else ""
    return problem("tor network", f"{which} stands at {progress.percent}%: {progress.summary}{because}", _UNBLOCK)
