"""Who is given our keys, who is given them again, and whose keys are taken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from mautrix.crypto import InboundGroupSession, OutboundGroupSession
from mautrix.crypto.cross_signing_key import CrossSigningSeeds
from mautrix.crypto.signature import sign_olm
from mautrix.types import IdentityKey, RoomID, SigningKey

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.encryption import giving, hearing, tending, welcome
from chattor_bridge.matrix.encryption.records import ACCOUNT, INBOUND, OLM
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.key_server import KeyServer
from tests.matrix.olm_device import OlmDevice
from tests.synapse import Intake, new_ghost

ROOM, ELSEWHERE = MatrixRoomId("!room:example.test"), MatrixRoomId("!elsewhere:example.test")
ALICE, MALLORY = "@alice:example.test", "@mallory:elsewhere.test"


class Bridge:
    """Its Matrix side, before a `KeyServer`."""

    def __init__(self, server: FakeHomeserver, keys: Store, *, only_cross_signed: bool = False) -> None:
        self.server = server
        self.keys = keys
        server.behave = self.key_server = KeyServer()
        settings = replace(server.settings(encrypt_rooms=True), only_cross_signed=only_cross_signed)
        self._service = MatrixService(settings, Intake().accept, SystemClock(), keys)
        self.bot = self._service.homeserver.bot

    async def start(self) -> None:
        await self._service.start()
        await self._service._encryption.ears.caught_up.wait()

    async def stop(self) -> None:
        await self._service.stop()

    async def says(self, text: str, room_id: MatrixRoomId = ROOM, user: str = "") -> JsonObject:
        """The content that the homeserver sees."""
        speaker = type(self.bot)(user) if user else self.bot
        await self._service.homeserver.send(speaker, room_id, "m.room.message", {"body": text}, text)
        content: JsonObject = json.loads(self.server.asked("/send/m.room.encrypted/")[-1].body)
        return content

    async def hears(self, *events: JsonObject, **changes: list[str]) -> None:
        """Bring this to the bot, and wait until it has done what it does about it."""
        self.key_server.to_bring.append({"to_device": {"events": list(events)}, "device_lists": changes})
        await self.server.until(lambda: not self.key_server.to_bring)
        brought = str(len(self.key_server.syncs))
        await self.server.until(lambda: self.key_server.syncs[-1] == brought)

    async def kept(self, kind: str) -> int:
        async with self.keys.transaction() as tx:
            return await self.keys.room_keys.count(tx, self.bot, kind)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(hearing, "LAST_RETRY", 0.05)


@pytest_asyncio.fixture
async def bridge(server: FakeHomeserver, keys: Store) -> AsyncIterator[Bridge]:
    bridge = Bridge(server, keys)
    await bridge.start()
    yield bridge
    await bridge.stop()


@pytest_asyncio.fixture
async def strict(server: FakeHomeserver, keys: Store) -> AsyncIterator[Bridge]:
    """It gives keys to cross-signed devices only."""
    bridge = Bridge(server, keys, only_cross_signed=True)
    await bridge.start()
    yield bridge
    await bridge.stop()


def _readable(device: OlmDevice, content: JsonObject) -> str | None:
    """What a device can make of this with the keys it was given."""
    for given in device.received():
        if given["content"]["session_id"] == content["session_id"]:
            session = InboundGroupSession(
                given["content"]["session_key"], SigningKey(""), IdentityKey(""), RoomID(given["content"]["room_id"])
            )
            plaintext, _ = session.decrypt(content["ciphertext"])
            return str(json.loads(plaintext)["content"]["body"])
    return None


async def test_nonsense_about_one_member_keeps_no_key_from_another(bridge: Bridge) -> None:
    phone = OlmDevice(bridge.key_server, ALICE, "PHONE")
    bridge.key_server.devices[MALLORY] = {"X": {"keys": 7}}
    bridge.key_server.members = [MALLORY, ALICE]
    assert _readable(phone, await bridge.says("hello")) == "hello"


@pytest.mark.parametrize(
    "claimed", [{}, {"signed_curve25519:A": {"key": 5}}, {"signed_curve25519:A": {"key": "x" * 43}}]
)
async def test_a_device_that_gives_no_key_of_use_keeps_none_from_others(bridge: Bridge, claimed: JsonObject) -> None:
    OlmDevice(bridge.key_server, MALLORY, "X")
    OlmDevice(bridge.key_server, ALICE, "BROKEN")
    phone = OlmDevice(bridge.key_server, ALICE, "PHONE")
    bridge.key_server.one_time_keys[MALLORY]["X"] = dict(claimed)
    bridge.key_server.one_time_keys[ALICE]["BROKEN"] = dict(claimed)
    bridge.key_server.members = [MALLORY, ALICE]
    assert _readable(phone, await bridge.says("hello")) == "hello"


async def test_a_device_that_asks_is_given_its_key_again_but_not_without_end(bridge: Bridge) -> None:
    phone = OlmDevice(bridge.key_server, ALICE, "PHONE")
    bridge.key_server.members = [ALICE]
    said = await bridge.says("first")
    await bridge.says("second")
    bridge.key_server.sent.clear()  # it never got there
    assert _readable(phone, said) is None
    await bridge.hears(phone.asks(RoomID(ROOM), said["session_id"]))
    assert _readable(phone, said) == "first"
    for _ in range(giving.MOST_ANSWERS + 2):
        await bridge.hears(phone.asks(RoomID(ROOM), said["session_id"]))
    assert len(phone.received()) == giving.MOST_ANSWERS


async def test_nobody_else_is_given_a_key_who_asks(bridge: Bridge) -> None:
    """Not somebody of another room, not a device that is newer, and not one that says to be Alice's."""
    phone, stranger = OlmDevice(bridge.key_server, ALICE, "PHONE"), OlmDevice(bridge.key_server, MALLORY, "X")
    bridge.key_server.members = [ALICE]
    said = await bridge.says("secret")
    bridge.key_server.members = [MALLORY]
    await bridge.says("known to her", ELSEWHERE)
    newer = OlmDevice(bridge.key_server, ALICE, "NEWER")
    await bridge.hears(changed=[ALICE])
    bridge.key_server.members = [ALICE]
    assert _readable(newer, await bridge.says("after that")) == "after that"
    for session in (said["session_id"], "made-up"):
        pretended = {**stranger.asks(RoomID(ROOM), session), "sender": ALICE}
        asks = [device.asks(RoomID(ROOM), session) for device in (stranger, newer)]
        await bridge.hears(*asks, pretended, {"type": "m.room_key_request", "sender": MALLORY, "content": 5})
    assert _readable(stranger, said) is None
    assert _readable(newer, said) is None
    assert _readable(phone, said) == "secret"


async def test_a_ghost_that_has_spoken_listens_for_who_cannot_read_it(
    server: FakeHomeserver, keys: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "LISTENING", (0.2,))
    monkeypatch.setattr(tending, "LISTENING_ROUND", 0.05)
    bridge = Bridge(server, keys)
    await bridge.start()
    try:
        gone, ghost = new_ghost(), new_ghost()
        phone = OlmDevice(bridge.key_server, ALICE, "PHONE")
        bridge.key_server.members = [ALICE]
        await bridge.says("my last words", user=gone)
        bridge.key_server.refused.add(gone)  # an administrator has deactivated it, which is nothing to another
        said = await bridge.says("boo", user=ghost)
        bridge.key_server.sent.clear()
        bridge.key_server.to_bring_to[ghost] = [
            {"to_device": {"events": [phone.asks(RoomID(ROOM), said["session_id"])]}}
        ]
        await server.until(lambda: bool(bridge.key_server.sent))
        assert _readable(phone, said) == "boo"
    finally:
        await bridge.stop()


def _signed(keys: JsonObject, by: CrossSigningSeeds) -> JsonObject:
    """A device's keys, signed by its user."""
    signer = by.to_keys().self_signing_key
    bare = {name: value for name, value in keys.items() if name not in ("signatures", "unsigned")}
    user = keys["user_id"]
    signatures = {**keys["signatures"][user], f"ed25519:{signer.public_key}": sign_olm(bare, signer)}
    return {**keys, "signatures": {user: signatures}}


def _published(user: str, seeds: CrossSigningSeeds) -> JsonObject:
    keys = seeds.to_keys()
    master, own = keys.public_keys.master_key, keys.public_keys.self_signing_key
    signed: JsonObject = {"user_id": user, "usage": ["self_signing"], "keys": {f"ed25519:{own}": own}}
    signature = {user: {f"ed25519:{master}": sign_olm(signed, keys.master_key)}}
    return {
        "master_keys": {user: {"user_id": user, "usage": ["master"], "keys": {f"ed25519:{master}": master}}},
        "self_signing_keys": {user: {**signed, "signatures": signature}},
    }


async def test_a_device_reads_once_it_is_signed_and_no_more_when_its_users_keys_are_others(strict: Bridge) -> None:
    phone, seeds = OlmDevice(strict.key_server, ALICE, "PHONE"), CrossSigningSeeds.generate()
    strict.key_server.members = [ALICE]
    strict.key_server.signing = _published(ALICE, seeds)
    assert _readable(phone, await strict.says("before")) is None

    strict.key_server.devices[ALICE]["PHONE"] = _signed(phone.keys, seeds)
    await strict.hears(changed=[ALICE])
    await strict.says("a ghost looks first", user=new_ghost())
    said = await strict.says("signed")
    assert _readable(phone, said) == "signed"
    assert _readable(phone, await strict.says("and on")) == "and on"

    others = CrossSigningSeeds.generate()
    strict.key_server.signing = _published(ALICE, others)
    strict.key_server.devices[ALICE]["PHONE"] = _signed(phone.keys, others)
    await strict.hears(changed=[ALICE])
    assert _readable(phone, await strict.says("to whom?")) is None
    strict.key_server.sent.clear()
    await strict.hears(phone.asks(RoomID(ROOM), said["session_id"]))
    assert _readable(phone, said) is None


async def test_one_person_cannot_fill_the_disk_with_keys(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(welcome, "MAX_FROM_ONE", 3)
    phone, other = OlmDevice(bridge.key_server, ALICE, "PHONE"), OlmDevice(bridge.key_server, MALLORY, "X")
    bridge.key_server.members = [ALICE, MALLORY]
    await bridge.says("hello")
    for device in (phone, other):
        keys = [device.gives(bridge.bot, OutboundGroupSession(RoomID(ROOM))) for _ in range(5)]
        await bridge.hears(*keys)
    assert await bridge.kept(INBOUND) == 6


async def test_devices_that_somebody_makes_up_are_not_kept_nor_looked_for_one_by_one(bridge: Bridge) -> None:
    phone = OlmDevice(bridge.key_server, ALICE, "PHONE")
    bridge.key_server.members = [ALICE]
    await bridge.says("hello")
    made_up = KeyServer()
    made_up.devices[bridge.bot] = bridge.key_server.devices[bridge.bot]
    made_up.one_time_keys[bridge.bot] = bridge.key_server.one_time_keys[bridge.bot]
    before = await bridge.kept(OLM)
    bridge.key_server.asked_for.clear()
    session = OutboundGroupSession(RoomID(ROOM))
    await bridge.hears(*(OlmDevice(made_up, ALICE, f"D{number}").gives(bridge.bot, session) for number in range(10)))
    assert bridge.key_server.asked_for == [ALICE]
    assert await bridge.kept(OLM) == before
    assert await bridge.kept(INBOUND) == 0
    await bridge.hears(phone.gives(bridge.bot, session))
    assert await bridge.kept(INBOUND) == 1


async def test_a_device_that_is_new_is_heard_at_once(bridge: Bridge) -> None:
    OlmDevice(bridge.key_server, ALICE, "PHONE")
    bridge.key_server.members = [ALICE]
    await bridge.says("hello")
    for number in range(3):
        tablet = OlmDevice(bridge.key_server, ALICE, f"TABLET{number}")
        await bridge.hears(tablet.gives(bridge.bot, OutboundGroupSession(RoomID(ROOM))), changed=[ALICE])
    assert await bridge.kept(INBOUND) == 3


async def test_what_is_sent_by_people_we_never_met_is_bounded(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the homeserver says that their devices have changed makes them no acquaintances."""
    monkeypatch.setattr(welcome, "MAX_FROM_STRANGERS", 2)
    for number in range(5):
        device = OlmDevice(bridge.key_server, f"@{number}:example.test", "X")
        key = device.gives(bridge.bot, OutboundGroupSession(RoomID(ROOM)))
        await bridge.hears(key, changed=[device.user])
    assert await bridge.kept(OLM) == await bridge.kept(INBOUND) == 2


async def test_no_key_lies_open_on_disk(bridge: Bridge, tmp_path: Path) -> None:
    """Accounts, cross-signing seeds, sessions: of the bot, of a ghost, and of others."""
    phone, ghost = OlmDevice(bridge.key_server, ALICE, "PHONE"), new_ghost()
    bridge.key_server.members = [ALICE]
    await bridge.says("hello")
    await bridge.says("boo", user=ghost)
    await bridge.hears(phone.gives(bridge.bot, OutboundGroupSession(RoomID(ROOM))))
    secret: list[str] = []
    async with bridge.keys.transaction() as tx:
        for account, kind in ((bridge.bot, ACCOUNT), (ghost, ACCOUNT), (bridge.bot, OLM), (bridge.bot, INBOUND)):
            for name in await bridge.keys.room_keys.names(tx, account, kind):
                record = await bridge.keys.room_keys.get(tx, account, kind, name)
                assert record is not None
                secret += [session["pickle"] for session in record.get("sessions", [record])] + record.get("seeds", [])
    assert len(secret) == 2 * (1 + 3) + 2 + 1  # of two accounts, both ways with the phone, and what it gave
    on_disk = _read(tmp_path, "keys.db*")
    assert bridge.bot.encode() in on_disk
    assert not [each for each in secret if each.encode() in on_disk]


def _read(directory: Path, files: str) -> bytes:
    return b"".join(file.read_bytes() for file in directory.glob(files))
