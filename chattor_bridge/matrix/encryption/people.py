"""What is known of the devices of people, and of the keys with which they sign them: one record for each person, shared
by all our users."""

from __future__ import annotations

from mautrix.types import (
    CrossSigner,
    CrossSigningUsage,
    DeviceID,
    DeviceIdentity,
    IdentityKey,
    SigningKey,
    TOFUSigningKey,
    TrustState,
    UserID,
)

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix.encryption.records import PERSON, SHARED, Records


class People(Records):
    """The half of mautrix's store that is about other people."""

    async def _person(self, user_id: UserID) -> JsonObject:
        nobody: JsonObject = {"devices": None, "met": False, "changes": 0, "signing": {}, "signatures": []}
        return await self.read(PERSON, user_id, SHARED) or nobody

    def _write_person(self, user_id: UserID, person: JsonObject) -> None:
        self.write(PERSON, user_id, person, SHARED)

    async def forget_person(self, user_id: UserID) -> None:
        """Ask for this person's devices again when they are next needed."""
        person = await self._person(user_id)
        self._write_person(user_id, {**person, "devices": None, "changes": person["changes"] + 1})

    async def knows(self, user_id: UserID) -> bool:
        """Whether this person's devices were ever asked for, because something was to be said to them."""
        return bool((await self._person(user_id))["met"])

    async def get_devices(self, user_id: UserID) -> dict[DeviceID, DeviceIdentity] | None:
        devices = (await self._person(user_id))["devices"]
        if devices is None:
            return None
        return {
            DeviceID(device_id): DeviceIdentity(
                user_id=user_id,
                device_id=DeviceID(device_id),
                identity_key=IdentityKey(identity_key),
                signing_key=SigningKey(signing_key),
                trust=TrustState.UNVERIFIED,
                deleted=False,
                name="",
            )
            for device_id, (identity_key, signing_key) in devices.items()
        }

    async def get_device(self, user_id: UserID, device_id: DeviceID) -> DeviceIdentity | None:
        return (await self.get_devices(user_id) or {}).get(device_id)

    async def find_device_by_key(self, user_id: UserID, identity_key: IdentityKey) -> DeviceIdentity | None:
        devices = await self.get_devices(user_id) or {}
        return next((device for device in devices.values() if device.identity_key == identity_key), None)

    async def put_devices(self, user_id: UserID, devices: dict[DeviceID, DeviceIdentity]) -> None:
        person = await self._person(user_id)
        known = {device_id: [device.identity_key, device.signing_key] for device_id, device in devices.items()}
        self._write_person(user_id, {**person, "devices": known, "met": True})

    async def filter_tracked_users(self, users: list[UserID]) -> list[UserID]:
        return [user_id for user_id in users if (await self._person(user_id))["devices"] is not None]

    async def put_cross_signing_key(self, user_id: UserID, usage: CrossSigningUsage, key: SigningKey) -> None:
        person = await self._person(user_id)
        _, first = person["signing"].get(usage.value, (key, key))
        person["signing"][usage.value] = [key, first]
        self._write_person(user_id, person)

    async def get_cross_signing_keys(self, user_id: UserID) -> dict[CrossSigningUsage, TOFUSigningKey]:
        signing = (await self._person(user_id))["signing"]
        return {
            CrossSigningUsage(usage): TOFUSigningKey(key=SigningKey(key), first=SigningKey(first))
            for usage, (key, first) in signing.items()
        }

    async def put_signature(self, target: CrossSigner, signer: CrossSigner, signature: str) -> None:
        """Verified by the caller; only that it was there is kept, and only what people sign of their own."""
        if target.user_id != signer.user_id:
            return
        person = await self._person(target.user_id)
        if [target.key, signer.key] not in person["signatures"]:
            person["signatures"].append([target.key, signer.key])
            self._write_person(target.user_id, person)

    async def is_key_signed_by(self, target: CrossSigner, signer: CrossSigner) -> bool:
        if target.user_id != signer.user_id:
            return False
        return [target.key, signer.key] in (await self._person(target.user_id))["signatures"]

    async def drop_signatures_by_key(self, signer: CrossSigner) -> int:
        person = await self._person(signer.user_id)
        kept = [pair for pair in person["signatures"] if pair[1] != signer.key]
        dropped = len(person["signatures"]) - len(kept)
        self._write_person(signer.user_id, {**person, "signatures": kept})
        return dropped
