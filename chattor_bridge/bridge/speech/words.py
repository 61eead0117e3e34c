"""Messages and their edits, as the owner writes them."""

from __future__ import annotations

from chattor_bridge.bridge import content
from chattor_bridge.bridge.files.content import carries_file, described
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.places import geo_uri, in_words, place_in
from chattor_bridge.bridge.ports import TextConversion
from chattor_bridge.bridge.records import InboxItem, JsonObject, Portal
from chattor_bridge.bridge.speech.answers import Answers
from chattor_bridge.bridge.speech.sending import Sending
from chattor_bridge.bridge.speech.targets import Targets
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import MatrixEventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Delete, Edit, FileOffer, Location, Text
from chattor_bridge.protocol.splitting import split_text

KINDS = {"m.text": "", "m.emote": "emote", "m.notice": "notice"}
"""What the message types that are texts are called in the protocol."""

EMPTY = "there is no text in it."
NO_RELATION = (
    "This was sent, but not as an answer: what it refers to is nothing your friend has, such as a notice of mine or "
    "something that was removed."
)
EDIT_OF_NOTHING = "⚠ This change was not sent: what it changes is nothing your friend has from you."
EDIT_OF_SOMETHING_ELSE = (
    "⚠ This change was not sent: only texts can be changed once they are sent. Remove it and send it anew."
)
NO_CAPTION = "⚠ This change was not sent: your friend's program does not know how to take a caption away."
NO_EDIT = "⚠ This change was not sent: it is not a text."
CORRECTION = "✏️ "
"""Before a changed text for a friend whose program knows no changes."""


class Words:
    """Makes deeds of texts, places and edits."""

    def __init__(
        self, store: BridgeStore, conversion: TextConversion, answers: Answers, sending: Sending, targets: Targets
    ) -> None:
        self._store = store
        self._conversion = conversion
        self._answers = answers
        self._sending = sending
        self._targets = targets

    async def message(self, portal: Portal, item: InboxItem, body: JsonObject) -> Deed:
        """A text, an emote or a notice."""
        event_id = MatrixEventId(item.event["event_id"])
        kind = KINDS[body["msgtype"]]
        text = await self._spoken(portal, body)
        if not text.strip():
            return self._answers.not_sent(portal, EMPTY, event_id)

        async def deed(tx: Transaction) -> None:
            related = await self._targets.relations(tx, portal, body)
            for part, piece in enumerate(split_text(text)):
                reply = related.reply if part == 0 else None
                text_event = Text(piece, kind)
                await self._sending.send(tx, portal, item, text_event, part=part, reply=reply, thread=related.thread)
            if related.lost:
                await self._answers.once(portal, "relation", NO_RELATION, event_id)(tx)

        return deed

    def place(self, portal: Portal, item: InboxItem, body: JsonObject) -> Deed:
        """A location."""
        event_id = MatrixEventId(item.event["event_id"])
        try:
            place, name = place_in(body)
        except UsageError as error:
            return self._answers.not_sent(portal, str(error), event_id)

        async def deed(tx: Transaction) -> None:
            related = await self._targets.relations(tx, portal, body)
            said: Location | Text = place
            if not await self._sending.understood(tx, portal, Location.TYPE):
                said = Text(f"📍 {content.literal(in_words(place))} {geo_uri(place)}")
            await self._sending.send(tx, portal, item, said, reply=related.reply, thread=related.thread)
            for part, piece in enumerate(split_text(content.literal(name)) if name else (), 1):
                await self._sending.send(tx, portal, item, Text(piece), part=part, thread=related.thread)
            if related.lost:
                await self._answers.once(portal, "relation", NO_RELATION, event_id)(tx)

        return deed

    async def edit(self, portal: Portal, item: InboxItem, body: JsonObject) -> Deed:
        """The owner changes what they said. A text that went out in pieces is changed piece by piece: pieces that are
        too many are taken back, and those that are new follow at the end."""
        event_id = MatrixEventId(item.event["event_id"])
        new = body.get("m.new_content")
        if isinstance(new, dict) and carries_file("m.room.message", new):
            return self._recaption(portal, item, body, described(self._conversion, "m.room.message", new).caption)
        if not isinstance(new, dict) or str(new.get("msgtype")) not in KINDS:
            return self._answers.say(portal, NO_EDIT, event_id)
        kind = KINDS[new["msgtype"]]
        text = await self._spoken(portal, new)
        if not text.strip():
            return self._answers.not_sent(portal, EMPTY, event_id)

        async def deed(tx: Transaction) -> None:
            originals = await self._targets.originals(tx, portal, content.relation(body).get("event_id"))
            if not originals or not originals[0].ours:
                await self._answers.say(portal, EDIT_OF_NOTHING, event_id)(tx)
            elif any(one.kind != Text.TYPE for one in originals):
                await self._answers.say(portal, EDIT_OF_SOMETHING_ELSE, event_id)(tx)
            elif not await self._sending.understood(tx, portal, Edit.TYPE):
                first = originals[0].event_id
                for part, piece in enumerate(split_text(CORRECTION + text)):
                    await self._sending.send(tx, portal, item, Text(piece, kind), part=part, reply=first)
            else:
                pieces = split_text(text)
                for part, (piece, link) in enumerate(zip(pieces, originals, strict=False)):
                    edit = Edit(link.event_id, piece, kind)
                    await self._sending.send(tx, portal, item, edit, part=part, target=link.event_id)
                for link in originals[len(pieces) :]:
                    await self._sending.send(tx, portal, item, Delete(link.event_id), part=link.part)
                    await self._store.event_links.remove_link(tx, link)
                for part, piece in enumerate(pieces[len(originals) :], originals[-1].part + 1):
                    more = Text(piece, kind)
                    await self._sending.send(tx, portal, item, more, part=part, of=originals[0].matrix_event_id)

        return deed

    def _recaption(self, portal: Portal, item: InboxItem, body: JsonObject, caption: str) -> Deed:
        """The owner changes what they wrote beside a file, or takes it away. Of a caption too long for the file's event
        the rest had followed in texts, which go."""
        event_id = MatrixEventId(item.event["event_id"])

        async def deed(tx: Transaction) -> None:
            originals = await self._targets.originals(tx, portal, content.relation(body).get("event_id"))
            if not originals or not originals[0].ours or originals[0].kind != FileOffer.TYPE:
                await self._answers.say(portal, EDIT_OF_NOTHING, event_id)(tx)
            elif not await self._sending.understood(tx, portal, Edit.TYPE):
                if not caption:
                    await self._answers.say(portal, NO_CAPTION, event_id)(tx)
                for part, piece in enumerate(split_text(CORRECTION + caption) if caption else ()):
                    await self._sending.send(tx, portal, item, Text(piece), part=part, reply=originals[0].event_id)
            else:
                target = originals[0].event_id
                await self._sending.send(tx, portal, item, Edit(target, caption), target=target)
                for link in originals[1:]:
                    await self._sending.send(tx, portal, item, Delete(link.event_id), part=link.part)
                    await self._store.event_links.remove_link(tx, link)

        return deed

    async def _spoken(self, portal: Portal, body: JsonObject) -> str:
        """The text as CommonMark, with the two people called by the names they give themselves: what our owner calls a
        friend is nobody's business."""
        if body.get("format") != content.HTML_FORMAT:  # nobody is mentioned in it
            return content.spoken(self._conversion, body)
        async with self._store.transaction() as tx:
            contact = await self._store.contacts.get(tx, portal.node_id, portal.peer_id)
            record = await self._store.nodes.get(tx, portal.node_id)
        names: dict[str, str] = {}
        if contact is not None and contact.peer_name:
            names[portal.ghost] = contact.peer_name
        if record is not None:
            names[portal.owner] = record.profile_name
        return content.spoken(self._conversion, body, names)
