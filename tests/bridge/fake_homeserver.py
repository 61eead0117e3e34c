"""A homeserver in memory, that can be told to be down, to refuse, or to lose an answer after doing what was asked.

What it promises as a `Homeserver` is what tests/homeserver_contract.py checks on it and on the real Synapse alike.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field

from chattor_bridge.bridge.attachment import Attachment, Download, Picture, Upload
from chattor_bridge.bridge.ports import MOST_READ_BACK
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable, KeyMissing, Undecryptable
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.encryption.attachments import Opening, Sealing
from chattor_bridge.matrix.media import PIECE
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Clock, Transaction

DOMAIN = "example.test"
BOT = MatrixUserId(f"@chattorbot:{DOMAIN}")

WAIT = 20.0
"""Seconds a test waits for something that must happen; it takes well under one."""

Accept = Callable[[str, Sequence[JsonObject], Sequence[JsonObject]], Awaitable[None]]


@dataclass
class Room:
    """One room. ``receipts`` holds the latest public read receipt of each user of ours, ``read_by`` that of each person
    and when it was set."""

    room_id: MatrixRoomId
    timeline: list[JsonObject] = field(default_factory=list)
    state: dict[tuple[str, str], JsonObject] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)
    read_by: dict[str, tuple[str, int]] = field(default_factory=dict)
    typing: set[str] = field(default_factory=set)
    redactions: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_space(self) -> bool:
        return self.state.get(("m.room.create", ""), {}).get("type") == "m.space"

    def membership(self, user: str) -> str | None:
        return self.state.get(("m.room.member", user), {}).get("membership")

    def since(self, number: int, user: str) -> list[JsonObject]:
        """What happened after that number was drawn, and after ``user`` came."""
        came, there = 0, None
        for place, event in enumerate(self.timeline):
            if (event["type"], event.get("state_key")) == ("m.room.member", user):
                came = place + 1 if event["content"]["membership"] == "join" != there else came
                there = event["content"]["membership"]
        return [event for event in self.timeline[came:] if int(event["event_id"][1:]) > number]

    def bodies(self, sender: str | None = None) -> list[str]:
        """What was said, in order; edits included."""
        return [
            event["content"]["body"]
            for event in self.timeline
            if event["type"] == "m.room.message" and sender in (None, event["sender"])
        ]


class FakePerson:
    """Implements `chattor_bridge.bridge.ports.Person`, by what `FakeHomeserver.tokens` says."""

    def __init__(self, homeserver: FakeHomeserver, token: str) -> None:
        self._homeserver = homeserver
        self._token = token

    async def _me(self, method: str) -> MatrixUserId:
        await self._homeserver._ask(method, BOT)
        if self._token not in self._homeserver.tokens:
            raise HomeserverRefused("the access token is not valid", 401, "M_UNKNOWN_TOKEN")
        return MatrixUserId(self._homeserver.tokens[self._token])

    async def whoami(self) -> MatrixUserId:
        return await self._me("whoami")

    async def joined_rooms(self) -> list[MatrixRoomId]:
        return await self._homeserver.joined_rooms(await self._me("person_joined_rooms"))

    async def join(self, room_id: MatrixRoomId) -> None:
        await self._homeserver.join(await self._me("person_join"), room_id)

    async def account_data(self, user: MatrixUserId, kind: str) -> JsonObject | None:
        assert await self._me("account_data") == user
        return self._homeserver.account_data.get((user, kind))

    async def set_account_data(self, user: MatrixUserId, kind: str, content: JsonObject) -> None:
        assert await self._me("set_account_data") == user
        self._homeserver.account_data[user, kind] = content
        await self._homeserver._done()


class FakeHomeserver:
    """Implements `chattor_bridge.bridge.ports.Homeserver`, and the half of a homeserver that tests use as people.

    What people do is kept in `transactions` until `deliver` brings it to the bridge; what our users do is not echoed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._sent: dict[tuple[str, str, str, str], MatrixEventId] = {}
        self._redacted: set[tuple[str, str, str, str]] = set()
        self._news = asyncio.Condition()
        self.rooms: dict[MatrixRoomId, Room] = {}
        self.names: dict[str, str] = {}
        """What each of our users was last shown as: in a room of theirs, or else by their profile."""
        self.profiles: dict[str, str] = {}
        self.media: dict[str, bytes] = {}
        """By address, as uploaded: encrypted or not."""
        self.downloads: list[int] = []
        """From which byte on each was asked for."""
        self.largest: int | None = None
        """Bytes one upload may have."""
        self.honours_ranges = False
        """Synapse does not."""
        self.breaks = 0
        """So many of the next pieces of downloads are lost, and what would follow."""
        self.presence: list[tuple[str, str]] = []
        """What our users were said to be, in order."""
        self.pictures: dict[str, str] = {}
        """The address of each person's picture."""
        self.there: dict[str, str] = {}
        """What people are, as far as it is not offline."""
        self.pending_events: list[JsonObject] = []
        self.pending_receipts: list[JsonObject] = []
        self.left_behind: list[JsonObject] = []
        """Events that are not brought before `bring_again`."""
        self.tokens: dict[str, str] = {}
        """Whose access token each is."""
        self.account_data: dict[tuple[str, str], JsonObject] = {}
        self.down = False
        """Every request fails, as when the homeserver is not running."""
        self.lose_answers = 0
        """As many of the next messages and rooms are made, but the answer is lost on the way."""
        self.refusals: list[Callable[[str, MatrixUserId, str], str | None]] = []
        """Asked with method, user and room before each request; what they return is the error code of a refusal."""
        self.forgets_transactions = False
        """As after a day: the same transaction id makes a new event."""
        self.keys: set[str] = set()
        """Of encrypted messages: those that have come. Each opens one message, once."""
        self.lost_keys: set[str] = set()
        """Those that will never come."""

    # --- as the bridge uses it -----------------------------------------------------------------------------------

    @property
    def domain(self) -> str:
        return DOMAIN

    @property
    def bot(self) -> MatrixUserId:
        return BOT

    async def ensure_user(self, user: MatrixUserId, display_name: str) -> None:
        await self._ask("ensure_user", user)
        if self.profiles.get(user) != display_name:  # which would show in its rooms too
            self.names[user] = self.profiles[user] = display_name

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
        await self._ask("create_room", user)
        room = self._new_room()
        self._put_state(room, user, "m.room.create", "", {"type": "m.space"} if is_space else {})
        self._put_state(room, user, "m.room.member", user, {"membership": "join"})
        levels = {"invite": 0, **(power or {}), "users": {user: 100, **(power or {}).get("users", {})}}
        self._put_state(room, user, "m.room.power_levels", "", levels)
        for event in initial_state:
            self._put_state(room, user, event["type"], event.get("state_key", ""), event["content"])
        for event_type, key, value in (("m.room.name", "name", name), ("m.room.topic", "topic", topic)):
            if value is not None:
                self._put_state(room, user, event_type, "", {key: value})
        for invitee in invite:
            content = {"membership": "invite", **({"is_direct": True} if is_direct else {})}
            self._put_state(room, user, "m.room.member", invitee, content)
        await self._done()
        self._perhaps_lose_the_answer()
        return room.room_id

    def person(self, token: str) -> FakePerson:
        return FakePerson(self, token)

    async def joined_rooms(self, user: MatrixUserId) -> list[MatrixRoomId]:
        await self._ask("joined_rooms", user)
        return [room.room_id for room in self.rooms.values() if room.membership(user) == "join"]

    async def joined_members(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[MatrixUserId]:
        room = await self._enter("joined_members", user, room_id)
        return [
            MatrixUserId(key)
            for (event_type, key), content in room.state.items()
            if event_type == "m.room.member" and content.get("membership") == "join"
        ]

    async def get_state(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, state_key: str = ""
    ) -> JsonObject | None:
        room = await self._enter("get_state", user, room_id)
        return room.state.get((event_type, state_key))

    async def room_state(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[JsonObject]:
        room = await self._enter("room_state", user, room_id)
        now = {(event["type"], event["state_key"]): event for event in room.timeline if "state_key" in event}
        return list(now.values())

    async def set_state(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, content: JsonObject, state_key: str = ""
    ) -> MatrixEventId:
        room = await self._enter("set_state", user, room_id)
        if event_type == "m.room.member" and state_key == user:
            self.names[user] = content["displayname"]
        event_id = self._put_state(room, user, event_type, state_key, content)
        await self._done()
        return event_id

    async def invite(self, user: MatrixUserId, room_id: MatrixRoomId, invitee: MatrixUserId) -> None:
        room = await self._enter("invite", user, room_id)
        if room.membership(invitee) not in ("invite", "join"):
            self._put_state(room, user, "m.room.member", invitee, {"membership": "invite"})
            await self._done()

    async def join(self, user: MatrixUserId, room_id: MatrixRoomId) -> None:
        await self._ask("join", user, room_id)
        room = self.rooms.get(room_id)
        if room is None or room.membership(user) not in ("invite", "join"):
            raise HomeserverRefused("not invited", 403, "M_FORBIDDEN")
        self._put_state(room, user, "m.room.member", user, {"membership": "join"})
        await self._done()

    async def leave(self, user: MatrixUserId, room_id: MatrixRoomId, reason: str = "") -> None:
        await self._ask("leave", user, room_id)
        room = self.rooms.get(room_id)
        if room is None or room.membership(user) not in ("invite", "join"):
            raise HomeserverRefused("not in the room", 403, "M_FORBIDDEN")
        self._put_state(
            room, user, "m.room.member", user, {"membership": "leave"} | ({"reason": reason} if reason else {})
        )
        self.names[user] = self.profiles.get(user, user)
        await self._done()

    async def send(
        self, user: MatrixUserId, room_id: MatrixRoomId, event_type: str, content: JsonObject, txn_id: str
    ) -> MatrixEventId:
        room = await self._enter("send", user, room_id)
        key = (user, room_id, event_type, txn_id)
        if key in self._sent and not self.forgets_transactions:
            return self._sent[key]
        relation = content.get("m.relates_to", {})
        if relation.get("rel_type") == "m.annotation" and any(
            event["content"].get("m.relates_to") == relation and event["sender"] == user for event in room.timeline
        ):
            raise HomeserverRefused("can't send same reaction twice", 400, "M_DUPLICATE_ANNOTATION")
        self._sent[key] = self._append(room, user, event_type, content)
        await self._done()
        self._perhaps_lose_the_answer()
        return self._sent[key]

    async def said_by(self, user: MatrixUserId, room_id: MatrixRoomId, sender: MatrixUserId) -> list[JsonObject]:
        room = await self._enter("said_by", user, room_id)
        said = [event for event in room.timeline if event["sender"] == sender and "state_key" not in event]
        return said[-MOST_READ_BACK:]

    async def find_sent(
        self, user: MatrixUserId, room_id: MatrixRoomId, key: str, value: str, since: int
    ) -> MatrixEventId | None:
        room = await self._enter("find_sent", user, room_id)
        for event in reversed(room.timeline):
            if event["origin_server_ts"] < since * 1000:
                return None
            if event["sender"] == user and event["content"].get(key) == value:
                return MatrixEventId(event["event_id"])
        return None

    async def redact(self, user: MatrixUserId, room_id: MatrixRoomId, event_id: MatrixEventId, txn_id: str) -> None:
        room = await self._enter("redact", user, room_id)
        if (user, room_id, event_id, txn_id) not in self._redacted:
            self._redacted.add((user, room_id, event_id, txn_id))
            room.redactions.append((user, event_id))
        for event in room.timeline:
            if event["event_id"] == event_id:
                event["content"] = {}
        await self._done()
        self._perhaps_lose_the_answer()
        await self._done()

    async def mark_read(self, user: MatrixUserId, room_id: MatrixRoomId, event_id: MatrixEventId) -> None:
        room = await self._enter("mark_read", user, room_id)
        room.receipts[user] = event_id
        await self._done()

    async def set_typing(self, user: MatrixUserId, room_id: MatrixRoomId, seconds: int) -> None:
        room = await self._enter("set_typing", user, room_id)
        (room.typing.add if seconds else room.typing.discard)(user)
        await self._done()

    async def set_presence(self, user: MatrixUserId, state: str) -> None:
        await self._ask("set_presence", user)
        self.presence.append((user, state))
        await self._done()

    async def presence_of(self, user: MatrixUserId) -> str:
        await self._ask("presence_of", BOT)
        return self.there.get(user, "offline")

    async def missed(self, since: str | None) -> tuple[list[JsonObject], list[JsonObject], str]:
        await self._ask("missed", BOT)
        seen = int(since) if since is not None and since.isdigit() else None
        rooms = [room for room in self.rooms.values() if room.membership(BOT) == "join"]
        return (
            [event for room in rooms for event in room.since(seen, BOT)] if seen is not None else [],
            [
                {"type": "m.receipt", "room_id": room.room_id, "content": {event_id: {"m.read": {person: {}}}}}
                for room in rooms
                for person, (event_id, set_at) in room.read_by.items()
                if set_at > (seen or 0)
            ],
            str(next(self._numbers)),
        )

    async def bring_again(self, room_id: MatrixRoomId, event_id: MatrixEventId) -> None:
        await self._enter("bring_again", BOT, room_id)
        self.pending_events[:0] = self.left_behind
        self.left_behind.clear()

    @asynccontextmanager
    async def opened(
        self, event: JsonObject, received_at: int
    ) -> AsyncIterator[tuple[JsonObject, Callable[[Transaction], Awaitable[None]]]]:
        await self._ask("opened", BOT)
        inner = event["content"].get("inner")
        if inner is None:
            raise Undecryptable("it is not a proper encrypted message")
        key = event["content"]["key"]
        if key in self.lost_keys:
            raise Undecryptable("its key never came to me")
        if key not in self.keys:
            raise KeyMissing("the key of an encrypted message has not come yet")

        async def used_up(tx: Transaction) -> None:
            tx.after_commit(lambda: self.keys.discard(key))

        yield {**event, "type": inner["type"], "content": inner["content"]}, used_up

    async def has_key(self, event: JsonObject) -> bool:
        await self._ask("has_key", BOT)
        return event["content"].get("key") in self.keys - self.lost_keys

    async def upload_limit(self) -> int | None:
        await self._ask("upload_limit", BOT)
        return self.largest

    @asynccontextmanager
    async def download(self, attachment: Attachment, *, at: int = 0, at_most: int) -> AsyncIterator[Download]:
        await self._ask("download", BOT)
        data = self.media.get(attachment.address)
        if data is None:
            raise HomeserverRefused("no such file", 404, "M_NOT_FOUND")
        if len(data) > at_most:
            raise HomeserverRefused("too large", 0, "M_TOO_LARGE")
        self.downloads.append(at)

        async def pieces() -> AsyncIterator[bytes]:
            opening = None if attachment.key is None else Opening(attachment.key)
            for start in range(0, len(data), PIECE):
                await self._ask("download piece", BOT)
                if self.breaks > 0:
                    self.breaks -= 1
                    raise HomeserverUnavailable("the connection broke")
                piece = data[start : start + PIECE]
                piece = piece if opening is None else opening.update(piece)
                if start + PIECE >= len(data) and opening is not None and at == 0:
                    opening.finish()
                if piece[max(0, at - start) :]:
                    yield piece[max(0, at - start) :]

        yield Download(len(data), self.honours_ranges or at == 0, pieces())

    async def thumbnail(
        self, attachment: Attachment, width: int, height: int, *, crop: bool, at_most: int
    ) -> Picture | None:
        await self._ask("thumbnail", BOT)
        data = self.media.get(attachment.address, b"")
        kind = picture_type(data)
        return Picture(data, kind) if kind is not None and attachment.key is None and len(data) <= at_most else None

    async def attach(self, user: MatrixUserId, room_id: MatrixRoomId, upload: Upload) -> Attachment:
        room = await self._enter("attach", user, room_id)
        return await self._upload(upload, sealed=("m.room.encryption", "") in room.state)

    async def profile_picture(self, user: MatrixUserId) -> Attachment | None:
        await self._ask("profile_picture", BOT)
        return Attachment.read({"url": self.pictures.get(user)})

    async def picture_address(self, user: MatrixUserId, picture: Picture, shown: str | None) -> str:
        await self._ask("picture_address", user)
        if shown is not None and self.media.get(shown) == picture.data:
            return shown
        return (await self._upload(Upload.of(picture.data, picture.mime_type, "picture"), sealed=False)).address

    async def _upload(self, upload: Upload, *, sealed: bool) -> Attachment:
        if self.largest is not None and upload.size > self.largest:
            raise HomeserverRefused("too large", 413, "M_TOO_LARGE")
        sealing = Sealing() if sealed else None
        data = b""
        async for piece in upload.pieces():
            await self._ask("upload piece", BOT)
            data += piece if sealing is None else sealing.update(piece)
        if len(data) != upload.size:
            raise ValueError("not of the size it was said to be")
        attachment = Attachment(DOMAIN, str(next(self._numbers)), None if sealing is None else sealing.finish())
        self.media[attachment.address] = data
        return attachment

    # --- as people use it ----------------------------------------------------------------------------------------

    def person_creates_room(
        self, person: str, *invitees: str, encrypted: bool = False, replaces: str | None = None
    ) -> MatrixRoomId:
        room = self._new_room()
        created = {} if replaces is None else {"predecessor": {"room_id": replaces}}
        self._put_state(room, person, "m.room.create", "", created)
        self._put_state(room, person, "m.room.join_rules", "", {"join_rule": "invite"})
        self._put_state(room, person, "m.room.member", person, {"membership": "join"})
        if encrypted:
            self._put_state(room, person, "m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"})
        for invitee in invitees:
            event_id = self._put_state(room, person, "m.room.member", invitee, {"membership": "invite"})
            self._to_bridge(room, event_id)
        return room.room_id

    def person_sets_membership(self, person: str, room_id: str, membership: str, of: str | None = None) -> None:
        room = self.rooms[MatrixRoomId(room_id)]
        event_id = self._put_state(room, person, "m.room.member", of or person, {"membership": membership})
        self._to_bridge(room, event_id)

    def person_invites(self, person: str, room_id: str, invitee: str) -> None:
        room = self.rooms[MatrixRoomId(room_id)]
        event_id = self._put_state(room, person, "m.room.member", invitee, {"membership": "invite"})
        self._to_bridge(room, event_id)

    def person_sends_state(self, person: str, room_id: str, event_type: str, content: JsonObject) -> None:
        room = self.rooms[MatrixRoomId(room_id)]
        self._to_bridge(room, self._put_state(room, person, event_type, "", content))

    def person_sends(self, person: str, room_id: str, content: JsonObject, kind: str = "m.room.message") -> str:
        room = self.rooms[MatrixRoomId(room_id)]
        event_id = self._append(room, person, kind, content)
        self._to_bridge(room, event_id)
        return event_id

    def person_says(self, person: str, room_id: str, text: str) -> str:
        return self.person_sends(person, room_id, {"msgtype": "m.text", "body": text})

    def person_says_encrypted(self, person: str, room_id: str, text: str, key: str) -> str:
        """What is inside can be opened once the key is among `keys`."""
        inner = {"type": "m.room.message", "content": {"msgtype": "m.text", "body": text}}
        return self.person_sends(person, room_id, {"key": key, "inner": inner}, "m.room.encrypted")

    def person_reads(self, person: str, room_id: str, event_id: str) -> None:
        self.rooms[MatrixRoomId(room_id)].read_by[person] = (event_id, next(self._numbers))
        readers = {person: {"ts": self._clock.now() * 1000}}
        receipt = {"type": "m.receipt", "room_id": room_id, "content": {event_id: {"m.read": readers}}}
        self.pending_receipts.append(receipt)

    def homeserver_loses_room(self, room_id: str) -> None:
        """As an administrator's purge does."""
        del self.rooms[MatrixRoomId(room_id)]

    async def deliver(self, accept: Accept, *, twice: bool = False) -> None:
        """Bring the bridge what people did, as one transaction."""
        events, self.pending_events = self.pending_events, []
        receipts, self.pending_receipts = self.pending_receipts, []
        txn_id = str(next(self._numbers))
        for _ in range(2 if twice else 1):
            await accept(txn_id, events, receipts)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition``, looked at whenever our users did something. Raises: TimeoutError."""
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(condition)

    # --- inside --------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, user: MatrixUserId, room_id: str = "") -> None:
        await asyncio.sleep(0)
        if self.down:
            raise HomeserverUnavailable("the homeserver is down")
        for refusal in self.refusals:
            errcode = refusal(method, user, room_id)
            if errcode is not None:
                raise HomeserverRefused("the homeserver says no", 403, errcode)

    async def _enter(self, method: str, user: MatrixUserId, room_id: MatrixRoomId) -> Room:
        await self._ask(method, user, room_id)
        room = self.rooms.get(room_id)
        if room is None or room.membership(user) != "join":
            raise HomeserverRefused("not in the room", 403, "M_FORBIDDEN")
        return room

    async def _done(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _perhaps_lose_the_answer(self) -> None:
        if self.lose_answers > 0:
            self.lose_answers -= 1
            raise HomeserverUnavailable("the answer was lost")

    def _new_room(self) -> Room:
        room = Room(MatrixRoomId(f"!{next(self._numbers)}:{DOMAIN}"))
        self.rooms[room.room_id] = room
        return room

    def _append(
        self, room: Room, sender: str, event_type: str, content: JsonObject, state_key: str | None = None
    ) -> MatrixEventId:
        event_id = MatrixEventId(f"${next(self._numbers)}")
        event = {
            "event_id": event_id,
            "room_id": room.room_id,
            "sender": sender,
            "type": event_type,
            "content": content,
            "origin_server_ts": self._clock.now() * 1000,
        }
        room.timeline.append(event if state_key is None else {**event, "state_key": state_key})
        return event_id

    def _put_state(
        self, room: Room, sender: str, event_type: str, state_key: str, content: JsonObject
    ) -> MatrixEventId:
        room.state[event_type, state_key] = content = deepcopy(content)
        return self._append(room, sender, event_type, content, state_key)

    def _to_bridge(self, room: Room, event_id: str) -> None:
        self.pending_events.append(next(event for event in room.timeline if event["event_id"] == event_id))
