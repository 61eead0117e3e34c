"""A tor of our own: started, supervised, restarted when it dies.

It lives exactly as long as our control connection: we take ownership (stem does so because of
``__OwningControllerProcess``), so tor ends when the connection does, even when we are killed. Losing the connection
and losing tor are therefore one case, with one mend.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import TorUnavailable, TorUnusable, UsageError
from chattor_bridge.transport.doorway import socket_path
from chattor_bridge.transport.tor.binary import usable_tor
from chattor_bridge.transport.tor.control import Control, ControlAbsent
from chattor_bridge.transport.tor.process import DiskFull, TorProcess
from chattor_bridge.transport.tor.status import TorState, TorStatus
from chattor_bridge.transport.tor.supervised import IDLE, SupervisedTor, TorUser
from chattor_bridge.transport.tor.vanguards import TORRC_LINE as VANGUARDS_LINE

log = logging.getLogger(__name__)

CONTROL_TIMEOUT = 30.0
"""Seconds from the start of tor until it must answer; else it is started anew. It takes under one, on a machine that
has just woken up a few."""

FAREWELL = 1.0
"""Seconds between the loss of the control connection and the end of the process, in which we learn why it ended."""

CONTROL_POLL = 0.1
"""Seconds between tries to connect to a control socket that is not there yet; tor has no event for it."""

_UCRED_SIZE = struct.calcsize("3i")
"""Bytes of the process, user and group ids that unix(7) tells of who listens."""

SOCKS_FLAGS = ("ExtendedErrors", "IsolateSOCKSAuth", "KeepAliveIsolateSOCKSAuth", "OnionTrafficOnly")
"""Answers that tell offline from not authorised; a circuit per isolation, kept while it is used; and no way out of
the onion network, whatever we are made to dial."""


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


class ManagedTor(SupervisedTor):
    """One tor process and its successors. `told`, when given, hears of every change of `status`."""

    ours = True
    away = TorState.RESTARTING

    def __init__(self, settings: TorSettings, *, told: Callable[[TorStatus], None] | None = None) -> None:
        """Raises: UsageError when the path of the data directory is too long for unix sockets, or has spaces in it."""
        super().__init__(told)
        self._settings = settings
        self._directory = settings.data_directory.absolute()
        if re.search(r'[\s"\\,]', str(self._directory)):
            # tor's control protocol has no way to quote the path of an onion's socket.
            raise UsageError("the path of tor's directory must not contain spaces, commas, quotes or backslashes")
        self.sockets = self._directory / "s"
        self.socks = socket_path(self.sockets, "socks")
        self._control_socket = socket_path(self.sockets, "control")
        self._program = Path()
        self._process: TorProcess | None = None
        self._claim: _Claim | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the tor that runs now."""
        return None if self._process is None else self._process.pid

    async def start(self, user: TorUser) -> None:
        """Start tor and return when it answers, or the disk is full; it connects in the background.

        Raises: TorUnusable when tor is missing, too old, does not accept its configuration, or when another running
        process uses the directory.
        """
        self._program, version = await usable_tor(self._settings.program, allow_old=self._settings.allow_old)
        self._version = str(version)
        try:
            self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            self.sockets.chmod(0o700)
            self._claim = _Claim(self._directory)
        except OSError as error:
            raise TorUnusable(f"tor's directory cannot be used: {error.strerror}") from error
        try:
            await self._end_orphan()
            await self._begin(user)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop tor and wait until it is gone."""
        await super().stop()
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _hopeless(self, error: Exception, reason: str) -> TorUnusable | None:
        if isinstance(error, DiskFull):
            return None
        return TorUnusable(f"tor does not start: {reason}")

    async def _live(self, user: TorUser, answered: asyncio.Future[None]) -> None:
        """The life of one process. Always ends in an exception: TorUnavailable, or cancellation."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)  # tor makes sockets, and no directory for them
        self._process = process = await TorProcess.launch(
            self._program, self._torrc(), self._directory, told=self._bootstrapping
        )
        ended = asyncio.create_task(process.ended())
        try:
            await self._serve(await self._connect(ended, user), user, answered, ended)
            await asyncio.wait({ended}, timeout=FAREWELL)
            raise TorUnavailable(process.reason if ended.done() else "tor closed its control connection")
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
            await process.stop()
            self._process = None
            self._bootstrap = IDLE

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
        except ControlAbsent:
            return
        except TorUnavailable:
            log.warning("the tor of an earlier run does not answer, and is killed")
            await asyncio.to_thread(_kill_listener, self._control_socket)
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
            f'SocksPort unix:"{self.socks}" {" ".join(SOCKS_FLAGS)}',
            "ClientOnly 1",
            "DormantCanceledByStartup 1",
            VANGUARDS_LINE,
            *self._settings.extra_torrc,
        ]


def _kill_listener(path: Path) -> None:
    """Kill whoever listens at a socket in our own directory, and wait until it is gone; tor's lock goes with it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked, contextlib.suppress(OSError):
        asked.settimeout(CONTROL_TIMEOUT)
        asked.connect(str(path))
        pid, _, _ = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED_SIZE))
        if pid > 0:  # 0 is one outside of the container that we are in, and would mean all of us
            os.kill(pid, signal.SIGKILL)
            asked.recv(1)  # until the kernel has closed its end


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
