"""Read receipts that never came to us: a homeserver brings each of them once, and forgets those it could not bring.

Events it keeps and brings again, receipts it does not. So we look ourselves, as the bot, which is in every portal: at
every start, whenever the homeserver may have called in vain, and now and then. What we know already the inbox passes
over, so looking once too often changes nothing.
"""

from __future__ import annotations

import logging
import secrets

from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.node.patience import Alarm, Backoff, describe, heed_cancellation
from chattor_bridge.node.ports import Clock

LOOK_INTERVAL = 3600.0
"""Seconds between two looks while all seems well. One costs the homeserver next to nothing and keeps the next cheap."""

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""Seconds before looking again when the homeserver does not answer, doubled from the first to the last."""

TOKEN = "receipts:since"  # noqa: S105 - the name of a setting
"""The setting that says up to where we have looked."""

log = logging.getLogger(__name__)


class MissedReceipts:
    """Fetches them and hands them to the intake. `run` it; `look` whenever some may have been missed."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, intake: Intake, clock: Clock) -> None:
        self._store = store
        self._homeserver = homeserver
        self._intake = intake
        self._alarm = Alarm(clock)

    def look(self) -> None:
        """Look now. Cheap, never blocks."""
        self._alarm.ring()

    async def run(self) -> None:
        """Look at once, and then whenever there is reason to, until cancelled."""
        backoff = Backoff(FIRST_RETRY, LAST_RETRY, secrets.token_bytes)
        while True:
            try:
                await self._fetch()
            except Exception as error:
                heed_cancellation()
                pause = backoff.next()
                log.info("missed read receipts cannot be fetched yet: %s", describe(error))
            else:
                backoff.reset()
                pause = LOOK_INTERVAL
            await self._alarm.sleep(pause)

    async def _fetch(self) -> None:
        async with self._store.transaction() as tx:
            since = await self._store.get_setting(tx, TOKEN)
        receipts, now = await self._homeserver.read_receipts(since)
        await self._intake.accept("", [], receipts)
        async with self._store.transaction() as tx:
            await self._store.set_setting(tx, TOKEN, now)
