"""What the daemon answers about the identity itself: its name, its picture and its state of health."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from dataclasses import asdict

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import Missed
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Clock
from chattor_bridge.node.views import Counters
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import shown_name
from chattor_bridge.terminal.carrying import Carrying
from chattor_bridge.terminal.connection import Connection
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.friends import Friends
from chattor_bridge.terminal.ports import TerminalStore


class Identity:
    """Answers over one node."""

    def __init__(
        self,
        node: Node,
        store: TerminalStore,
        clock: Clock,
        connection: Connection,
        carrying: Carrying,
        friends: Friends,
    ) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._connection = connection
        self._carrying = carrying
        self._friends = friends
        self._started_at = clock.monotonic()

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

    async def status(self, _args: JsonObject) -> AsyncGenerator[Answer, None]:
        status = await self._node.status()
        contacts, unread = await self._node.contacts(), 0
        names = {contact.peer_id: shown_name(contact.order, contact) for contact in contacts}
        for contact in contacts:
            if not contact.preferences.muted:
                unread += await self._friends.unread(contact)
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


def _picture(text: str) -> bytes | None:
    """A picture in base64, or none for an empty text. Raises: MalformedData."""
    try:
        return base64.b64decode(text, validate=True) or None
    except ValueError as error:
        raise MalformedData("avatar must be base64") from error


def missed_item(missed: Missed) -> JsonObject:
    """How far catching up is, as `status` shows it."""
    return {"messages": missed.messages, "friends": missed.friends, "over": missed.over, "words": missed.in_words}


def _dropped(counters: Counters) -> JsonObject:
    """What was dropped, as `status` shows it, when anything was."""
    words = counters.in_words
    return {"dropped": {**asdict(counters), "words": words}} if words else {}
