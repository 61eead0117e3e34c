"""What the bot makes of encrypted messages, by people who keep to the rules and by people who do not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from mautrix.crypto import InboundGroupSession, OlmAccount, OutboundGroupSession
from mautrix.types import DeviceID, DeviceIdentity, RoomID, SessionID, TrustState, UserID

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import KeyMissing, Undecryptable
from chattor_bridge.matrix.encryption.hearing import MOST_SKIPPED, Ears
from chattor_bridge.matrix.encryption.keystore import INBOUND
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.key_server import KeyServer
from tests.synapse import Intake

ROOM, ALICE = RoomID("!room:example.test"), UserID("@alice:example.test")


@asynccontextmanager
async def _reading(server: FakeHomeserver, keys: Store) -> AsyncIterator[Ears]:
    server.behave = KeyServer()
    service = MatrixService(server.settings(), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        yield service._encryption.ears
    finally:
        await service.stop()


@pytest_asyncio.fixture
async def ears(server: FakeHomeserver, keys: Store) -> AsyncIterator[Ears]:
    """Of a bot that is at work."""
    async with _reading(server, keys) as ears:
        yield ears


class Phone:
    """Alice's, which says things in one Megolm session."""

    def __init__(self, ears: Ears) -> None:
        self._account = OlmAccount()
        self._ears = ears
        self.session = OutboundGroupSession(ROOM)
        self.session.shared, self.session.max_messages = True, 1_000_000
        self._said = 0

    async def introduce(self) -> None:
        """Let the bot know the device, and the key."""
        async with self._ears._bot.turn():
            store = self._ears._bot.keys
            device = DeviceIdentity(
                *(ALICE, DeviceID("PHONE"), self._account.identity_key, self._account.signing_key),
                *(TrustState.UNVERIFIED, False, ""),
            )
            await store.put_devices(ALICE, {device.device_id: device})
            store.speaker = ALICE
            key = InboundGroupSession(
                *(self.session.session_key, device.signing_key, device.identity_key, ROOM), max_messages=100
            )
            await store.put_group_session(ROOM, device.identity_key, SessionID(self.session.id), key)
            await store.save()

    def says(self, text: str) -> JsonObject:
        """The event as the homeserver brings it."""
        inner = {"type": "m.room.message", "room_id": ROOM, "content": {"body": text}}
        self._said += 1
        return {
            "type": "m.room.encrypted",
            "event_id": f"${self._said}",
            "room_id": ROOM,
            "sender": ALICE,
            "origin_server_ts": 1,
            "content": {
                "algorithm": "m.megolm.v1.aes-sha2",
                "session_id": self.session.id,
                "ciphertext": self.session.encrypt(json.dumps(inner)),  # type: ignore[no-untyped-call]
            },
        }


@pytest_asyncio.fixture
async def phone(ears: Ears) -> Phone:
    phone = Phone(ears)
    await phone.introduce()
    return phone


async def _read(ears: Ears, keys: Store, event: JsonObject) -> str:
    async with ears.opened(event, 0) as (inner, save), keys.transaction() as tx:
        await save(tx)
    return str(inner["content"]["body"])


async def _kept(keys: Store) -> list[JsonObject]:
    """The Megolm sessions of others on disk."""
    async with keys.transaction() as tx:
        names = await keys.room_keys.names(tx, "@chattorbot:example.test", INBOUND)
        records = [await keys.room_keys.get(tx, "@chattorbot:example.test", INBOUND, name) for name in names]
    return [record for record in records if record is not None]


async def test_a_message_that_leaves_out_thousands_costs_no_more_than_any_other(
    ears: Ears, phone: Phone, keys: Store
) -> None:
    """A client may number what it says as it likes, up to four billion."""
    for _ in range(20 * MOST_SKIPPED):
        phone.says("to somebody else")
    assert await _read(ears, keys, phone.says("far on")) == "far on"
    (record,) = await _kept(keys)
    assert len(record["safety"]["missed_indices"]) <= MOST_SKIPPED
    assert await _read(ears, keys, phone.says("and on")) == "and on"
    (record,) = await _kept(keys)
    assert len(json.dumps(record)) < 3_000


async def test_a_message_that_was_overtaken_is_read_after_those_that_overtook_it(
    ears: Ears, phone: Phone, keys: Store
) -> None:
    late, *others = [phone.says(str(number)) for number in range(5)]
    for number, event in enumerate(others, 1):
        assert await _read(ears, keys, event) == str(number)
    assert await _read(ears, keys, late) == "0"
    with pytest.raises(Undecryptable):
        await _read(ears, keys, late)


async def test_a_session_is_read_for_as_long_as_its_owner_uses_it(ears: Ears, phone: Phone, keys: Store) -> None:
    """A room may ask for fewer changes of keys than the hundred messages that are usual."""
    for number in range(120):
        assert await _read(ears, keys, phone.says(str(number))) == str(number)


async def test_what_cannot_be_opened_costs_the_others_in_their_rooms_no_new_keys(
    ears: Ears, phone: Phone, keys: Store
) -> None:
    elsewhere = OutboundGroupSession(RoomID("!elsewhere:example.test"))
    async with ears._bot.turn():
        await ears._bot.keys.add_outbound_group_session(elsewhere)
    event = phone.says("x")
    with pytest.raises(Undecryptable):
        await _read(ears, keys, {**event, "content": {**event["content"], "ciphertext": "AwAS"}})
    with pytest.raises(KeyMissing):
        await _read(ears, keys, {**event, "content": {**event["content"], "session_id": "unknown"}})
    async with ears._bot.turn():
        assert await ears._bot.keys.get_outbound_group_session(elsewhere.room_id) is elsewhere
