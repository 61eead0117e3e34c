"""Carrying out one pending action on the homeserver.

Each method may be cut off anywhere and run again from its start: it ends in the same state. What it learns (the id of
the Matrix event it made) is returned as a deed, for the transaction that also removes the action.
"""

from __future__ import annotations

import base64
from dataclasses import replace

from chattor_bridge.bridge import actions, content
from chattor_bridge.bridge.ghosts import MARK_KEY, transaction_id
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.ports import BridgeStore, Homeserver, TextConversion
from chattor_bridge.bridge.records import EventLink, JsonObject, KnockNotice, PendingAction, Portal
from chattor_bridge.bridge.rooms import BOT_NAME, ManagementRooms, PortalRooms
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import EventId, KnockId, MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Clock, Transaction

ROOM_LOST = frozenset({"M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN"})
"""Error codes that may mean the room we knew is closed to us: left, purged or shut down."""

NAMELESS = "A Chattor friend"
"""What to show for a friend who gives no name."""

ACCEPT_MARK = "\N{WHITE HEAVY CHECK MARK}"
IGNORE_MARK = "\N{CROSS MARK}"

WELCOME = (
    "This room is yours alone: what you write here goes to your friend over Chattor, and what your friend writes "
    "appears here. Others you invite can read along, but what they write is not sent.\n\n"
    "A receipt of mine under your message says that it was delivered; one of your friend's, that it was read. Between "
    "your friend and this bridge everything is encrypted from end to end; whoever runs this bridge or your homeserver "
    "could read it here. `!chattor help` shows what you can ask me in this room."
)

UNKNOWN = (
    "{name} sent something this version cannot show (“{type}”). It needs a newer version of the bridge; "
    "ask {name} to say it in plain text."
)


class Performer:
    """Does one action after the other; knows nothing of lanes and retries."""

    def __init__(
        self, store: BridgeStore, homeserver: Homeserver, conversion: TextConversion, clock: Clock, voice: Voice
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._clock = clock
        self._voice = voice
        self._sender = Sender(homeserver, clock)
        self._portals = PortalRooms(store, homeserver)
        self._management = ManagementRooms(store, homeserver, clock)

    async def perform(self, action: actions.Action, pending: PendingAction) -> Deed:
        """Do it, and return what to write down about it.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        match action:
            case actions.Say():
                return await self._say(action, pending)
            case actions.ShowImage():
                return await self._show_image(action, pending)
            case actions.AskAboutKnock():
                return await self._ask_about_knock(action, pending)
            case actions.React():
                return await self._react(action, pending)
            case actions.Welcome():
                return await self._welcome(action, pending)
            case actions.OpenManagement():
                return await self._open_management(action, pending)
            case actions.Decline():
                return await self._decline(action, pending)
            case actions.Leave():
                await self._homeserver.leave(MatrixUserId(action.user), MatrixRoomId(action.room))
                return nothing
            case actions.OpenPortal():
                return await self._open_portal(action, pending)
            case actions.RenamePortal():
                portal, name = await self._portal(action.node, action.peer)
                await self._portals.rename(portal, name)
                return nothing
            case actions.ShowText():
                return await self._show_text(action, pending)
            case actions.ShowUnknown():
                return await self._show_unknown(action, pending)
            case actions.MarkRead():
                room_id, event_id = MatrixRoomId(action.room), MatrixEventId(action.event)
                await self._homeserver.mark_read(MatrixUserId(action.user), room_id, event_id)
                return nothing

    # --- the bot -------------------------------------------------------------------------------------------------

    async def _say(self, action: actions.Say, pending: PendingAction) -> Deed:
        owner, room = MatrixUserId(action.owner), action.room
        if room is None:
            await self._tell(owner, action.text, action.key, pending)
            return nothing
        room_id = MatrixRoomId(room)
        try:
            event_id = await self._say_in(room_id, action.text, action.key, pending, action.reply_to, action.edits)
        except HomeserverRefused as error:
            if error.errcode not in ROOM_LOST or action.only_there or action.edits or await self._is_portal(room_id):
                raise
            await self._forget_management(room_id)
            await self._tell(owner, action.text, action.key, pending)
            return nothing
        return self._shown(room_id, event_id)

    async def _ask_about_knock(self, action: actions.AskAboutKnock, pending: PendingAction) -> Deed:
        owner = MatrixUserId(action.owner)
        room_id, event_id = await self._tell(owner, action.text, action.key, pending)

        async def deed(tx: Transaction) -> None:
            knock_id = KnockId(bytes.fromhex(action.knock))
            await self._store.knock_notices.save(tx, KnockNotice(knock_id, room_id, event_id))
            for emoji in (ACCEPT_MARK, IGNORE_MARK):
                await self._voice.arrange(tx, actions.owner_lane(owner), actions.React(owner, room_id, event_id, emoji))

        return deed

    async def _react(self, action: actions.React, pending: PendingAction) -> Deed:
        room_id = MatrixRoomId(action.room)
        mark = self._mark(room_id, action.key, "reaction")
        event = content.reaction(action.target, action.emoji, mark)
        await self._sender.send(self._homeserver.bot, room_id, "m.reaction", event, mark, pending)
        return nothing

    async def _show_image(self, action: actions.ShowImage, pending: PendingAction) -> Deed:
        room_id = MatrixRoomId(action.room)
        data = base64.b64decode(action.data)
        mark = self._mark(room_id, action.key, "image")
        event: JsonObject = {
            "msgtype": "m.image",
            "body": action.caption,
            "filename": action.filename,
            "url": await self._homeserver.upload(self._homeserver.bot, data, "image/png", action.filename),
            "info": {"mimetype": "image/png", "size": len(data), "w": action.width, "h": action.width},
            MARK_KEY: mark,
        }
        await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)
        return nothing

    async def _welcome(self, action: actions.Welcome, pending: PendingAction) -> Deed:
        bot, owner, room_id = self._homeserver.bot, MatrixUserId(action.owner), MatrixRoomId(action.room)
        if not await self._come_in(room_id):
            await self._forget_management(room_id)
            return nothing
        crowd = set(await self._homeserver.joined_members(bot, room_id)) - {bot, owner}
        encrypted = await self._homeserver.get_state(bot, room_id, "m.room.encryption") is not None
        if not crowd and not encrypted:
            await self._say_in(room_id, action.greeting, action.key, pending)
            return nothing
        await self._forget_management(room_id)
        await self._greet_elsewhere(owner, action.greeting, action.key, pending)
        await self._say_in(room_id, action.crowded if crowd else action.encrypted, action.key, pending)
        if crowd:
            await self._homeserver.leave(bot, room_id)
        return nothing

    async def _come_in(self, room_id: MatrixRoomId) -> bool:
        """False when there is no invitation any more: withdrawn, or this is a replay and we have left already."""
        await self._homeserver.ensure_user(self._homeserver.bot, BOT_NAME)
        try:
            await self._homeserver.join(self._homeserver.bot, room_id)
        except HomeserverRefused:
            return False
        return True

    async def _open_management(self, action: actions.OpenManagement, pending: PendingAction) -> Deed:
        await self._greet_elsewhere(MatrixUserId(action.owner), action.greeting, action.key, pending)
        return nothing

    async def _greet_elsewhere(self, owner: MatrixUserId, greeting: str, key: str, pending: PendingAction) -> None:
        room_id = await self._management.of(owner, again=pending.attempts > 0)
        await self._say_in(room_id, greeting, key, pending)

    async def _decline(self, action: actions.Decline, pending: PendingAction) -> Deed:
        room_id = MatrixRoomId(action.room)
        if await self._come_in(room_id):
            await self._say_in(room_id, action.text, action.key, pending)
            await self._homeserver.leave(self._homeserver.bot, room_id)
        return nothing

    async def _tell(
        self, owner: MatrixUserId, text: str, key: str, pending: PendingAction
    ) -> tuple[MatrixRoomId, MatrixEventId]:
        """Say something to the owner in their management room, or in a new one if that is closed to us."""
        again = pending.attempts > 0
        room_id = await self._management.of(owner, again=again)
        try:
            return room_id, await self._say_in(room_id, text, key, pending)
        except HomeserverRefused as error:
            if error.errcode not in ROOM_LOST:
                raise
        await self._forget_management(room_id)
        room_id = await self._management.of(owner, again=again)
        return room_id, await self._say_in(room_id, text, key, pending)

    async def _say_in(
        self,
        room_id: MatrixRoomId,
        text: str,
        key: str,
        pending: PendingAction,
        reply_to: str | None = None,
        edits: str | None = None,
    ) -> MatrixEventId:
        mark = self._mark(room_id, key, "text")
        event = content.written(self._conversion, text, mark, notice=True)
        if edits is not None:
            event = content.as_edit(event, edits)
        elif reply_to is not None:
            event = content.as_reply(event, reply_to)
        return await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)

    async def _forget_management(self, room_id: MatrixRoomId) -> None:
        async with self._store.transaction() as tx:
            await self._store.management_rooms.remove(tx, room_id)

    async def _is_portal(self, room_id: MatrixRoomId) -> bool:
        async with self._store.transaction() as tx:
            return await self._store.portals.by_room(tx, room_id) is not None

    def _mark(self, room_id: MatrixRoomId, key: str, part: str) -> str:
        return transaction_id(self._homeserver.bot, room_id, bytes.fromhex(key), part)

    # --- portals -------------------------------------------------------------------------------------------------

    async def _open_portal(self, action: actions.OpenPortal, pending: PendingAction) -> Deed:
        portal, name = await self._portal(action.node, action.peer)
        try:
            room_id = await self._portals.open(portal, name)
        except HomeserverRefused as error:
            if portal.room_id is None or error.errcode not in ROOM_LOST:
                raise
            room_id = await self._portals.open(await self._without_room(portal), name)
        return self._shown(room_id, await self._welcome_to(portal, room_id, pending))

    async def _welcome_to(self, portal: Portal, room_id: MatrixRoomId, pending: PendingAction) -> MatrixEventId:
        mark = transaction_id(self._homeserver.bot, room_id, portal.peer_id, "welcome")
        event = content.written(self._conversion, WELCOME, mark, notice=True)
        return await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)

    def _shown(self, room_id: MatrixRoomId, event_id: MatrixEventId) -> Deed:
        """A notice in a portal: a receipt on it says that what stands above it was read."""

        async def deed(tx: Transaction) -> None:
            if await self._store.portals.by_room(tx, room_id) is not None:
                await self._store.unread.add(tx, room_id, event_id, None)

        return deed

    async def _show_text(self, action: actions.ShowText, pending: PendingAction) -> Deed:
        portal, name = await self._portal(action.node, action.peer)
        return await self._show(portal, name, portal.ghost, action.event, action.text, pending, notice=False)

    async def _show_unknown(self, action: actions.ShowUnknown, pending: PendingAction) -> Deed:
        portal, name = await self._portal(action.node, action.peer)
        text = UNKNOWN.format(name=content.literal(name), type=content.literal(action.type))
        return await self._show(portal, name, self._homeserver.bot, action.event, text, pending, notice=True)

    async def _show(
        self,
        portal: Portal,
        name: str,
        sender: MatrixUserId,
        event: str,
        text: str,
        pending: PendingAction,
        *,
        notice: bool,
    ) -> Deed:
        """Show a friend's event; a portal that was lost is opened again rather than the event given up."""
        event_id = EventId(bytes.fromhex(event))

        async def send(room_id: MatrixRoomId) -> MatrixEventId:
            mark = transaction_id(sender, room_id, event_id, 0)
            message = content.written(self._conversion, text, mark, notice=notice)
            return await self._sender.send(sender, room_id, "m.room.message", message, mark, pending)

        room_id = portal.room_id or await self._portals.open(portal, name)
        try:
            matrix_event_id = await send(room_id)
        except HomeserverRefused as error:
            if error.errcode not in ROOM_LOST:
                raise
            room_id = await self._portals.open(await self._without_room(portal), name)
            await self._welcome_to(portal, room_id, pending)
            matrix_event_id = await send(room_id)

        async def deed(tx: Transaction) -> None:
            link = EventLink(portal.node_id, portal.peer_id, event_id, 0, room_id, matrix_event_id, ours=False)
            await self._store.event_links.add(tx, link)
            await self._store.unread.add(tx, room_id, matrix_event_id, event_id)

        return deed

    async def _portal(self, node: str, peer: str) -> tuple[Portal, str]:
        """The portal as it is now, and the friend's name as it is now."""
        node_id, peer_id = NodeId(bytes.fromhex(node)), PeerId(bytes.fromhex(peer))
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            contact = await self._store.contacts.get(tx, node_id, peer_id)
        if portal is None:
            raise LookupError("an action for a portal that is not in the database")
        name = (contact.alias or contact.peer_name) if contact is not None else ""
        return portal, name or NAMELESS

    async def _without_room(self, portal: Portal) -> Portal:
        forgotten = replace(portal, room_id=None)
        async with self._store.transaction() as tx:
            await self._store.portals.save(tx, forgotten)
        return forgotten
