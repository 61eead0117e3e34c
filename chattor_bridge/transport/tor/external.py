"""A tor that runs already and is not ours: the system's, or one in a container beside us.

We add onions and client keys, dial, and ask; we change nothing else of it and never end it. Our onions are not
detached, so that they go with our control connection: one that outlived us would be published with nobody behind it,
and beside the next process that has its key. After a loss the connection is made again, and everything is put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import TorUnavailable, TorUnusable, UsageError
from chattor_bridge.transport.doorway import socket_path
from chattor_bridge.transport.tor.address import Address, show
from chattor_bridge.transport.tor.binary import OLDEST_TOR, TorVersion
from chattor_bridge.transport.tor.control import CommandRefused, Control, ControlRefused
from chattor_bridge.transport.tor.entrance import check_entrance
from chattor_bridge.transport.tor.listeners import choose_socks
from chattor_bridge.transport.tor.network import LOOK
from chattor_bridge.transport.tor.onion import ONION_PORT
from chattor_bridge.transport.tor.process import DONE, Bootstrap
from chattor_bridge.transport.tor.status import TorState, TorStatus
from chattor_bridge.transport.tor.supervised import IDLE, SupervisedTor, TorUser
from chattor_bridge.transport.tor.vanguards import Vanguards, vanguards_of

PASSWORD_LIMIT = 1024
"""Bytes read of a password file, many times a password."""

_VERSION = re.compile(r"version=(\d+)\.(\d+)\.(\d+)\.(\d+)")
_SERVICE = re.compile(r"ServiceID=(\S+)")

_TRIAL_CLIENT = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"
"""Any X25519 public key in base32, for an onion that nobody will ever look for."""


@dataclass(frozen=True, slots=True)
class ExternalSettings:
    """How to use a tor. ``control`` is its control port; ``socket_directory`` is where our onions' sockets are, which
    tor must be able to enter; ``password_file`` holds the control port's password, ``None`` to use the cookie."""

    control: Address
    socket_directory: Path
    password_file: Path | None = None
    allow_old: bool = False


class ExternalTor(SupervisedTor):
    """A tor of somebody else's, whatever happens to it."""

    ours = False
    away = TorState.ABSENT

    def __init__(self, settings: ExternalSettings, *, told: Callable[[TorStatus], None] | None = None) -> None:
        """Raises: UsageError when the path of the directory for sockets is too long, or has spaces in it."""
        super().__init__(told)
        self._settings = settings
        self.sockets = settings.socket_directory.absolute()
        if re.search(r'[\s"\\,]', str(self.sockets)):
            raise UsageError("the path of tor.socket_directory must not contain spaces, commas, quotes or backslashes")
        socket_path(self.sockets, "x" * 16)
        self.advice: tuple[str, ...] = ()
        self.vanguards = Vanguards.OFF
        self.network: list[str] = []  # what it answered to LOOK, if it was connected when it was examined

    async def start(self, user: TorUser) -> None:
        """Begin to use it, or to wait for it when nobody listens at its control port.

        Raises: TorUnusable when it does not let us in, is too old or cannot do what we need.
        """
        try:
            self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.sockets.stat().st_mode
        except OSError as error:
            raise TorUnusable(f"tor.socket_directory cannot be used: {error.strerror}") from error
        if mode & stat.S_IRWXO:
            raise TorUnusable(f"everybody may use {self.sockets}, where onions are answered: run chmod o= on it")
        self.socket_mode = 0o660 if mode & stat.S_ISGID else 0o600
        try:
            await self._begin(user)
        except BaseException:
            await self.stop()
            raise

    def _hopeless(self, error: Exception, reason: str) -> TorUnusable | None:
        return None if isinstance(error, TorUnavailable) else TorUnusable(reason)

    async def _live(self, user: TorUser, answered: asyncio.Future[None]) -> None:
        try:
            control = await Control.connect(
                self._settings.control, user.descriptor_news, bootstrap=self._bootstrapping, password=self._password()
            )
        except ControlRefused as error:
            raise TorUnusable(str(error)) from error
        try:
            await self._examine(control)
            await self._serve(control, user, answered)
        finally:
            self.socks = None  # what comes back may be another, and is examined first
            self._bootstrap = IDLE
            await control.close()
        raise TorUnavailable(f"tor closed its control connection at {show(self._settings.control)}")

    async def _examine(self, control: Control) -> None:
        """Whether it will do. Raises: TorUnusable."""
        match = _VERSION.search(await _info(control, "version"))
        if match is None:
            raise TorUnusable("what listens at tor.control does not say its version: is it tor?")
        version = TorVersion(*(int(part) for part in match.groups()))
        self._version = str(version)
        if version < OLDEST_TOR and not self._settings.allow_old:
            raise TorUnusable(f"the tor at tor.control is {version}, {OLDEST_TOR} or newer is needed: upgrade it")
        if any(port not in ("", "0") for port in await configured(control, "ORPort")):
            raise TorUnusable(
                "the tor at tor.control is a relay, and whoever watches it could tell which onions are on it: use a "
                "tor of its own for Chattor"
            )
        uid = (await _info(control, "process/uid")).rpartition("=")[2]
        if uid.isdigit():
            check_entrance(self.sockets, int(uid), os.geteuid())
        self.vanguards = await vanguards_of(control)
        await self._try_features(control)
        listeners = await _info(control, "net/listeners/socks")
        socks = choose_socks(listeners, await configured(control, "SocksPort"), self._settings.control)
        self.socks, self.advice = socks.address, socks.advice
        if (bootstrap := Bootstrap.parse(await _info(control, "status/bootstrap-phase"))) is not None:
            self._bootstrapping(bootstrap)
        if self._bootstrap.percent >= DONE:
            with contextlib.suppress(CommandRefused):
                self.network = await control.command(LOOK)

    async def _try_features(self, control: Control) -> None:
        """Add an onion with everything ours have, and take it out before tor does anything with it."""
        try:
            said = await control.command(
                f"ADD_ONION NEW:ED25519-V3 Flags=DiscardPK,V3Auth Port={ONION_PORT},unix:{self.sockets}/nobody "
                f"PoWDefensesEnabled=1 ClientAuthV3={_TRIAL_CLIENT}"
            )
        except CommandRefused as error:
            raise TorUnusable(
                "the tor at tor.control does not add onions with client authorisation and proof of work: it needs "
                "its pow module, and no HiddenServiceNonAnonymousMode"
            ) from error
        if (service := _SERVICE.search(" ".join(said))) is not None:
            with contextlib.suppress(CommandRefused):
                await control.command(f"DEL_ONION {service[1]}")

    def _password(self) -> str | None:
        file = self._settings.password_file
        if file is None:
            return None
        try:
            with file.open(encoding="utf-8") as opened:
                return opened.read(PASSWORD_LIMIT).strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise TorUnusable(f"tor.control_password_file cannot be read as text: look at {file}") from error


async def configured(control: Control, option: str) -> list[str]:
    """Every value of an option of tor's configuration, ``""`` for its default."""
    said = await control.command(f"GETCONF {option}")
    return [line.partition("=")[2] for line in said]


async def _info(control: Control, key: str) -> str:
    return " ".join(await control.command(f"GETINFO {key}")).removesuffix(" OK")
