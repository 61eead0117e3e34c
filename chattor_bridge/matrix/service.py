"""The Matrix side as one thing: a listener the homeserver calls, a client that calls it, and a watch over both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.discretion import hush_mautrix
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.matrix.homeserver import MatrixHomeserver
from chattor_bridge.matrix.listener import Accept, Listener
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.matrix.watch import ConnectionStatus, Watch
from chattor_bridge.node.ports import Clock


class MatrixService:
    """Start it once everything that ``accept`` needs is ready, stop it before that is taken away."""

    def __init__(self, settings: MatrixSettings, accept: Accept, clock: Clock) -> None:
        self._client = Client(settings, clock)
        bot = MatrixUserId(f"@{settings.bot_localpart}:{settings.domain}")
        household = Household(bot, settings.domain)
        hearing = Hearing(clock)
        self._listener = Listener(settings, household, accept, hearing)
        self._homeserver = MatrixHomeserver(self._client, household, hearing)
        self._watch = Watch(self._client, bot, hearing, clock)
        self._watching: asyncio.Task[None] | None = None

    @property
    def homeserver(self) -> MatrixHomeserver:
        """The `chattor_bridge.bridge.ports.Homeserver`; usable between `start` and `stop`, before the homeserver
        answers too (then its methods raise HomeserverUnavailable)."""
        return self._homeserver

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._listener.port

    @property
    def status(self) -> ConnectionStatus:
        """How things stand with the homeserver, for people."""
        return self._watch.status

    def on_change(self, callback: Callable[[ConnectionStatus], None]) -> None:
        """Have ``callback`` told of every change of `status`, to wake workers that wait; it must not block."""
        self._watch.on_change = callback

    async def reachable(self) -> None:
        """Wait until the homeserver answers, for as long as that takes."""
        await self._watch.reachable()

    async def start(self) -> None:
        """Listen, then look for the homeserver in the background: that it is down is no reason not to start.

        Raises: AddressInUse.
        """
        hush_mautrix()
        await self._listener.start()
        await self._client.open()
        self._watching = asyncio.create_task(self._watch.run(), name="watch over the homeserver")

    async def stop(self) -> None:
        """Stop listening, then sending. Bounded by `listener.STOPPING_TIME`."""
        await self._listener.stop()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        await self._client.close()
