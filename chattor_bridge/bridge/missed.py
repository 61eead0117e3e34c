"""What happened in Matrix and never came to us.

A homeserver brings each read receipt once, and forgets those it could not bring. Events it keeps and brings again; but
Synapse may leave one behind at the end of an outage (`chattor_bridge.matrix.succession`). So we look ourselves, as the
bot, which is in every portal: at every start, whenever the homeserver may have called in vain, and now and then.

Receipts we take as they are. Of events we only find out which are missing, and have the homeserver bring them, in its
order: taken from here, one could come before an older one that is still on its way. Nor would a database that was put
back to a backup say again what was said to friends since.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.ids import MatrixEventId, MatrixRoomId
from chattor_bridge.node.patience import Alarm, Backoff, describe, heed_cancellation
from chattor_bridge.node.ports import Clock

LOOK_INTERVAL = 3600.0
"""Seconds between two looks while all seems well. One costs the homeserver next to nothing and keeps the next cheap."""

SETTLED = 10.0
"""Seconds after which an event that was on its way has come, and one that has not was left behind."""

LOOK_WITHIN = 5.0
"""Seconds that a transaction waits for a look at most; a homeserver gives one up after sixty."""

MOST_OUTSTANDING = 1000
"""Events remembered as on their way; of more, as in a long outage, the newest. The others it repeats anyhow."""

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""Seconds before looking again when the homeserver does not answer, doubled from the first to the last."""

TOKEN = "receipts:since"  # noqa: S105 - the name of a setting
"""The setting that says up to where nothing is missing."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outstanding:
    """An event that has not come. ``said_at`` is in ms by the homeserver's clock, ``seen_at`` in seconds by ours."""

    room_id: MatrixRoomId
    said_at: int
    seen_at: float


class MissedTraffic:
    """A `chattor_bridge.matrix.succession.Lookout`. `run` it; `look` whenever something may have been missed."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, intake: Intake, clock: Clock) -> None:
        self._store = store
        self._homeserver = homeserver
        self._intake = intake
        self._clock = clock
        self._alarm = Alarm(clock)
        self._restless_until = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._since: str | None = None
        self._outstanding: dict[str, _Outstanding] = {}
        self._asked_for: set[str] = set()  # those that do not come now never will

    def look(self) -> None:
        """Look soon, and once more when things have settled. Cheap, never blocks."""
        now = self._clock.monotonic()
        if now >= self._restless_until:
            self._alarm.ring()
        self._restless_until = now + SETTLED

    async def is_overtaken(self, events: Sequence[JsonObject]) -> bool:
        """Whether something older than all of these exists and has not come. Takes `LOOK_WITHIN` at most; no, when it
        cannot be found out."""
        times = [event["origin_server_ts"] for event in events if isinstance(event.get("origin_server_ts"), int)]
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                await self._fetch()
        except Exception as error:
            heed_cancellation()
            log.info("what was missed cannot be found out: %s", describe(error))
            return False
        own = {event.get("event_id") for event in events}
        older = [
            event_id
            for event_id, event in self._outstanding.items()
            if event_id not in own and event.said_at <= min(times, default=0)
        ]
        self._asked_for.update(older)
        return bool(older)

    async def run(self) -> None:
        """Look at once, and then whenever there is reason to, until cancelled."""
        backoff = Backoff(FIRST_RETRY, LAST_RETRY, secrets.token_bytes)
        while True:
            try:
                await self._fetch()
                await self._ask_for_what_was_left()
            except Exception as error:
                heed_cancellation()
                pause = backoff.next()
                log.info("what was missed cannot be fetched yet: %s", describe(error))
            else:
                backoff.reset()
                restless = self._outstanding or self._clock.monotonic() < self._restless_until
                pause = SETTLED if restless else LOOK_INTERVAL
            await self._alarm.sleep(pause)

    async def _fetch(self) -> None:
        async with self._one_at_a_time:
            if self._since is None:
                async with self._store.transaction() as tx:
                    self._since = await self._store.get_setting(tx, TOKEN)
            events, receipts, now = await self._homeserver.missed(self._since)
            await self._intake.accept("", [], receipts)
            seen_at = self._clock.monotonic()
            for event in filter(self._intake.is_for_us, events):
                said_at = event.get("origin_server_ts")
                self._outstanding[event["event_id"]] = _Outstanding(
                    event["room_id"], said_at if isinstance(said_at, int) else 0, seen_at
                )
            async with self._store.transaction() as tx:
                come = await self._store.inbox.known(tx, self._outstanding) | self._asked_for
                left = {event_id: event for event_id, event in self._outstanding.items() if event_id not in come}
                if not left:
                    await self._store.set_setting(tx, TOKEN, now)
            self._outstanding = dict(list(left.items())[-MOST_OUTSTANDING:])
            self._asked_for.clear()
            self._since = now

    async def _ask_for_what_was_left(self) -> None:
        settled = self._clock.monotonic() - SETTLED
        left = {event_id: event for event_id, event in self._outstanding.items() if event.seen_at <= settled}
        if left:
            newest, event = max(left.items(), key=lambda each: each[1].said_at)
            self._asked_for.update(left)
            await self._homeserver.bring_again(event.room_id, MatrixEventId(newest))
