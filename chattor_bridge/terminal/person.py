"""What the daemon answers about the person: what friends see of it, and what it keeps of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import TypeVar

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import PeerId
from chattor_bridge.node.node import Node
from chattor_bridge.node.preferences import Shared
from chattor_bridge.protocol.signals import Here
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.friends import Friends
from chattor_bridge.terminal.ports import TerminalStore

ALL = "all"
"""What stands for every contact."""

W = TypeVar("W", bound=StrEnum)


class PersonAnswers:
    """Answers over one node."""

    def __init__(self, node: Node, store: TerminalStore, friends: Friends) -> None:
        self._node = node
        self._store = store
        self._friends = friends

    async def privacy(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """Show something to one friend or all, or no longer; without ``what`` say what is shown."""
        who, what = arguments.text(args, "who"), arguments.optional_text(args, "what")
        contacts = await self._node.contacts()
        meant = contacts if who == ALL else [find_contact(contacts, who)[1]]
        if what is not None:
            shared, on = _word(Shared, what), arguments.flag(args, "on")
            async with self._store.transaction() as tx:
                await self._node.share(tx, None if who == ALL else meant[0].peer_id, shared, on=on)
        for peer_id in [contact.peer_id for contact in meant]:
            yield await self._item(peer_id)
        yield Done({})

    async def mute(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        async with self._store.transaction() as tx:
            await self._node.mute(tx, contact.peer_id, muted=arguments.flag(args, "muted"))
        yield await self._item(contact.peer_id)
        yield Done({})

    async def note(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        text = arguments.optional_text(args, "text")
        if text is not None:
            async with self._store.transaction() as tx:
                await self._node.annotate(tx, contact.peer_id, text)
        yield await self._item(contact.peer_id)
        yield Done({})

    async def disappearing(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """Set the timer of a conversation, in seconds; without ``seconds`` say what it is."""
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        seconds = arguments.optional_number(args, "seconds")
        if seconds is not None:
            async with self._store.transaction() as tx:
                await self._node.set_timer(tx, contact.peer_id, seconds)
        yield await self._item(contact.peer_id)
        yield Done({})

    async def typing(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """The person writes to a friend or has stopped: for programs that know, to be said again every few seconds."""
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        await self._node.type(contact.peer_id, on=arguments.flag(args, "on"))
        yield Done({})

    async def presence(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        await self._node.be(_word(Here, arguments.text(args, "state")))
        yield Done({})

    async def _item(self, peer_id: PeerId) -> Item:
        contacts = await self._node.contacts()
        return Item(await self._friends.contact_item(next(one for one in contacts if one.peer_id == peer_id)))


def _word(kind: type[W], word: str) -> W:
    """Raises: MalformedData."""
    try:
        return kind(word)
    except ValueError as error:
        raise MalformedData(f"it can be {', '.join(kind)}") from error
