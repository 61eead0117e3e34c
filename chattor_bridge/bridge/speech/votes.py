"""Polls of the owner, and what they choose in the friend's."""

from __future__ import annotations

from chattor_bridge.bridge import content, polls
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.records import EventLink, InboxItem, JsonObject, Portal
from chattor_bridge.bridge.speech.answers import Answers
from chattor_bridge.bridge.speech.sending import Sending
from chattor_bridge.bridge.speech.targets import Targets
from chattor_bridge.bridge.speech.words import NO_RELATION
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import MatrixEventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Poll, PollEnd, Text, Vote
from chattor_bridge.protocol.splitting import split_text

EDITED_POLL = "a poll cannot be changed once it is sent. Remove it and begin another."
NO_SUCH_POLL = "⚠ This was not sent: the poll is nothing your friend has."
NOT_YOURS = "⚠ This was not sent: your friend began this poll, and only your friend can end it."


class Votes:
    """Makes deeds of the three kinds of poll events."""

    def __init__(self, answers: Answers, sending: Sending, targets: Targets) -> None:
        self._answers = answers
        self._sending = sending
        self._targets = targets

    def begun(self, portal: Portal, item: InboxItem, kind: str, body: JsonObject) -> Deed:
        event_id = MatrixEventId(item.event["event_id"])
        if content.relation(body).get("rel_type") == "m.replace":
            return self._answers.not_sent(portal, EDITED_POLL, event_id)
        try:
            poll, detail = polls.poll_in(kind, body)
        except UsageError as error:
            return self._answers.not_sent(portal, str(error), event_id)

        async def deed(tx: Transaction) -> None:
            related = await self._targets.relations(tx, portal, body)
            if await self._sending.understood(tx, portal, Poll.TYPE):
                await self._sending.send(
                    tx, portal, item, poll, reply=related.reply, thread=related.thread, detail=detail
                )
            else:
                for part, piece in enumerate(split_text(polls.in_words(poll))):
                    await self._sending.send(tx, portal, item, Text(piece), part=part, thread=related.thread)
            if related.lost:
                await self._answers.once(portal, "relation", NO_RELATION, event_id)(tx)

        return deed

    def answered(self, portal: Portal, item: InboxItem, body: JsonObject) -> Deed:
        async def deed(tx: Transaction) -> None:
            poll = await self._poll(tx, portal, body)
            if poll is None or poll.detail is None:
                await self._answers.say(portal, NO_SUCH_POLL)(tx)
                return
            vote = Vote(poll.event_id, polls.choices_in(poll.detail, body))
            await self._sending.send(
                tx, portal, item, vote, target=poll.event_id, detail={"choices": list(vote.choices)}
            )

        return deed

    def ended(self, portal: Portal, item: InboxItem, body: JsonObject) -> Deed:
        async def deed(tx: Transaction) -> None:
            poll = await self._poll(tx, portal, body)
            if poll is None or not poll.ours:
                await self._answers.say(portal, NO_SUCH_POLL if poll is None else NOT_YOURS)(tx)
            else:
                await self._sending.send(tx, portal, item, PollEnd(poll.event_id), target=poll.event_id)

        return deed

    async def _poll(self, tx: Transaction, portal: Portal, body: JsonObject) -> EventLink | None:
        links = await self._targets.originals(tx, portal, content.relation(body).get("event_id"))
        return next((link for link in links if link.kind == Poll.TYPE), None)
