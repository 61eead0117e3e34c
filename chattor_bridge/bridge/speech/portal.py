"""What is said in a portal, on its way to the friend.

Only the owner's own words are sent. Whatever this version cannot carry is answered in the room: nothing that somebody
believes to have sent disappears without a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from chattor_bridge.bridge import content, polls
from chattor_bridge.bridge.files.content import carries_file
from chattor_bridge.bridge.files.offering import Offering
from chattor_bridge.bridge.listener import Deed, Heard, Listener, nothing
from chattor_bridge.bridge.parking import Parking
from chattor_bridge.bridge.permissions import Level, LevelOf
from chattor_bridge.bridge.ports import TextConversion
from chattor_bridge.bridge.records import InboxItem, JsonObject, Portal
from chattor_bridge.bridge.speech.answers import Answers
from chattor_bridge.bridge.speech.reactions import Reactions
from chattor_bridge.bridge.speech.receipts import Receipts
from chattor_bridge.bridge.speech.retrying import Retrying
from chattor_bridge.bridge.speech.sending import Sending
from chattor_bridge.bridge.speech.targets import Targets
from chattor_bridge.bridge.speech.votes import Votes
from chattor_bridge.bridge.speech.words import KINDS, Words
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.ids import MatrixEventId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.host import NodeHost

COMMAND = re.compile(r"\A\s*!chattor(?:\s+|\Z)", re.IGNORECASE)

NOT_ALLOWED = "you may not use this bridge any more. Whoever runs it can allow it."
MOVED = "this conversation goes on in {where}."

NOT_KNOWN = "⚠ Something you sent (“{kind}”) is nothing I can carry to your friend. I say this once for its kind."
STAYS_HERE = (
    "What you change about this room, such as its name or its pinned messages, stays in this room: your friend does "
    "not see it. `!chattor rename` gives your friend another name. I say this once."
)
STRANGER = "Only what {owner} writes here is sent. {sender}, your messages stay in this room."


class PortalSpeech:
    """Makes deeds of what happens in portals."""

    def __init__(
        self,
        store: BridgeStore,
        host: NodeHost,
        conversion: TextConversion,
        clock: SteadyClock,
        voice: Voice,
        level_of: LevelOf,
        listener: Listener,
        parking: Parking,
        on_sent: Callable[[NodeId, PeerId], None],
        offering: Offering,
    ) -> None:
        self._store = store
        self._level_of = level_of
        self._listener = listener
        self._offering = offering
        targets, sending = Targets(store), Sending(store, host, clock, on_sent)
        self._answers = Answers(store, voice)
        self._words = Words(store, conversion, self._answers, sending, targets)
        self._reactions = Reactions(store, self._answers, sending, targets, parking)
        self._votes = Votes(self._answers, sending, targets)
        self._retrying = Retrying(store, parking, voice)
        self._receipts = Receipts(store, host, voice)

    async def said(self, portal: Portal, item: InboxItem) -> Deed:
        """The deed for a message-like event in a portal."""
        event = item.event
        kind, sender, event_id = str(event["type"]), MatrixUserId(event["sender"]), MatrixEventId(event["event_id"])
        if sender != portal.owner:
            return self._stranger(portal, sender, kind, event_id)
        if portal.merged_into is not None:
            return await self._goes_on_elsewhere(portal, portal.merged_into, event_id)
        if self._level_of(sender) is Level.NONE:
            return self._answers.not_sent(portal, NOT_ALLOWED, event_id)
        body: JsonObject = event["content"]
        if not body and _was_removed(event):
            return nothing
        match kind:
            case "m.room.message":
                return await self._message(portal, item, body, event_id)
            case "m.reaction":
                retried = await self._retrying.reacted(portal, body)
                return retried or self._reactions.reaction(portal, item, body)
            case "m.room.redaction":
                return self._reactions.taken_back(portal, item, str(event.get("redacts") or body.get("redacts")))
            case _ if kind in polls.STARTS:
                return self._votes.begun(portal, item, kind, body)
            case _ if kind in polls.RESPONSES:
                return self._votes.answered(portal, item, body)
            case _ if kind in polls.ENDS:
                return self._votes.ended(portal, item, body)
            case "m.sticker":
                return await self._offering.said(portal, event)
            case _:
                return self._answers.once(portal, kind, NOT_KNOWN.format(kind=content.literal(kind)), event_id)

    def arranged(self, portal: Portal, item: InboxItem) -> Deed:
        """The deed for the owner having changed the room itself."""
        if item.event["sender"] != portal.owner:
            return nothing
        return self._answers.once(portal, "state", STAYS_HERE, MatrixEventId(item.event["event_id"]))

    async def _message(self, portal: Portal, item: InboxItem, body: JsonObject, event_id: MatrixEventId) -> Deed:
        if content.relation(body).get("rel_type") == "m.replace":
            return await self._words.edit(portal, item, body)
        kind = str(body.get("msgtype"))
        if carries_file("m.room.message", body):
            return await self._offering.said(portal, item.event)
        if kind == "m.location":
            return self._words.place(portal, item, body)
        if kind not in KINDS:
            return self._answers.once(portal, kind, NOT_KNOWN.format(kind=content.literal(kind)), event_id)
        command = COMMAND.match(content.plain(body))
        if command is not None and kind == "m.text":
            text = content.plain(body)[command.end() :]
            target = content.reply_target(body)
            heard = Heard(portal.owner, Place.portal(portal), event_id, text, _matrix_id(target), portal)
            return await self._listener.heard(heard)
        return await self._retrying.answered(portal, body) or await self._words.message(portal, item, body)

    async def _goes_on_elsewhere(self, portal: Portal, survivor: PeerId, event_id: MatrixEventId) -> Deed:
        async with self._store.transaction() as tx:
            other = await self._store.portals.by_peer(tx, portal.node_id, survivor)
        return self._answers.not_sent(portal, MOVED.format(where=content.room_link(other)), event_id)

    async def read(self, portal: Portal, target: MatrixEventId) -> Deed:
        """The deed for the owner having read ``target``."""
        return self._receipts.read(portal, target)

    def _stranger(self, portal: Portal, sender: MatrixUserId, kind: str, event_id: MatrixEventId) -> Deed:
        if kind in ("m.reaction", "m.room.redaction"):
            return nothing
        text = STRANGER.format(owner=content.literal(portal.owner), sender=content.literal(sender))
        return self._answers.once(portal, f"stranger\0{sender}", text, event_id)


def _was_removed(event: JsonObject) -> bool:
    """Whether its sender removed this event before we have seen it."""
    unsigned = event.get("unsigned")
    return isinstance(unsigned, dict) and "redacted_because" in unsigned


def _matrix_id(event_id: str | None) -> MatrixEventId | None:
    return None if event_id is None else MatrixEventId(event_id)
