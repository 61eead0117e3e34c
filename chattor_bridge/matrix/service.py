"""The Matrix side as one thing: a listener the homeserver calls, a client that calls it, and a watch over both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.discretion import hush_mautrix
from chattor_bridge.matrix.encryption.encryption import Encryption
from chattor_bridge.matrix.encryption.records import EncryptionStore
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.matrix.homeserver import MatrixHomeserver
from chattor_bridge.matrix.listener import Accept, Listener
from chattor_bridge.matrix.media import MediaRepository
from chattor_bridge.matrix.members import Members
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.matrix.succession import Lookout, Succession
from chattor_bridge.matrix.watch import ConnectionStatus, Watch
from chattor_bridge.node.ports import Clock

NOTED_WITHIN = 0.05
"""Seconds in which Synapse writes down that a transaction of ours failed. Should it take longer, it repeats it two
seconds after it failed, as without a ping."""


class MatrixService:
    """Start it once everything that ``accept`` needs is ready, stop it before that is taken away."""

    def __init__(self, settings: MatrixSettings, accept: Accept, clock: Clock, store: EncryptionStore) -> None:
        self._client = Client(settings, clock)
        bot = MatrixUserId(f"@{settings.bot_localpart}:{settings.domain}")
        household = Household(bot, settings.domain)
        hearing = Hearing(clock)
        self._members = Members(self._client, household)
        self._encryption = Encryption(
            self._client,
            store,
            household,
            self._members,
            clock,
            only_cross_signed=settings.only_cross_signed,
            encrypt_rooms=settings.encrypt_rooms,
        )
        self._accept = accept
        self._watch = Watch(self._client, bot, hearing, clock)
        self._succession = Succession(self._heard, clock, self._begin_again)
        self._listener = Listener(settings, household, self._succession.accept, hearing)
        self._homeserver = MatrixHomeserver(
            self._client,
            household,
            hearing,
            self._members,
            self._encryption,
            MediaRepository(self._client, bot, clock),
            encrypt_rooms=settings.encrypt_rooms,
            on_left_behind=self._succession.left_behind,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def _begin_again(self) -> None:
        """Ping once Synapse has noted that a transaction failed; before that a ping changes nothing."""
        asyncio.get_running_loop().call_later(NOTED_WITHIN, self._watch.look)

    async def _heard(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        self._members.heard(events)
        await self._encryption.heard(events)
        await self._accept(txn_id, events, ephemeral)

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

    def watched_by(self, lookout: Lookout) -> None:
        """Have ``lookout`` asked whether what the homeserver brings is all it has."""
        self._succession.lookout = lookout

    def on_keys(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` told whenever keys of encrypted messages have come; it must not block."""
        self._encryption.on_keys = callback

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
        self._tasks = [
            asyncio.create_task(self._watch.run(), name="watch over the homeserver"),
            asyncio.create_task(self._encryption.run(), name="keys of encrypted rooms"),
        ]

    async def stop(self) -> None:
        """Stop listening, then sending. Bounded by `listener.STOPPING_TIME`."""
        await self._listener.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._client.close()
