"""Actions in portals: opening them, and sending there.

Like everything an action does, each method may be cut off anywhere and run again from its start. What it learns (the id
of the Matrix event it made) is returned as a deed, for the transaction that also removes the action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chattor_bridge.bridge import actions, content
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.ghosts import transaction_id
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.look import Looks
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import JsonObject, PendingAction, Portal
from chattor_bridge.bridge.rooms import ROOM_LOST, PortalRooms
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import EventId, MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction

WELCOME = (
    "This room is yours alone: what you write here goes to your friend over Chattor, and what your friend writes "
    "appears here. Others you invite can read along, but what they write is not sent.\n\n"
    "A receipt of mine under your message says that it was delivered; one of your friend's, that it was read. Between "
    "your friend and this bridge everything is encrypted from end to end. Whoever runs this bridge could read it here, "
    "and where this room is not encrypted, your homeserver too. `!chattor help` shows what you can ask me in this room."
)

Make = Callable[[MatrixRoomId, str], tuple[str, JsonObject]]
"""Type and content of a Matrix event, for the room and the transaction id it is sent with."""


class Showing:
    """Does what actions want done about portals."""

    def __init__(
        self,
        store: BridgeStore,
        homeserver: Homeserver,
        conversion: TextConversion,
        sender: Sender,
        conversations: Conversations,
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._sender = sender
        self._portals = PortalRooms(store, homeserver, conversations)
        self._looks = Looks(store)

    async def rename(self, action: actions.RenamePortal) -> None:
        portal = await self.portal(action.node, action.peer)
        await self._portals.show(portal, await self._looks.of(portal))

    async def open_portal(self, action: actions.OpenPortal, pending: PendingAction) -> Deed:
        portal = await self.portal(action.node, action.peer)
        look = await self._looks.of(portal)
        try:
            room_id = await self._portals.open(portal, look)
        except HomeserverRefused as error:
            if portal.room_id is None or error.errcode not in ROOM_LOST:
                raise
            room_id = await self._portals.open(await self._without(portal, portal.room_id), look)
        if room_id == portal.room_id and pending.attempts == 0:
            return nothing
        welcome = await self._welcome_to(portal, room_id, pending)

        async def deed(tx: Transaction) -> None:
            await self._store.unread.add(tx, room_id, welcome, None)

        return deed

    async def _welcome_to(self, portal: Portal, room_id: MatrixRoomId, pending: PendingAction) -> MatrixEventId:
        mark = transaction_id(self._homeserver.bot, room_id, portal.peer_id, "welcome")
        event = content.written(self._conversion, WELCOME, mark, notice=True)
        return await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)

    async def send(
        self, portal: Portal, sender: MatrixUserId, make: Make, event_id: EventId, pending: PendingAction
    ) -> tuple[MatrixRoomId, MatrixEventId]:
        """Send what ``make`` makes for a room and a transaction id, on behalf of a friend's event; a portal that was
        lost is opened again rather than the event given up. Where it is, and what it is called there."""

        async def send(room_id: MatrixRoomId) -> MatrixEventId:
            mark = transaction_id(sender, room_id, event_id, 0)
            event_type, message = make(room_id, mark)
            return await self._sender.send(sender, room_id, event_type, message, mark, pending)

        room_id = portal.room_id or await self._portals.open(portal, await self._looks.of(portal))
        try:
            return room_id, await send(room_id)
        except HomeserverRefused as error:
            if error.errcode not in ROOM_LOST:
                raise
        room_id = await self._portals.open(await self._without(portal, room_id), await self._looks.of(portal))
        await self._welcome_to(portal, room_id, pending)
        return room_id, await send(room_id)

    async def portal(self, node: str, peer: str) -> Portal:
        """The portal as it is now."""
        async with self._store.transaction() as tx:
            return await self.portal_in(tx, node, peer)

    async def portal_in(self, tx: Transaction, node: str, peer: str) -> Portal:
        """The same inside a transaction."""
        portal = await self._store.portals.by_peer(tx, NodeId(bytes.fromhex(node)), PeerId(bytes.fromhex(peer)))
        if portal is None:
            raise LookupError("an action for a portal that is not in the database")
        return portal

    async def _without(self, portal: Portal, room_id: MatrixRoomId) -> Portal:
        """The portal, whose room was lost."""
        async with self._store.transaction() as tx:
            await self._store.portals.leave(tx, room_id)
        return replace(portal, room_id=None)
