"""What the daemon answers about the identity and its friends: codes, requests, contacts, name and state of health."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from itertools import count

from chattor_bridge.errors import MalformedData, NotFound
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import Missed
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Clock
from chattor_bridge.node.views import CodeInfo, ContactInfo, Counters
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_code, find_contact, find_request, numbered, shown_name
from chattor_bridge.terminal.carrying import Carrying
from chattor_bridge.terminal.connection import Connection
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.ports import TerminalStore

UNREAD_COUNTED = 100
"""Unread messages of a friend that are counted; a hundred means "a hundred or more"."""


class Friends:
    """Answers over one node."""

    def __init__(
        self, node: Node, store: TerminalStore, clock: Clock, connection: Connection, carrying: Carrying
    ) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._connection = connection
        self._carrying = carrying
        self._started_at = clock.monotonic()

    async def codes(self, _args: JsonObject) -> AsyncGenerator[Answer, None]:
        for code in await self._node.codes():
            yield Item(code_item(code))
        yield Done({})

    async def new_code(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        label = arguments.text(args, "label") or _free_label(await self._node.codes())
        async with self._store.transaction() as tx:
            code = await self._node.create_code(
                tx,
                label,
                one_time=arguments.flag(args, "once"),
                lifetime=arguments.optional_number(args, "lifetime"),
                max_uses=arguments.optional_number(args, "uses"),
            )
        yield Item(code_item(code))
        yield Done({})

    async def park_code(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        code = find_code(await self._node.codes(), arguments.text(args, "code"))
        async with self._store.transaction() as tx:
            code = await self._node.park_code(tx, code.door_id, parked=arguments.flag(args, "parked"))
        yield Item(code_item(code))
        yield Done({})

    async def rotate_code(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        code = find_code(await self._node.codes(), arguments.text(args, "code"))
        async with self._store.transaction() as tx:
            code = await self._node.rotate_code(tx, code.door_id, grace=arguments.number(args, "grace"))
        yield Item(code_item(code))
        yield Done({})

    async def retire_code(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        code = find_code(await self._node.codes(), arguments.text(args, "code"))
        async with self._store.transaction() as tx:
            await self._node.retire_code(tx, code.door_id)
        yield Item({"id": code.door_id.hex(), "label": code.label})
        yield Done({})

    async def add(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        code, note = arguments.text(args, "code"), arguments.text(args, "note")
        async with self._store.transaction() as tx:
            knock_id = await self._node.add(tx, code, note)
        yield Item({"request": knock_id.hex()})
        yield Done({})

    async def requests(self, _args: JsonObject) -> AsyncGenerator[Answer, None]:
        received = await self._node.requests()
        async with self._store.transaction() as tx:
            await self._node.see_requests(tx, [request.knock_id for request in received])
        for request in [*received, *await self._node.requests(blocked=True)]:
            yield Item(
                {
                    "direction": "received",
                    "id": request.knock_id.hex(),
                    "name": request.name,
                    "note": request.note,
                    "label": request.door_label,
                    "ignored": request.ignored,
                    "blocked": request not in received,
                    "effort": request.effort,
                    "time": request.received_at,
                }
            )
        for knock in await self._node.outgoing():
            yield Item(
                {
                    "direction": "sent",
                    "id": knock.knock_id.hex(),
                    "state": str(knock.state),
                    "reason": knock.reason,
                    "note": knock.note,
                    "time": knock.created_at,
                }
            )
        yield Done({})

    async def accept(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        request = find_request(await self._node.requests(), arguments.text(args, "request"))
        async with self._store.transaction() as tx:
            peer_id = await self._node.accept(tx, request.knock_id)
        for number, contact in numbered(await self._node.contacts()):
            if contact.peer_id == peer_id:
                yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def ignore(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        request = find_request(await self._node.requests(), arguments.text(args, "request"))
        async with self._store.transaction() as tx:
            await self._node.ignore(tx, request.knock_id)
        yield Item({"id": request.knock_id.hex()})
        yield Done({})

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
            ended = [find_contact(contacts, arguments.text(args, "contact"))]
            async with self._store.transaction() as tx:
                await self._node.retire(tx, ended[0][1].peer_id)
        for number, contact in ended:
            yield Item({"contact": number, "name": shown_name(number, contact)})
        yield Done({})

    async def forget(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
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

    async def profile(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        name = arguments.optional_text(args, "name")
        if name is not None:
            async with self._store.transaction() as tx:
                await self._node.set_profile_name(tx, name)
        picture = arguments.optional_text(args, "avatar")
        async with self._store.transaction() as tx:
            if picture is not None:
                await self._node.set_picture(tx, _picture(picture))
            own = await self._store.pictures.own(tx, self._node.node_id)
        yield Item({"name": self._node.profile_name, "avatar": own is not None})
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

    async def status(self, _args: JsonObject) -> AsyncGenerator[Answer, None]:
        status = await self._node.status()
        contacts, unread = await self._node.contacts(), 0
        names = {contact.peer_id: shown_name(contact.order, contact) for contact in contacts}
        for contact in contacts:
            if not contact.preferences.muted:
                unread += await self._unread(contact)
        yield Item(
            {
                "name": status.profile_name,
                "tor": {"ready": self._connection.ready, "summary": self._connection.summary},
                "codes": status.codes,
                "published": status.codes_published,
                "onions": {"all": status.onions, "published": status.onions_published},
                "contacts": status.contacts,
                "online": status.contacts_online,
                "requests": status.requests,
                "asked": status.outgoing,
                "queued": status.queued,
                "unread": unread,
                **({} if status.missed is None else {"missed": missed_item(status.missed)}),
                **_dropped(status.counters),
                **({} if (mailbox := await self._carrying.mailbox()) is None else {"mailbox": mailbox}),
                "uptime": int(self._clock.monotonic() - self._started_at),
                "trouble": [
                    {
                        "what": work.what,
                        "name": names.get(PeerId(work.ident), ""),
                        "reason": work.reason,
                        "failures": work.failures,
                        "next_try_in": None if work.next_try_in is None else int(work.next_try_in),
                    }
                    for work in status.work
                    if work.amiss
                ],
            }
        )
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
            "unread": await self._unread(contact),
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

    async def _unread(self, contact: ContactInfo) -> int:
        async with self._store.transaction() as tx:
            return len(await self._store.history.unread(tx, self._node.node_id, contact.peer_id, UNREAD_COUNTED))


def _picture(text: str) -> bytes | None:
    """A picture in base64, or none for an empty text. Raises: MalformedData."""
    try:
        return base64.b64decode(text, validate=True) or None
    except ValueError as error:
        raise MalformedData("avatar must be base64") from error


def _free_label(codes: Sequence[CodeInfo]) -> str:
    """A label for a code whose owner did not think of one."""
    taken = {code.label for code in codes}
    return next(label for number in count(1) if (label := f"code {number}") not in taken)


def code_item(code: CodeInfo) -> JsonObject:
    """A friend code as `code` shows it."""
    return {
        "id": code.door_id.hex(),
        "label": code.label,
        "code": code.code,
        "published": code.published,
        "once": code.one_time,
        "expires": code.expires_at,
        "uses": code.uses,
        "max_uses": code.max_uses,
        "parked": code.parked,
        "created": code.created_at,
    }


def missed_item(missed: Missed) -> JsonObject:
    """How far catching up is, as `status` shows it."""
    return {"messages": missed.messages, "friends": missed.friends, "over": missed.over, "words": missed.in_words}


def _dropped(counters: Counters) -> JsonObject:
    """What was dropped, as `status` shows it, when anything was."""
    words = counters.in_words
    return {"dropped": {**asdict(counters), "words": words}} if words else {}
