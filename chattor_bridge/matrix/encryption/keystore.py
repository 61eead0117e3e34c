"""Where mautrix's Olm machine keeps what it must not forget: in our database, sealed, in transactions of ours.

It reads through to the database. What it writes waits in memory until `save`, so that everything one step changes is
committed together, with whatever else belongs to that step: the decrypted event, or the place in the stream of keys.
Nothing that came in is acknowledged before it is saved.

What we encrypt with is of this run alone, and made anew by the next: a database that was put back to an earlier state
must not make the same key encrypt twice, nor leave us speaking in sessions that the other side has left behind.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

from mautrix.crypto import (
    CryptoStore,
    InboundGroupSession,
    OlmAccount,
    OutboundGroupSession,
    Session,
)
from mautrix.crypto.sessions import RatchetSafety
from mautrix.types import (
    CrossSigner,
    CrossSigningUsage,
    DeviceID,
    DeviceIdentity,
    EventID,
    IdentityKey,
    RoomID,
    SessionID,
    SigningKey,
    TOFUSigningKey,
    TrustState,
    UserID,
)

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.store_ports import RoomKeys
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.store_ports import NodeStore

ACCOUNT, OLM, INBOUND, SEEN, PERSON = "account", "olm", "inbound", "seen", "person"
"""Kinds of records: the account itself; Olm sessions with one device; Megolm sessions of others; which event used which
index of one, both named by session and speaker; and, shared by all accounts, somebody's devices and keys."""

SHARED = ""

ROOM = "room"
"""Kind of the shared record that says how a room is encrypted. It is never taken back: no homeserver can make us speak
in clear where we did not."""

OLM_SESSIONS = 8
"""Olm sessions kept with one device. Two sides that open one at the same time have two; who makes more has lost its
own, and only the newest are of use then."""

UNPROTECTED = ""
"""The passphrase of pickles: they are sealed as a whole with everything around them."""

_REDACTED = "this store keeps nothing of a session it forgets"


class EncryptionStore(NodeStore, Protocol):
    """The part of the bridge's store that encryption works with."""

    @property
    def room_keys(self) -> RoomKeys: ...

    def recovery_key(self) -> bytes:
        """32 bytes that outlive the database, as the store key does."""


class KeyStore(CryptoStore):
    """The keys of one of our users. Not for two tasks at once: `Identity` sees to that.

    Olm sessions of a user that never reads are kept for the length of one `forget_sessions` to the next."""

    def __init__(self, store: EncryptionStore, user: MatrixUserId, *, reads: bool) -> None:
        self.account_id = user
        self.speaker = UserID("")
        """Whose Megolm sessions are meant: anybody in a room has the keys of everybody there, and may give them out as
        their own."""
        self._reads = reads
        self._olm: dict[IdentityKey, list[Session]] = {}
        self._outbound: dict[RoomID, OutboundGroupSession] = {}
        self.pickle_key = UNPROTECTED
        self._store = store
        self._unsaved: dict[tuple[str, str, str], JsonObject | None] = {}

    async def save(self, tx: Transaction | None = None) -> None:
        """Commit what was written, in ``tx`` if there is one. Raises: DatabaseUnavailable; nothing is lost then."""
        if not self._unsaved:
            return
        if tx is None:
            async with self._store.transaction() as tx:
                await self.save(tx)
            return
        written = dict(self._unsaved)
        for (account, kind, name), value in written.items():
            if kind == PERSON and value is not None and value["devices"] is not None:
                known = await self._store.room_keys.get(tx, account, kind, name)
                if known is not None and known["changes"] > value["changes"]:  # changed since we asked for them
                    value = {**value, "devices": None, "changes": known["changes"]}
            if value is None:
                await self._store.room_keys.remove(tx, account, kind, name)
            else:
                await self._store.room_keys.put(tx, account, kind, name, value)
        tx.after_commit(lambda: self._saved(written))

    def _saved(self, written: dict[tuple[str, str, str], JsonObject | None]) -> None:
        for place, value in written.items():
            if self._unsaved.get(place) is value:
                self._unsaved.pop(place, None)

    def discard(self) -> None:
        """Forget what was written and not saved."""
        self._unsaved.clear()

    def abandon(self) -> None:
        """Forget that, and every session with other devices, as after a restart."""
        self.discard()
        self._olm.clear()
        self._outbound.clear()

    async def read(self, kind: str, name: str, account: str | None = None) -> JsonObject | None:
        """A record as it will be once everything is saved."""
        place = (self.account_id if account is None else account, kind, name)
        if place in self._unsaved:
            return self._unsaved[place]
        async with self._store.transaction() as tx:
            return await self._store.room_keys.get(tx, *place)

    def write(self, kind: str, name: str, value: JsonObject | None, account: str | None = None) -> None:
        """Replace a record, or with ``None`` remove it, at the next `save`."""
        self._unsaved[(self.account_id if account is None else account, kind, name)] = value

    async def names(self, kind: str, account: str | None = None) -> list[str]:
        """The records of this kind that are on disk."""
        async with self._store.transaction() as tx:
            return await self._store.room_keys.names(tx, self.account_id if account is None else account, kind)

    # --- the account ------------------------------------------------------------------------------------------------

    async def get_account(self) -> OlmAccount | None:
        record = await self.read(ACCOUNT, "")
        if record is None:
            return None
        return OlmAccount.from_pickle(record["pickle"].encode(), UNPROTECTED, record["shared"])

    async def put_account(self, account: OlmAccount) -> None:
        record = await self.read(ACCOUNT, "") or {}
        self.write(ACCOUNT, "", {**record, "pickle": account.pickle(UNPROTECTED).decode(), "shared": account.shared})

    async def amend_account(self, **values: Any) -> None:
        """Write more about the account beside it."""
        self.write(ACCOUNT, "", {**(await self.read(ACCOUNT, "") or {}), **values})

    async def get_device_id(self) -> DeviceID | None:
        record = await self.read(ACCOUNT, "")
        return None if record is None else DeviceID(record["device"])

    async def put_device_id(self, device_id: DeviceID) -> None:
        await self.amend_account(device=device_id)

    async def delete(self) -> None:
        raise NotImplementedError("a user's keys go with the user")

    # --- Olm: one device to another ---------------------------------------------------------------------------------

    def forget_sessions(self) -> None:
        """Begin anew with every device at the next message to it."""
        self._olm.clear()

    async def has_session(self, key: IdentityKey) -> bool:
        """Whether there is one to encrypt with: begun, by us or by them, since this store was opened."""
        return bool(self._olm.get(key))

    async def get_latest_session(self, key: IdentityKey) -> Session | None:
        sessions = self._olm.get(key)
        return sessions[0] if sessions else None

    async def get_sessions(self, key: IdentityKey) -> list[Session]:
        """Those to decrypt with, the one that was last of use first."""
        record = await self.read(OLM, key)
        return [_olm_session(one) for one in record["sessions"]] if record is not None else []

    async def add_session(self, key: IdentityKey, session: Session) -> None:
        self._olm[key] = _with(session, self._olm.get(key, []))
        await self.update_session(key, session)

    async def update_session(self, key: IdentityKey, session: Session) -> None:
        """One of an earlier run stays one to decrypt with: nobody knows what was encrypted in it after it was saved."""
        if any(one.id == session.id for one in self._olm.get(key, [])):
            self._olm[key] = _with(session, self._olm[key])
        if self._reads:
            sessions = _with(session, await self.get_sessions(key))
            self.write(OLM, key, {"sessions": [_olm_record(one) for one in sessions]})

    # --- Megolm: what others say in rooms ---------------------------------------------------------------------------

    async def put_group_session(
        self, room_id: RoomID, sender_key: IdentityKey, session_id: SessionID, session: InboundGroupSession
    ) -> None:
        self.write(
            INBOUND,
            self._named(session_id),
            {
                "room": room_id,
                "sender_key": sender_key,
                "signing_key": session.signing_key,
                "pickle": session.pickle(UNPROTECTED).decode(),
                "chain": session.forwarding_chain,
                "safety": session.ratchet_safety.serialize(),
                "received": _write_time(session.received_at),
                "max_age": None if session.max_age is None else session.max_age.total_seconds(),
                "max_messages": session.max_messages,
            },
        )
        seen = await self.read(SEEN, self._named(session_id))
        if seen is not None:  # what lies before the first known index cannot be opened again
            first = session.first_known_index
            kept = {index: event for index, event in seen.items() if int(index) >= first}
            self.write(SEEN, self._named(session_id), kept)

    def _named(self, session_id: SessionID) -> str:
        return f"{session_id} {self.speaker}"

    async def get_group_session(self, room_id: RoomID, session_id: SessionID) -> InboundGroupSession | None:
        record = await self.read(INBOUND, self._named(session_id))
        if record is None or record["room"] != room_id:
            return None
        return InboundGroupSession.from_pickle(
            record["pickle"].encode(),
            UNPROTECTED,
            signing_key=SigningKey(record["signing_key"]),
            sender_key=IdentityKey(record["sender_key"]),
            room_id=room_id,
            forwarding_chain=[IdentityKey(key) for key in record["chain"]],
            ratchet_safety=RatchetSafety.deserialize(record["safety"]),
            received_at=_read_time(record["received"]),
            max_age=None if record["max_age"] is None else timedelta(seconds=record["max_age"]),
            max_messages=record["max_messages"],
        )

    async def has_group_session(self, room_id: RoomID, session_id: SessionID) -> bool:
        return await self.get_group_session(room_id, session_id) is not None

    async def redact_group_session(self, room_id: RoomID, session_id: SessionID, reason: str) -> None:
        self.write(INBOUND, self._named(session_id), None)
        self.write(SEEN, self._named(session_id), None)

    async def redact_group_sessions(
        self, room_id: RoomID | None, sender_key: IdentityKey | None, reason: str
    ) -> list[SessionID]:
        raise NotImplementedError(_REDACTED)

    async def redact_expired_group_sessions(self) -> list[SessionID]:
        raise NotImplementedError(_REDACTED)

    async def redact_outdated_group_sessions(self) -> list[SessionID]:
        raise NotImplementedError(_REDACTED)

    async def validate_message_index(
        self, sender_key: IdentityKey, session_id: SessionID, event_id: EventID, index: int, timestamp: int
    ) -> bool:
        seen = await self.read(SEEN, self._named(session_id)) or {}
        known = seen.setdefault(str(index), [event_id, timestamp])
        self.write(SEEN, self._named(session_id), seen)
        return bool(known == [event_id, timestamp])

    # --- Megolm: what we say ----------------------------------------------------------------------------------------

    async def add_outbound_group_session(self, session: OutboundGroupSession) -> None:
        self._outbound[session.room_id] = session

    async def update_outbound_group_session(self, session: OutboundGroupSession) -> None:
        self._outbound[session.room_id] = session

    async def get_outbound_group_session(self, room_id: RoomID) -> OutboundGroupSession | None:
        return self._outbound.get(room_id)

    async def remove_outbound_group_session(self, room_id: RoomID) -> None:
        self._outbound.pop(room_id, None)

    async def remove_outbound_group_sessions(self, rooms: list[RoomID]) -> None:
        for room_id in rooms:
            await self.remove_outbound_group_session(room_id)

    # --- other people -----------------------------------------------------------------------------------------------

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


def _with(session: Session, others: list[Session]) -> list[Session]:
    sessions = [session, *(one for one in others if one.id != session.id)]
    return sorted(sessions, key=lambda one: one.last_decrypted, reverse=True)[:OLM_SESSIONS]


def _olm_record(session: Session) -> JsonObject:
    return {
        "pickle": session.pickle(UNPROTECTED).decode(),
        "created": _write_time(session.creation_time),
        "encrypted": _write_time(session.last_encrypted),
        "decrypted": _write_time(session.last_decrypted),
    }


def _olm_session(record: JsonObject) -> Session:
    created = _read_time(record["created"])
    assert created is not None
    return Session.from_pickle(
        record["pickle"].encode(),
        UNPROTECTED,
        creation_time=created,
        last_encrypted=_read_time(record["encrypted"]),
        last_decrypted=_read_time(record["decrypted"]),
    )


def _write_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _read_time(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
