"""A tor of our own: started, supervised, restarted when it dies.

It lives exactly as long as our control connection: we take ownership (stem does so because of
``__OwningControllerProcess``), so tor ends when the connection does, even when we are killed. Losing the connection
and losing tor are therefore one case, with one mend.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chattor_bridge.errors import ChattorError, TorUnavailable, TorUnusable, UsageError
from chattor_bridge.transport.doorway import socket_path
from chattor_bridge.transport.tor.binary import usable_tor
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.process import DONE, Bootstrap, TorProcess
from chattor_bridge.transport.tor.status import TorState, TorStatus

log = logging.getLogger(__name__)

CONTROL_TIMEOUT = 30.0
"""Seconds from the start of tor until it must answer; else it is started anew. It takes under one, on a machine that
has just woken up a few."""

FAREWELL = 1.0
"""Seconds between the loss of the control connection and the end of the process, in which we learn why it ended."""

CONTROL_POLL = 0.1
"""Seconds between tries to connect to a control socket that is not there yet; tor has no event for it."""

RESTART_FIRST = 1.0
RESTART_LONGEST = 60.0
"""Seconds before the first restart, and the most after doubling at each failure; half to all of it, at random."""

STEADY_AFTER = 120.0
"""Seconds a tor must run for its next end to count as the first again."""

SOCKS_FLAGS = ("ExtendedErrors", "IsolateSOCKSAuth", "KeepAliveIsolateSOCKSAuth", "OnionTrafficOnly")
"""Answers that tell offline from not authorised; a circuit per isolation, kept while it is used; and no way out of
the onion network, whatever we are made to dial."""

_IDLE = Bootstrap(0, "")

_jitter = secrets.SystemRandom().uniform


@dataclass(frozen=True, slots=True)
class TorSettings:
    """How to run tor.

    ``data_directory`` belongs to this tor alone (mode 0700; its sockets are in there, so the path must be short).
    ``program`` is a name to look for, or a path. ``extra_torrc`` are torrc lines: bridges, pluggable transports, a
    private network. ``allow_old`` accepts a tor with known holes.
    """

    data_directory: Path
    program: str = "tor"
    extra_torrc: Sequence[str] = ()
    allow_old: bool = False


class TorUser(Protocol):
    """Whoever puts onions and keys into a tor."""

    async def attached(self, control: Control) -> None:
        """There is a fresh control connection; what was put into tor before is gone, client keys included."""

    async def detached(self) -> None:
        """The control connection is gone, and every onion with it."""

    def descriptor_news(self, action: str, address: str) -> None:
        """Something happened to a descriptor."""


class ManagedTor:
    """One tor process and its successors. `told`, when given, hears of every change of `status`."""

    def __init__(self, settings: TorSettings, *, told: Callable[[TorStatus], None] | None = None) -> None:
        """Raises: UsageError when the path of the data directory is too long for unix sockets, or has spaces in it."""
        self._settings = settings
        self._directory = settings.data_directory.absolute()
        if re.search(r'[\s"\\,]', str(self._directory)):
            # tor's control protocol has no way to quote the path of an onion's socket.
            raise UsageError("the path of tor's directory must not contain spaces, commas, quotes or backslashes")
        self.sockets = self._directory / "s"
        self.socks_socket = socket_path(self.sockets, "socks")
        self._control_socket = socket_path(self.sockets, "control")
        self._told = told
        self._state = TorState.STOPPED
        self._version = ""
        self._bootstrap = _IDLE
        self._attached = False
        self._problem = ""
        self._restarts = 0
        self._ready = asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None
        self._process: TorProcess | None = None
        self._claim: _Claim | None = None

    @property
    def status(self) -> TorStatus:
        """How it is now."""
        state = self._state
        if state is TorState.STARTING and self._attached:
            state = TorState.READY if self._bootstrap.percent >= DONE else TorState.CONNECTING
        return TorStatus(
            state=state,
            version=self._version,
            percent=self._bootstrap.percent,
            summary=self._bootstrap.summary,
            problem=self._problem or self._bootstrap.problem,
            restarts=self._restarts,
        )

    @property
    def pid(self) -> int | None:
        """The process id of the tor that runs now."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """It is connected to the network, and we to it."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Wait until it is connected to the network; for ever if it never is, so look at `status`."""
        await self._ready.wait()

    async def start(self, user: TorUser) -> None:
        """Start tor and return when it answers; it connects to the network in the background.

        Raises: TorUnusable when tor is missing, too old, does not accept its configuration, or when another running
        process uses the directory.
        """
        program, version = await usable_tor(self._settings.program, allow_old=self._settings.allow_old)
        self._version = str(version)
        self._restarts = 0
        try:
            self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            self.sockets.chmod(0o700)
            self._claim = _Claim(self._directory)
        except OSError as error:
            raise TorUnusable(f"tor's directory cannot be used: {error.strerror}") from error
        self._enter(TorState.STARTING)
        try:
            await self._end_orphan()
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._supervising = asyncio.create_task(self._supervise(program, user, answered))
            await answered
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop tor and wait until it is gone."""
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
            self._supervising = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        self._enter(TorState.STOPPED)

    async def _supervise(self, program: Path, user: TorUser, answered: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._live(program, user, answered)
            except ChattorError as error:
                reason = str(error)
            except Exception as error:
                log.exception("supervising tor failed")
                reason = f"unexpected {type(error).__name__}"
            if not answered.done():
                answered.set_exception(TorUnusable(f"tor does not start: {reason}"))
                return
            failures = 1 if loop.time() - began > STEADY_AFTER else failures + 1
            pause = min(RESTART_LONGEST, RESTART_FIRST * 2 ** (failures - 1)) * _jitter(0.5, 1.0)
            log.warning("%s; tor is started again in %.1f s", reason, pause)
            self._enter(TorState.RESTARTING, problem=reason)
            await asyncio.sleep(pause)
            self._restarts += 1
            self._enter(TorState.STARTING)

    async def _live(self, program: Path, user: TorUser, answered: asyncio.Future[None]) -> None:
        """The life of one process. Always ends in an exception: TorUnavailable, or cancellation."""
        self._process = process = await TorProcess.launch(
            program, self._torrc(), self._directory, told=self._bootstrapping
        )
        ended = asyncio.create_task(process.ended())
        try:
            control = await self._connect(ended, user)
            lost = asyncio.create_task(control.lost())
            try:
                await user.attached(control)
                self._attached = True
                self._changed()
                if not answered.done():
                    answered.set_result(None)
                await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._attached = False
                self._changed()
                await user.detached()
                lost.cancel()
                await control.close()
            await asyncio.wait({ended}, timeout=FAREWELL)
            raise TorUnavailable(process.reason if ended.done() else "tor closed its control connection")
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
            await process.stop()
            self._process = None
            self._bootstrap = _IDLE

    async def _connect(self, ended: asyncio.Task[int], user: TorUser) -> Control:
        """Connect to the control socket as soon as it is there.

        Raises: TorUnavailable when it is not after `CONTROL_TIMEOUT`, or the process ended.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONTROL_TIMEOUT
        while not ended.done():
            try:
                return await Control.connect(self._control_socket, user.descriptor_news)
            except TorUnavailable:
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(CONTROL_POLL)
        raise TorUnavailable("tor ended before it answered" if self._process is None else self._process.reason)

    async def _end_orphan(self) -> None:
        """End the tor of an earlier run of ours that was killed; it would notice by itself only after 15 seconds, and
        until then publish our onions beside us."""
        try:
            orphan = await Control.connect(self._control_socket, lambda action, address: None)
        except TorUnavailable:
            return
        try:
            await orphan.command("SIGNAL HALT")
            async with asyncio.timeout(CONTROL_TIMEOUT):
                await orphan.lost()
        except (TorUnavailable, TimeoutError):
            log.info("the tor of an earlier run went while it was being asked to")
        finally:
            await orphan.close()

    def _torrc(self) -> list[str]:
        return [
            f'ControlPort unix:"{self._control_socket}"',
            "CookieAuthentication 1",
            f'SocksPort unix:"{self.socks_socket}" {" ".join(SOCKS_FLAGS)}',
            "ClientOnly 1",
            "DormantCanceledByStartup 1",
            *self._settings.extra_torrc,
        ]

    def _bootstrapping(self, bootstrap: Bootstrap) -> None:
        self._bootstrap = bootstrap
        self._changed()

    def _enter(self, state: TorState, *, problem: str = "") -> None:
        self._state = state
        self._problem = problem
        self._changed()

    def _changed(self) -> None:
        status = self.status
        if status.state is TorState.READY:
            self._ready.set()
        else:
            self._ready.clear()
        if self._told is not None:
            self._told(status)


class _Claim:
    """The right to use a directory; it ends with our process, however that ends."""

    def __init__(self, directory: Path) -> None:
        """Raises: TorUnusable when another process, or another `ManagedTor` of ours, has it."""
        self._file = (directory / "claim").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise TorUnusable("tor's directory is in use by another running process: give each its own") from error

    def release(self) -> None:
        self._file.close()
