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
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixEventId, MatrixRoomId
from chattor_bridge.node.patience import Alarm, Backoff, describe, heed_cancellation
from chattor_bridge.node.ports import Clock

LOOK_INTERVAL = 3600.0
"""Seconds between two looks while all seems well. One costs the homeserver next to nothing and keeps the next cheap."""

SETTLED = 10.0
"""Seconds after which an event that was on its way has come, and one that has not was left behind."""

COMES_WITHIN = 30.0
"""Seconds after which an event that was asked for never comes: the homeserver has brought it before, to a database that
was put back since, or it is of those it brings to nobody."""

LOOK_WITHIN = 5.0
"""Seconds that a transaction waits for a look at most; a homeserver gives one up after sixty."""

MOST_OUTSTANDING = 1000
"""Events remembered as on their way; of more, as in a long outage, the newest. The others it repeats anyhow."""

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""Seconds before looking again when the homeserver does not answer: the first, and then, unless there is reason to
before, some that double from the first to the last."""

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
        self._has_failed = False
        self._one_at_a_time = asyncio.Lock()
        self._since: str | None = None
        self._outstanding: dict[str, _Outstanding] = {}
        self._asked_for: dict[str, float] = {}  # and when; each only once

    def look(self) -> None:
        """Look soon, and once more when things have settled. Cheap, never blocks."""
        now = self._clock.monotonic()
        if now >= self._restless_until or self._has_failed:
            self._alarm.ring()
        self._restless_until = now + SETTLED

    async def is_overtaken(self, events: Sequence[JsonObject]) -> bool | None:
        """Whether something older than all of these exists and has not come, None when that cannot be found out. Takes
        `LOOK_WITHIN` at most. In a room its order counts, whatever the clocks of two homeservers say."""
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                await self._fetch()
        except Exception as error:
            heed_cancellation()
            log.info("what was missed cannot be found out: %s", describe(error))
            return None
        own = {event.get("event_id") for event in events}
        since = min((_said_at(event) for event in events), default=0)
        rooms = {event.get("room_id") for event in events}
        older: list[str] = []
        reached: set[str] = set()
        for event_id, event in self._outstanding.items():
            if event_id in own:
                reached.add(event.room_id)
            elif event_id not in self._asked_for and (
                event.said_at <= since or (event.room_id in rooms and event.room_id not in reached)
            ):
                older.append(event_id)
        self._ask_for(older)
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
                self._has_failed = True
                pause = backoff.next()
                log.info("what was missed cannot be fetched yet: %s", describe(error))
                await self._clock.sleep(FIRST_RETRY)  # also when there is reason to look all the time
            else:
                self._has_failed = False
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
                self._outstanding[event["event_id"]] = _Outstanding(event["room_id"], _said_at(event), seen_at)
            newest = set(sorted(self._outstanding, key=self._said_when)[-MOST_OUTSTANDING:])
            never = {event_id for event_id, at in self._asked_for.items() if at <= seen_at - COMES_WITHIN}
            async with self._store.transaction() as tx:
                wanted = newest - never - await self._store.inbox.known(tx, newest)
                if not wanted:
                    await self._store.set_setting(tx, TOKEN, now)
            self._outstanding = {event_id: event for event_id, event in self._outstanding.items() if event_id in wanted}
            self._asked_for = {event_id: at for event_id, at in self._asked_for.items() if event_id in wanted}
            self._since = now

    def _said_when(self, event_id: str) -> int:
        return self._outstanding[event_id].said_at

    def _ask_for(self, event_ids: Iterable[str]) -> None:
        self._asked_for.update(dict.fromkeys(event_ids, self._clock.monotonic()))

    async def _ask_for_what_was_left(self) -> None:
        settled = self._clock.monotonic() - SETTLED
        left = [
            event_id
            for event_id, event in self._outstanding.items()
            if event.seen_at <= settled and event_id not in self._asked_for
        ]
        if left:
            newest = max(left, key=self._said_when)
            with suppress(HomeserverRefused):  # nor will it later
                await self._homeserver.bring_again(self._outstanding[newest].room_id, MatrixEventId(newest))
            self._ask_for(left)


def _said_at(event: JsonObject) -> int:
    at = event.get("origin_server_ts")
    return at if isinstance(at, int) else 0
