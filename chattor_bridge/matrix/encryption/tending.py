"""The ghosts' devices are looked after: what is sent to them is read for requests, and thrown away.

A ghost does not listen all the time, or a thousand of them would cost the homeserver a thousand open requests. A
client that cannot read what a ghost said asks at once, so a ghost listens a few times after it has spoken, and
otherwise once a day. What that costs grows with what is said, not with how many friends there are.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mautrix.types import UserID

from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.encryption.identity import Identity
from chattor_bridge.matrix.encryption.records import ACCOUNT, EncryptionStore
from chattor_bridge.matrix.encryption.stream import SYNC, sync
from chattor_bridge.node.patience import Backoff, describe, heed_cancellation
from chattor_bridge.node.ports import Clock

TENDING_INTERVAL = 24 * 3600
"""Seconds between two looks at what was sent to a ghost that says nothing, so that it does not pile up at the
homeserver, and the one key by which a ghost can be addressed is renewed after use."""

TENDING_PAUSE = 1.0
"""Seconds between two ghosts: a thousand of them cost the homeserver one cheap request a second, for a quarter of an
hour a day."""

TENDING_ROUND = 3600.0
"""Seconds between two looks for ghosts that are due, and for keys that are old."""

LISTENING = (10.0, 60.0, 600.0)
"""Seconds after a ghost has spoken at which it listens: for clients that are looking on, that were just opened, and
that lie in a pocket."""

LISTENING_ROUND = 5.0
"""Seconds between two looks for ghosts whose time to listen has come."""

MOST_ANSWERS_OF_SYNC = 20
"""Requests in a row to read what was sent to one ghost, some hundred things each: the rest waits for the next time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listening:
    """When next, in monotonic seconds, and how many times are left besides."""

    at: float
    left: tuple[float, ...]


class Tending:
    """``identity`` lends a ghost's; ``each_round`` is called once in `TENDING_ROUND`."""

    def __init__(
        self,
        store: EncryptionStore,
        clock: Clock,
        bot: MatrixUserId,
        identity: Callable[[MatrixUserId], AbstractContextManager[Identity]],
        each_round: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._bot = bot
        self._identity = identity
        self._each_round = each_round
        self._listening: dict[MatrixUserId, _Listening] = {}
        self._spoken = asyncio.Event()

    async def run(self, ready: asyncio.Event) -> None:
        """Look after them until cancelled, once ``ready`` is set."""
        await ready.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._without_end(self._tend, TENDING_ROUND))
            group.create_task(self._without_end(self._listen, LISTENING_ROUND))

    def spoke(self, ghost: MatrixUserId) -> None:
        """Let this ghost listen for a while."""
        first, *more = LISTENING
        planned = self._listening.get(ghost)
        at = self._clock.monotonic() + first
        self._listening[ghost] = _Listening(at if planned is None else min(at, planned.at), tuple(more))
        self._spoken.set()

    async def ghosts(self) -> list[MatrixUserId]:
        """All that have a device."""
        async with self._store.transaction() as tx:
            users = await self._store.room_keys.accounts(tx, ACCOUNT)
        return [MatrixUserId(user) for user in users if user != self._bot]

    async def _without_end(self, work: Callable[[], Awaitable[None]], interval: float) -> None:
        backoff = Backoff(TENDING_PAUSE, TENDING_ROUND, secrets.token_bytes)
        while True:
            try:
                await work()
                backoff.reset()
                await self._clock.sleep(interval)
            except Exception as error:
                heed_cancellation()
                _log.info("the devices of ghosts cannot be looked after yet: %s", describe(error))
                await self._clock.sleep(backoff.next())

    async def _tend(self) -> None:
        await self._each_round()
        for ghost in await self.ghosts():
            if await self._is_due(ghost):
                await self._read(ghost)
                await self._clock.sleep(TENDING_PAUSE)

    async def _is_due(self, ghost: MatrixUserId) -> bool:
        async with self._store.transaction() as tx:
            record = await self._store.room_keys.get(tx, ghost, SYNC, "")
        return record is None or not 0 <= self._clock.now() - record["at"] < TENDING_INTERVAL

    async def _listen(self) -> None:
        await self._spoken.wait()
        now = self._clock.monotonic()
        for ghost in [ghost for ghost, listening in self._listening.items() if listening.at <= now]:
            await self._read(ghost)
            left = self._listening.pop(ghost).left
            if left:
                self._listening[ghost] = _Listening(self._clock.monotonic() + left[0], left[1:])
        if not self._listening:
            self._spoken.clear()

    async def _read(self, ghost: MatrixUserId) -> None:
        try:
            with self._identity(ghost) as identity:
                async with identity.turn():
                    for _ in range(MOST_ANSWERS_OF_SYNC):
                        if not await self._read_some(identity):
                            break
        except HomeserverRefused as refusal:  # of this one, such as when somebody has deactivated it
            _log.info("the device of a ghost cannot be looked after: %s", refusal)

    async def _read_some(self, identity: Identity) -> bool:
        """Whether there may be more."""
        answer, place = await sync(identity.api, await identity.keys.read(SYNC, ""), 0)
        if "signed_curve25519" not in answer.get("device_unused_fallback_key_types", ["signed_curve25519"]):
            await identity.upload(0, fallback=True)
        identity.keys.write(SYNC, "", {**place, "at": self._clock.now()})
        await identity.keys.save()
        events = answer.get("to_device", {}).get("events", [])
        for event in events:
            if event.get("type") == "m.room_key_request":
                await identity.answer(UserID(event["sender"]), event["content"])
        return bool(events)
