"""The bot's device listens: keys come to it beside the events, in a stream of its own, and open what is said in rooms.

What arrives is written down in the same transaction as the place in the stream up to which it was read, and only the
next request tells the homeserver that it may forget it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import olm
from mautrix.types import (
    DeviceID,
    EncryptionAlgorithm,
    EventID,
    ForwardedRoomKeyEventContent,
    IdentityKey,
    RoomID,
    RoomKeyEventContent,
    SessionID,
    ToDeviceEvent,
    UserID,
)

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.store_ports import NEVER_CAME
from chattor_bridge.errors import HomeserverRefused, KeyMissing, Unavailable, Undecryptable, Unusable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.matrix.discretion import without_content
from chattor_bridge.matrix.encryption.identity import ONE_TIME_KEYS, Identity
from chattor_bridge.matrix.encryption.records import INBOUND, OLM, PERSON, ROOM, SEEN, SHARED, EncryptionStore
from chattor_bridge.matrix.encryption.stream import SYNC, slide, slides, sync
from chattor_bridge.matrix.encryption.welcome import Welcome
from chattor_bridge.matrix.parsing import parse_object
from chattor_bridge.node.patience import Backoff, describe, heed_cancellation, unless
from chattor_bridge.node.ports import Clock, Transaction

SYNC_TIMEOUT = 30
"""Seconds a request for keys waits at the homeserver for some to come; and between two that do not wait there, while no
room is encrypted."""

KEY_PATIENCE = 60
"""Seconds an event waits for its key while keys do come. Clients send the key before the event, so one that is not
there within a minute was never sent to us, or is lost."""

LOOK_INTERVAL = 3600.0
"""Seconds between two comparisons with what the homeserver says of our keys; one that was away is looked at at once."""

KEYS_KEPT = timedelta(days=30)
"""How long a key of others is kept. Clients change theirs after a week at most, and an event waits for days only while
the bridge is down."""

OLM_KEPT = timedelta(days=365)
"""How long an Olm session is kept with a device that says nothing. One that does after so long begins another."""

FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds before the next try when the homeserver does not answer, doubled from the first to the last."""

MOST_SKIPPED = 100
"""Messages of a Megolm session that are noted as missed before one that came, as many as a session usually has. Their
numbers are the sender's to choose, up to four billion, and each that is noted is kept."""

MAX_ASKED = 1_000
"""Keys we remember having asked for, the oldest forgotten first: each is some 100 bytes."""

NOT_YET = "the key of an encrypted message has not come yet"

Save = Callable[[Transaction], Any]

_log = logging.getLogger(__name__)


class Ears:
    """The reading half of the bot's `Identity`. ``on_keys`` is called whenever keys have come."""

    def __init__(
        self,
        bot: Identity,
        store: EncryptionStore,
        clock: Clock,
        on_keys: Callable[[], None],
        on_new_device: Callable[[], Awaitable[None]],
    ) -> None:
        self._bot = bot
        self._store = store
        self._clock = clock
        self._on_keys = on_keys
        self._on_new_device = on_new_device
        self._look_at = 0.0
        self._slides = False
        self._looked_back = False
        self._asked: dict[str, UserID] = {}
        self._asked_us: list[tuple[UserID, object]] = []
        self._welcome = Welcome(bot, store, clock)
        self._heard_up_to = 0.0
        self._attentive = asyncio.Event()
        self.caught_up = asyncio.Event()
        """Set once everything that waited at the homeserver is here: what people's devices are is known again."""

    def attend(self) -> None:
        """A room is encrypted: hear at once what comes for the bot, from here on. A request that waits for it is woken
        by every message in every room, a fifth of what Synapse spends on one, so without such a room none waits."""
        if not self._attentive.is_set():
            self.caught_up.clear()  # of what people's devices are now, nobody has told us
            self._attentive.set()

    async def run(self) -> None:
        """Listen until cancelled."""
        backoff = Backoff(FIRST_RETRY, LAST_RETRY, secrets.token_bytes)
        while True:
            try:
                await self._listen()
            except Exception as error:
                heed_cancellation()
                self._look_at, self._looked_back = 0.0, False
                _log.info("keys of encrypted rooms cannot be fetched yet: %s", describe(error))
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()

    async def _listen(self) -> None:
        if self._clock.monotonic() >= self._look_at:
            async with self._bot.turn():
                self._slides = await slides(self._bot.api)
                if not await self._bot.is_as_published():
                    await self._begin_anew()
                await self._bot.mark()
                if await self._bot.keys.names(ROOM, SHARED):
                    self.attend()
            self._look_at = self._clock.monotonic() + LOOK_INTERVAL
        async with self._bot.turn():
            place = await self._bot.keys.read(SYNC, "")
        begun, attentive = self._clock.now(), self._attentive.is_set()
        waits = attentive and self.caught_up.is_set() and self._looked_back
        news, place = await self._fetch(place, SYNC_TIMEOUT if waits else 0)
        all_is_here = not news.get("to_device", {}).get("events")
        if all_is_here and not self._looked_back:
            # A homeserver may forget its last moments in a power cut. It then brings nothing to who is ahead of it.
            place.pop("to_device", None)
            self._looked_back = True
        async with self._bot.turn():
            keys_came = await self._take(news, place)
            await self._keep_addressable(news)
        self._heard_up_to = begun
        if all_is_here and attentive == self._attentive.is_set():
            self.caught_up.set()
        if keys_came:
            self._on_keys()
        if all_is_here and not attentive:
            await unless(self._attentive, self._clock.sleep(SYNC_TIMEOUT))

    async def forget_old_keys(self) -> None:
        """Remove the Megolm sessions of others that came longer ago than `KEYS_KEPT`, and the Olm sessions of devices
        that said nothing for `OLM_KEPT`."""
        await self._forget_megolm()
        await self._forget_olm()

    async def _forget_olm(self) -> None:
        oldest = _now() - OLM_KEPT
        for device in await self._bot.keys.names(OLM):
            async with self._bot.turn():
                record = await self._bot.keys.read(OLM, device)
                if record is not None and datetime.fromisoformat(record["sessions"][0]["decrypted"]) < oldest:
                    self._bot.keys.write(OLM, device, None)
                    await self._bot.keys.save()

    async def _forget_megolm(self) -> None:
        oldest = _now() - KEYS_KEPT
        for session in await self._bot.keys.names(INBOUND):
            async with self._bot.turn():
                record = await self._bot.keys.read(INBOUND, session)
                if record is not None and datetime.fromisoformat(record["received"]) < oldest:
                    self._bot.keys.write(INBOUND, session, None)
                    self._bot.keys.write(SEEN, session, None)
                    await self._bot.keys.save()
                    self._welcome.recount()

    async def _fetch(self, place: JsonObject | None, timeout: int) -> tuple[JsonObject, JsonObject]:
        """What has come since, and up to where. Where the homeserver does not know the place any more, or not yet, its
        ``device_lists`` are None: nothing we know of devices is certain."""
        ask = slide if self._slides else sync
        if place is not None and ("pos" in place) == self._slides:
            with suppress(HomeserverRefused):
                return await ask(self._bot.api, place, timeout)
        news, place = await ask(self._bot.api, None, 0)
        return {**news, "device_lists": None}, place

    async def _forget_people(self) -> None:
        for person in await self._bot.keys.names(PERSON, SHARED):
            await self._bot.keys.forget_person(UserID(person))

    async def _begin_anew(self) -> None:
        """Our database or the homeserver's was put back to an earlier state, or ours is new. The homeserver then gives
        out one-time keys that we cannot use, and clients encrypt with sessions whose keys we had and lost. What still
        waits for the old device is read first."""
        _log.warning("the homeserver has other keys of the bot than this database: going on under new ones")
        self.caught_up.clear()
        place = await self._bot.keys.read(SYNC, "")
        while True:
            news, place = await self._fetch(place, 0)
            if await self._take(news, place):
                self._on_keys()
            if not news.get("to_device", {}).get("events"):
                break
        await self._forget_people()
        self._bot.keys.write(SYNC, "", None)
        await self._bot.become_another_device()
        await self._on_new_device()

    async def _take(self, news: JsonObject, place: JsonObject) -> bool:
        """Write down all of this, then the place up to which we have read. Whether a room key was in it."""
        changes = news.get("device_lists", {})
        if changes is None:
            await self._forget_people()
            changes = {}
        for person in {*changes.get("changed", []), *changes.get("left", [])}:
            await self._bot.keys.forget_person(UserID(person))
        keys_came, self._asked_us = False, []
        for event in news.get("to_device", {}).get("events", []):
            try:
                keys_came = await self._hear(event) or keys_came
            except (Unavailable, Unusable):
                raise
            except Exception as error:  # anybody may send our device anything; what follows it is to be read
                _log.info("something sent to our device cannot be read: %s", without_content(error))
        self._bot.keys.write(SYNC, "", place)
        await self._bot.keys.save()
        if keys_came:
            failpoint("keys-heard")
        return keys_came

    async def _keep_addressable(self, news: JsonObject) -> None:
        await self._bot.machine.mend_sessions()
        for asker, request in self._asked_us:
            await self._bot.answer(asker, request)
        left = news.get("device_one_time_keys_count", {}).get("signed_curve25519", 0)
        fallback = "signed_curve25519" not in news.get("device_unused_fallback_key_types", ["signed_curve25519"])
        if left <= ONE_TIME_KEYS // 2 or fallback:
            await self._bot.upload(ONE_TIME_KEYS - left if left <= ONE_TIME_KEYS // 2 else 0, fallback=fallback)

    async def _hear(self, event: JsonObject) -> bool:
        if event.get("type") == "m.room_key_request":
            self._asked_us.append((UserID(event["sender"]), event["content"]))  # answered once all of this is on disk
            return False
        if event.get("type") != "m.room.encrypted":
            return False
        if not await self._welcome.lets_in(UserID(event["sender"]), IdentityKey(event["content"]["sender_key"])):
            return False
        machine = self._bot.machine
        inner = await machine._decrypt_olm_event(ToDeviceEvent.deserialize(event))  # type: ignore[arg-type]
        key = inner.content
        if not isinstance(key, RoomKeyEventContent | ForwardedRoomKeyEventContent):
            return False
        session_id = SessionID(str(key.session_id))
        self._bot.keys.speaker = inner.sender
        if await self._bot.keys.has_group_session(RoomID(str(key.room_id)), session_id):
            return False  # ours may have been ratcheted on, which this would undo
        if not await self._welcome.has_room_for(inner.sender):
            return False
        if not isinstance(key, ForwardedRoomKeyEventContent):
            await machine._receive_room_key(inner)
        elif self._asked.get(session_id) == inner.sender:  # nobody else may say what somebody's key is
            await machine._receive_forwarded_room_key(inner)
        else:
            return False
        self._welcome.took(inner.sender)
        return True

    async def has_key(self, event: JsonObject) -> bool:
        """Whether the key of this ``m.room.encrypted`` event is here. Raises: as `Identity.turn` does."""
        async with self._bot.turn():
            self._bot.keys.speaker = UserID(event["sender"])
            session_id = SessionID(str(event["content"].get("session_id")))
            return await self._bot.keys.has_group_session(RoomID(event["room_id"]), session_id)

    @asynccontextmanager
    async def opened(self, event: JsonObject, received_at: int) -> AsyncIterator[tuple[JsonObject, Save]]:
        """The event inside an ``m.room.encrypted`` one, and what saves, in the transaction that keeps the event, that
        its key was used: the same event cannot be opened again after that.

        Raises: KeyMissing when it may come; Undecryptable, HomeserverUnavailable, DatabaseUnavailable.
        """
        async with self._bot.turn():
            yield await self._open(event, received_at), self._bot.keys.save

    async def _open(self, event: JsonObject, received_at: int) -> JsonObject:
        content: JsonObject = event["content"]
        ciphertext, session_id = content.get("ciphertext"), content.get("session_id")
        if content.get("algorithm") != EncryptionAlgorithm.MEGOLM_V1.value:
            raise Undecryptable("it is encrypted in a way I do not know")
        if not isinstance(ciphertext, str) or not isinstance(session_id, str):
            raise Undecryptable("it is not a proper encrypted message")
        room_id, sender = RoomID(event["room_id"]), UserID(event["sender"])
        attentive = self._attentive.is_set()
        self.attend()
        self._bot.keys.speaker = sender
        session = await self._bot.keys.get_group_session(room_id, SessionID(session_id))
        if session is None and not attentive:  # clients send the key before the event: it is at the homeserver
            raise KeyMissing(NOT_YET)
        if session is None:
            await self._miss(room_id, sender, content, received_at)
        assert session is not None
        try:
            plaintext, index = session.decrypt(ciphertext)
        except olm.group_session.OlmGroupSessionError:
            raise Undecryptable("its key is too new for it, or it was changed on the way") from None
        seen = await self._bot.keys.validate_message_index(
            session.sender_key, SessionID(session_id), EventID(event["event_id"]), index, event["origin_server_ts"]
        )
        if not seen:
            raise Undecryptable("its key was used for another message already")
        device = await self._bot.machine.get_or_fetch_device_by_key(sender, session.sender_key)
        if device is None or device.signing_key != session.signing_key:
            raise Undecryptable("it was not encrypted by a device of its sender")
        safety = session.ratchet_safety
        safety.next_index = max(safety.next_index, session.first_known_index, index - MOST_SKIPPED)
        safety.lost_indices.clear()
        await self._bot.machine._ratchet_session(session, index)
        return _inner(event, plaintext)

    async def _miss(self, room_id: RoomID, sender: UserID, content: JsonObject, received_at: int) -> None:
        """Ask the sender's devices for the key, once, and say whether to wait. Raises: KeyMissing, Undecryptable."""
        session_id = content["session_id"]
        if session_id not in self._asked:
            while len(self._asked) >= MAX_ASKED:
                del self._asked[next(iter(self._asked))]
            self._asked[session_id] = sender
            key = IdentityKey(str(content.get("sender_key", "")))
            await self._bot.machine.request_room_key(
                room_id, key, SessionID(session_id), {sender: [DeviceID("*")]}, timeout=0
            )
        dated_ahead = received_at > self._clock.now() + KEY_PATIENCE  # by a clock that was put right since
        if dated_ahead or self._heard_up_to >= received_at + KEY_PATIENCE:
            raise Undecryptable(NEVER_CAME)
        raise KeyMissing(NOT_YET)


def _now() -> datetime:
    """Without a zone, as mautrix writes times."""
    return datetime.now(UTC).replace(tzinfo=None)


def _inner(event: JsonObject, plaintext: str) -> JsonObject:
    try:
        payload = parse_object(plaintext.encode(errors="replace"))
        kind, content, room_id = payload["type"], payload["content"], payload["room_id"]
    except (ValueError, KeyError):
        raise Undecryptable("there is no proper message in it") from None
    if room_id != event["room_id"] or not isinstance(kind, str) or not isinstance(content, dict):
        raise Undecryptable("there is no proper message in it")
    if kind == "m.room.encrypted":
        raise Undecryptable("it is encrypted twice")
    if "m.relates_to" in event["content"]:
        content = {**content, "m.relates_to": event["content"]["m.relates_to"]}
    return {**event, "type": kind, "content": content}
