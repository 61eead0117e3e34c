"""How everything inside a transaction arranges that something is done on the homeserver after it.

A reply of the bot becomes a row in the same commit as what it tells of, so neither can be lost without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chattor_bridge.bridge.actions import Action, Say, to_json
from chattor_bridge.bridge.lane_names import owner_lane, portal_lane
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.protocol.splitting import split_text

ACTIONS_LIMIT = 100_000
"""Pending actions, at about 1 KB each: 100 MB of disk. Beyond it nothing new is accepted from friends, who keep their
messages and send them again, until the homeserver has taken what waits."""

LANE_LIMIT = 4_000
"""Of them in one lane, those set aside included, 90 MB at most: a friend who says more than the homeserver takes is
kept waiting, and the others are not. More than one transaction ever adds, which is what was held past a gap
(`chattor_bridge.protocol.limits.MAX_HELD`) and a batch: or that one could never be stored."""

WAITED_FOR = 3
"""Tries of an action, which take a few seconds in all."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bot talks with ``owner``: a room, or with ``None`` whichever management room they have by then."""

    owner: MatrixUserId
    room_id: MatrixRoomId | None
    lane: str

    @classmethod
    def management(cls, owner: MatrixUserId, room_id: MatrixRoomId | None = None) -> Place:
        return cls(owner, room_id, owner_lane(owner))

    @classmethod
    def portal(cls, portal: Portal) -> Place:
        return cls(portal.owner, portal.room_id, portal_lane(portal))


class Voice:
    """Adds pending actions and wakes their lane once they are on disk."""

    def __init__(self, store: BridgeStore, clock: Clock, bot: MatrixUserId, wake: Callable[[str], None]) -> None:
        self.bot = bot
        self._store = store
        self._clock = clock
        self._wake = wake

    async def arrange(self, tx: Transaction, lane: str, action: Action) -> None:
        """Have ``action`` done after everything that already waits in ``lane``."""
        await self._store.actions.add(tx, lane, to_json(action), self._clock.now())
        tx.after_commit(lambda: self._wake(lane))

    async def say(self, tx: Transaction, place: Place, text: str, *, reply_to: MatrixEventId | None = None) -> None:
        """The bot says ``text`` (CommonMark) at this place, in several messages if it is long."""
        for piece in split_text(text):
            await self.arrange(tx, place.lane, Say(place.owner, place.room_id, piece, reply_to))
            reply_to = None

    async def edit(self, tx: Transaction, place: Place, message: MatrixEventId, text: str) -> None:
        """The bot replaces an earlier message of its own."""
        await self.arrange(tx, place.lane, Say(place.owner, place.room_id, text, edits=message))

    async def is_under_way(self, tx: Transaction, lane: str) -> bool:
        """Whether the oldest action of ``lane`` was begun: what it says may be on the homeserver already, and answered
        by somebody, while our database does not know its event id yet. An action that has failed more than
        `WAITED_FOR` times is not worth holding anything up for."""
        first = await self._store.actions.next(tx, lane)
        return first is not None and 0 < first.attempts <= WAITED_FOR

    async def check_room_for_more(self, tx: Transaction, lane: str) -> None:
        """Refuse what comes from outside, and would wait in ``lane``, while too much waits for the homeserver.

        Raises: HomeserverUnavailable.
        """
        waiting, aside = self._store.actions.count, self._store.actions.count_parked
        if await waiting(tx, lane) >= LANE_LIMIT or await waiting(tx) >= ACTIONS_LIMIT:
            raise HomeserverUnavailable("too much waits for the homeserver; friends have to keep their messages")
        if await aside(tx, lane) + await waiting(tx, lane) >= LANE_LIMIT:
            raise HomeserverUnavailable("too much of it was set aside: parked shows it, and parked drop all makes room")
