"""Actions of the bot: what it says, and the rooms it comes to and leaves.

Like everything an action does, each method may be cut off anywhere and run again from its start. What it learns (the id
of the Matrix event it made) is returned as a deed, for the transaction that also removes the action.
"""

from __future__ import annotations

import base64
import logging

from chattor_bridge.bridge import actions, content
from chattor_bridge.bridge.attachment import Upload
from chattor_bridge.bridge.ghosts import MARK_KEY, transaction_id
from chattor_bridge.bridge.lane_names import owner_lane
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.look import BOT_NAME
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import JsonObject, KnockNotice, PendingAction, PortalNotice, Topic
from chattor_bridge.bridge.rooms import ROOM_LOST, ManagementRooms
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import KnockId, MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Clock, Transaction

ACCEPT_MARK = "\N{WHITE HEAVY CHECK MARK}"
IGNORE_MARK = "\N{CROSS MARK}"

log = logging.getLogger(__name__)


class Speaking:
    """Does what actions want the bot to do."""

    def __init__(
        self,
        store: BridgeStore,
        homeserver: Homeserver,
        conversion: TextConversion,
        clock: Clock,
        voice: Voice,
        sender: Sender,
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._voice = voice
        self._sender = sender
        self._management = ManagementRooms(store, homeserver, clock)

    async def say(self, action: actions.Say, pending: PendingAction) -> Deed:
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
            await self._tell(owner, action.text, action.key, pending)
            return nothing
        return self._shown(room_id, event_id)

    async def ask_about_knock(self, action: actions.AskAboutKnock, pending: PendingAction) -> Deed:
        owner = MatrixUserId(action.owner)
        room_id, event_id = await self._tell(owner, action.text, action.key, pending)

        async def deed(tx: Transaction) -> None:
            knock_id = KnockId(bytes.fromhex(action.knock))
            await self._store.knock_notices.save(tx, KnockNotice(knock_id, room_id, event_id))
            for emoji in (ACCEPT_MARK, IGNORE_MARK):
                await self._voice.arrange(tx, owner_lane(owner), actions.React(owner, room_id, event_id, emoji))

        return deed

    async def tell_missed(self, action: actions.TellMissed, pending: PendingAction) -> Deed:
        owner, notices = MatrixUserId(action.owner), self._store.portal_notices
        room_id = await self._management.of(owner, again=pending.attempts > 0)
        async with self._store.transaction() as tx:
            said = await notices.of_room(tx, room_id, Topic.MISSED)
        edits = said[0].matrix_event_id if said else None
        room_id, event_id = await self._tell(owner, action.text, action.key, pending, edits)

        async def deed(tx: Transaction) -> None:
            for notice in said:
                await notices.remove(tx, notice.matrix_event_id)
            if not action.over:
                await notices.save(tx, PortalNotice(room_id, event_id, Topic.MISSED, ""))

        return deed

    async def react(self, action: actions.React, pending: PendingAction) -> Deed:
        room_id = MatrixRoomId(action.room)
        mark = self._mark(room_id, action.key, "reaction")
        event = content.reaction(action.target, action.emoji, mark)
        await self._sender.send(self._homeserver.bot, room_id, "m.reaction", event, mark, pending)
        return nothing

    async def show_image(self, action: actions.ShowImage, pending: PendingAction) -> Deed:
        room_id = MatrixRoomId(action.room)
        data = base64.b64decode(action.data)
        mark = self._mark(room_id, action.key, "image")
        upload = Upload.of(data, "image/png", action.filename)
        attachment = await self._homeserver.attach(self._homeserver.bot, room_id, upload)
        event: JsonObject = {
            "msgtype": "m.image",
            "body": action.caption,
            "filename": action.filename,
            **attachment.to_content(),
            "info": {"mimetype": "image/png", "size": len(data), "w": action.width, "h": action.width},
            MARK_KEY: mark,
        }
        await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)
        return nothing

    async def welcome(self, action: actions.Welcome, pending: PendingAction) -> Deed:
        bot, owner, room_id = self._homeserver.bot, MatrixUserId(action.owner), MatrixRoomId(action.room)
        if not await self._come_in(room_id):
            await self._forget_management(room_id)
            return nothing
        crowd = set(await self._homeserver.joined_members(bot, room_id)) - {bot, owner}
        if not crowd:
            await self._say_in(room_id, action.greeting, action.key, pending)
            return nothing
        await self._forget_management(room_id)
        await self._greet_elsewhere(owner, action.greeting, action.key, pending)
        await self._say_in(room_id, action.crowded, action.key, pending)
        await self._homeserver.leave(bot, room_id)
        return nothing

    async def _come_in(self, room_id: MatrixRoomId) -> bool:
        """False when there is no invitation any more: withdrawn, or this is a replay and we have left already."""
        await self._homeserver.ensure_user(self._homeserver.bot, BOT_NAME)
        try:
            await self._homeserver.join(self._homeserver.bot, room_id)
        except HomeserverRefused as error:
            log.info("an invitation of the bot came to nothing: %s", error)
            return False
        return True

    async def open_management(self, action: actions.OpenManagement, pending: PendingAction) -> Deed:
        await self._greet_elsewhere(MatrixUserId(action.owner), action.greeting, action.key, pending)
        return nothing

    async def _greet_elsewhere(self, owner: MatrixUserId, greeting: str, key: str, pending: PendingAction) -> None:
        room_id = await self._management.of(owner, again=pending.attempts > 0)
        await self._say_in(room_id, greeting, key, pending)

    async def _tell(
        self, owner: MatrixUserId, text: str, key: str, pending: PendingAction, edits: MatrixEventId | None = None
    ) -> tuple[MatrixRoomId, MatrixEventId]:
        """Say something to the owner in their management room, in place of ``edits``, or in a new one if that is closed
        to us; where, and the event that says it. The old one stays theirs: what they still say there is heard."""
        again = pending.attempts > 0
        room_id = await self._management.of(owner, again=again)
        try:
            event_id = await self._say_in(room_id, text, key, pending, edits=edits)
            return room_id, edits or event_id
        except HomeserverRefused as error:
            if error.errcode not in ROOM_LOST:
                raise
        room_id = await self._management.open(owner, again=again)
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

    def _shown(self, room_id: MatrixRoomId, event_id: MatrixEventId) -> Deed:
        """A notice in a portal: a receipt on it says that what stands above it was read."""

        async def deed(tx: Transaction) -> None:
            if await self._store.portals.by_room(tx, room_id) is not None:
                await self._store.unread.add(tx, room_id, event_id, None)

        return deed

    async def _forget_management(self, room_id: MatrixRoomId) -> None:
        async with self._store.transaction() as tx:
            await self._store.management_rooms.remove(tx, room_id)

    async def _is_portal(self, room_id: MatrixRoomId) -> bool:
        async with self._store.transaction() as tx:
            return await self._store.portals.by_room(tx, room_id) is not None

    def _mark(self, room_id: MatrixRoomId, key: str, part: str) -> str:
        return transaction_id(self._homeserver.bot, room_id, bytes.fromhex(key), part)
