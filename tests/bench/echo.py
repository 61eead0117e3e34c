"""The floor of throughput: an application service that says again what it hears, on mautrix and nothing else.

It answers each event in a task of its own, or with ``in-order`` as its last argument those of a room one after the
other, as keeping their order asks for. With ``unasked`` it is told a number, and says that many messages in order.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from mautrix.appservice import AppService, ASStateStore
from mautrix.client.state_store import MemoryStateStore
from mautrix.types import Event, EventType, Membership, MessageEvent, RoomID, StateEvent
from ruamel.yaml import YAML


class _State(ASStateStore, MemoryStateStore):
    def __init__(self) -> None:
        ASStateStore.__init__(self)
        MemoryStateStore.__init__(self)


def answers(body: str, mode: str) -> list[str]:
    return [f"unasked {number} of {body}" for number in range(int(body))] if mode == "unasked" else [body]


async def run(registration: Path, homeserver: str, domain: str, port: int, mode: str) -> None:
    document = YAML(typ="safe", pure=True).load(registration)
    service = AppService(
        server=homeserver,
        domain=domain,
        as_token=document["as_token"],
        hs_token=document["hs_token"],
        bot_localpart=document["sender_localpart"],
        id=document["id"],
        state_store=_State(),
    )

    turns: defaultdict[RoomID, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def echo(event: Event) -> None:
        room: RoomID = event.room_id
        turn: AbstractAsyncContextManager[None] = nullcontext() if mode == "at-once" else turns[room]
        if isinstance(event, StateEvent) and event.type == EventType.ROOM_MEMBER:
            if event.content.membership == Membership.INVITE and event.state_key == service.bot_mxid:
                await service.intent.join_room(room)
        elif isinstance(event, MessageEvent) and event.sender != service.bot_mxid:
            async with turn:  # a lock of asyncio lets those who wait pass in the order in which they came
                for text in answers(event.content.body, mode):
                    await service.intent.send_text(room, text)

    service.matrix_event_handler(echo)
    await service.start("127.0.0.1", port)
    await service.intent.ensure_registered()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]))
