"""Nobody makes two friends forget what they agreed on: whoever tries is refused, or takes no protection away."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chattor_bridge.errors import PeerMisbehaved
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.records import Contact
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide
from chattor_bridge.protocol.events import EpochOffer, Text, decode_event
from chattor_bridge.protocol.frames import Bye, EnvelopeFrame, Hello
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide
from chattor_bridge.protocol.negotiation import CAPABILITIES, Ours
from chattor_bridge.protocol.primitives import ed25519_public
from tests.hostile.attacker import contacts_of
from tests.node.puppet import Puppet
from tests.node.world import Person

NOW = 1_760_000_000

MESSAGES = 3
"""`EPOCH_MESSAGES` in these tests."""

Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
async def puppet(puppet: Puppet, anna: Person) -> Puppet:
    """Ben, moved by hand, who has not said hello yet."""
    await puppet.dial(anna)
    return puppet


async def _again(anna: Person, puppet: Puppet) -> None:
    await anna.until(lambda: not anna.online(puppet.contact.peer_id))
    await puppet.dial(anna)


async def _friend_of(anna: Person) -> Contact:
    (contact,) = await contacts_of(anna)
    return contact


# --- somebody between -------------------------------------------------------------------------------------------------


def _with_another_version(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "versions": [1, 2]}


def _bundle_without_capabilities(message: dict[str, Any]) -> dict[str, Any]:
    bundle: Any = cbor.decode(message["bundle"])
    return {**message, "bundle": cbor.encode({**bundle, "capabilities": []})}


def _bundle_with_other_versions(message: dict[str, Any]) -> dict[str, Any]:
    bundle: Any = cbor.decode(message["bundle"])
    return {**message, "bundle": cbor.encode({**bundle, "versions": [1, 2]})}


def _bundle_with_other_work(message: dict[str, Any]) -> dict[str, Any]:
    bundle: Any = cbor.decode(message["bundle"])
    return {**message, "bundle": cbor.encode({**bundle, "work": dict.fromkeys(bundle["work"], 1)})}


def test_a_knock_that_nobody_touches_arrives() -> None:
    _knock()


@pytest.mark.parametrize(
    "change",
    [_bundle_without_capabilities, _bundle_with_other_versions, _bundle_with_other_work],
    ids=lambda one: one.__name__,
)
def test_what_a_door_offers_cannot_be_taken_out(change: Change) -> None:
    with pytest.raises(PeerMisbehaved):
        _knock(door_message=change)


def test_what_a_knocker_offers_cannot_be_changed() -> None:
    """The door answers as it would anyway, and then the knock does not open."""
    with pytest.raises(PeerMisbehaved):
        _knock(hello=_with_another_version)


def _knock(hello: Change | None = None, door_message: Change | None = None) -> None:
    """A whole knock, with somebody between who changes what is said in the open."""
    seed = secrets.token_bytes(32)
    door = DoorSide(DoorSecrets(seed, secrets.token_bytes(32)), random=secrets.token_bytes, work_bits=0)
    introduction = Introduction("Carol", "", OnionKey(ed25519_public(secrets.token_bytes(32))))
    knocker = KnockingSide(
        FriendCode(OnionKey(ed25519_public(seed))),
        introduction,
        static_key=secrets.token_bytes(32),
        random=secrets.token_bytes,
        now=NOW,
    )
    door.receive(_between(knocker.start(), hello), now=NOW)
    (ready,) = knocker.receive(_between(door.data_to_send(), door_message))
    door.receive(ready.message, now=NOW)  # type: ignore[union-attr]  # the first event is the knock
    assert door.open(0).introduction == introduction


def _between(framed: bytes, change: Change | None) -> bytes:
    message: Any = cbor.decode(framed[2:])
    return framed if change is None else frame(cbor.encode(change(message)))


# --- a friend who lies, or whose copy is old --------------------------------------------------------------------------


async def test_a_friend_that_names_no_capability_takes_no_protection_away(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.protocol.epoch.EPOCH_MESSAGES", MESSAGES)
    assert (await _friend_of(anna)).capabilities == CAPABILITIES
    await puppet.say(replace(puppet.hello(), capabilities=()))
    for number in range(MESSAGES):
        await puppet.say(EnvelopeFrame(puppet.seal(Text(f"{number}"))))
    while True:  # she offers the next epoch all the same
        envelope = (await puppet.hear(EnvelopeFrame)).envelope
        inner = puppet.session.open(envelope, random=secrets.token_bytes, now=NOW).inner
        if inner is not None and isinstance(decode_event(inner).body, EpochOffer):
            break
    assert (await _friend_of(anna)).capabilities == ()


async def test_a_friendship_that_was_at_a_version_stays_there_and_says_so(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.node.greeting.Ours", lambda: Ours((1, 2)))
    await puppet.say(replace(puppet.hello(), versions=(1, 2)))
    await puppet.hear(Hello)
    await anna.until(lambda: anna.online(puppet.contact.peer_id))
    assert (await _friend_of(anna)).version == 2
    await puppet.close()
    await _again(anna, puppet)
    await puppet.say(replace(puppet.hello(), versions=(1,)))
    assert (await puppet.hear(Bye)).reason == "unsupported"
    assert (await _friend_of(anna)).version == 2
    await puppet.close()
    reasons = [line.reason for line in (await anna.node.status()).work]
    assert any("older than one used before" in reason for reason in reasons), reasons
