"""The floor of encrypted rooms: a user on mautrix and its crypto, all in memory, that says again what it hears.

It answers each event in a task of its own, as the bare echo does. An application service is told nothing of keys, so
like every bot of mautrix in encrypted rooms it listens over ``/sync``.
"""

from __future__ import annotations

import asyncio
import sys

from mautrix.client import Client
from mautrix.client.state_store import MemoryStateStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine, StateStore
from mautrix.types import (
    EventType,
    FilterID,
    Membership,
    MemberStateEventContent,
    MessageEvent,
    RoomEncryptionStateEventContent,
    RoomID,
    StateEvent,
    UserID,
)

FILTER = FilterID('{"room":{"timeline":{"limit":100}}}')
"""Without it a sync leaves out all but the newest 10 events of a room."""


class _Rooms(StateStore):
    """What of the client's knowledge its crypto wants."""

    def __init__(self, known: MemoryStateStore) -> None:
        self._known = known

    async def is_encrypted(self, room_id: RoomID) -> bool:
        return await self._known.is_encrypted(room_id) or False

    async def get_encryption_info(self, room_id: RoomID) -> RoomEncryptionStateEventContent | None:
        return await self._known.get_encryption_info(room_id)

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return [room for room, members in self._known.members.items() if user_id in members]


async def run(homeserver: str, user: str, password: str) -> None:
    known = MemoryStateStore()
    client = Client(mxid=UserID(user), base_url=homeserver, state_store=known)
    await client.login(identifier=UserID(user), password=password)
    client.crypto = OlmMachine(client, MemoryCryptoStore(user, "echo"), _Rooms(known))
    await client.crypto.load()
    await client.crypto.share_keys()

    async def joining(event: StateEvent) -> None:
        invited = isinstance(event.content, MemberStateEventContent) and event.content.membership == Membership.INVITE
        if invited and event.state_key == user:
            await client.join_room_by_id(event.room_id)

    async def echo(event: MessageEvent) -> None:
        if event.sender != user:
            await client.send_text(event.room_id, event.content.body)

    client.add_event_handler(EventType.ROOM_MEMBER, joining)
    client.add_event_handler(EventType.ROOM_MESSAGE, echo)
    await client.start(FILTER)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
