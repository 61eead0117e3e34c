"""Encrypted messages that were set aside for want of their key come back by themselves once it is there.

Each goes back to its old place: before whatever of its room still waits, behind what was sent meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.store_ports import NEVER_CAME, BridgeStore
from chattor_bridge.errors import NotFound
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.node.patience import describe, heed_cancellation
from chattor_bridge.node.ports import Clock

RETRY = 60.0
"""Seconds until the next look when the homeserver or the database was not there for this one."""

log = logging.getLogger(__name__)


class LateKeys:
    """Looks at the start, for keys that came just before the last end, and whenever `look` says that some have come.
    ``wake`` is told which room has work again."""

    def __init__(
        self, store: BridgeStore, homeserver: Homeserver, clock: Clock, wake: Callable[[MatrixRoomId], None]
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._clock = clock
        self._wake = wake
        self._due = asyncio.Event()
        self._due.set()

    def look(self) -> None:
        """Keys have come."""
        self._due.set()

    async def run(self) -> None:
        """Put messages back until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._put_back()
            except Exception as error:
                heed_cancellation()
                log.info("messages set aside cannot be compared with keys yet: %s", describe(error))
                self._due.set()
                await self._clock.sleep(RETRY)

    async def _put_back(self) -> None:
        """Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            waiting = [row for row in await self._store.inbox.parked(tx) if row.reason == NEVER_CAME]
        ready = [row for row in waiting if await self._homeserver.has_key(row.content)]
        async with self._store.transaction() as tx:
            for row in ready:
                try:
                    await self._store.inbox.unpark(tx, row.order)
                except NotFound:
                    continue  # its owner was quicker
                room_id = MatrixRoomId(row.queue)
                tx.after_commit(lambda room_id=room_id: self._wake(room_id))  # type: ignore[misc]
