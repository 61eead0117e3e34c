"""What the daemon answers about what is said: send, history, follow, and what was read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from chattor_bridge.errors import LimitReached, MalformedData, NotFound, UsageError
from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Clock
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.splitting import split_text
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact
from chattor_bridge.terminal.bell import Bell, Change, ContactChanged, MessageChanged, first_of
from chattor_bridge.terminal.checking import check_said
from chattor_bridge.terminal.control import MAX_HISTORY, Answer, Done, Item, JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.forms import STYLES
from chattor_bridge.terminal.messages import message_items, state_of
from chattor_bridge.terminal.ports import Direction, HistoryEntry, TerminalStore

MAX_READ = 100
"""Messages marked as read at once: one receipt, well inside an envelope."""

_PAGE = 100
"""Entries read from the database at a time: 1.5 MB when each is as long as can be."""


class Conversation:
    """Answers over one node and its history."""

    def __init__(self, node: Node, store: TerminalStore, clock: Clock, bell: Bell) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._bell = bell

    async def send(self, args: JsonObject, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        text, wait = arguments.text(args, "text"), arguments.optional_number(args, "wait")
        kind = arguments.optional_text(args, "kind") or ""
        if kind and kind not in STYLES:
            raise MalformedData(f"kind must be one of {', '.join(sorted(STYLES))}")
        peer_id, reply, thread = await self._addressed(args)
        check_said(text)
        now = self._clock.now()
        orders = {}
        async with self._store.transaction() as tx:
            for piece in split_text(text):
                body = Text(piece, kind)
                event_id = await self._node.send(tx, peer_id, body, time=now, reply=reply, thread=thread)
                orders[event_id] = await self._store.history.add(
                    tx,
                    self._node.node_id,
                    peer_id,
                    event_id,
                    Direction.OUT,
                    piece,
                    sent_at=now,
                    stored_at=now,
                    kind=kind or "text",
                    reply=reply,
                    thread=thread,
                )
                reply = None
            tx.after_commit(lambda: self._bell.ring(*_changed(peer_id, list(orders))))
        for event_id, order in orders.items():
            yield Item({"event_id": event_id.hex(), "order": order, "state": "queued"})
        if wait is not None:
            async for item in self._settled(peer_id, list(orders), wait, gone):
                yield item
        yield Done({})

    async def _addressed(self, args: JsonObject) -> tuple[PeerId, EventId | None, EventId | None]:
        """To whom, what it answers and in which thread: by ``contact``, or by ``reply`` or ``thread``, which are order
        numbers. What is said in a thread about something else begins that thread.

        Raises: NotFound, UsageError.
        """
        reply, thread = arguments.optional_number(args, "reply"), arguments.optional_number(args, "thread")
        if reply is None and thread is None:
            _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
            return contact.peer_id, None, None
        found = []
        async with self._store.transaction() as tx:
            for order in (reply, thread):
                entry = None if order is None else await self._store.history.by_order(tx, self._node.node_id, order)
                if order is not None and (entry is None or entry.target is not None or entry.kind == "note"):
                    raise NotFound("no such message: history shows the number of each")
                found.append(entry)
        answered, begun = found
        place = answered or begun
        assert place is not None
        if answered is not None and begun is not None and answered.peer_id != begun.peer_id:
            raise UsageError("these two messages are of different conversations")
        root = None if begun is None else begun.thread or begun.event_id
        return place.peer_id, None if answered is None else answered.event_id, root

    async def history(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        contacts = await self._node.contacts()
        _number, contact = find_contact(contacts, arguments.text(args, "contact"))
        limit, after = arguments.number(args, "limit"), arguments.optional_number(args, "after")
        before = arguments.optional_number(args, "before")
        if limit > MAX_HISTORY:
            raise LimitReached(f"history shows {MAX_HISTORY} messages at most; go on with --after")
        node_id = self._node.node_id
        order, thread = arguments.optional_number(args, "thread"), None
        async with self._store.transaction() as tx:
            if order is not None:
                among = await self._store.history.by_order(tx, node_id, order)
                if among is None or among.peer_id != contact.peer_id:
                    raise NotFound("no such message in this conversation: history shows the number of each")
                thread = among.thread or among.event_id
            if after is None:
                entries = await self._store.history.last(tx, node_id, contact.peer_id, limit, before, thread)
            else:
                entries = await self._store.history.after(
                    tx, node_id, after, limit, contact.peer_id, thread, changes=False
                )
        for item in await message_items(self._store, entries, contacts):
            yield item
        yield Done({})

    async def follow(self, args: JsonObject, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        """Never done: from a given order number, or from what is unread, on and on. Reads by order number from the
        database, so a slow reader costs nothing and misses nothing."""
        chosen = None
        word = arguments.optional_text(args, "contact")
        if word is not None:
            chosen = find_contact(await self._node.contacts(), word)[1].peer_id
        sent_too, start = arguments.flag(args, "sent"), arguments.optional_number(args, "after")
        known_until = 0
        if start is None:
            start, known_until = await self._unread_from(chosen)
        cursor = start
        while not gone.is_set():
            news = self._bell.next()
            async with self._store.transaction() as tx:
                entries = await self._store.history.after(tx, self._node.node_id, cursor, _PAGE, chosen)
            wanted = [entry for entry in entries if _wanted(entry, sent_too, known_until)]
            for item in await message_items(self._store, wanted, await self._node.contacts() if wanted else []):
                yield item
            if entries:
                cursor = entries[-1].order
            if len(entries) < _PAGE:
                await first_of(news, gone)

    async def read(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """Mark what was shown, and tell its senders, in one transaction for each."""
        shown: dict[PeerId, list[EventId]] = {}
        for message in arguments.objects(args, "messages", MAX_READ):
            peer_id = PeerId(arguments.identifier(message, "peer"))
            shown.setdefault(peer_id, []).append(EventId(arguments.identifier(message, "event_id")))
        marked = 0
        for peer_id, event_ids in shown.items():
            marked += await self._mark_read(peer_id, event_ids)
        yield Done({"marked": marked})

    async def _mark_read(self, peer_id: PeerId, event_ids: Sequence[EventId]) -> int:
        node_id, history = self._node.node_id, self._store.history
        async with self._store.transaction() as tx:
            news = []
            for event_id in dict.fromkeys(event_ids):
                entry = await history.get(tx, node_id, peer_id, event_id)
                if entry is not None and entry.direction is Direction.IN and entry.read_at is None:
                    news.append(event_id)
            if not news:
                return 0
            await history.mark_read(tx, node_id, peer_id, news, Direction.IN, self._clock.now())
            await self._node.read(tx, peer_id, news)
            tx.after_commit(lambda: self._bell.ring(*_changed(peer_id, news)))
        return len(news)

    async def _settled(
        self, peer_id: PeerId, event_ids: Sequence[EventId], wait: int, gone: asyncio.Event
    ) -> AsyncGenerator[Item, None]:
        """Each event as it is delivered or fails."""
        waiting = list(event_ids)
        deadline = self._clock.monotonic() + wait
        failure = ""
        while waiting and not gone.is_set():
            news = self._bell.next()
            async with self._store.transaction() as tx:
                entries = [
                    await self._store.history.get(tx, self._node.node_id, peer_id, event_id) for event_id in waiting
                ]
            for entry in entries:
                if entry is not None and (state := state_of(entry)) != "queued":
                    waiting.remove(entry.event_id)
                    failure = failure or entry.failure
                    yield Item({"event_id": entry.event_id.hex(), "order": entry.order, "state": state})
            left = deadline - self._clock.monotonic()
            if waiting and left <= 0:
                raise CommandError(
                    Exit.NOT_YET, "not delivered yet: it is stored, and goes out when the friend is reached"
                )
            if waiting:
                await first_of(news, gone, timeout=left)
        if failure:
            raise CommandError(Exit.REFUSED, f"not delivered: {failure}")

    async def _unread_from(self, chosen: PeerId | None) -> tuple[int, int]:
        """Where to begin so that everything unread is shown, and up to where all that is read is known."""
        begin: int | None = None
        end = 0
        async with self._store.transaction() as tx:
            for contact in await self._store.contacts.of_node(tx, self._node.node_id):
                if chosen is not None and contact.peer_id != chosen:
                    continue
                for entry in await self._store.history.unread(tx, self._node.node_id, contact.peer_id, 1):
                    begin = entry.order - 1 if begin is None else min(begin, entry.order - 1)
                for entry in await self._store.history.last(tx, self._node.node_id, contact.peer_id, 1):
                    end = max(end, entry.order)
        return (end if begin is None else begin), end


def _changed(peer_id: PeerId, event_ids: Sequence[EventId]) -> list[Change]:
    return [*(MessageChanged(peer_id, event_id) for event_id in event_ids), ContactChanged(peer_id)]


def _wanted(entry: HistoryEntry, sent_too: bool, known_until: int) -> bool:
    if entry.direction is Direction.OUT:
        return sent_too
    return entry.order > known_until or entry.read_at is None
