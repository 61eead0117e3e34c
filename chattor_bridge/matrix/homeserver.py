"""What the bridge does on the homeserver: the `chattor_bridge.bridge.ports.Homeserver` over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

from mautrix.api import Method, Path

from chattor_bridge.bridge.attachment import Attachment, Download, Picture, Upload
from chattor_bridge.bridge.ghosts import MARK_KEY, Household
from chattor_bridge.bridge.ports import MOST_READ_BACK
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.answers import HomeserverSlow, HomeserverTrouble
from chattor_bridge.matrix.client import DEVICE_ID, LIST, Client
from chattor_bridge.matrix.encryption.encryption import ALGORITHM, Encryption
from chattor_bridge.matrix.encryption.hearing import Save
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.matrix.media import MediaRepository
from chattor_bridge.matrix.members import Members
from chattor_bridge.matrix.person import MatrixPerson
from chattor_bridge.matrix.receipts import foreign_receipts
from chattor_bridge.matrix.ringing import means_nobody, shortened

FIRST_VERSION_WITH_CREATORS = 12
"""From this room version on the creator stands above all power levels and must not be listed among them."""

ENCRYPTED: JsonObject = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": ALGORITHM}}

IN_CLEAR = frozenset({"m.reaction", "com.beeper.message_send_status"})
"""Event types that are in the clear in encrypted rooms too: a homeserver has to put reactions together, and how far a
message has come clients read from bridges in no other way."""

SEARCH_PAGE = 100
"""Events asked for at once when a room is searched; Synapse caps a page at 1,000."""

MOST_MISSED = (100, 1, 0)
"""Events of one room that a look shows, the newest; Synapse gives no more. Fewer when it takes too long for them: one
is enough to have the homeserver begin again with the oldest, and none costs it hardly anything."""

SLOW_LOOKS = 2
"""Looks that take too long before the next one asks for fewer."""


def _only(timeline: JsonObject) -> str:
    """The filter of a sync that asks for read receipts, and for this of what was sent."""
    nothing: JsonObject = {"types": []}
    room = {"account_data": nothing, "state": nothing, "timeline": timeline, "ephemeral": {"types": ["m.receipt"]}}
    return json.dumps({"presence": nothing, "account_data": nothing, "room": room})


def _comes(event: JsonObject, user: MatrixUserId) -> bool:
    """Whether ``user`` joins by this, and does not only change how it is called."""
    if (event.get("type"), event.get("state_key")) != ("m.room.member", user):
        return False
    before = event.get("unsigned", {}).get("prev_content") or {}
    return bool(event["content"].get("membership") == "join" != before.get("membership"))


class MatrixHomeserver:
    """The homeserver, as our users may use it. See the port for what each method promises."""

    def __init__(
        self,
        client: Client,
        household: Household,
        hearing: Hearing,
        members: Members,
        encryption: Encryption,
        media: MediaRepository,
        *,
        encrypt_rooms: bool,
        on_left_behind: Callable[[], None],
    ) -> None:
        self._client = client
        self._on_left_behind = on_left_behind
        self._encrypt_rooms = encrypt_rooms
        self._encryption = encryption
        self._household = household
        self._hearing = hearing
        self._members = members
        self._media = media
        self._display_names: dict[MatrixUserId, str] = {}
        self._room_version: str | None = None
        self._slow_looks = 0

    @property
    def domain(self) -> str:
        return self._household.domain

    @property
    def bot(self) -> MatrixUserId:
        return self._household.bot

    async def ensure_user(self, user: MatrixUserId, display_name: str) -> None:
        if self._display_names.get(user) == display_name:
            return
        path = Path.v3.profile[user].displayname
        # setting a name again would touch every room the user is in
        if await self._found(user, path) != {"displayname": display_name}:
            await self._client.call(user, Method.PUT, path, {"displayname": display_name})
        self._display_names[user] = display_name

    async def create_room(
        self,
        user: MatrixUserId,
        *,
        name: str | None,
        topic: str | None,
        invite: Sequence[MatrixUserId],
        is_direct: bool,
        initial_state: Sequence[JsonObject] = (),
        power: JsonObject | None = None,
        is_space: bool = False,
    ) -> MatrixRoomId:
        version = await self._default_room_version(user)
        content: JsonObject = {
            "preset": "private_chat",
            "visibility": "private",
            "room_version": version,
            "invite": list(invite),
            "is_direct": is_direct,
            "initial_state": [*initial_state, *([ENCRYPTED] if self._encrypt_rooms and not is_space else [])],
        }
        if is_space:
            content["creation_content"] = {"type": "m.space"}
        if name is not None:
            content["name"] = name
        if topic is not None:
            content["topic"] = topic
        if power is not None:
            levels = dict(power.get("users", {}))
            if version.isdigit() and int(version) >= FIRST_VERSION_WITH_CREATORS:
                levels.pop(user, None)
            else:
                levels.setdefault(user, 100)
            content["power_level_content_override"] = {**power, "users": levels}
        answer = await self._client.call(user, Method.POST, Path.v3.createRoom, content)
        return MatrixRoomId(_text(answer, "room_id"))

    def person(self, token: str) -> MatrixPerson:
        return MatrixPerson(self._client, token)

    async def joined_rooms(self, user: MatrixUserId) -> list[MatrixRoomId]:
        answer = await self._client.call(user, Method.GET, Path.v3.joined_rooms)
        return [MatrixRoomId(room) for room in _texts(answer.get("joined_rooms"))]

    async def joined_members(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[MatrixUserId]:
        answer = await self._client.call(user, Method.GET, Path.v3.rooms[room_id].joined_members)
        return [MatrixUserId(member) for member in _texts(answer.get("joined"))]

    async def get_state(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, state_key: str = ""
    ) -> JsonObject | None:
        return await self._found(user, Path.v3.rooms[room_id].state[event_type][state_key])

    async def room_state(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[JsonObject]:
        answer = await self._client.call(user, Method.GET, Path.v3.rooms[room_id].state)
        return [event for event in answer.get(LIST, []) if isinstance(event.get("content"), dict)]

    async def set_state(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, content: JsonObject, state_key: str = ""
    ) -> MatrixEventId:
        path = Path.v3.rooms[room_id].state[event_type][state_key]
        return _event_id(await self._client.call(user, Method.PUT, path, content))

    async def invite(self, user: MatrixUserId, room_id: MatrixRoomId, invitee: MatrixUserId) -> None:
        try:
            await self._client.call(user, Method.POST, Path.v3.rooms[room_id].invite, {"user_id": invitee})
        except HomeserverRefused:
            member = await self.get_state(user, room_id, "m.room.member", invitee)
            if member is None or member.get("membership") not in ("invite", "join"):
                raise

    async def join(self, user: MatrixUserId, room_id: MatrixRoomId) -> None:
        await self._client.call(user, Method.POST, Path.v3.rooms[room_id].join, {})

    async def leave(self, user: MatrixUserId, room_id: MatrixRoomId, reason: str = "") -> None:
        await self._client.call(user, Method.POST, Path.v3.rooms[room_id].leave, {"reason": reason} if reason else {})

    async def send(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, content: JsonObject, txn_id: str
    ) -> MatrixEventId:
        device = DEVICE_ID
        settings = None if event_type in IN_CLEAR else await self._encryption.settings(user, room_id)
        if settings is not None:
            mark = {key: value for key, value in content.items() if key == MARK_KEY}
            encrypted, device = await self._encryption.encrypt(user, room_id, settings, event_type, content)
            event_type, content = "m.room.encrypted", {**encrypted, **mark}
            failpoint("message-encrypted")
        elif means_nobody(content):
            content = shortened(content, await self._members.of(user, room_id))
        path = Path.v3.rooms[room_id].send[event_type][txn_id]
        event_id = _event_id(await self._client.call(user, Method.PUT, path, content, device=device))
        self._hearing.said(event_id)
        return event_id

    async def said_by(self, user: MatrixUserId, room_id: MatrixRoomId, sender: MatrixUserId) -> list[JsonObject]:
        query = _backwards(sender, MOST_READ_BACK)
        answer = await self._client.call(user, Method.GET, Path.v3.rooms[room_id].messages, query=query)
        said = [event for event in answer.get("chunk", []) if "state_key" not in event]
        return [{**event, "room_id": room_id} for event in reversed(said)]

    async def find_sent(
        self, user: MatrixUserId, room_id: MatrixRoomId, key: str, value: str, since: int
    ) -> MatrixEventId | None:
        query = _backwards(user, SEARCH_PAGE)
        while True:
            answer = await self._client.call(user, Method.GET, Path.v3.rooms[room_id].messages, query=query)
            for event in answer.get("chunk", []):
                if event.get("origin_server_ts", 0) < since * 1000:
                    return None
                if event.get("sender") == user and event.get("content", {}).get(key) == value:
                    return _event_id(event)
            end = answer.get("end")
            if not isinstance(end, str) or end == query.get("from"):
                return None
            query["from"] = end

    async def redact(self, user: MatrixUserId, room_id: MatrixRoomId, event_id: MatrixEventId, txn_id: str) -> None:
        await self._client.call(user, Method.PUT, Path.v3.rooms[room_id].redact[event_id][txn_id], {})

    async def mark_read(self, user: MatrixUserId, room_id: MatrixRoomId, event_id: MatrixEventId) -> None:
        path = Path.v3.rooms[room_id].receipt["m.read"][event_id]
        await self._client.call(user, Method.POST, path, {})

    async def set_typing(self, user: MatrixUserId, room_id: MatrixRoomId, seconds: int) -> None:
        content = {"typing": True, "timeout": seconds * 1000} if seconds else {"typing": False}
        await self._client.call(user, Method.PUT, Path.v3.rooms[room_id].typing[user], content)

    async def set_presence(self, user: MatrixUserId, state: str) -> None:
        await self._client.call(user, Method.PUT, Path.v3.presence[user].status, {"presence": state})

    async def presence_of(self, user: MatrixUserId) -> str:
        return _text(await self._client.call(self.bot, Method.GET, Path.v3.presence[user].status), "presence")

    async def missed(self, since: str | None) -> tuple[list[JsonObject], list[JsonObject], str]:
        most = MOST_MISSED[min(self._slow_looks // SLOW_LOOKS, len(MOST_MISSED) - 1)]
        timeline: JsonObject = {"types": []} if since is None or not most else {"limit": most}
        query = {"filter": _only(timeline), "timeout": "0", "set_presence": "offline"}
        if since is not None:
            query["since"] = since
        try:
            answer = await self._client.call(self.bot, Method.GET, Path.v3.sync, query=query)
        except HomeserverSlow:
            self._slow_looks += 1
            raise
        except HomeserverTrouble as trouble:
            self._slow_looks += trouble.status == HTTPStatus.GATEWAY_TIMEOUT
            raise
        except HomeserverRefused:
            if since is None:
                raise
            return await self.missed(None)
        self._slow_looks = 0
        rooms: JsonObject = answer.get("rooms", {}).get("join", {})
        sent = [event for room_id, room in rooms.items() for event in self._sent(room_id, room.get("timeline", {}))]
        receipts = [
            {**event, "room_id": room_id}
            for room_id, room in rooms.items()
            for event in room.get("ephemeral", {}).get("events", [])
        ]
        return sent, foreign_receipts(receipts, self._household.is_ours), _text(answer, "next_batch")

    def _sent(self, room_id: str, timeline: JsonObject) -> list[JsonObject]:
        """What a room's part of a sync shows, from the bot's coming on."""
        events = [{**event, "room_id": room_id} for event in timeline.get("events", [])]
        comings = [place for place, event in enumerate(events) if _comes(event, self.bot)]
        return events[comings[-1] + 1 :] if comings else events

    async def bring_again(self, room_id: MatrixRoomId, event_id: MatrixEventId) -> None:
        self._on_left_behind()
        path = Path.v3.rooms[room_id].receipt["m.read.private"][event_id]
        await self._client.call(self.bot, Method.POST, path, {})

    def opened(self, event: JsonObject, received_at: int) -> AbstractAsyncContextManager[tuple[JsonObject, Save]]:
        return self._encryption.ears.opened(event, received_at)

    async def has_key(self, event: JsonObject) -> bool:
        return await self._encryption.ears.has_key(event)

    async def upload_limit(self) -> int | None:
        return await self._media.upload_limit()

    def download(self, attachment: Attachment, *, at: int = 0, at_most: int) -> AbstractAsyncContextManager[Download]:
        return self._media.download(attachment, at=at, at_most=at_most)

    async def thumbnail(
        self, attachment: Attachment, width: int, height: int, *, crop: bool, at_most: int
    ) -> Picture | None:
        return await self._media.thumbnail(attachment, width, height, crop=crop, at_most=at_most)

    async def attach(self, user: MatrixUserId, room_id: MatrixRoomId, upload: Upload) -> Attachment:
        sealed = await self._encryption.settings(user, room_id) is not None
        return await self._media.upload(user, upload, sealed=sealed)

    async def profile_picture(self, user: MatrixUserId) -> Attachment | None:
        profile = await self._found(self.bot, Path.v3.profile[user].avatar_url) or {}
        return Attachment.read({"url": profile.get("avatar_url")})

    async def picture_address(self, user: MatrixUserId, picture: Picture, shown: str | None) -> str:
        if shown is not None and await self._media.holds(shown, picture.data):
            return shown
        upload = Upload.of(picture.data, picture.mime_type, "picture")
        return (await self._media.upload(user, upload, sealed=False)).address

    async def _found(self, user: MatrixUserId, path: Any) -> JsonObject | None:
        try:
            return await self._client.call(user, Method.GET, path)
        except HomeserverRefused as refusal:
            if refusal.errcode == "M_NOT_FOUND":
                return None
            raise

    async def _default_room_version(self, user: MatrixUserId) -> str:
        if self._room_version is None:
            answer = await self._client.call(user, Method.GET, Path.v3.capabilities)
            versions = answer.get("capabilities", {}).get("m.room_versions", {})
            self._room_version = _text(versions, "default")
        return self._room_version


def _backwards(sender: MatrixUserId, limit: int) -> dict[str, str]:
    """The query for what a user has said in a room, the last first."""
    page_filter = json.dumps({"senders": [sender], "lazy_load_members": True})
    return {"dir": "b", "limit": str(limit), "filter": page_filter}


def _text(answer: JsonObject, name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise HomeserverTrouble(f"the homeserver's answer lacks {name}", 200, "")
    return value


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | dict) else []


def _event_id(answer: JsonObject) -> MatrixEventId:
    return MatrixEventId(_text(answer, "event_id"))
