"""tor's control port, as three things: commands, news about descriptors, and the news that it is gone.

stem speaks it, in threads; nothing of stem leaves this module, neither its exceptions nor its threads. Commands are
raw lines, because stem 1.8 has no methods for client authorisation of v3 onions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import stem  # type: ignore[import-untyped]
import stem.connection  # type: ignore[import-untyped]
import stem.control  # type: ignore[import-untyped]
import stem.response.events  # type: ignore[import-untyped]
import stem.socket  # type: ignore[import-untyped]

from chattor_bridge.errors import TorUnavailable

COMMAND_TIMEOUT = 20.0
"""Seconds tor may take to answer a command. It answers in milliseconds; one that does not is stuck."""

# stem hands every message of the control port, keys and addresses in them, to the log at its lowest levels, and its
# logger is set to let them through.
logging.getLogger("stem").setLevel(logging.WARNING)

DescriptorNews = Callable[[str, str], None]
"""Called with what happened (``UPLOAD``, ``UPLOADED``, ``FAILED`` ...) and the address without ``.onion``."""


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


class Control:
    """An authenticated connection to a control socket. Made by `connect`."""

    def __init__(self, controller: stem.control.Controller) -> None:
        self._controller = controller
        self._lost = asyncio.Event()

    @classmethod
    async def connect(cls, path: Path, descriptors: DescriptorNews) -> Control:
        """Connect and authenticate with the cookie. ``descriptors`` is called in the event loop.

        Raises: TorUnavailable.
        """
        loop = asyncio.get_running_loop()
        try:
            controller = await asyncio.to_thread(lambda: stem.control.Controller(_ControlSocket(str(path))))
        except stem.ControllerError as error:
            raise TorUnavailable("tor does not accept a control connection") from error
        control = cls(controller)

        def on_descriptor(event: stem.response.events.HSDescEvent) -> None:
            _tell(loop, descriptors, event.action, event.address)

        def on_state(_: object, state: str, when: float) -> None:
            if state == stem.control.State.CLOSED:
                _tell(loop, control._lost.set)

        def introduce() -> None:
            controller.add_status_listener(on_state, spawn=False)
            controller.authenticate()
            controller.add_event_listener(on_descriptor, stem.control.EventType.HS_DESC)

        try:
            await asyncio.wait_for(asyncio.to_thread(introduce), COMMAND_TIMEOUT)
        except (stem.ControllerError, stem.connection.AuthenticationFailure, TimeoutError) as error:
            await control.close()
            raise TorUnavailable("tor refuses the control connection") from error
        except BaseException:
            await control.close()
            raise
        return control

    async def command(self, line: str) -> list[str]:
        """Send one command; the lines of tor's answer without their codes.

        Raises: CommandRefused, TorUnavailable when the connection is lost or tor does not answer in time, which
        closes it.
        """
        try:
            answer = await asyncio.wait_for(asyncio.to_thread(self._controller.msg, line), COMMAND_TIMEOUT)
        except TimeoutError as error:
            await self.close()
            raise TorUnavailable("tor does not answer its control connection") from error
        except stem.ControllerError as error:
            raise TorUnavailable("the control connection to tor is lost") from error
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
        await asyncio.to_thread(self._controller.close)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: object) -> None:
    """Call back in the event loop, unless that is over already: stem's threads may outlive it by a moment."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
