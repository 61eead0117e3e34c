"""A conversation that goes on in another room: one its owner invited the ghost to, or one that replaces its room.

A ghost is invited by its owner who wants to talk, so where the conversation has no room, that one becomes it; what was
said there before the ghost came in is read after the fact. Where it has a room, the owner is shown the way there. And a
room that its owner replaced (`m.room.tombstone`) is followed, if the new one says itself which it replaces: otherwise
anybody who may write a tombstone could lead a conversation into a room of theirs.

While a room is looked at, what comes from it waits (`is_looked_at`): whether it is the conversation's is not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.content import literal, room_link
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.look import Looks
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject, PendingAction, Portal
from chattor_bridge.bridge.rooms import PortalRooms
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixRoomId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction

NOT_INVITED = (
    "You have replaced this room. The conversation goes on in the new one as soon as you have invited both {ghost} and "
    "me ({bot}) there; until then it goes on here."
)
REPLACED_BY_ANOTHER = (
    "Somebody else than you has replaced this room, so I do not follow: the conversation goes on here. If you cannot "
    "write here any more, `unbridge` gives this room up, and `chat` opens another."
)
NOT_THIS_ROOM = "The room to which you invited **{name}** does not become the room of your conversation: {why}. {way}"
HERE = "The conversation is in {where}."
INVITED = "I invite you to the one it has."

NOT_PRIVATE = "not only who is invited can join"

REASON = "This conversation has a room of its own"
"""What stands in a room beside a ghost that leaves it again."""


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a room, for looking things up."""

    events: Sequence[JsonObject]

    def of(self, event_type: str) -> JsonObject:
        """The event of this type without a key, or an empty one."""
        found = (event for event in self.events if (event["type"], event["state_key"]) == (event_type, ""))
        return next(found, {"sender": "", "content": {}})

    def content(self, event_type: str, key: str) -> Any:
        return self.of(event_type)["content"].get(key)

    def people(self) -> set[str]:
        """Who is there or invited."""
        return {
            event["state_key"]
            for event in self.events
            if event["type"] == "m.room.member" and event["content"].get("membership") in ("join", "invite")
        }

    def is_private(self) -> bool:
        return bool(self.content("m.room.join_rules", "join_rule") == "invite")

    def predecessor(self) -> object:
        predecessor = self.content("m.room.create", "predecessor")
        return predecessor.get("room_id") if isinstance(predecessor, dict) else None


async def is_looked_at(store: BridgeStore, tx: Transaction, room_id: MatrixRoomId) -> bool:
    """Whether it is about to be found out whether this room becomes that of a conversation: so it was noted, and what
    is to find it out has not been set aside or removed."""
    lane = await store.get_setting(tx, _mark(room_id))
    return lane is not None and await store.actions.next(tx, lane) is not None


async def look_at(store: BridgeStore, voice: Voice, tx: Transaction, portal: Portal, room_id: MatrixRoomId) -> None:
    """Have it found out, behind what is being done in the portal."""
    lane = portal_lane(portal)
    await store.set_setting(tx, _mark(room_id), lane)
    action = actions.ConsiderRoom(portal.node_id.hex(), portal.peer_id.hex(), room_id)
    await voice.arrange(tx, lane, action)


def _mark(room_id: MatrixRoomId) -> str:
    return f"looked-at:{room_id}"


class Moving:
    """Finds out whether a room becomes that of a conversation, and moves there."""

    def __init__(
        self,
        store: BridgeStore,
        homeserver: Homeserver,
        voice: Voice,
        conversations: Conversations,
        intake: Intake,
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._voice = voice
        self._conversations = conversations
        self._intake = intake
        self._portals = PortalRooms(store, homeserver, conversations)
        self._looks = Looks(store)

    async def consider(self, action: actions.ConsiderRoom, pending: PendingAction) -> Deed:
        """Join, look around, and stay or leave; may be cut off anywhere and run again from its start.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        node_id, peer_id = NodeId(bytes.fromhex(action.node)), PeerId(bytes.fromhex(action.peer))
        room_id = MatrixRoomId(action.room)
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            contact = await self._store.contacts.get(tx, node_id, peer_id)
        then: Deed = nothing
        if portal is not None:
            if portal.room_id == room_id:  # again, after having moved
                await self._catch_up(portal, room_id)
            else:
                then = await self._decide(portal, room_id, is_friend=contact is not None)

        async def deed(tx: Transaction) -> None:
            await self._store.remove_settings(tx, _mark(room_id))
            await then(tx)

        return deed

    async def _decide(self, portal: Portal, room_id: MatrixRoomId, *, is_friend: bool) -> Deed:
        try:
            await self._homeserver.join(portal.ghost, room_id)
            new = _State(await self._homeserver.room_state(portal.ghost, room_id))
        except HomeserverRefused:  # not invited, or not any more
            return await self._not_invited(portal, room_id)
        if await self._replaces(portal, room_id, new):
            why = "" if new.is_private() else NOT_PRIVATE
        else:
            why = self._unfit(portal, new, is_friend=is_friend)
        if not why:
            try:
                await self._portals.bring_bot(portal.ghost, room_id)
            except HomeserverRefused:
                if new.predecessor() is not None:
                    return await self._not_invited(portal, room_id)
                why = f"your friend may not invite me ({self._homeserver.bot}) there"
        if why:
            with suppress(HomeserverRefused):
                await self._homeserver.leave(portal.ghost, room_id, REASON)
            return self._explain(portal, why)
        await self._move(portal, room_id)
        return nothing

    async def _replaces(self, portal: Portal, room_id: MatrixRoomId, new: _State) -> bool:
        """Whether the owner has replaced the portal's room by this one."""
        if portal.room_id is None or new.predecessor() != portal.room_id:
            return False
        old = _State(await self._homeserver.room_state(portal.ghost, portal.room_id))
        makers = {old.of("m.room.tombstone")["sender"], new.of("m.room.create")["sender"]}
        return old.content("m.room.tombstone", "replacement_room") == room_id and makers == {portal.owner}

    def _unfit(self, portal: Portal, new: _State, *, is_friend: bool) -> str:
        """Why this room, to which the owner has invited the ghost, cannot become the portal's; empty when it can."""
        if not is_friend or portal.merged_into is not None:
            return "this contact is not there any more"
        if portal.room_id is not None:
            return "it has one already"
        if new.of("m.room.create")["sender"] != portal.owner or new.content("m.room.create", "type") is not None:
            return "it is not a room you made for it"
        if not new.is_private():
            return NOT_PRIVATE
        if new.people() - {portal.owner, portal.ghost, self._homeserver.bot}:
            return "there are others in it"
        return ""

    async def _not_invited(self, portal: Portal, room_id: MatrixRoomId) -> Deed:
        if portal.room_id is None:
            return nothing
        old = _State(await self._homeserver.room_state(portal.ghost, portal.room_id))
        if old.content("m.room.tombstone", "replacement_room") != room_id:
            return nothing
        text = NOT_INVITED.format(ghost=literal(portal.ghost), bot=literal(self._homeserver.bot))

        async def deed(tx: Transaction) -> None:
            await self._voice.say(tx, Place.portal(portal), text)

        return deed

    def _explain(self, portal: Portal, why: str) -> Deed:
        async def deed(tx: Transaction) -> None:
            contact = await self._store.contacts.get(tx, portal.node_id, portal.peer_id)
            name = (await self._looks.in_transaction(tx, portal)).name
            way = HERE.format(where=room_link(portal)) if portal.room_id is not None else INVITED
            if contact is None or portal.merged_into is not None:
                way = ""
            else:
                await self._conversations.open(tx, portal)
            text = NOT_THIS_ROOM.format(name=literal(name), why=literal(why), way=way)
            await self._voice.say(tx, Place.management(portal.owner), text)

        return deed

    async def _move(self, portal: Portal, room_id: MatrixRoomId) -> None:
        moved = replace(portal, room_id=room_id)
        await self._portals.seclude(portal.ghost, room_id)
        said = await self._homeserver.said_by(portal.ghost, room_id, portal.owner)
        async with self._store.transaction() as tx:
            await self._intake.accept_earlier(tx, room_id, said)
            if portal.room_id is not None:
                await self._store.unread.remove_room(tx, portal.room_id)
            await self._store.portals.move(tx, portal.node_id, portal.peer_id, room_id)
            await self._conversations.tend(tx, portal.owner)
        await self._catch_up(moved, room_id)

    async def _catch_up(self, portal: Portal, room_id: MatrixRoomId) -> None:
        """Let the new room say what it is, and leave the old ones."""
        await self._portals.show(portal, await self._looks.of(portal))
        for old in await self._homeserver.joined_rooms(portal.ghost):
            if old != room_id:
                with suppress(HomeserverRefused):
                    await self._portals.unbridge(portal.ghost, old)
                for user in (portal.ghost, self._homeserver.bot):
                    with suppress(HomeserverRefused):
                        await self._homeserver.leave(user, old)
