"""What was set aside because it could not be worked off, and how it comes back.

A parked row keeps its place: tried again, it goes before everything of its queue that came after it. What has
overtaken it meanwhile stays ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from chattor_bridge.bridge.lane_names import files_lane, owner_lane, portal_lane
from chattor_bridge.bridge.records import Parked, Portal, PortalNotice, Topic
from chattor_bridge.bridge.statuses import take_back
from chattor_bridge.bridge.store_ports import BridgeStore, MatrixInbox, PendingActions
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import NotFound
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction


class Side(StrEnum):
    """Which of the two queues it was taken out of."""

    INBOX = "inbox"
    ACTIONS = "actions"


@dataclass(frozen=True, slots=True)
class Aside:
    """One parked row, and the conversation it belongs to; ``None`` when it is about the owner and the bot."""

    side: Side
    row: Parked
    portal: Portal | None

    @property
    def ident(self) -> bytes:
        """Stays the same for as long as the row is there."""
        return f"{self.side}:{self.row.order}".encode()


class Parking:
    """Looks after parked rows. ``wake_inbox`` and ``wake_actions`` are told which queue has work again."""

    def __init__(
        self,
        store: BridgeStore,
        voice: Voice,
        wake_inbox: Callable[[str], None],
        wake_actions: Callable[[str], None],
    ) -> None:
        self._store = store
        self._voice = voice
        self._wake = {Side.INBOX: wake_inbox, Side.ACTIONS: wake_actions}

    async def of(self, tx: Transaction, owner: MatrixUserId) -> list[Aside]:
        """Everything of this owner, oldest first."""
        portals = await self._store.portals.of_owner(tx, owner)
        rooms: dict[str, Portal] = {portal.room_id: portal for portal in portals if portal.room_id is not None}
        lanes = {lane(portal): portal for portal in portals for lane in (portal_lane, files_lane)}
        managed = await self._store.management_rooms.all_of_owner(tx, owner)
        inbox = await self._store.inbox.parked(tx, [*(MatrixRoomId(room_id) for room_id in rooms), *managed])
        pending = await self._store.actions.parked(tx, [*lanes, owner_lane(owner)])
        found = [Aside(Side.INBOX, row, rooms.get(row.queue)) for row in inbox]
        found += [Aside(Side.ACTIONS, row, lanes.get(row.queue)) for row in pending]
        return sorted(found, key=lambda aside: aside.row.since)

    async def count(self, tx: Transaction) -> int:
        """How much is parked in all."""
        return await self._store.inbox.count_parked(tx) + await self._store.actions.count_parked(tx)

    async def retry(self, tx: Transaction, aside: Aside) -> None:
        """Put it back into its queue. Raises: NotFound when it is gone."""
        await self._table(aside).unpark(tx, aside.row.order)
        await self._take_notice_back(tx, aside)
        tx.after_commit(lambda: self._wake[aside.side](aside.row.queue))

    async def drop(self, tx: Transaction, aside: Aside) -> None:
        """Remove it for good."""
        await self._table(aside).remove(tx, aside.row.order)
        await self._take_notice_back(tx, aside)

    async def held(self, tx: Transaction, portal: Portal, notice: PortalNotice) -> Aside:
        """What a notice in this portal tells of. Raises: NotFound when it is gone."""
        for row in await self._store.inbox.parked(tx, [notice.room_id]):
            if str(row.order) == notice.subject:
                return Aside(Side.INBOX, row, portal)
        raise NotFound("this was sent or given up already")

    async def removed(self, tx: Transaction, portal: Portal, room_id: MatrixRoomId, event_id: MatrixEventId) -> bool:
        """Drop what is kept of an event that the owner has removed from the room. Whether there was any."""
        for row in await self._store.inbox.parked(tx, [room_id]):
            if row.content["event_id"] == event_id:
                await self.drop(tx, Aside(Side.INBOX, row, portal))
                return True
        return False

    async def _take_notice_back(self, tx: Transaction, aside: Aside) -> None:
        """What the portal says of it is true no more."""
        if aside.side is Side.INBOX and aside.portal is not None:
            for notice in await self._store.portal_notices.of_room(tx, MatrixRoomId(aside.row.queue), Topic.HELD):
                if notice.subject == str(aside.row.order):
                    await take_back(self._store, self._voice, tx, aside.portal, notice)

    def _table(self, aside: Aside) -> MatrixInbox | PendingActions:
        return self._store.inbox if aside.side is Side.INBOX else self._store.actions
