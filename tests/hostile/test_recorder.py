"""Somebody who recorded everything and later breaks X25519, as a quantum computer would: docs/threat-model.md."""

from __future__ import annotations

import secrets

import pytest

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import agreement, cbor
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide, KnockArrived
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.session import Session, SessionBroken
from chattor_bridge.protocol.window import ReceiveWindow

NOW = 1_760_000_000


def test_the_keys_of_a_knock_are_worth_nothing_without_the_kem_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four X25519 keys of a recorded knock are broken; the introduction stays closed, and every envelope."""
    inputs: list[tuple[bytes, ...]] = []
    derive = agreement.derive_root

    def overheard(*parts: bytes) -> bytes:
        inputs.append(parts)
        return derive(*parts)

    monkeypatch.setattr("chattor_bridge.protocol.answered_knock.derive_root", overheard)
    arrived, ready, sealed = _knock()
    transcript, static_dh, identity_dh, ephemeral_dh, kem_secret = inputs[0][:5]
    root = derive(transcript, static_dh, identity_dh, ephemeral_dh, kem_secret, *inputs[0][5:])
    assert agreement.open_introduction(root, transcript, sealed)
    broken = derive(transcript, static_dh, identity_dh, ephemeral_dh, secrets.token_bytes(32), *inputs[0][5:])
    with pytest.raises(AuthenticationFailed):
        agreement.open_introduction(broken, transcript, sealed)

    # and neither does the session that grows from the root
    guessed, _ = Session.begin_as_knocker(
        broken, transcript, door_key=secrets.token_bytes(32), random=secrets.token_bytes, now=NOW
    )
    envelope = arrived.session.seal(b"said in confidence", random=secrets.token_bytes, now=NOW).envelope
    with pytest.raises(AuthenticationFailed):
        guessed.open(envelope, random=secrets.token_bytes, now=NOW)
    assert ready.session.open(envelope, random=secrets.token_bytes, now=NOW).inner == b"said in confidence"
    assert guessed.link_psk != ready.session.link_psk


def test_what_was_delivered_does_not_open_with_the_keys_that_are_left() -> None:
    """A recording of the wire, and the whole state of both sides after delivery."""
    arrived, ready, _ = _knock()
    envelope = arrived.session.seal(b"said in confidence", random=secrets.token_bytes, now=NOW).envelope
    assert ready.session.open(envelope, random=secrets.token_bytes, now=NOW).inner == b"said in confidence"
    stolen = Session.deserialize(ready.session.serialize())
    stolen.received = ReceiveWindow()  # what would tell that it was delivered stands in nobody's way
    with pytest.raises(SessionBroken):
        stolen.open(envelope, random=secrets.token_bytes, now=NOW)


def _knock() -> tuple[KnockArrived, KnockReady, bytes]:
    """A knock, both sides of it, and its sealed part."""
    seed = secrets.token_bytes(32)
    introduction = Introduction("Anna", "", OnionKey(ed25519_public(secrets.token_bytes(32))))
    code = FriendCode(OnionKey(ed25519_public(seed)))
    knocker = KnockingSide(code, introduction, static_key=secrets.token_bytes(32), random=secrets.token_bytes, now=NOW)
    door = DoorSide(DoorSecrets(seed, secrets.token_bytes(32)), random=secrets.token_bytes, work_bits=0)
    door.receive(knocker.start(), now=NOW)
    (ready,) = knocker.receive(door.data_to_send())
    assert isinstance(ready, KnockReady)
    door.receive(ready.message, now=NOW)
    sealed = cbor.decode(ready.message[2:])["sealed"]  # type: ignore[index]  # it is a map
    return door.open(0), ready, sealed
