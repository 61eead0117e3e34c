"""What the daemon answers about friends."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator

from chattor_bridge.errors import NotFound
from chattor_bridge.node.node import Node
from chattor_bridge.node.views import ContactInfo
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact, find_request, numbered, shown_name
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.ports import TerminalStore

UNREAD_COUNTED = 100
"""Unread messages of a friend that are counted; a hundred means "a hundred or more"."""


class Friends:
    """Answers over one node."""

    def __init__(self, node: Node, store: TerminalStore) -> None:
        self._node = node
        self._store = store

    async def block(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        if arguments.flag(args, "request"):
            request = find_request(await self._node.requests(), arguments.text(args, "who"))
            async with self._store.transaction() as tx:
                await self._node.block_request(tx, request.knock_id)
            yield Item({"id": request.knock_id.hex()})
        else:
            number, contact = find_contact(await self._node.contacts(), arguments.text(args, "who"))
            async with self._store.transaction() as tx:
                await self._node.block(tx, contact.peer_id)
            yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def unblock(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        if arguments.flag(args, "request"):
            request = find_request(await self._node.requests(blocked=True), arguments.text(args, "who"))
            async with self._store.transaction() as tx:
                await self._node.unblock_request(tx, request.knock_id)
            yield Item({"id": request.knock_id.hex()})
        else:
            number, contact = find_contact(await self._node.contacts(), arguments.text(args, "who"))
            async with self._store.transaction() as tx:
                await self._node.unblock(tx, contact.peer_id)
            yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def merge(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        contacts = await self._node.contacts()
        number, contact = find_contact(contacts, arguments.text(args, "contact"))
        word = arguments.optional_text(args, "other")
        other = None if word is None else find_contact(contacts, word)[1].peer_id
        async with self._store.transaction() as tx:
            await self._node.merge(tx, contact.peer_id, other)
        yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def retire(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        contacts = await self._node.contacts()
        if arguments.flag(args, "all"):
            async with self._store.transaction() as tx:
                await self._node.retire_all(tx)
            ended = [one for one in numbered(contacts) if not one[1].retired]
        else:
            ended = [find_contact(contacts, arguments.text(args, "contact"), whole=True)]
            async with self._store.transaction() as tx:
                await self._node.retire(tx, ended[0][1].peer_id)
        for number, contact in ended:
            yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def whom(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """Whom `forget` and `retire` would be about."""
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"), whole=True)
        yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def forget(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"), whole=True)
        async with self._store.transaction() as tx:
            await self._node.forget(tx, contact.peer_id)
            await self._store.history.erase(tx, self._node.node_id, contact.peer_id)
        yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def contacts(self, _args: JsonObject) -> AsyncGenerator[Answer, None]:
        for _number, contact in numbered(await self._node.contacts()):
            yield Item(await self.contact_item(contact))
        yield Done({})

    async def rename(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        async with self._store.transaction() as tx:
            await self._node.rename(tx, contact.peer_id, arguments.text(args, "alias"))
        for each in await self._node.contacts():
            if each.peer_id == contact.peer_id:
                yield Item({"contact": number, "name": each.name, "alias": each.alias})
        yield Done({})

    async def resync(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        async with self._store.transaction() as tx:
            await self._node.renew_session(tx, contact.peer_id)
        yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def verify(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        what = arguments.text(args, "what")
        async with self._store.transaction() as tx:
            if what == "emoji":
                await self._node.compare_emoji(tx, contact.peer_id)
            elif what in ("match", "mismatch"):
                await self._node.confirm(tx, contact.peer_id, match=what == "match")
        info = await self._node.verification(contact.peer_id)
        yield Item(
            {
                "contact": number,
                "name": shown_name(number, contact),
                "verification": info.state.value,
                "number": info.number,
                "emoji": None if info.emoji is None else [list(pair) for pair in info.emoji],
            }
        )
        yield Done({})

    async def avatar(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """A friend's picture."""
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        async with self._store.transaction() as tx:
            picture = await self._store.pictures.of_friend(tx, self._node.node_id, contact.peer_id)
        if picture is None:
            raise NotFound("this friend shows no picture of itself")
        data = base64.b64encode(picture.data).decode()
        yield Item({"contact": number, "type": picture.mime_type, "data": data})
        yield Done({})

    async def contact_item(self, contact: ContactInfo) -> JsonObject:
        """One friend as `contacts` shows it."""
        async with self._store.transaction() as tx:
            last = await self._store.history.last(tx, self._node.node_id, contact.peer_id, 1)
        return {
            "contact": contact.order,
            "name": contact.name,
            "alias": contact.alias,
            "online": contact.online,
            "blocked": contact.blocked,
            "retired": contact.retired,
            "queued": contact.queued,
            "unread": await self.unread(contact),
            "since": contact.created_at,
            "verification": contact.verification.value,
            "here": contact.here.value,
            "typing": contact.typing,
            "shares": sorted(contact.preferences.shares),
            "muted": contact.preferences.muted,
            "note": contact.preferences.note,
            "timer": contact.preferences.timer,
            "last": last[0].order if last else None,
        }

    async def unread(self, contact: ContactInfo) -> int:
        """How many messages of this friend nobody has read, up to `UNREAD_COUNTED`."""
        async with self._store.transaction() as tx:
            return len(await self._store.history.unread(tx, self._node.node_id, contact.peer_id, UNREAD_COUNTED))
