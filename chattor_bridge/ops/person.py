"""A person at a Matrix client, scripted: logs in, syncs, joins what it is invited to, says things, waits for answers.

The demo plays its conversation with it and the tests look at the bridge through it, so that both see exactly what a
real client is given by the homeserver's client API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from mautrix.api import HTTPAPI
from mautrix.client import ClientAPI
from mautrix.types import EventID, EventType, FilterID, RoomID, SyncToken, UserID
from yarl import URL

JsonObject = dict[str, Any]
Condition = Callable[[JsonObject], bool]

SYNC_TIMEOUT_MS = 1_000
"""How long one sync waits for news, in milliseconds: short, so that a wait notices its deadline."""

SYNC_FILTER = '{"room": {"timeline": {"limit": 100}}}'
"""Without it a sync leaves out all but the newest 10 events of a room; 100 is what Synapse grants."""

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
"""What clients add to a direct chat to encrypt it, some of them always."""


class Person:
    """One logged-in Matrix user. ``timeline`` holds every event of every room, in the order it came."""

    def __init__(self, client: ClientAPI) -> None:
        self._client = client
        self._since: str | None = None
        self._looked_at: int = 0
        self.timeline: list[JsonObject] = []
        self.ephemeral: list[JsonObject] = []
        self.invites: dict[str, JsonObject] = {}

    @classmethod
    async def login(cls, homeserver: str, user_id: str, password: str) -> Self:
        """Log in with a password at the client API of ``homeserver``, and read where things stand."""
        client = ClientAPI(api=HTTPAPI(URL(homeserver)))
        await client.login(identifier=UserID(user_id), password=password, device_name="person")
        person = cls(client)
        await person.sync()
        return person

    async def close(self) -> None:
        await self._client.api.session.close()

    @property
    def user_id(self) -> str:
        return str(self._client.mxid)

    async def sync(self) -> None:
        """One round of /sync; invitations are accepted at once, as a person would."""
        answer: Any = await self._client.sync(
            since=SyncToken(self._since) if self._since else None,
            timeout=SYNC_TIMEOUT_MS if self._since else 0,
            filter_id=FilterID(SYNC_FILTER),
        )
        self._since = answer["next_batch"]
        rooms: JsonObject = answer.get("rooms", {})
        for room_id, room in rooms.get("join", {}).items():
            # What happened before the last few events of a room just joined is told as its state alone.
            for event in (*room.get("state", {}).get("events", []), *room.get("timeline", {}).get("events", [])):
                self.timeline.append({**event, "room_id": room_id})
            for event in room.get("ephemeral", {}).get("events", []):
                self.ephemeral.append({**event, "room_id": room_id})
        for room_id, room in rooms.get("invite", {}).items():
            self.invites[room_id] = room
            await self._client.join_room_by_id(RoomID(room_id))

    async def wait_for(self, condition: Condition, timeout: float, *, ephemeral: bool = False) -> JsonObject:
        """Sync until an event (from all that have come) meets the condition; ``timeout`` in seconds.

        Raises: TimeoutError.
        """
        async with asyncio.timeout(timeout):
            seen = 0
            while True:
                events = self.ephemeral if ephemeral else self.timeline
                for event in events[seen:]:
                    if condition(event):
                        return event
                seen = len(events)
                await self.sync()

    async def next_from(self, sender: str, room_id: str, timeout: float) -> JsonObject:
        """The next message of ``sender`` in the room that no earlier call has returned."""

        def is_it(event: JsonObject) -> bool:
            return (
                event["type"] == "m.room.message"
                and event["sender"] == sender
                and event["room_id"] == room_id
                and self.timeline.index(event) >= self._looked_at
            )

        event = await self.wait_for(is_it, timeout)
        self._looked_at = self.timeline.index(event) + 1
        return event

    def messages(self, room_id: str, sender: str) -> list[str]:
        """Bodies of a sender's messages in a room, notices left out, in the order they came."""
        return [
            event["content"].get("body", "")
            for event in self.timeline
            if event["type"] == "m.room.message"
            and event["room_id"] == room_id
            and event["sender"] == sender
            and event["content"].get("msgtype") != "m.notice"
        ]

    async def open_chat(self, other: str, *, encrypted: bool = False) -> str:
        """Start a direct chat by inviting somebody; the room id."""
        initial_state: Any = [ENCRYPTION] if encrypted else []
        room_id = await self._client.create_room(is_direct=True, invitees=[UserID(other)], initial_state=initial_state)
        return str(room_id)

    async def say(self, room_id: str, text: str, html: str | None = None) -> str:
        """Send a text message; its event id."""
        return str(await self._client.send_text(RoomID(room_id), text, html=html))

    async def send(self, room_id: str, event_type: str, content: JsonObject) -> str:
        """Send any event; its event id."""
        kind = EventType.find(event_type, EventType.Class.MESSAGE)
        return str(await self._client.send_message_event(RoomID(room_id), kind, content))  # type: ignore[arg-type]

    async def react(self, room_id: str, event_id: str, key: str) -> None:
        await self._client.react(RoomID(room_id), EventID(event_id), key)

    async def mark_read(self, room_id: str, event_id: str) -> None:
        await self._client.send_receipt(RoomID(room_id), EventID(event_id))
