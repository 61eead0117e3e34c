"""Where mautrix's Olm machine keeps what it must not forget: in `Records`, each step of it in one transaction.

What we encrypt with is of this run alone, and made anew by the next: a database that was put back to an earlier state
must not make the same key encrypt twice, nor leave us speaking in sessions that the other side has left behind.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from mautrix.crypto import (
    CryptoStore,
    InboundGroupSession,
    OlmAccount,
    OutboundGroupSession,
    Session,
)
from mautrix.crypto.sessions import RatchetSafety
from mautrix.types import DeviceID, EventID, IdentityKey, RoomID, SessionID, SigningKey, UserID

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.encryption.people import People
from chattor_bridge.matrix.encryption.records import ACCOUNT, INBOUND, OLM, SEEN, EncryptionStore

OLM_SESSIONS = 8
"""Olm sessions kept with one device. Two sides that open one at the same time have two; who makes more has lost its
own, and only the newest are of use then."""

UNPROTECTED = ""
"""The passphrase of pickles: they are sealed as a whole with everything around them."""

_REDACTED = "this store keeps nothing of a session it forgets"


class KeyStore(People, CryptoStore):
    """The keys of one of our users. Not for two tasks at once: `Identity` sees to that.

    Olm sessions of a user that never reads are kept for the length of one `forget_sessions` to the next."""

    def __init__(self, store: EncryptionStore, user: MatrixUserId, *, reads: bool) -> None:
        super().__init__(store, user)
        self.account_id = user
        self.speaker = UserID("")
        """Whose Megolm sessions are meant: anybody in a room has the keys of everybody there, and may give them out as
        their own."""
        self._reads = reads
        self._olm: dict[IdentityKey, list[Session]] = {}
        self._outbound: dict[RoomID, OutboundGroupSession] = {}
        self.pickle_key = UNPROTECTED

    def abandon(self) -> None:
        """Forget what was not saved, and every session with other devices, as after a restart."""
        self.discard()
        self._olm.clear()
        self._outbound.clear()

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
