"""A tor that is kept in use: connected to, and again whenever it goes away."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from chattor_bridge.errors import ChattorError, TorUnavailable, TorUnusable
from chattor_bridge.transport.tor.address import Address
from chattor_bridge.transport.tor.control import SILENT, CommandRefused, Control
from chattor_bridge.transport.tor.network import LOOK, has_network
from chattor_bridge.transport.tor.process import DONE, Bootstrap
from chattor_bridge.transport.tor.status import TorState, TorStatus

log = logging.getLogger(__name__)

RESTART_FIRST = 1.0
RESTART_LONGEST = 60.0
"""Seconds before the first try to have it back, and the most after doubling at each failure; half to all of it, at
random."""

STEADY_AFTER = 120.0
"""Seconds a tor must have been in use for its next end to count as the first again."""

HEARTBEAT = 15.0
"""Seconds between two questions to tor, whether it answers and has its network. A control connection whose other end
vanished without a word, or that belongs to a tor that hangs, would else go unnoticed until somebody dials."""

LOOKS_WITHOUT = 2
"""Looks in a row that find no network until it counts as gone: between two relays there is a moment without one."""

IDLE = Bootstrap(0, "")

_jitter = secrets.SystemRandom().uniform


class TorUser(Protocol):
    """Whoever puts onions and keys into a tor."""

    async def attached(self, control: Control) -> None:
        """There is a fresh control connection; what was put into tor before is gone, client keys included."""

    async def detached(self) -> None:
        """The control connection is gone, and every onion with it."""

    def cut_off(self, why: str) -> None:
        """tor has lost its network: nobody reaches what is published, whatever tor believes."""

    async def back(self) -> None:
        """It has its network again."""

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
        self._silence = ""
        self._restarts = 0
        self._ready = asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None

    @property
    def status(self) -> TorStatus:
        """How it is now."""
        state = self._state
        if state is TorState.STARTING and self._attached:
            if self._silence:
                return TorStatus(TorState.CUT_OFF, self._version, problem=self._silence, restarts=self._restarts)
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
        """Let ``user`` have it until the connection is lost, or one of ``ends`` has come; closes the connection.

        Raises: TorUnavailable when tor does not answer any more, or is of no use.
        """
        lost = asyncio.create_task(control.lost())
        watching: asyncio.Task[None] | None = None
        try:
            await user.attached(control)
            self._attached = True
            self._problem = ""
            self._changed()
            if not answered.done():
                answered.set_result(None)
            watching = asyncio.create_task(self._watch(control, user))
            await asyncio.wait({lost, watching, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if control.silent:
                raise TorUnavailable(SILENT)
            if watching.done():
                watching.result()
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait({watching})
            self._attached = False
            self._silence = ""
            self._changed()
            await user.detached()
            lost.cancel()
            await control.close()

    async def _watch(self, control: Control, user: TorUser) -> None:
        """Ask tor how it is, until the connection is lost, or closed because tor does not answer.

        Raises: TorUnavailable when nobody can dial through tor any more.
        """
        without, heard = 0, time.time()
        while True:
            await asyncio.sleep(HEARTBEAT)
            if isinstance(self.socks, Path) and not self.socks.exists():
                raise TorUnavailable("the socket through which tor is to be dialled was removed")
            try:
                said = await control.command(LOOK)
            except CommandRefused:
                continue  # it answers, if only that it does not say
            except TorUnavailable:
                return
            if self._bootstrap.percent < DONE or has_network(said):
                without, heard = 0, time.time()
                if self._silence:
                    log.info("tor has its network again")
                    self._silence = ""
                    self._changed()
                    await user.back()
                continue
            without += 1
            if without == LOOKS_WITHOUT:
                self._silence = f"no connection to its network since {_in_words(heard)}"
                log.warning("tor is cut off: %s", self._silence)
                self._changed()
                user.cut_off(f"tor is cut off: {self._silence}")

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


def _in_words(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
