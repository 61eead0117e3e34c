"""Actions that end a room: a conversation that is over, and one whose room is given up.

Like everything an action does, each method may be cut off anywhere and run again from its start.
"""

from __future__ import annotations

from contextlib import suppress

from chattor_bridge.bridge import actions, content
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.erasure import forget_portal
from chattor_bridge.bridge.ghosts import transaction_id
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import PendingAction
from chattor_bridge.bridge.rooms import PortalRooms
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction

CLOSED = (
    "This conversation is over: everything about it was removed from the bridge. What was said stays in this room, and "
    "nothing you write here goes anywhere any more. You can leave it."
)

PARTED = (
    "This room leads nowhere any more, as you asked: nothing that stands below your command was sent. You are still "
    "friends. When your friend writes, or you tell me to `chat`, a new room opens."
)

SENT_AWAY = "The room of this conversation was deleted, as its owner asked."


YOURS = "You have made that room yourself, so I cannot send you out of it: please leave it, and it is gone."


class Closing:
    """Ends rooms."""

    def __init__(
        self,
        store: BridgeStore,
        homeserver: Homeserver,
        conversion: TextConversion,
        sender: Sender,
        conversations: Conversations,
        voice: Voice,
    ) -> None:
        self._voice = voice
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._sender = sender
        self._conversations = conversations
        self._portals = PortalRooms(store, homeserver, conversations)

    async def close_portal(self, action: actions.ClosePortal, pending: PendingAction) -> Deed:
        node_id, peer_id = NodeId(bytes.fromhex(action.node)), PeerId(bytes.fromhex(action.peer))
        ghost = MatrixUserId(action.ghost)
        async with self._store.transaction() as tx:
            # there is one again when what was under way as the rows were removed has just opened a room
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
        known = [action.room, portal.room_id if portal is not None else None]
        rooms = {MatrixRoomId(room) for room in known if room is not None}
        if not rooms:  # one may have been made and not saved
            rooms = set(await self._homeserver.joined_rooms(ghost))
        for room_id in rooms:
            await self._leave(room_id, ghost, CLOSED, action.key, pending)
        if rooms:
            await self._homeserver.ensure_user(ghost, NAMELESS)  # the friend's name is nobody's business any more

        async def deed(tx: Transaction) -> None:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            if portal is not None:
                await forget_portal(self._store, tx, portal)
            await self._store.event_links.remove(tx, node_id, peer_id)
            await self._store.room_keys.forget(tx, ghost)
            for room_id in rooms:
                await self._store.unread.remove_room(tx, room_id)
                await self._store.portal_notices.remove_room(tx, room_id)
                await self._store.room_keys.forget(tx, room_id)

        return deed

    async def part(self, action: actions.PartFromRoom, pending: PendingAction) -> Deed:
        """Leave the room of a conversation that may go on in another, and take everybody along if so wanted."""
        node_id, peer_id = NodeId(bytes.fromhex(action.node)), PeerId(bytes.fromhex(action.peer))
        room_id, ghost = MatrixRoomId(action.room), MatrixUserId(action.ghost)
        staying: set[MatrixUserId] = set()
        if action.everybody:
            with suppress(HomeserverRefused):  # it has left already
                staying = await self._send_away(room_id, ghost)
        await self._leave(room_id, ghost, PARTED, action.key, pending)

        async def deed(tx: Transaction) -> None:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            if portal is not None and portal.room_id == room_id:  # what was still to be shown has found it again
                await self._store.portals.leave(tx, room_id)
                await self._conversations.tend(tx, portal.owner)
            if portal is not None and portal.owner in staying:
                await self._voice.say(tx, Place.management(portal.owner), YOURS)
            await self._store.unread.remove_room(tx, room_id)
            await self._store.portal_notices.remove_room(tx, room_id)
            await self._store.room_keys.forget(tx, room_id)

        return deed

    async def _send_away(self, room_id: MatrixRoomId, ghost: MatrixUserId) -> set[MatrixUserId]:
        """Those whom the ghost has no power to send out."""
        staying = set()
        for event in await self._homeserver.room_state(ghost, room_id):
            member = MatrixUserId(event["state_key"])
            here = event["type"] == "m.room.member" and event["content"].get("membership") in ("join", "invite")
            if here and member not in (ghost, self._homeserver.bot):
                out = {"membership": "leave", "reason": SENT_AWAY}
                try:
                    await self._homeserver.set_state(ghost, room_id, "m.room.member", out, member)
                except HomeserverRefused:
                    staying.add(member)
        return staying

    async def _leave(
        self, room_id: MatrixRoomId, ghost: MatrixUserId, text: str, key: str, pending: PendingAction
    ) -> None:
        bot = self._homeserver.bot
        mark = transaction_id(bot, room_id, bytes.fromhex(key), "closed")
        event = content.written(self._conversion, text, mark, notice=True)
        with suppress(HomeserverRefused):  # it has left already
            await self._sender.send(bot, room_id, "m.room.message", event, mark, pending)
        with suppress(HomeserverRefused):
            await self._portals.unbridge(ghost, room_id)
        for user in (ghost, bot):
            with suppress(HomeserverRefused):
                await self._homeserver.leave(user, room_id)
