"""What the bot makes of encrypted messages, by people who keep to the rules and by people who do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
import pytest_asyncio
from mautrix.crypto import InboundGroupSession, OlmAccount, OutboundGroupSession
from mautrix.types import DeviceID, DeviceIdentity, RoomID, SessionID, SigningKey, TrustState, UserID

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import KeyMissing, Undecryptable
from chattor_bridge.matrix.encryption import hearing
from chattor_bridge.matrix.encryption.hearing import MOST_SKIPPED, Ears
from chattor_bridge.matrix.encryption.identity import ONE_TIME_KEYS
from chattor_bridge.matrix.encryption.records import INBOUND, OLM, SEEN
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.key_server import KeyServer
from tests.synapse import WAIT, Intake

DAY = timedelta(days=1)

ROOM, ALICE = RoomID("!room:example.test"), UserID("@alice:example.test")


@asynccontextmanager
async def _reading(server: FakeHomeserver, keys: Store) -> AsyncIterator[Ears]:
    server.behave = KeyServer()
    service = MatrixService(server.settings(encrypt_rooms=True), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        async with asyncio.timeout(WAIT):
            await service._encryption.ears.caught_up.wait()
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

    async def introduce(self, *, signing_key: SigningKey | None = None, known: bool = True) -> None:
        """Let the bot know the device, and the key, which says to be signed with the device's own key or another."""
        async with self._ears._bot.turn():
            store = self._ears._bot.keys
            device = DeviceIdentity(
                *(ALICE, DeviceID("PHONE"), self._account.identity_key, self._account.signing_key),
                *(TrustState.UNVERIFIED, False, ""),
            )
            await store.put_devices(ALICE, {device.device_id: device} if known else {})
            store.speaker = ALICE
            signed = signing_key or device.signing_key
            key = InboundGroupSession(*(self.session.session_key, signed, device.identity_key, ROOM), max_messages=100)
            await store.put_group_session(ROOM, device.identity_key, SessionID(self.session.id), key)
            await store.save()

    def says(self, text: str) -> JsonObject:
        """The event as the homeserver brings it."""
        return self.says_raw(json.dumps({"type": "m.room.message", "room_id": ROOM, "content": {"body": text}}))

    def says_raw(self, plaintext: str) -> JsonObject:
        """An event with whatever inside."""
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
                "ciphertext": self.session.encrypt(plaintext),  # type: ignore[no-untyped-call]
            },
        }


@pytest_asyncio.fixture
async def phone(ears: Ears) -> Phone:
    phone = Phone(ears)
    await phone.introduce()
    return phone


async def _read(ears: Ears, keys: Store, event: JsonObject, *, received_at: int = 0) -> str:
    async with ears.opened(event, received_at) as (inner, save), keys.transaction() as tx:
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


async def test_half_a_character_in_an_encrypted_message_is_mended_as_in_any_other(
    ears: Ears, phone: Phone, keys: Store
) -> None:
    """Some clients cut an emoji in two; what is left of it fits into no message to a friend."""
    assert await _read(ears, keys, phone.says("cut \ud83d off")) == "cut \ufffd off"


async def test_an_encrypted_message_that_is_nested_too_deeply_is_no_proper_one(ears: Ears, phone: Phone) -> None:
    with pytest.raises(Undecryptable, match="no proper message"):
        async with ears.opened(phone.says_raw('{"a":' * 100_000), 0):
            pass


@pytest.mark.parametrize("lie", ["another device's signature", "a device that is not there"])
async def test_words_under_a_key_of_no_device_of_their_sender_are_not_read(ears: Ears, lie: str) -> None:
    """Whoever gives a key can claim any device to be its own."""
    phone = Phone(ears)
    await phone.introduce(signing_key=OlmAccount().signing_key, known=lie != "a device that is not there")
    with pytest.raises(Undecryptable, match="device of its sender"):
        async with ears.opened(phone.says("I am Alice"), 0):
            pass


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
    unknown = {**event, "content": {**event["content"], "session_id": "unknown"}}
    with pytest.raises(KeyMissing):
        await _read(ears, keys, unknown, received_at=SystemClock().now())
    async with ears._bot.turn():
        assert await ears._bot.keys.get_outbound_group_session(elsewhere.room_id) is elsewhere


async def test_keys_of_others_are_removed_after_a_time(ears: Ears, phone: Phone, keys: Store) -> None:
    assert await _read(ears, keys, phone.says("used")) == "used"
    bot = ears._bot
    old = {"received": (datetime.now() - hearing.KEYS_KEPT - DAY).isoformat()}  # noqa: DTZ005
    silent = {"sessions": [{"decrypted": (datetime.now() - hearing.OLM_KEPT - DAY).isoformat()}]}  # noqa: DTZ005
    recent = {"sessions": [{"decrypted": (datetime.now() - hearing.OLM_KEPT + DAY).isoformat()}]}  # noqa: DTZ005
    async with bot.turn():
        for kind, name, value in (
            *((INBOUND, "old @a:b", old), (SEEN, "old @a:b", {"0": ["$1", 1]})),
            *((OLM, "silent", silent), (OLM, "recent", recent)),
        ):
            bot.keys.write(kind, name, value)
        await bot.keys.save()
    await ears.forget_old_keys()
    left = {kind: await bot.keys.names(kind) for kind in (INBOUND, SEEN, OLM)}
    used = f"{phone.session.id} {ALICE}"
    assert left == {INBOUND: [used], SEEN: [used], OLM: ["recent"]}


async def test_the_keys_to_address_the_bot_by_are_renewed_before_they_run_out(
    server: FakeHomeserver, keys: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(hearing, "LAST_RETRY", 0.05)
    async with _reading(server, keys):
        server.requests.clear()
        few = {"device_one_time_keys_count": {"signed_curve25519": ONE_TIME_KEYS // 2}}
        key_server = server.behave
        assert isinstance(key_server, KeyServer)
        for answer, one_time, fallback in (
            (few, ONE_TIME_KEYS // 2, 0),
            ({"device_unused_fallback_key_types": []}, 0, 1),
            ({**few, "device_unused_fallback_key_types": []}, ONE_TIME_KEYS // 2, 1),
            ({"device_unused_fallback_key_types": ["signed_curve25519"]}, None, None),
        ):
            before = len(server.asked("/keys/upload"))
            key_server.to_bring.append(answer)
            await server.until(lambda: not key_server.to_bring)
            brought = str(len(key_server.syncs))
            await server.until(lambda brought=brought: key_server.syncs[-1] == brought)  # type: ignore[misc]
            given = [json.loads(request.body) for request in server.asked("/keys/upload")[before:]]
            numbers = [(len(each["one_time_keys"]), len(each.get("fallback_keys", {}))) for each in given]
            assert numbers == ([] if one_time is None else [(one_time, fallback)])
