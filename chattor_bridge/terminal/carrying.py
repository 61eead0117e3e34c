"""What the daemon answers about holding mail: for whom, and who for us."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

from chattor_bridge.errors import MalformedData
from chattor_bridge.node.carrying.records import CarryingInfo, HeldInAll
from chattor_bridge.node.node import Node
from chattor_bridge.protocol.limits import BLOCK_SIZE, MAX_CARRIED_SHELVES
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact, numbered, shown_name
from chattor_bridge.terminal.connection import Connection
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.ports import TerminalStore


class Carrying:
    """Answers over one node. ``headless``: it is a mailbox; ``directory`` is where it keeps what it holds, and
    ``shelves`` how its tor for shelves is connected, None when that is the same as for all else."""

    def __init__(
        self, node: Node, store: TerminalStore, directory: Path, shelves: Connection | None, *, headless: bool
    ) -> None:
        self._node = node
        self._store = store
        self._directory = directory
        self._shelves = shelves
        self._headless = headless

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

    async def mailbox(self) -> JsonObject | None:
        """What whoever looks after a mailbox has to know; None when this is none and holds nobody's mail."""
        held = {info.peer_id: info.held for info in await self._node.carrying.overview() if info.is_carried}
        if not held and not self._headless:
            return None
        contacts = [one for one in numbered(await self._node.contacts()) if one[1].peer_id in held]
        async with self._store.transaction() as tx:
            shelves, _kept = await self._store.carriages.count_shelves(tx)
            in_all = await self._node.carrying.quota.overview(tx)
        tor = self._shelves if shelves else None
        return {
            "headless": self._headless,
            "carried": [
                {"contact": number, "name": shown_name(number, contact), "held": held[contact.peer_id]}
                for number, contact in contacts
            ],
            "held": in_all.blocks * BLOCK_SIZE,
            "limit": in_all.limit * BLOCK_SIZE,
            "shelves": shelves,
            "most_shelves": MAX_CARRIED_SHELVES,
            "tor": None if tor is None else {"ready": tor.ready, "summary": tor.summary},
            "free": shutil.disk_usage(self._directory).free,
        }

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
                    shelves, blocks = arguments.optional_number(args, "shelves"), arguments.number(args, "blocks")
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
