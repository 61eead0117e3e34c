"""One of our Matrix users with a device of its own, signed by itself, and what that device encrypts.

A ghost that spoke under the bot's keys would show a red shield, so each has its own. Only the bot reads: a ghost's
device has one fallback key by which others can address it, and what they send it is thrown away. So nobody could tell
a ghost that an Olm session is broken, and it begins a new one each time it has a key to give.

A Megolm session is used for as long as those who are to read it are the same devices as when it was shared. That is
compared at each message, with what is known of them by then, so no event that was missed leaves a reader in or out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import string
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from mautrix.api import Method, Path, PathBuilder
from mautrix.crypto import OlmAccount, OutboundGroupSession
from mautrix.crypto.cross_signing_key import CrossSigningSeeds
from mautrix.crypto.signature import sign_olm
from mautrix.types import (
    DeviceID,
    DeviceIdentity,
    EncryptionAlgorithm,
    RoomID,
    RoomKeyEventContent,
    SessionID,
    TrustState,
    UserID,
)

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, KeyMissing, Undecryptable
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.client import DEVICE_ID, Client
from chattor_bridge.matrix.encryption import recovery
from chattor_bridge.matrix.encryption.device import DeviceApi, Machine
from chattor_bridge.matrix.encryption.giving import Given, Giving
from chattor_bridge.matrix.encryption.keystore import KeyStore
from chattor_bridge.matrix.encryption.records import ACCOUNT, OLM, EncryptionStore
from chattor_bridge.node.ports import Clock

DEVICE_LETTERS = 10
"""Random letters of a device id, as clients have: a device made again after its keys were lost is another one."""

ONE_TIME_KEYS = 50
"""Kept on the homeserver for the bot, half of what an account can hold, which is what clients do."""

UPLOADS = "org.chattor.uploads"
"""Account data of the bot: its device, and a number that goes up with time and with all keys it gives the homeserver.
Our database says the same, unless one of the two was put back to an earlier state."""

RETRY_INCOMPLETE = 600
"""Seconds after which a session that not everybody could be given is made anew: their one-time keys had run out, or
their homeserver was away."""

MAX_MESSAGES = 100
MAX_AGE = 7 * 24 * 3600
"""The rotation of a Megolm session where the room does not say otherwise: messages and seconds, as the Matrix
specification has it."""

MIN_AGE = 3600
"""Seconds. A room that asks for less would have us give out keys without end, or have them expire before their use."""


class Identity:
    """Works one `turn` at a time."""

    def __init__(
        self,
        client: Client,
        store: EncryptionStore,
        clock: Clock,
        user: MatrixUserId,
        *,
        reads: bool,
        send_to: TrustState,
    ) -> None:
        self._lock = asyncio.Lock()
        self.user = user
        self.device = ""
        self.keys = KeyStore(store, user, reads=reads)
        self._recovery_key = store.recovery_key()
        self._client = client
        self._clock = clock
        self._reads = reads
        self._send_to = send_to
        self._opened = False
        self._giving = Giving()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have it to oneself, its device ready. What was not saved when an error ends the turn never was: whoever tries
        again finds everything as it is on disk.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        async with self._lock:
            try:
                if not self._opened:
                    await self._open()
                yield
            except (KeyMissing, Undecryptable):  # no session of ours was used
                self.keys.discard()
                raise
            except BaseException:
                self.keys.abandon()
                self._opened = False
                raise

    async def _open(self) -> None:
        """Load or make the device, and let the homeserver know its keys. Repeating it goes on where it was cut off."""
        if await self.keys.read(ACCOUNT, "") is None:
            await self._make()
        record = await self.keys.read(ACCOUNT, "")
        assert record is not None
        self.device = record["device"]
        self.api = DeviceApi(self._client, self.user, self.device, self.keys.save)
        self.machine = Machine(self.api, self.keys, self.user, self.device, self._send_to)
        account = await self.keys.get_account()
        assert account is not None
        self.account = self.machine.account = account
        if not account.shared:
            await self.upload(ONE_TIME_KEYS if self._reads else 0, fallback=True)
        if "seeds" not in record:
            found = await recovery.find(self.machine, self._recovery_key) if self._reads else None
            await self.keys.amend_account(seeds=_written(found or CrossSigningSeeds.generate()))
            await self.keys.save()
        if not record["signed"]:
            seeds = await self._publish_cross_signing()
            await self.machine.sign_own_device(self.machine.own_identity)
            if self._reads:
                await recovery.keep(self.machine, self._recovery_key, seeds)
            await self.keys.amend_account(signed=True)
            await self.keys.save()
        if not record["alone"]:
            await self._remove_other_devices()
        self._opened = True

    async def _make(self) -> None:
        await self.keys.put_account(OlmAccount())
        await self.keys.amend_account(
            device="".join(secrets.choice(string.ascii_uppercase) for _ in range(DEVICE_LETTERS)),
            signed=False,
            alone=False,
            uploads=0,
            uploaded=0,
        )
        await self.keys.save()

    async def _publish_cross_signing(self) -> CrossSigningSeeds:
        """Unless the homeserver has these keys: Synapse does not take the same ones twice. It takes them one by one, so
        it may have a part of them, and then has to have others."""
        record = await self.keys.read(ACCOUNT, "")
        assert record is not None
        answer = await self.api.request(Method.POST, Path.v3.keys.query, {"device_keys": {self.user: []}})
        known = [
            next(iter(answer.get(kind, {}).get(self.user, {}).get("keys", {}).values()), None)
            for kind in ("master_keys", "self_signing_keys", "user_signing_keys")
        ]
        seeds = CrossSigningSeeds(*(base64.b64decode(seed) for seed in record["seeds"]))
        public = seeds.to_keys().public_keys
        ours = [public.master_key, public.self_signing_key, public.user_signing_key]
        if known == ours:
            self.machine._cross_signing_private_keys = seeds.to_keys()
            return seeds
        if set(known) & set(ours):
            seeds = CrossSigningSeeds.generate()
            await self.keys.amend_account(seeds=_written(seeds))
        await self.machine._publish_cross_signing_keys(seeds.to_keys())
        return seeds

    async def _remove_other_devices(self) -> None:
        """Those of databases that are lost: nobody holds their keys, and clients would go on encrypting for them."""
        answer = await self.api.request(Method.GET, Path.v3.devices)
        for device in answer.get("devices", []):
            if device["device_id"] not in (self.device, DEVICE_ID):
                await self.api.request(Method.DELETE, Path.v3.devices[device["device_id"]], {})
        await self.keys.amend_account(alone=True)
        await self.keys.save()

    async def is_as_published(self) -> bool:
        """Whether the homeserver and we agree on what we gave it; within a `turn`."""
        record = await self.keys.read(ACCOUNT, "")
        assert record is not None
        try:
            told = await self.api.request(Method.GET, self._uploads)
        except HomeserverRefused as refusal:
            if refusal.errcode != "M_NOT_FOUND":
                raise
            return False
        return told.get("device") == self.device and told.get("uploads") in (record["uploads"], record["uploaded"])

    async def mark(self) -> None:
        """Let earlier states of either database be told from this one; within a `turn`."""
        record = await self.keys.read(ACCOUNT, "")
        assert record is not None
        uploads = record["uploads"] + 1
        await self.keys.amend_account(uploads=uploads)
        await self.api.request(Method.PUT, self._uploads, {"device": self.device, "uploads": uploads})
        await self.keys.amend_account(uploaded=uploads)
        await self.keys.save()

    async def become_another_device(self) -> None:
        """Go on under new keys, signed as the old ones were; within a `turn`. Clients give a new device the keys of
        what is said from then on. The keys of others that we have stay of use."""
        for key in await self.keys.names(OLM):
            self.keys.write(OLM, key, None)
        await self._make()
        self.keys.abandon()
        await self._open()

    async def publish_again(self) -> None:
        """Before the next use, for the homeserver may not know our keys any more."""
        async with self._lock:
            await self.keys.amend_account(shared=False, signed=False)
            await self.keys.save()
            self._opened = False

    @property
    def _uploads(self) -> PathBuilder:
        return Path.v3.user[self.user].account_data[UPLOADS]

    async def upload(self, one_time_keys: int, *, fallback: bool) -> None:
        """Give the homeserver what it lacks of our keys. They are saved before they go out: somebody may use one at
        once, and what is encrypted to a key we forgot is lost."""
        content: JsonObject = {}
        if one_time_keys:
            self.account.generate_one_time_keys(one_time_keys)
        if fallback:
            self.account.generate_fallback_key()
        await self.keys.put_account(self.account)
        if not self.account.shared:
            content["device_keys"] = self.account.get_device_keys(UserID(self.user), DeviceID(self.device)).serialize()
        content["one_time_keys"] = self._signed(self.account.one_time_keys)
        if fallback:
            content["fallback_keys"] = self._signed(self.account.fallback_key, fallback=True)
        if self._reads:
            await self.mark()
        await self.api.request(Method.POST, Path.v3.keys.upload, content)
        self.account.shared = True
        self.account.mark_keys_as_published()
        await self.keys.put_account(self.account)
        await self.keys.save()

    def _signed(self, keys: dict[str, dict[str, str]], **more: bool) -> JsonObject:
        signed = {}
        for key_id, key in keys.get("curve25519", {}).items():
            body: JsonObject = {"key": key, **more}
            signature = sign_olm(dict(body), self.account)
            signed[f"signed_curve25519:{key_id}"] = {
                **body,
                "signatures": {self.user: {f"ed25519:{self.device}": signature}},
            }
        return signed

    async def encrypt(
        self,
        room_id: MatrixRoomId,
        settings: JsonObject,
        event_type: str,
        content: JsonObject,
        readers: Sequence[MatrixUserId],
    ) -> JsonObject:
        """The content of an ``m.room.encrypted`` event that every device of ``readers`` can open. ``settings`` is the
        content of the room's ``m.room.encryption``.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        async with self.turn():
            session = await self._session(RoomID(room_id), settings, [UserID(reader) for reader in readers])
            payload = {"room_id": room_id, "type": event_type, "content": content}
            ciphertext: str = session.encrypt(  # type: ignore[no-untyped-call]
                json.dumps(payload, ensure_ascii=False)  # or a letter takes six bytes
            )
        encrypted: JsonObject = {
            "algorithm": EncryptionAlgorithm.MEGOLM_V1.value,
            "ciphertext": ciphertext,
            "session_id": session.id,
            "sender_key": self.account.identity_key,
            "device_id": self.device,
        }
        if "m.relates_to" in content:  # the homeserver works with it, so it stays in the clear
            encrypted["m.relates_to"] = content["m.relates_to"]
        return encrypted

    async def _session(self, room_id: RoomID, settings: JsonObject, readers: list[UserID]) -> OutboundGroupSession:
        session = await self.keys.get_outbound_group_session(room_id)
        given = self._giving.newest(room_id)
        if (
            session is not None
            and given is not None
            and not session.expired
            and given.devices == await self._devices(readers)
            and (given.complete or self._clock.monotonic() < given.at + RETRY_INCOMPLETE)
        ):
            return session
        session = OutboundGroupSession(room_id)
        session.max_messages = _positive(settings.get("rotation_period_msgs"), MAX_MESSAGES)
        age = _positive(settings.get("rotation_period_ms"), MAX_AGE * 1000)
        session.max_age = timedelta(milliseconds=max(age, MIN_AGE * 1000))
        await self.keys.remove_outbound_group_session(room_id)
        if not self._reads:
            self.keys.forget_sessions()
        start = session.session_key
        reached = await self.machine.share(session, readers)
        devices = await self._devices(readers)
        now = self._clock.monotonic()
        self._giving.note(room_id, Given(session.id, start, devices, reached >= len(devices), now))
        await self.keys.save()
        return session

    async def _devices(self, readers: Sequence[UserID]) -> list[str]:
        """A short name for each device that is to read or not to, and for each reader of whom we know none."""
        names = []
        for reader in readers:
            devices = await self.keys.get_devices(reader) or {}
            names += [await self._name(device) for device in devices.values()]
            if not devices:
                names.append(_short(reader))
        return sorted(names)

    async def _name(self, device: DeviceIdentity) -> str:
        """Another one when its keys are others, and when it comes to be trusted or is not any more."""
        trusted = await self.machine.may_read(device)
        return _short(f"{device.user_id} {device.identity_key} {device.signing_key} {trusted}")

    async def answer(self, asker: UserID, request: object) -> None:
        """Do what a device asks for in an ``m.room_key_request`` if it may have that; within a `turn`.

        Raises: HomeserverUnavailable, DatabaseUnavailable.
        """
        if not isinstance(request, dict) or request.get("action") != "request":
            return
        wanted, device_id = request.get("body"), request.get("requesting_device_id")
        if not isinstance(wanted, dict) or not isinstance(device_id, str):
            return
        device = await self.keys.get_device(asker, DeviceID(device_id))
        if device is None or not await self.machine.may_read(device):
            return
        room_id, session_id = RoomID(str(wanted.get("room_id"))), SessionID(str(wanted.get("session_id")))
        given = self._giving.grant(room_id, session_id, await self._name(device))
        if given is not None:
            key = RoomKeyEventContent(EncryptionAlgorithm.MEGOLM_V1, room_id, session_id, given.start)
            await self.machine.give(device, key)
            await self.keys.save()


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _written(seeds: CrossSigningSeeds) -> list[str]:
    return [base64.b64encode(seed).decode() for seed in seeds]


def _positive(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise
