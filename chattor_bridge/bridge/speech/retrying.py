"""Trying again what could not be sent: by the sign under its notice, or by an answer to it."""

from __future__ import annotations

from chattor_bridge.bridge import content
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.parking import Parking
from chattor_bridge.bridge.records import JsonObject, Portal, PortalNotice, Topic
from chattor_bridge.bridge.statuses import RETRY_MARK
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import MatrixEventId
from chattor_bridge.node.ports import Transaction

RETRY_WORDS = frozenset({"retry", "again"})
DROP_WORDS = frozenset({"drop"})


class Retrying:
    """Recognises what is about a notice of something that is kept."""

    def __init__(self, store: BridgeStore, parking: Parking, voice: Voice) -> None:
        self._store = store
        self._parking = parking
        self._voice = voice

    async def reacted(self, portal: Portal, body: JsonObject) -> Deed | None:
        """The deed for a reaction that asks for another try; None for any other. Raises: Unavailable."""
        relation = content.relation(body)
        if relation.get("key") != RETRY_MARK:
            return None
        notice = await self._notice(portal, relation.get("event_id"))
        return None if notice is None else self._again(portal, notice)

    async def answered(self, portal: Portal, body: JsonObject) -> Deed | None:
        """The same of an answer. Raises: Unavailable."""
        word = content.plain(body).strip().casefold()
        if word not in RETRY_WORDS | DROP_WORDS:
            return None
        notice = await self._notice(portal, content.reply_target(body))
        if notice is None:
            return None
        return self._again(portal, notice) if word in RETRY_WORDS else self._given_up(portal, notice)

    async def _notice(self, portal: Portal, target: object) -> PortalNotice | None:
        if not isinstance(target, str):
            return None
        async with self._store.transaction() as tx:
            notice = await self._store.portal_notices.by_matrix_event(tx, MatrixEventId(target))
            if notice is None and await self._voice.is_under_way(tx, portal_lane(portal)):
                raise Unavailable("an answer came before its notice was saved")
        return notice if notice is not None and notice.topic is Topic.HELD else None

    def _again(self, portal: Portal, notice: PortalNotice) -> Deed:
        async def deed(tx: Transaction) -> None:
            await self._parking.retry(tx, await self._parking.held(tx, portal, notice))

        return deed

    def _given_up(self, portal: Portal, notice: PortalNotice) -> Deed:
        async def deed(tx: Transaction) -> None:
            await self._parking.drop(tx, await self._parking.held(tx, portal, notice))

        return deed
