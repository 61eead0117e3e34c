"""Actions that say how far the owner's words have come, and take it back when it is true no more.

Delivered and read are receipts. Everything else is said in words, once, and beside that as Beeper's
``com.beeper.message_send_status`` for clients that show it: what waits is PENDING, what arrives after that SUCCESS, and
what cannot be sent now FAIL_RETRIABLE. What arrives at once needs no such event, which would double the traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from chattor_bridge.bridge import actions, content
from chattor_bridge.bridge.ghosts import MARK_KEY, transaction_id
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.look import Looks
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import JsonObject, PendingAction, Portal, PortalNotice, Topic
from chattor_bridge.bridge.rooms import bridge_key
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction

STATUS = "com.beeper.message_send_status"

PENDING, SUCCESS, FAILED = "PENDING", "SUCCESS", "FAIL_RETRIABLE"

RETRY_MARK = "\N{CLOCKWISE RIGHTWARDS AND LEFTWARDS OPEN CIRCLE ARROWS}"

WAITING = (
    "⏳ {name} cannot be reached at the moment. What you wrote is kept here, and goes out by itself when both of you "
    "are online; I take this notice back then."
)

CARRIED = (
    "📮 {name} cannot be reached at the moment. {holders} what you wrote, to hand it over as soon as {name} is online, "
    "also when this bridge is not; I take this notice back when it has arrived."
)

MOST_PENDING = 20
"""Messages reported as on their way when the notice is said: those somebody may be looking at."""


class Statuses:
    """Does what actions want said about the state of messages."""

    def __init__(
        self, store: BridgeStore, homeserver: Homeserver, conversion: TextConversion, sender: Sender, voice: Voice
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._sender = sender
        self._voice = voice
        self._looks = Looks(store)

    async def tell_waiting(self, action: actions.TellWaiting, pending: PendingAction) -> Deed:
        """Once for all that waits, and again only to say that friends hold it now, or more of them, or fewer; beside
        that, the status of each message."""
        node_id, peer_id = NodeId(bytes.fromhex(action.node)), PeerId(bytes.fromhex(action.peer))
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            if portal is None or portal.room_id is None:
                return nothing
            waiting = await self._store.event_links.waiting(tx, node_id, peer_id, MOST_PENDING)
            said = await self._store.portal_notices.of_room(tx, portal.room_id, Topic.WAITING)
        room_id = portal.room_id
        here = list(dict.fromkeys(link.matrix_event_id for link in waiting if link.room_id == room_id))
        if not waiting and pending.attempts == 0:
            return nothing
        if not is_news(said, action.carried, falls=action.falls):
            return lambda tx: self._report_pending(tx, portal, room_id, here)
        name = content.literal((await self._looks.of(portal)).name)
        hold = f"A friend of {name} holds" if action.carried == 1 else f"{action.carried} friends of {name} hold"
        text = (CARRIED if action.carried else WAITING).format(name=name, holders=hold)
        mark = transaction_id(self._homeserver.bot, room_id, bytes.fromhex(action.key), "text")
        event = content.written(self._conversion, text, mark, notice=True)
        if said:
            event = content.as_edit(event, said[0].matrix_event_id)
        sent = await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)
        notice = PortalNotice(room_id, said[0].matrix_event_id if said else sent, Topic.WAITING, str(action.carried))

        async def deed(tx: Transaction) -> None:
            await self._store.portal_notices.save(tx, notice)
            await self._store.unread.add(tx, room_id, sent, None)
            await self._report_pending(tx, portal, room_id, here)
            await take_back_if_nothing_waits(self._store, self._voice, tx, portal)

        return deed

    async def _report_pending(
        self, tx: Transaction, portal: Portal, room_id: MatrixRoomId, messages: Sequence[MatrixEventId]
    ) -> None:
        for message in messages:
            if await self._store.portal_notices.by_matrix_event(tx, message) is None:
                await self._store.portal_notices.save(tx, PortalNotice(room_id, message, Topic.PENDING, ""))
                report = actions.ReportStatus(room_id, message, PENDING, portal.ghost)
                await self._voice.arrange(tx, portal_lane(portal), report)

    async def tell_held(self, action: actions.TellHeld, pending: PendingAction) -> Deed:
        """As any notice, and remembered, so that it can be answered."""
        room_id = MatrixRoomId(action.room)
        mark = transaction_id(self._homeserver.bot, room_id, bytes.fromhex(action.key), "text")
        event = content.as_reply(content.written(self._conversion, action.text, mark, notice=True), action.reply_to)
        sent = await self._sender.send(self._homeserver.bot, room_id, "m.room.message", event, mark, pending)

        async def deed(tx: Transaction) -> None:
            portal = await self._store.portals.by_room(tx, room_id)
            if portal is None:
                return
            await self._store.unread.add(tx, room_id, sent, None)
            await self._store.portal_notices.save(tx, PortalNotice(room_id, sent, Topic.HELD, str(action.order)))
            lane = portal_lane(portal)
            await self._voice.arrange(tx, lane, actions.React(action.owner, room_id, sent, RETRY_MARK))
            failed = actions.ReportStatus(room_id, action.reply_to, FAILED, portal.ghost, action.text)
            await self._voice.arrange(tx, lane, failed)

        return deed

    async def take_back(self, action: actions.TakeBack) -> Deed:
        room_id, event_id = MatrixRoomId(action.room), MatrixEventId(action.event)
        mark = transaction_id(self._homeserver.bot, room_id, bytes.fromhex(action.key), "redact")
        with suppress(HomeserverRefused):  # the room is lost, or the owner has removed it
            await self._homeserver.redact(self._homeserver.bot, room_id, event_id, mark)
        return nothing

    async def report(self, action: actions.ReportStatus, pending: PendingAction) -> Deed:
        room_id = MatrixRoomId(action.room)
        mark = transaction_id(self._homeserver.bot, room_id, bytes.fromhex(action.key), "status")
        event: JsonObject = {
            "network": bridge_key(MatrixUserId(action.ghost)),
            "m.relates_to": {"rel_type": "m.reference", "event_id": action.event},
            "status": action.status,
            MARK_KEY: mark,
        }
        if action.status == FAILED:
            event |= {"reason": "m.bridge_unavailable", "message": action.reason}
        else:
            event["delivered_to_users"] = [action.ghost] if action.status == SUCCESS else []
        with suppress(HomeserverRefused):
            await self._sender.send(self._homeserver.bot, room_id, STATUS, event, mark, pending)
        return nothing


def is_news(said: Sequence[PortalNotice], carriers: int, *, falls: bool) -> bool:
    """Whether so many friends hold what waits is more than these notices say; fewer, if it ``falls``."""
    before = [int(notice.subject) if notice.subject.isdecimal() else 0 for notice in said]
    return any(one > carriers for one in before) if falls else all(one < carriers for one in before)


async def take_back_if_nothing_waits(store: BridgeStore, voice: Voice, tx: Transaction, portal: Portal) -> None:
    """Have the notice removed that something is on its way, if nothing is any more."""
    if portal.room_id is None:
        return
    said = await store.portal_notices.of_room(tx, portal.room_id, Topic.WAITING)
    if not said or await store.event_links.waiting(tx, portal.node_id, portal.peer_id, 1):
        return
    for notice in said:
        await take_back(store, voice, tx, portal, notice)


async def take_back(store: BridgeStore, voice: Voice, tx: Transaction, portal: Portal, notice: PortalNotice) -> None:
    """Have this notice removed."""
    await store.portal_notices.remove(tx, notice.matrix_event_id)
    await voice.arrange(tx, portal_lane(portal), actions.TakeBack(notice.room_id, notice.matrix_event_id))
