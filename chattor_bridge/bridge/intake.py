"""The door by which Matrix events come in: into the inbox in one transaction, and only then is the homeserver answered.

Repetitions are harmless: the inbox knows events by their id, also for a while after they are done.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.ports import Transaction

INBOX_LIMIT = 100_000
"""Events waiting; at 65 KB at most and about 1 KB usually, that is some 100 MB of disk. Beyond it the homeserver is
asked to keep its events, which it does."""

MEMORY = 14 * 24 * 3600
"""Seconds for which the id of a finished event is remembered. A homeserver repeats a transaction until it is answered,
with pauses of minutes; two weeks outlast any outage it would do that for."""

LONGEST_ID = 255
"""Bytes of any id in Matrix."""

DEEPEST_EVENT = 100
"""Objects and lists inside one another. Clients come to a dozen; with ten times as many as this an event could be read
and not be written down, and all that come after it would wait for ever."""

READ_EVENT = "chattor_bridge.read"
"""The type of the inbox item made of a read receipt. Its event id begins with `READ_ID_PREFIX`, which no event of a
homeserver does, so nobody can send one."""

READ_ID_PREFIX = "read:"

log = logging.getLogger(__name__)


class Intake:
    """Stores what the homeserver brings. ``wake`` is called with the id of each room that has news."""

    def __init__(
        self, store: BridgeStore, clock: SteadyClock, household: Household, wake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._household = household
        self._wake = wake

    async def accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        """Store events and read receipts; when this returns they are on disk. What else is ephemeral is not kept.

        Raises: DatabaseUnavailable, or HomeserverUnavailable when too many wait already; nothing was stored then.
        """
        wanted = [event for event in events if self.is_for_us(event)]
        receipts = [event for event in ephemeral if event.get("type") == "m.receipt"]
        if not wanted and not receipts:  # as most are: somebody typed, or came online
            return
        async with self._store.transaction() as tx:
            wanted += await self._receipts(tx, receipts)
            if not wanted:
                return
            if await self._store.inbox.count(tx) + len(wanted) > INBOX_LIMIT:
                raise HomeserverUnavailable("too many events wait already")
            await self._store.inbox.add(tx, wanted, self._clock.now())
            for room_id in dict.fromkeys(event["room_id"] for event in wanted):
                tx.after_commit(lambda room_id=room_id: self._wake(room_id))  # type: ignore[misc]
        failpoint("inbox-committed")

    async def accept_earlier(self, tx: Transaction, room_id: MatrixRoomId, events: Sequence[JsonObject]) -> None:
        """Store what was said in a room, oldest first, before the homeserver told us anything of it.

        Raises: DatabaseUnavailable.
        """
        wanted = [event for event in events if self.is_for_us(event)]
        await self._store.inbox.add_before(tx, room_id, wanted, self._clock.now())
        tx.after_commit(lambda: self._wake(room_id))

    async def forget(self) -> None:
        """Forget the ids of events that were finished long ago."""
        async with self._store.transaction() as tx:
            await self._store.inbox.forget(tx, self._clock.at_least() - MEMORY)

    def is_for_us(self, event: JsonObject) -> bool:
        """Whether it is kept; said in the log when that is for its form."""
        if not all(isinstance(event.get(key), str) for key in ("event_id", "room_id", "sender", "type")):
            log.error("the homeserver sent an event without id, room, sender or type; it is left out")
            return False
        if not isinstance(event.get("content"), dict) or not event["event_id"].startswith("$"):
            log.error("the homeserver sent an event whose content or id has not the form of one; it is left out")
            return False
        if any(not _is_id(event[key]) for key in ("event_id", "room_id", "sender")) or _is_too_deep(event):
            log.error("the homeserver sent an event with an impossible id, or nested too deeply; it is left out")
            return False
        return not self._household.is_ours(event["sender"])

    async def _receipts(self, tx: Transaction, receipts: Sequence[JsonObject]) -> list[JsonObject]:
        """Receipts of owners in their portals, as events for the inbox: in order with what is said there."""
        items = []
        for event in receipts:
            room_id, content = event.get("room_id"), event.get("content")
            if not isinstance(room_id, str) or not isinstance(content, dict):
                continue
            portal = await self._store.portals.by_room(tx, MatrixRoomId(room_id))
            if portal is None:
                continue
            for target, kinds in content.items():
                if portal.owner in _readers(kinds):
                    digest = hashlib.sha256(f"{room_id}\0{portal.owner}\0{target}".encode()).hexdigest()
                    items.append(
                        {
                            "type": READ_EVENT,
                            "event_id": READ_ID_PREFIX + digest,
                            "room_id": room_id,
                            "sender": portal.owner,
                            "content": {"event_id": target},
                        }
                    )
        return items


def _readers(kinds: object) -> Iterable[str]:
    """Who read, of one event's part of an ``m.receipt``."""
    readers = kinds.get("m.read") if isinstance(kinds, dict) else None
    return readers if isinstance(readers, dict) else ()


def _is_id(text: str) -> bool:
    """Whether a database can keep it, and a homeserver can have made it."""
    return len(text.encode()) <= LONGEST_ID and "\0" not in text


def _is_too_deep(event: JsonObject) -> bool:
    layer: list[Any] = [event]
    for _ in range(DEEPEST_EVENT):
        inside = [one for outer in layer for one in (outer.values() if isinstance(outer, dict) else outer)]
        layer = [one for one in inside if isinstance(one, dict | list)]
        if not layer:
            return False
    return True
