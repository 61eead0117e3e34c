"""What the daemon does about what was said: edit, delete, react, vote; and what is said that is no text."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

from chattor_bridge.counting import counted
from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.ids import FileId, PeerId
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.protocol.events import Body, Delete, Edit, Event, Location, Poll, PollEnd, Reaction, Vote
from chattor_bridge.protocol.limits import MAX_ANSWERS
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact
from chattor_bridge.terminal.bell import Bell, ContactChanged, MessageChanged
from chattor_bridge.terminal.checking import check_choices, check_new_words
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.forms import STYLES, form_of
from chattor_bridge.terminal.ports import Direction, HistoryEntry, TerminalStore
from chattor_bridge.terminal.recorder import MOST_CHANGES, take_back
from chattor_bridge.wording import MICRO

NOT_KNOWN = "your friend's program does not know {what}: say it in words"


class Relating:
    """Answers over one node and its history. A message is meant by its order number."""

    def __init__(self, node: Node, store: TerminalStore, clock: Clock, bell: Bell) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._bell = bell

    async def edit(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """Change a text, or what stands with a file; without ``text`` take the latter away."""
        text = arguments.optional_text(args, "text")
        if text is not None:
            check_new_words(text)
        async with self._store.transaction() as tx:
            entry = await self._own(tx, args)
            if entry.kind not in ("text", "emote", "notice", "file"):
                raise UsageError("only texts and the captions of files can be changed")
            if text is None and entry.kind != "file":
                raise UsageError("this is no file whose caption could be taken away; delete takes a message back")
            kind = entry.kind if entry.kind in STYLES else ""
            edit = Edit(entry.event_id, text or "", kind)
            item = await self._send(tx, entry.peer_id, edit, "changes of what was said")
        yield item
        yield Done({})

    async def delete(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        async with self._store.transaction() as tx:
            entry = await self._own(tx, args)
            item = await self._take_back(tx, entry)
        yield item
        yield Done({})

    async def react(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        emoji = arguments.text(args, "emoji")
        async with self._store.transaction() as tx:
            entry = await self._found(tx, args)
            if not arguments.flag(args, "remove"):
                item = await self._send(tx, entry.peer_id, Reaction(entry.event_id, emoji), "reactions")
            else:
                changes = await self._store.history.changes(
                    tx, entry.node_id, entry.peer_id, entry.event_id, MOST_CHANGES
                )
                ours = [
                    one
                    for one in changes
                    if (one.kind, one.text, one.direction) == (Reaction.TYPE, emoji, Direction.OUT)
                ]
                if not ours:
                    raise NotFound("you have not put that under this message")
                for reaction in ours:
                    item = await self._take_back(tx, reaction)
        yield item
        yield Done({})

    async def poll(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        answers = tuple(arguments.texts(args, "answers", MAX_ANSWERS))
        choices = arguments.number(args, "choices")
        check_choices(choices, len(answers))
        body = Poll(arguments.text(args, "question"), answers, choices, not arguments.flag(args, "hidden"))
        async with self._store.transaction() as tx:
            item = await self._send(tx, contact.peer_id, body, "polls")
        yield item
        yield Done({})

    async def vote(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """``choices`` are the numbers of answers, from 0."""
        choices = sorted(set(arguments.numbers(args, "choices", MAX_ANSWERS)))
        async with self._store.transaction() as tx:
            entry = await self._found(tx, args)
            if entry.kind != Poll.TYPE or entry.detail is None:
                raise UsageError("this is no poll")
            if any(choice >= len(entry.detail["answers"]) for choice in choices):
                raise UsageError(f"this poll has {counted(len(entry.detail['answers']), 'answer')}")
            if len(choices) > entry.detail["choices"]:
                raise UsageError(f"this poll lets you choose {entry.detail['choices']} at most")
            if await self._is_over(tx, entry):
                raise UsageError("this poll is over")
            item = await self._send(tx, entry.peer_id, Vote(entry.event_id, tuple(choices)), "polls")
        yield item
        yield Done({})

    async def end_poll(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        async with self._store.transaction() as tx:
            entry = await self._own(tx, args)
            if entry.kind != Poll.TYPE or await self._is_over(tx, entry):
                raise UsageError("this is no poll that could be ended")
            item = await self._send(tx, entry.peer_id, PollEnd(entry.event_id), "polls")
        yield item
        yield Done({})

    async def place(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """``latitude`` and ``longitude`` in degrees times 1,000,000."""
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        body = Location(
            arguments.signed(args, "latitude"),
            arguments.signed(args, "longitude"),
            arguments.optional_number(args, "accuracy"),
            arguments.text(args, "name"),
        )
        if abs(body.latitude) > 90 * MICRO or abs(body.longitude) > 180 * MICRO:
            raise UsageError("no place on earth: a latitude has up to 90 degrees, a longitude up to 180")
        async with self._store.transaction() as tx:
            item = await self._send(tx, contact.peer_id, body, "places")
        yield item
        yield Done({})

    async def _found(self, tx: Transaction, args: JsonObject) -> HistoryEntry:
        """The message an operation is about. Raises: NotFound, UsageError when nothing can be said about it."""
        entry = await self._store.history.by_order(tx, self._node.node_id, arguments.number(args, "order"))
        if entry is None or entry.target is not None:
            raise NotFound("no such message: history shows the number of each")
        if entry.deleted_at is not None:
            raise UsageError("this message was taken back")
        if entry.kind == "note":
            raise UsageError("nobody has said that: it is a note of this program")
        return entry

    async def _own(self, tx: Transaction, args: JsonObject) -> HistoryEntry:
        entry = await self._found(tx, args)
        if entry.direction is not Direction.OUT:
            raise UsageError("your friend has said that: only what you said yourself can be changed")
        return entry

    async def _is_over(self, tx: Transaction, poll: HistoryEntry) -> bool:
        changes = await self._store.history.changes(tx, poll.node_id, poll.peer_id, poll.event_id, MOST_CHANGES)
        return any(one.kind == PollEnd.TYPE and one.direction is poll.direction for one in changes)

    async def _take_back(self, tx: Transaction, entry: HistoryEntry) -> Item:
        item = await self._send(tx, entry.peer_id, Delete(entry.event_id), "how to take something back")
        if entry.kind == "file" and entry.detail is not None:
            with suppress(UsageError):  # it has gone over, or will not
                await self._node.files.cancel(tx, entry.peer_id, FileId(bytes.fromhex(entry.detail["file"])))
        await take_back(
            self._store.history, tx, entry.node_id, entry.peer_id, entry.event_id, Direction.OUT, self._clock.now()
        )
        if entry.target is not None:
            shown = entry.target
            tx.after_commit(lambda: self._bell.ring(MessageChanged(entry.peer_id, shown)))
        return item

    async def _send(self, tx: Transaction, peer_id: PeerId, body: Body, what: str) -> Item:
        """Put it on its way and into the history. Raises: UsageError when the friend's program does not know it."""
        if not await self._node.understands(tx, peer_id, body.TYPE):
            raise UsageError(NOT_KNOWN.format(what=what))
        now = self._clock.now()
        event_id = await self._node.send(tx, peer_id, body, time=now)
        form = form_of(Event(event_id, now, body))
        await self._store.history.add(
            tx,
            self._node.node_id,
            peer_id,
            event_id,
            Direction.OUT,
            form.text,
            sent_at=now,
            stored_at=now,
            kind=form.kind,
            target=form.target,
            detail=form.detail,
        )
        shown = form.target or event_id
        tx.after_commit(lambda: self._bell.ring(MessageChanged(peer_id, shown), ContactChanged(peer_id)))
        return Item({"event_id": event_id.hex(), "state": "queued"})
