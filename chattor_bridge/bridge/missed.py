"""What happened in Matrix and never came to us.

A homeserver brings each read receipt once, and forgets those it could not bring. Events it keeps and brings again; but
Synapse may leave one behind at the end of an outage (`chattor_bridge.matrix.succession`). So we look ourselves, as the
bot, which is in every portal: at every start, whenever the homeserver may have called in vain, and now and then. What
we know already the inbox passes over, so looking once too often changes nothing. What a start finds is receipts alone:
a database that was put back to a backup does not know what was said to friends since, and would say it again.
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

SETTLED = 10.0
"""Seconds after a call in vain in which the homeserver brings again what it kept; what is missing then was left behind.
"""

OLDEST = 24 * 3600
"""Seconds since the last look beyond which events are not asked for: far less than the inbox remembers of them."""

TOKEN = "receipts:since"  # noqa: S105 - the name of a setting
"""The setting that says up to where we have looked."""

log = logging.getLogger(__name__)


class MissedTraffic:
    """Fetches it and hands it to the intake. `run` it; `look` whenever some may have been missed."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, intake: Intake, clock: Clock) -> None:
        self._store = store
        self._homeserver = homeserver
        self._intake = intake
        self._clock = clock
        self._alarm = Alarm(clock)
        self._settling = False
        self._looked_at: int | None = None  # in this run

    def look(self) -> None:
        """Look now, and once more when things have settled. Cheap, never blocks."""
        self._settling = True
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
                log.info("what was missed cannot be fetched yet: %s", describe(error))
            else:
                backoff.reset()
                pause = SETTLED if self._settling else LOOK_INTERVAL
                self._settling = False
            await self._alarm.sleep(pause)

    async def _fetch(self) -> None:
        looked_at, now = self._looked_at, self._clock.now()
        async with self._store.transaction() as tx:
            since = await self._store.get_setting(tx, TOKEN)
        recent = looked_at is not None and now - looked_at < OLDEST
        events, receipts, token = await self._homeserver.missed(since, events=recent)
        await self._intake.accept("", events, receipts)
        async with self._store.transaction() as tx:
            await self._store.set_setting(tx, TOKEN, token)
        self._looked_at = now
