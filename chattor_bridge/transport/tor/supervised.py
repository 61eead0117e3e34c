"""A tor that is kept in use: connected to, and again whenever it goes away."""

from __future__ import annotations

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from chattor_bridge.errors import ChattorError, TorUnusable
from chattor_bridge.transport.tor.address import Address
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.process import DONE, Bootstrap
from chattor_bridge.transport.tor.status import TorState, TorStatus

log = logging.getLogger(__name__)

RESTART_FIRST = 1.0
RESTART_LONGEST = 60.0
"""Seconds before the first try to have it back, and the most after doubling at each failure; half to all of it, at
random."""

STEADY_AFTER = 120.0
"""Seconds a tor must have been in use for its next end to count as the first again."""

IDLE = Bootstrap(0, "")

_jitter = secrets.SystemRandom().uniform


class TorUser(Protocol):
    """Whoever puts onions and keys into a tor."""

    async def attached(self, control: Control) -> None:
        """There is a fresh control connection; what was put into tor before is gone, client keys included."""

    async def detached(self) -> None:
        """The control connection is gone, and every onion with it."""

    def descriptor_news(self, action: str, address: str) -> None:
        """Something happened to a descriptor."""


class SupervisedTor(ABC):
    """One tor and its successors. ``told``, when given, hears of every change of `status`."""

    ours: ClassVar[bool]
    """Whether it is there for us alone: only then may we tell it more than what concerns our onions."""

    away: ClassVar[TorState]
    """What it is while it is gone."""

    sockets: Path
    """Where the sockets of onions are to be."""

    socket_mode = 0o600
    """Who may connect to those."""

    socks: Address | None = None
    """Where to dial through it, once that is known."""

    def __init__(self, told: Callable[[TorStatus], None] | None) -> None:
        self._told = told
        self._state = TorState.STOPPED
        self._version = ""
        self._bootstrap = IDLE
        self._attached = False
        self._problem = ""
        self._restarts = 0
        self._ready = asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None

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
    def is_ready(self) -> bool:
        """It is connected to the network, and we to it."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Wait until it is connected to the network; for ever if it never is, so look at `status`."""
        await self._ready.wait()

    @abstractmethod
    async def start(self, user: TorUser) -> None:
        """Begin to use it; it connects to the network in the background. Raises: TorUnusable."""

    async def stop(self) -> None:
        """Use it no more."""
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
            self._supervising = None
        self._enter(TorState.STOPPED)

    @abstractmethod
    async def _live(self, user: TorUser, answered: asyncio.Future[None]) -> None:
        """Use it for as long as it is there. Always ends in an exception."""

    @abstractmethod
    def _hopeless(self, error: Exception, reason: str) -> TorUnusable | None:
        """Why it is of no use to try again, when that failed at the start."""

    async def _begin(self, user: TorUser) -> None:
        self._restarts = 0
        self._enter(TorState.STARTING)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._supervising = asyncio.create_task(self._supervise(user, answered))
        await answered

    async def _supervise(self, user: TorUser, answered: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            failed: Exception
            try:
                await self._live(user, answered)
            except ChattorError as error:
                failed, reason = error, str(error)
            except Exception as error:
                log.exception("supervising tor failed")
                failed, reason = error, f"unexpected {type(error).__name__}"
            if not answered.done():
                if (hopeless := self._hopeless(failed, reason)) is not None:
                    answered.set_exception(hopeless)
                    return
                answered.set_result(None)
            failures = 1 if loop.time() - began > STEADY_AFTER else failures + 1
            pause = min(RESTART_LONGEST, RESTART_FIRST * 2 ** (failures - 1)) * _jitter(0.5, 1.0)
            log.warning("%s; trying again in %.1f s", reason, pause)
            self._enter(self.away, problem=reason)
            await asyncio.sleep(pause)
            self._restarts += 1
            self._enter(TorState.STARTING, problem="" if self.ours else reason)

    async def _serve(
        self, control: Control, user: TorUser, answered: asyncio.Future[None], *ends: asyncio.Task[int]
    ) -> None:
        """Let ``user`` have it until the connection is lost, or one of ``ends`` has come; closes the connection."""
        lost = asyncio.create_task(control.lost())
        try:
            await user.attached(control)
            self._attached = True
            self._problem = ""
            self._changed()
            if not answered.done():
                answered.set_result(None)
            await asyncio.wait({lost, *ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._attached = False
            self._changed()
            await user.detached()
            lost.cancel()
            await control.close()

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
