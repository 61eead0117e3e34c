"""What the daemon answers about holding mail: for whom, and who for us."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from chattor_bridge.errors import MalformedData
from chattor_bridge.node.carrying.records import CarryingInfo, HeldInAll
from chattor_bridge.node.node import Node
from chattor_bridge.protocol.limits import MAX_SHELF_BLOCKS, MAX_SHELVES
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact, numbered, shown_name
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.ports import TerminalStore


class Carrying:
    """Answers over one node."""

    def __init__(self, node: Node, store: TerminalStore) -> None:
        self._node = node
        self._store = store

    async def carry(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        """Do something about one friend; without ``what`` say how things stand with all, and in all. With ``limit``
        only the last, after setting it to so many ``megabytes``, 0 for as many as can be."""
        what, quota = arguments.optional_text(args, "what"), self._node.carrying.quota
        if what == "limit":
            megabytes = arguments.optional_number(args, "megabytes")
            async with self._store.transaction() as tx:
                if megabytes is not None:
                    await quota.change(tx, megabytes or None)
                held = await quota.overview(tx)
            yield Item(_in_all(held))
            yield Done({})
            return
        if what is not None:
            await self._do(what, args)
        contacts = {contact.peer_id: (number, contact) for number, contact in numbered(await self._node.contacts())}
        for info in await self._node.carrying.overview():
            if info.peer_id in contacts:
                number, contact = contacts[info.peer_id]
                yield Item({"contact": number, "name": shown_name(number, contact), **_as_json(info)})
        async with self._store.transaction() as tx:
            held = await quota.overview(tx)
        yield Done(_in_all(held))

    async def _do(self, what: str, args: JsonObject) -> None:
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        carrying, peer_id = self._node.carrying, contact.peer_id
        async with self._store.transaction() as tx:
            match what:
                case "ask":
                    await carrying.ask(tx, peer_id)
                case "leave":
                    await carrying.leave(tx, peer_id)
                case "offer":
                    shelves = arguments.optional_number(args, "shelves") or MAX_SHELVES
                    blocks = arguments.optional_number(args, "blocks") or MAX_SHELF_BLOCKS
                    await carrying.offer(tx, peer_id, shelves, blocks)
                case "stop":
                    await carrying.stop(tx, peer_id)
                case _:
                    raise MalformedData("no such thing can be done about carrying")


def _in_all(held: HeldInAll) -> JsonObject:
    return {"held": held.blocks, "limit": held.limit, "most": held.most, "words": held.in_words}


def _as_json(info: CarryingInfo) -> JsonObject:
    carrier, carriage = info.carrier, info.carriage
    return {
        "carries": info.carries,
        "asked": carrier is not None and carrier.asked,
        "offered": carrier is not None and carrier.shelves > 0,
        "carried": info.is_carried,
        "wants": carriage is not None and not carriage.shelves and carriage.ended_at is None,
        "held": info.held,
        "held_on": info.shelves,
        "shelves": carriage.shelves if carriage is not None else 0,
        "blocks": carriage.blocks if carriage is not None else 0,
        "words": list(info.in_words),
    }
