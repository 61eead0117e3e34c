"""Reactions of the owner, and what they take back."""

from __future__ import annotations

from chattor_bridge.bridge import content
from chattor_bridge.bridge.files.notes import Notes
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.parking import Parking
from chattor_bridge.bridge.records import EventLink, InboxItem, JsonObject, Portal
from chattor_bridge.bridge.speech.answers import Answers
from chattor_bridge.bridge.speech.sending import Sending
from chattor_bridge.bridge.speech.targets import Targets
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.ids import EventId, MatrixEventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Delete, FileOffer, Reaction
from chattor_bridge.protocol.limits import MAX_REACTION

NOT_REACTED = "⚠ Your reaction was not sent: {reason}"
ON_NOTHING = "what it is put on is nothing your friend has, such as a notice of mine or something that was removed."
NO_SIGN = "it is no emoji or short word."
NO_REACTIONS = "your friend's program does not know reactions."
NOT_DELETED = "⚠ This was removed here only: your friend's program does not know how to remove it there."
ONLY_HERE = (
    "This was removed in this room only: your friend still has it, because your friend said it. I say this once."
)


class Reactions:
    """Makes deeds of reactions and redactions."""

    def __init__(
        self, store: BridgeStore, answers: Answers, sending: Sending, targets: Targets, parking: Parking
    ) -> None:
        self._store = store
        self._answers = answers
        self._sending = sending
        self._targets = targets
        self._parking = parking

    def reaction(self, portal: Portal, item: InboxItem, body: JsonObject) -> Deed:
        """Put something under what either side said."""
        event_id = MatrixEventId(item.event["event_id"])
        sign = _sign(body)
        if sign is None:
            return self._answers.say(portal, NOT_REACTED.format(reason=NO_SIGN), event_id)

        async def deed(tx: Transaction) -> None:
            links = await self._targets.originals(tx, portal, content.relation(body).get("event_id"))
            if not links:
                await self._answers.say(portal, NOT_REACTED.format(reason=ON_NOTHING))(tx)
            elif not await self._sending.understood(tx, portal, Reaction.TYPE):
                await self._answers.say(portal, NOT_REACTED.format(reason=NO_REACTIONS))(tx)
            else:
                target = links[0].event_id
                await self._sending.send(tx, portal, item, Reaction(target, sign), target=target)

        return deed

    def taken_back(self, portal: Portal, item: InboxItem, redacted: str) -> Deed:
        """The owner removed something: what they said is taken back at the friend's, all pieces of it, whatever it was.
        What was never sent is nobody's business."""

        async def deed(tx: Transaction) -> None:
            links = await self._targets.linked(tx, portal, redacted)
            ours = [link for link in links if link.ours and link.kind != Delete.TYPE]
            if not ours:
                kept = await self._parking.removed(tx, portal, item.room_id, MatrixEventId(redacted))
                if not kept:
                    await Notes(self._store).withdraw(tx, portal, MatrixEventId(redacted))
                if links and not kept:
                    await self._answers.once(portal, "redacted\0theirs", ONLY_HERE)(tx)
                return
            if not await self._sending.understood(tx, portal, Delete.TYPE):
                await self._answers.say(portal, NOT_DELETED)(tx)
                return
            for link in ours:
                if link.kind == FileOffer.TYPE:
                    await self._withdraw(tx, portal, link.event_id)
            for part, link in enumerate(ours):
                await self._sending.send(tx, portal, item, Delete(link.event_id), part=part, target=link.event_id)
                await self._forget(tx, portal, link)

        return deed

    async def _withdraw(self, tx: Transaction, portal: Portal, event_id: EventId) -> None:
        """A file that was taken back does not go over, if it has not yet."""
        for one in await self._store.transfers.of_node(tx, portal.node_id, over=False):
            if one.peer_id == portal.peer_id and one.event_id == event_id and one.outgoing:
                await self._sending.node(portal).files.cancel(tx, portal.peer_id, one.file_id)

    async def _forget(self, tx: Transaction, portal: Portal, link: EventLink) -> None:
        """Nothing refers any more to what was taken back."""
        await self._store.event_links.remove_link(tx, link)
        for change in await self._targets.changes(tx, portal, link.event_id):
            if change.kind != Delete.TYPE:
                await self._store.event_links.remove_link(tx, change)


def _sign(body: JsonObject) -> str | None:
    """What is put there, as the protocol can say it: of a picture that stands for an emoji, its name."""
    key = content.relation(body).get("key")
    if isinstance(key, str) and key.startswith("mxc://"):
        name = body.get("com.beeper.reaction.shortcode", body.get("shortcode"))
        key = f":{name.strip(':')}:" if isinstance(name, str) and name.strip(":") else None
    if not isinstance(key, str) or not 1 <= len(key.encode()) <= MAX_REACTION or content.has_control(key):
        return None
    return key
