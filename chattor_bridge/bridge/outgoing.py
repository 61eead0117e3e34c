"""What is said in a portal, on its way to the friend.

Only the owner's own words are sent. Whatever this version cannot carry is answered in the room: nothing that somebody
believes to have sent disappears without a word.
"""

from __future__ import annotations

import hashlib
import re

from chattor_bridge.bridge import content
from chattor_bridge.bridge.actions import portal_lane
from chattor_bridge.bridge.listener import Deed, Heard, Listener, nothing
from chattor_bridge.bridge.permissions import Level, LevelOf
from chattor_bridge.bridge.ports import BridgeStore, TextConversion
from chattor_bridge.bridge.records import EventLink, InboxItem, JsonObject, Portal
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import Unavailable, UsageError
from chattor_bridge.ids import MatrixEventId, MatrixUserId, PeerId
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.protocol.events import Receipt, Text
from chattor_bridge.protocol.limits import MAX_RECEIPT_EVENTS
from chattor_bridge.protocol.splitting import split_text

COMMAND = re.compile(r"\A\s*!chattor(?:\s+|\Z)", re.IGNORECASE)

NOT_SENT = "⚠ This could not be sent: {reason}"

UNSUPPORTED = {
    "m.image": "pictures are not carried yet.",
    "m.file": "files are not carried yet.",
    "m.audio": "voice messages and sound are not carried yet.",
    "m.video": "videos are not carried yet.",
    "m.location": "locations are not carried yet.",
    "m.sticker": "stickers are not carried yet.",
    "m.poll.start": "polls are not carried yet.",
    "org.matrix.msc3381.poll.start": "polls are not carried yet.",
}
"""By message type or event type; each is said every time, for each is something somebody wanted to say."""

NOT_ALLOWED = "you may not use this bridge any more. Whoever runs it can allow it."
EMPTY = "there is no text in it."
MOVED = "this conversation goes on in {where}."

STOPPED = "This was not sent: your Chattor node is stopped. Write start to me, and then send it again."

NOT_CHANGED = "⚠ This change was not sent, because edits are not carried yet: your friend still sees the first version."
NOT_DELETED = "⚠ This was removed here only, because removing is not carried yet: your friend still has it."
NOT_REACTED = "⚠ Your reaction was not sent, because reactions are not carried yet."
NO_RELATION = "Your answer was sent as an ordinary message: what it answers, and threads, are not carried yet."
NOT_KNOWN = "⚠ Something you sent (“{kind}”) is nothing I can carry to your friend. I say this once for its kind."
STRANGER = "Only what {owner} writes here is sent. {sender}, your messages stay in this room."


def told_prefix(portal: Portal) -> str:
    """How the settings begin that say what this portal was told once and for all."""
    return f"told:{portal.ghost}:"


class PortalSpeech:
    """Makes deeds of what happens in portals."""

    def __init__(
        self,
        store: BridgeStore,
        host: NodeHost,
        conversion: TextConversion,
        clock: Clock,
        voice: Voice,
        level_of: LevelOf,
        listener: Listener,
    ) -> None:
        self._store = store
        self._host = host
        self._conversion = conversion
        self._clock = clock
        self._voice = voice
        self._level_of = level_of
        self._listener = listener

    async def said(self, portal: Portal, item: InboxItem) -> Deed:
        """The deed for a message-like event in a portal."""
        event = item.event
        kind, sender, event_id = str(event["type"]), MatrixUserId(event["sender"]), MatrixEventId(event["event_id"])
        if sender != portal.owner:
            return self._stranger(portal, sender, kind, event_id)
        if portal.merged_into is not None:
            return await self._goes_on_elsewhere(portal, portal.merged_into, event_id)
        if self._level_of(sender) is Level.NONE:
            return self._answer(portal, NOT_SENT.format(reason=NOT_ALLOWED), event_id)
        body: JsonObject = event["content"]
        match kind:
            case "m.room.message" if content.relation(body).get("rel_type") == "m.replace":
                return self._answer(portal, NOT_CHANGED, event_id)
            case "m.room.message":
                return await self._message(portal, item, body, event_id)
            case "m.reaction":
                return self._answer(portal, NOT_REACTED, event_id)
            case "m.room.redaction":
                return self._redacted(portal, str(event.get("redacts") or body.get("redacts")))
            case _ if kind in UNSUPPORTED:
                return self._answer(portal, NOT_SENT.format(reason=UNSUPPORTED[kind]), event_id)
            case _:
                return self._once(portal, kind, NOT_KNOWN.format(kind=content.literal(kind)), event_id)

    async def _message(self, portal: Portal, item: InboxItem, body: JsonObject, event_id: MatrixEventId) -> Deed:
        kind = str(body.get("msgtype"))
        if kind in UNSUPPORTED:
            return self._answer(portal, NOT_SENT.format(reason=UNSUPPORTED[kind]), event_id)
        if kind not in ("m.text", "m.notice", "m.emote"):
            return self._once(portal, kind, NOT_KNOWN.format(kind=content.literal(kind)), event_id)
        command = COMMAND.match(content.plain(body))
        if command is not None and kind == "m.text":
            text = content.plain(body)[command.end() :]
            target = content.reply_target(body)
            heard = Heard(portal.owner, Place.portal(portal), event_id, text, _matrix_id(target), portal)
            return await self._listener.heard(heard)
        text = content.spoken(self._conversion, body)
        if not text.strip():
            return self._answer(portal, NOT_SENT.format(reason=EMPTY), event_id)
        if kind == "m.emote":
            text = f"\\* {text}"
        said_at = item.event.get("origin_server_ts")
        time = min(said_at // 1000, self._clock.now()) if isinstance(said_at, int) and said_at > 0 else None

        async def deed(tx: Transaction) -> None:
            node = self._host.node(portal.node_id)
            if node is None or not node.running:
                raise UsageError(STOPPED)
            for part, piece in enumerate(split_text(text)):
                try:
                    sent = await node.send(tx, portal.peer_id, Text(piece), time=time)
                except UsageError as error:
                    raise UsageError(f"This could not be sent: {error}") from error
                link = EventLink(portal.node_id, portal.peer_id, sent, part, item.room_id, event_id, ours=True)
                await self._store.event_links.add(tx, link)
            if content.relation(body):
                await self._once(portal, "relation", NO_RELATION, event_id)(tx)

        return deed

    async def _goes_on_elsewhere(self, portal: Portal, survivor: PeerId, event_id: MatrixEventId) -> Deed:
        async with self._store.transaction() as tx:
            other = await self._store.portals.by_peer(tx, portal.node_id, survivor)
        return self._answer(portal, NOT_SENT.format(reason=MOVED.format(where=content.room_link(other))), event_id)

    async def read(self, portal: Portal, target: MatrixEventId) -> Deed:
        """The deed for the owner having read ``target``: the friend is told of it and what stands above it."""

        async def deed(tx: Transaction) -> None:
            node = self._host.node(portal.node_id)
            if node is None or portal.room_id is None:
                return
            read = await self._store.unread.take(tx, portal.room_id, target)
            if not read and await self._voice.is_under_way(tx, portal_lane(portal)):
                raise Unavailable("a receipt came before its message was saved")
            for first in range(0, len(read), MAX_RECEIPT_EVENTS):
                receipt = Receipt("read", tuple(read[first : first + MAX_RECEIPT_EVENTS]))
                try:
                    await node.send(tx, portal.merged_into or portal.peer_id, receipt)
                except UsageError:  # no such friend any more, or too much waits for them: a receipt may be spared
                    return

        return deed

    def _answer(self, portal: Portal, text: str, event_id: MatrixEventId) -> Deed:
        async def deed(tx: Transaction) -> None:
            await self._voice.say(tx, Place.portal(portal), text, reply_to=event_id)

        return deed

    def _once(self, portal: Portal, topic: str, text: str, event_id: MatrixEventId) -> Deed:
        """Say it the first time this topic comes up in this portal."""
        digest = hashlib.sha256(f"{portal.ghost}\0{topic}".encode()).hexdigest()[:32]
        name = told_prefix(portal) + digest

        async def deed(tx: Transaction) -> None:
            if await self._store.get_setting(tx, name) is None:
                await self._store.set_setting(tx, name, "1")
                await self._voice.say(tx, Place.portal(portal), text, reply_to=event_id)

        return deed

    def _stranger(self, portal: Portal, sender: MatrixUserId, kind: str, event_id: MatrixEventId) -> Deed:
        if kind in ("m.reaction", "m.room.redaction"):
            return nothing
        text = STRANGER.format(owner=content.literal(portal.owner), sender=content.literal(sender))
        return self._once(portal, f"stranger\0{sender}", text, event_id)

    def _redacted(self, portal: Portal, target: str) -> Deed:
        """Only for what was sent: taking a reaction back, say, removes nothing the friend ever saw."""

        async def deed(tx: Transaction) -> None:
            links = await self._store.event_links.by_matrix_event(tx, MatrixEventId(target))
            if any(link.ours for link in links):
                await self._voice.say(tx, Place.portal(portal), NOT_DELETED)

        return deed


def _matrix_id(event_id: str | None) -> MatrixEventId | None:
    return None if event_id is None else MatrixEventId(event_id)
