"""What the daemon answers about friend codes, and about requests, which come and go by them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from itertools import count

from chattor_bridge.node.node import Node
from chattor_bridge.node.views import CodeInfo
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_code, find_request, numbered, shown_name
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.ports import TerminalStore
from chattor_bridge.typed_code import code_and_note


class Codes:
    """Answers over one node."""

    def __init__(self, node: Node, store: TerminalStore) -> None:
        self._node = node
        self._store = store

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
        code, note = code_and_note(arguments.text(args, "code"), arguments.text(args, "note"))
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
                    "number": request.order,
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
