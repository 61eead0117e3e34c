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
from dataclasses import dataclass
from datetime import timedelta

from mautrix.api import Method, Path
from mautrix.crypto import OlmAccount, OutboundGroupSession
from mautrix.crypto.cross_signing_key import CrossSigningSeeds
from mautrix.crypto.signature import sign_olm
from mautrix.types import DeviceID, EncryptionAlgorithm, RoomID, TrustState, UserID

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.encryption.device import DeviceApi, Machine
from chattor_bridge.matrix.encryption.keystore import ACCOUNT, EncryptionStore, KeyStore
from chattor_bridge.node.ports import Clock

DEVICE_LETTERS = 10
"""Random letters of a device id, as clients have: a device made again after its keys were lost is another one."""

ONE_TIME_KEYS = 50
"""Kept on the homeserver for the bot, half of what an account can hold, which is what clients do."""

RETRY_INCOMPLETE = 600
"""Seconds after which a session that not everybody could be given is made anew: their one-time keys had run out, or
their homeserver was away."""

MAX_MESSAGES = 100
MAX_AGE = 7 * 24 * 3600
"""The rotation of a Megolm session where the room does not say otherwise: messages and seconds, as the Matrix
specification has it."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """With which devices a Megolm session was shared, whether all of them got it, and when (monotonic seconds)."""

    devices: list[str]
    complete: bool
    at: float


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
        self._client = client
        self._clock = clock
        self._reads = reads
        self._send_to = send_to
        self._opened = False
        self._shared: dict[RoomID, _Shared] = {}

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
        if not record["signed"]:
            seeds = CrossSigningSeeds(*(base64.b64decode(seed) for seed in record["seeds"]))
            await self.machine._publish_cross_signing_keys(seeds.to_keys())
            await self.machine.sign_own_device(self.machine.own_identity)
            await self.keys.amend_account(signed=True)
            await self.keys.save()
        self._opened = True

    async def _make(self) -> None:
        letters = string.ascii_uppercase
        await self.keys.put_account(OlmAccount())
        await self.keys.amend_account(
            device="".join(secrets.choice(letters) for _ in range(DEVICE_LETTERS)),
            seeds=[base64.b64encode(seed).decode() for seed in CrossSigningSeeds.generate()],
            signed=False,
        )
        await self.keys.save()

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
        shared = self._shared.get(room_id)
        if (
            session is not None
            and shared is not None
            and not session.expired
            and shared.devices == await self._devices(readers)
            and (shared.complete or self._clock.monotonic() < shared.at + RETRY_INCOMPLETE)
        ):
            return session
        session = OutboundGroupSession(room_id)
        session.max_messages = _positive(settings.get("rotation_period_msgs"), MAX_MESSAGES)
        session.max_age = timedelta(milliseconds=_positive(settings.get("rotation_period_ms"), MAX_AGE * 1000))
        await self.keys.remove_outbound_group_session(room_id)
        if not self._reads:
            self.keys.forget_sessions()
        reached = await self.machine.share(session, readers)
        devices = await self._devices(readers)
        self._shared[room_id] = _Shared(devices, reached >= len(devices), self._clock.monotonic())
        await self.keys.save()
        return session

    async def _devices(self, readers: Sequence[UserID]) -> list[str]:
        """A short name for each device that is to read, and for each reader of whom we know none."""
        names = []
        for reader in readers:
            devices = await self.keys.get_devices(reader) or {}
            names += [f"{reader} {device.identity_key} {device.signing_key}" for device in devices.values()]
            if not devices:
                names.append(reader)
        return sorted(hashlib.sha256(name.encode()).hexdigest()[:32] for name in names)


def _positive(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise
