"""A person whose client encrypts: matrix-nio, which stands on another implementation of Olm than the bridge does."""

from __future__ import annotations

import logging
import tempfile
from typing import Any, Self

import nio

from chattor_bridge.ops.person import SYNC_TIMEOUT_MS, JsonObject, Person


class NioPerson(Person):
    """One device of a Matrix user. What it could decrypt stands decrypted in the timeline, with ``decrypted`` true
    beside it; the rest stands there as ``m.room.encrypted``."""

    def __init__(self, client: nio.AsyncClient, directory: tempfile.TemporaryDirectory[str]) -> None:
        self.nio = client
        self._directory = directory
        self._since = None
        self._looked_at = 0
        self.timeline: list[JsonObject] = []
        self.ephemeral: list[JsonObject] = []
        self.invites: dict[str, JsonObject] = {}
        self._to_join: set[str] = set()

    @classmethod
    async def login(cls, homeserver: str, user_id: str, password: str) -> Self:
        """A new device of this user."""
        logging.getLogger("nio").setLevel(logging.CRITICAL)
        directory = tempfile.TemporaryDirectory()
        client = nio.AsyncClient(
            homeserver,
            user_id,
            store_path=directory.name,
            config=nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True),
        )
        answer = await client.login(password, device_name="nio")
        assert isinstance(answer, nio.LoginResponse), answer
        person = cls(client, directory)
        await person.sync()
        return person

    async def close(self) -> None:
        await self.nio.close()
        self._directory.cleanup()

    @property
    def user_id(self) -> str:
        return str(self.nio.user_id)

    async def sync(self) -> None:
        answer = await self.nio.sync(timeout=SYNC_TIMEOUT_MS if self._since else 0, sync_filter=_FILTER)
        assert isinstance(answer, nio.SyncResponse), answer
        self._since = answer.next_batch
        raw: JsonObject = await answer.transport_response.json()
        for room_id, room in raw.get("rooms", {}).get("join", {}).items():
            opened = {event.event_id: event for event in answer.rooms.join[room_id].timeline.events}
            for event in (*room.get("state", {}).get("events", []), *room.get("timeline", {}).get("events", [])):
                self.timeline.append({**self._reading(event, opened), "room_id": room_id})
            for event in room.get("ephemeral", {}).get("events", []):
                self.ephemeral.append({**event, "room_id": room_id})
        for room_id, room in raw.get("rooms", {}).get("invite", {}).items():
            self.invites[room_id] = room
            self._to_join.add(room_id)
        for room_id in sorted(self._to_join):
            # An invitation may be here before the homeserver that it came from knows of it itself: as a person would,
            # it is accepted again.
            if isinstance(await self.nio.join(room_id), nio.JoinResponse):
                self._to_join.discard(room_id)
        await self._look_after_keys()

    def _reading(self, event: JsonObject, opened: dict[str, Any]) -> JsonObject:
        known = opened.get(event["event_id"])
        if "session_id" not in event["content"]:  # not encrypted, or removed since
            return event
        if event["type"] != "m.room.encrypted" or known is None or isinstance(known, nio.MegolmEvent):
            return event
        return {**event, **known.source, "decrypted": True, "session": event["content"]["session_id"]}

    async def _look_after_keys(self) -> None:
        await self.nio.send_to_device_messages()
        if self.nio.should_upload_keys:
            await self.nio.keys_upload()
        if self.nio.should_query_keys:
            await self.nio.keys_query()
        if self.nio.should_claim_keys:
            await self.nio.keys_claim(self.nio.get_users_for_key_claiming())

    async def open_chat(self, other: str, *, encrypted: bool = True) -> str:
        state = [nio.EnableEncryptionBuilder().as_dict()] if encrypted else []
        answer = await self.nio.room_create(is_direct=True, invite=[other], initial_state=state)
        assert isinstance(answer, nio.RoomCreateResponse), answer
        await self.sync()
        return str(answer.room_id)

    async def say(self, room_id: str, text: str, html: str | None = None) -> str:
        formatted = {} if html is None else {"format": "org.matrix.custom.html", "formatted_body": html}
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **formatted})

    async def send(self, room_id: str, event_type: str, content: JsonObject) -> str:
        """Encrypted where the room is, but for what no client encrypts."""
        answer = await self.nio.room_send(room_id, event_type, content, ignore_unverified_devices=True)
        assert isinstance(answer, nio.RoomSendResponse), answer
        return str(answer.event_id)

    async def react(self, room_id: str, event_id: str, key: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        await self.send(room_id, "m.reaction", {"m.relates_to": relation})

    async def mark_read(self, room_id: str, event_id: str) -> None:
        answer = await self.nio.update_receipt_marker(room_id, event_id)
        assert isinstance(answer, nio.UpdateReceiptMarkerResponse), answer


_FILTER = {"room": {"timeline": {"limit": 100}}}
