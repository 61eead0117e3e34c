"""Whose business a Matrix event is: a portal's, the bot's, or nobody's."""

from __future__ import annotations

from dataclasses import dataclass

from chattor_bridge.bridge import content
from chattor_bridge.bridge.actions import Leave
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.intake import READ_EVENT, READ_ID_PREFIX
from chattor_bridge.bridge.lane_names import room_lane
from chattor_bridge.bridge.listener import Deed, Heard, Listener, nothing
from chattor_bridge.bridge.moving import REPLACED_BY_ANOTHER, is_looked_at, look_at
from chattor_bridge.bridge.records import InboxItem, JsonObject, Portal
from chattor_bridge.bridge.speech.portal import PortalSpeech
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction


@dataclass(frozen=True, slots=True)
class Situation:
    """What we know of the room an event happened in: a portal, somebody's management room, or neither."""

    portal: Portal | None
    manager: MatrixUserId | None

    def place(self, room_id: MatrixRoomId) -> Place | None:
        """Where the bot talks about what happened there; ``None`` where it has no business."""
        if self.portal is not None:
            return Place.portal(self.portal)
        return None if self.manager is None else Place.management(self.manager, room_id)


class Router:
    """Finds the deed for each inbox item."""

    def __init__(
        self,
        store: BridgeStore,
        household: Household,
        voice: Voice,
        speech: PortalSpeech,
        listener: Listener,
        conversations: Conversations,
    ) -> None:
        self._store = store
        self._household = household
        self._voice = voice
        self._speech = speech
        self._listener = listener
        self._conversations = conversations

    async def situation(self, tx: Transaction, room_id: MatrixRoomId) -> Situation:
        portal = await self._store.portals.by_room(tx, room_id)
        manager = None if portal is not None else await self._store.management_rooms.owner_of(tx, room_id)
        return Situation(portal, manager)

    async def deed(self, item: InboxItem, situation: Situation) -> Deed:
        """What to do about this event. Called outside any transaction.

        Raises: UsageError when the answer is no, Unavailable when it has to wait.
        """
        event = item.event
        if event["type"] == READ_EVENT and event["event_id"].startswith(READ_ID_PREFIX):
            if situation.portal is None:
                return nothing
            return await self._speech.read(situation.portal, MatrixEventId(event["content"]["event_id"]))
        if event["type"] == "m.room.member" and isinstance(event.get("state_key"), str):
            return await self._membership(item, situation)
        if event["type"] == "m.room.tombstone" and situation.portal is not None:
            return self._replaced(situation.portal, MatrixUserId(event["sender"]), event["content"])
        if "state_key" in event:
            return nothing if situation.portal is None else self._speech.arranged(situation.portal, item)
        if situation.portal is not None:
            return await self._speech.said(situation.portal, item)
        if situation.manager is not None and event["sender"] == situation.manager:
            return await self._to_bot(item, situation.manager)
        if situation.manager is None:
            async with self._store.transaction() as tx:
                if await is_looked_at(self._store, tx, item.room_id):
                    raise Unavailable("whether this room becomes that of a conversation is being found out")
        return nothing

    async def _to_bot(self, item: InboxItem, owner: MatrixUserId) -> Deed:
        body = item.event["content"]
        place = Place.management(owner, item.room_id)
        if item.event["type"] == "m.reaction":
            relation = content.relation(body)
            target, emoji = relation.get("event_id"), relation.get("key")
            if isinstance(target, str) and isinstance(emoji, str):
                return await self._listener.reacted(owner, place, MatrixEventId(target), emoji)
            return nothing
        if item.event["type"] != "m.room.message" or body.get("msgtype") == "m.notice":
            return nothing
        is_text = body.get("msgtype") in ("m.text", "m.emote") and content.relation(body).get("rel_type") != "m.replace"
        target = content.reply_target(body)
        heard = Heard(
            owner,
            place,
            MatrixEventId(item.event["event_id"]),
            content.plain(body) if is_text else None,
            None if target is None else MatrixEventId(target),
            None,
        )
        return await self._listener.heard(heard)

    async def _membership(self, item: InboxItem, situation: Situation) -> Deed:
        event = item.event
        sender, subject = MatrixUserId(event["sender"]), MatrixUserId(event["state_key"])
        membership = event["content"].get("membership")
        if membership == "invite" and subject == self._household.bot:
            if situation.portal is not None or situation.manager not in (None, sender):
                return nothing  # it is there for somebody already, whoever else may say so
            replaced = await self._portal_replaced_by(event)
            if replaced is not None:
                return self._look_at(replaced, item.room_id)
            return await self._listener.invited(sender, item.room_id)
        if membership == "invite" and self._household.is_ghost(subject):
            return self._ghost_invited(sender, subject, item.room_id)
        if membership in ("leave", "ban"):
            return self._gone(subject, item.room_id, situation)
        if membership == "join" and situation.manager is not None and subject != situation.manager:
            return await self._listener.crowded(situation.manager, item.room_id)
        return nothing

    def _ghost_invited(self, sender: MatrixUserId, ghost: MatrixUserId, room_id: MatrixRoomId) -> Deed:
        """Ghosts live in their portals alone, and come only when their owner calls. Of one that is nobody's nothing is
        said: to leave a room it would have to be made first, and anybody can invite any name."""

        async def deed(tx: Transaction) -> None:
            portal = await self._store.portals.by_ghost(tx, ghost)
            if portal is None:
                return
            if sender == portal.owner:
                await look_at(self._store, self._voice, tx, portal, room_id)
            else:
                await self._voice.arrange(tx, room_lane(room_id), Leave(ghost, room_id))

        return deed

    def _look_at(self, portal: Portal, room_id: MatrixRoomId) -> Deed:
        async def deed(tx: Transaction) -> None:
            await look_at(self._store, self._voice, tx, portal, room_id)

        return deed

    def _replaced(self, portal: Portal, sender: MatrixUserId, content: JsonObject) -> Deed:
        """A room was replaced by another. Only its owner may take the conversation there."""
        successor = content.get("replacement_room")
        if sender == portal.owner and isinstance(successor, str):
            return self._look_at(portal, MatrixRoomId(successor))

        async def deed(tx: Transaction) -> None:
            await self._voice.say(tx, Place.portal(portal), REPLACED_BY_ANOTHER)

        return deed

    async def _portal_replaced_by(self, event: JsonObject) -> Portal | None:
        """The portal that the room of this invitation says it replaces, if it is the inviter's."""
        unsigned = event.get("unsigned")
        stripped = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        for state in stripped if isinstance(stripped, list) else ():
            created = state.get("content") if isinstance(state, dict) and state.get("type") == "m.room.create" else None
            predecessor = created.get("predecessor") if isinstance(created, dict) else None
            room_id = predecessor.get("room_id") if isinstance(predecessor, dict) else None
            if isinstance(room_id, str):
                async with self._store.transaction() as tx:
                    portal = await self._store.portals.by_room(tx, MatrixRoomId(room_id))
                return portal if portal is not None and portal.owner == event["sender"] else None
        return None

    def _gone(self, subject: MatrixUserId, room_id: MatrixRoomId, situation: Situation) -> Deed:
        """The owner left, or sent the bot away. A portal's owner is invited again when the friend next says something;
        a management room is over."""

        async def deed(tx: Transaction) -> None:
            if situation.portal is not None:
                portal = await self._store.portals.by_room(tx, room_id)
                if portal is not None and subject in (portal.owner, self._household.bot, portal.ghost):
                    await self._store.portals.leave(tx, room_id)
                    await self._conversations.tend(tx, portal.owner)
            elif situation.manager is not None and subject in (situation.manager, self._household.bot):
                await self._store.management_rooms.remove(tx, room_id)
                if subject == situation.manager:
                    await self._voice.arrange(tx, room_lane(room_id), Leave(self._household.bot, room_id))
            elif subject == await self._store.spaces.owner_of(tx, room_id):
                await self._conversations.close_space(tx, subject)

        return deed
