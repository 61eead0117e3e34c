"""What the daemon tells those who watch: whatever somebody can see has changed, as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from chattor_bridge.node.happenings import Missed
from chattor_bridge.node.node import Node
from chattor_bridge.terminal.bell import Bell, Change, ContactChanged, MessageChanged, first_of
from chattor_bridge.terminal.control import Answer, Item, JsonObject
from chattor_bridge.terminal.friends import Friends
from chattor_bridge.terminal.identity import missed_item
from chattor_bridge.terminal.messages import message_items
from chattor_bridge.terminal.ports import TerminalStore


class Watching:
    """Answers over one node and its history."""

    def __init__(self, node: Node, store: TerminalStore, bell: Bell, friends: Friends) -> None:
        self._node = node
        self._store = store
        self._bell = bell
        self._friends = friends

    async def watch(self, _args: JsonObject, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        """Never done. Each change comes once however often it happened meanwhile, with how things are now, so a slow
        reader costs nothing and ends up with the truth."""
        with self._bell.watch() as watch:
            while not gone.is_set():
                news = self._bell.next()
                for item in await self._described(watch.take()):
                    yield item
                await first_of(news, gone)

    async def _described(self, changes: Sequence[Change]) -> list[Item]:
        if not changes:
            return []
        contacts = await self._node.contacts()
        known = {contact.peer_id: contact for contact in contacts}
        items = []
        for change in changes:
            match change:
                case MessageChanged(peer_id, event_id):
                    if peer_id not in known:
                        continue  # forgotten meanwhile, with all that was said
                    async with self._store.transaction() as tx:
                        entry = await self._store.history.get(tx, self._node.node_id, peer_id, event_id)
                        if entry is not None and entry.target is not None:  # it is shown with what it changes
                            entry = await self._store.history.get(tx, self._node.node_id, peer_id, entry.target)
                            if entry is None:
                                continue
                    if entry is None:
                        gone = {"change": "gone", "contact": known[peer_id].order, "event_id": event_id.hex()}
                        items.append(Item(gone))
                        continue
                    [message] = await message_items(self._store, [entry], contacts)
                    items.append(Item({"change": "message", "message": message.fields}))
                case ContactChanged(peer_id):
                    if (contact := known.get(peer_id)) is None:
                        items.append(Item({"change": "contacts"}))
                    else:
                        items.append(Item({"change": "contact", "contact": await self._friends.contact_item(contact)}))
                case Missed():
                    items.append(Item({"change": "missed", **missed_item(change)}))
                case _:
                    items.append(Item({"change": str(change)}))
        return items
