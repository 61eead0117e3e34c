"""tor's control port, as three things: commands, news, and the news that it is gone.

stem speaks it, in threads; nothing of stem leaves this module, neither its exceptions nor its threads. Commands are
raw lines, because stem 1.8 has no methods for client authorisation of v3 onions. tor answers one after another: so one
thread of each connection's own asks, in the order in which commands were given, and a tor that hangs holds up none of
the threads that the rest of the program uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import stem  # type: ignore[import-untyped]
import stem.connection  # type: ignore[import-untyped]
import stem.control  # type: ignore[import-untyped]
import stem.response.events  # type: ignore[import-untyped]
import stem.socket  # type: ignore[import-untyped]

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.transport.tor.address import Address, show
from chattor_bridge.transport.tor.process import Bootstrap

COMMAND_TIMEOUT = 20.0
"""Seconds tor may take to answer a command. It answers in milliseconds; one that does not is stuck."""

# stem hands every message of the control port, keys and addresses in them, to the log at its lowest levels, and its
# logger is set to let them through.
logging.getLogger("stem").setLevel(logging.WARNING)

DescriptorNews = Callable[[str, str], None]
"""Called with what happened (``UPLOAD``, ``UPLOADED``, ``FAILED`` ...) and the address without ``.onion``."""


BootstrapNews = Callable[[Bootstrap], None]

SILENT = "tor does not answer its control connection"
_LOST = "the control connection to tor is lost"

_MENDS: tuple[tuple[type[Exception], str], ...] = (
    (
        stem.connection.MissingPassword,
        "tor's control port asks for a password: put it into a file and name that in tor.control_password_file",
    ),
    (
        stem.connection.IncorrectPassword,
        "tor's control port does not take the password of tor.control_password_file: put in that of torrc",
    ),
    (
        stem.connection.UnreadableCookieFile,
        "the cookie of tor's control port cannot be read: join tor's group (adduser USER debian-tor)",
    ),
)


class ControlAbsent(TorUnavailable):
    """Nobody listens there, or nobody whom we can reach."""


class ControlRefused(TorUnavailable):
    """Something listens, and does not let us in. The message says what to do."""


class CommandRefused(TorUnavailable):
    """tor answered a command with an error; ``code`` is the three digits of control-spec."""

    def __init__(self, code: str) -> None:
        super().__init__(f"tor refused a command of ours with code {code}")
        self.code = code


class _ControlSocket(stem.socket.ControlSocketFile):  # type: ignore[misc]  # stem has no types
    """stem's own forgets to close a socket that nobody listens on."""

    def _make_socket(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.connect(self.path)
        except OSError as error:
            connected.close()
            raise stem.SocketError(error) from error
        return connected


class _ControlPort(stem.socket.ControlPort):  # type: ignore[misc]  # stem has no types
    """The same, with names and IPv6, and a bound."""

    def _make_socket(self) -> socket.socket:
        try:
            connected = socket.create_connection((self.address, self.port), COMMAND_TIMEOUT)
        except OSError as error:
            raise stem.SocketError(error) from error
        connected.settimeout(None)
        return connected


class Control:
    """An authenticated connection to a control socket. Made by `connect`."""

    def __init__(self, controller: stem.control.Controller) -> None:
        self._controller = controller
        self._asking = ThreadPoolExecutor(1, "tor-control")
        self._lost = asyncio.Event()
        self.silent = False  # tor has not answered a command in time, and so the connection was closed

    @classmethod
    async def connect(
        cls,
        address: Address,
        descriptors: DescriptorNews,
        *,
        bootstrap: BootstrapNews | None = None,
        password: str | None = None,
    ) -> Control:
        """Connect and authenticate, with the cookie or ``password``. What has news is called in the event loop.

        Raises: ControlAbsent when nobody listens; ControlRefused; TorUnavailable when tor does not answer in time.
        """
        loop = asyncio.get_running_loop()

        def make() -> stem.control.Controller:
            made = _ControlSocket(str(address)) if isinstance(address, Path) else _ControlPort(*address)
            return stem.control.Controller(made)

        try:
            controller = await asyncio.to_thread(make)
        except stem.ControllerError as error:
            raise ControlAbsent(f"tor does not accept a control connection at {show(address)}") from error
        control = cls(controller)

        def on_descriptor(event: stem.response.events.HSDescEvent) -> None:
            _tell(loop, descriptors, event.action, event.address)

        def on_state(_: object, state: str, when: float) -> None:
            if state == stem.control.State.CLOSED:
                _tell(loop, control._lost.set)

        def on_status(event: stem.response.events.StatusEvent) -> None:
            if bootstrap is not None and (heard := Bootstrap.parse(event.raw_content())) is not None:
                _tell(loop, bootstrap, heard)

        def introduce() -> None:
            controller.add_status_listener(on_state, spawn=False)
            controller.authenticate(password=password)
            controller.add_event_listener(on_descriptor, stem.control.EventType.HS_DESC)
            if bootstrap is not None:
                controller.add_event_listener(on_status, stem.control.EventType.STATUS_CLIENT)

        try:
            await asyncio.wait_for(loop.run_in_executor(control._asking, introduce), COMMAND_TIMEOUT)
        except TimeoutError as error:
            await control.close()
            raise TorUnavailable(SILENT) from error
        except (stem.ControllerError, stem.connection.AuthenticationFailure) as error:
            await control.close()
            mends = (mend for kind, mend in _MENDS if isinstance(error, kind))
            raise ControlRefused(next(mends, "tor refuses the control connection")) from error
        except BaseException:
            await control.close()
            raise
        return control

    async def command(self, line: str) -> list[str]:
        """Send one command; the lines of tor's answer without their codes. It is sent even when whoever gave it does
        not wait for the answer.

        Raises: CommandRefused, TorUnavailable when the connection is lost or tor does not answer in time, which
        closes it.
        """
        if self._lost.is_set():
            raise TorUnavailable(_LOST)
        asked = asyncio.get_running_loop().run_in_executor(self._asking, self._controller.msg, line)
        try:
            answer = await asyncio.wait_for(asyncio.shield(asked), COMMAND_TIMEOUT)
        except TimeoutError as error:
            self.silent = True
            await self.close()
            raise TorUnavailable(SILENT) from error
        except stem.ControllerError as error:
            raise TorUnavailable(_LOST) from error
        content: list[tuple[str, str, str]] = answer.content()
        code = content[-1][0]
        if not code.startswith("2"):  # stem's is_ok knows 250 alone; replacing a client key is answered with 251
            raise CommandRefused(code)
        return [text for _, _, text in content]

    async def lost(self) -> None:
        """Wait until the connection is gone."""
        await self._lost.wait()

    async def close(self) -> None:
        """Close; onions added through this connection go with it."""
        self._lost.set()
        self._asking.shutdown(wait=False)  # what was asked ends with an error once the socket is closed
        await asyncio.to_thread(self._controller.close)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object) -> None:
    """Call back in the event loop, unless that is over already: stem's threads may outlive it by a moment."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
