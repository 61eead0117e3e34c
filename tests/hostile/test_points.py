"""Keys that lead nowhere, at every place that takes one: points of small order, and what is no ML-KEM key at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chattor_bridge.errors import AuthenticationFailed, FriendCodeError, MalformedData, PeerMisbehaved
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide
from chattor_bridge.protocol.door import DOOR_NONCE_SIZE, Bundle
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.handshake import Dialling, LinkKeys, Pattern, answer
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide
from chattor_bridge.protocol.primitives import (
    KEM_CIPHERTEXT_SIZE,
    KEM_PUBLIC_SIZE,
    KEY_SIZE,
    dh,
    ed25519_public,
    is_ed25519_key,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
    x25519_public,
)

P = 2**255 - 19

_ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
"""The u coordinates of order 8 on Curve25519 (https://cr.yp.to/ecdh.html, "validation"); one of them is the other's
negative inverse, and both are on the curve or on its twist."""

SMALL_ORDER = [
    (value | high).to_bytes(KEY_SIZE, "little")
    for value in (0, 1, *_ORDER_8, P - 1, P, P + 1)
    for high in (0, 1 << 255)  # X25519 passes over the highest bit
]

SMALL_ORDER_ED25519 = [
    bytes.fromhex(encoded)
    for encoded in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
]

NO_KEM_KEYS = [
    bytes(KEM_PUBLIC_SIZE - 1),
    bytes(KEM_PUBLIC_SIZE + 1),
    b"\xff" * KEM_PUBLIC_SIZE,  # coefficients that are not below the modulus
    b"\x01\x0d" + bytes(KEM_PUBLIC_SIZE - 2),  # the modulus itself, 3329, as the first of them
]

SEED, IDENTITY = bytes(range(32)), secrets.token_bytes(KEY_SIZE)
DOOR = OnionKey(ed25519_public(SEED))
NOW = 1_760_000_000

each_point = pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point.hex())


@each_point
def test_no_agreement_with_a_point_of_small_order(point: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        dh(secrets.token_bytes(KEY_SIZE), point)


@each_point
@pytest.mark.parametrize("pattern", Pattern)
def test_nobody_dials_a_friend_of_small_order(point: bytes, pattern: Pattern) -> None:
    keys = LinkKeys(secrets.token_bytes(KEY_SIZE), point, bytes(KEY_SIZE), pattern, "owner")
    with pytest.raises(AuthenticationFailed):
        Dialling(keys, DOOR, secrets.token_bytes)


@each_point
@pytest.mark.parametrize("pattern", Pattern)
def test_message_1_of_a_link_cannot_begin_with_one(point: bytes, pattern: Pattern) -> None:
    """Whoever knows the PSK and static keys, a friend that is, sends it as its ephemeral key."""
    ours, theirs, psk = secrets.token_bytes(KEY_SIZE), secrets.token_bytes(KEY_SIZE), bytes(KEY_SIZE)
    dialling = Dialling(LinkKeys(theirs, x25519_public(ours), psk, pattern, "owner"), DOOR, secrets.token_bytes)
    mine = LinkKeys(ours, x25519_public(theirs), psk, pattern, "knocker")
    with pytest.raises(AuthenticationFailed):
        answer([mine], DOOR, secrets.token_bytes, point + dialling.message[KEY_SIZE:])
    with pytest.raises(AuthenticationFailed):
        dialling.finish(point + bytes(1024 - KEY_SIZE))


@each_point
def test_no_knock_for_a_bundle_with_one(point: bytes) -> None:
    for bundle in (replace(_bundle(), identity=point), replace(_bundle(), ephemeral=point)):
        with pytest.raises(AuthenticationFailed):
            _knock_for(bundle)


def test_the_door_opens_for_a_header_that_was_not_touched() -> None:
    _deliver(lambda header: header)


@each_point
@pytest.mark.parametrize("place", ["static", "ephemeral"])
def test_no_door_opens_for_a_header_with_one(point: bytes, place: str) -> None:
    with pytest.raises(PeerMisbehaved):
        _deliver(lambda header: {**header, place: point})


@pytest.mark.parametrize("point", SMALL_ORDER_ED25519, ids=lambda point: point.hex())
def test_no_onion_is_a_point_of_small_order(point: bytes) -> None:
    assert not is_ed25519_key(point)
    with pytest.raises(FriendCodeError):
        FriendCode.parse(FriendCode(OnionKey(point)).encode())


@pytest.mark.parametrize("key", NO_KEM_KEYS, ids=["short", "long", "above the modulus", "the modulus"])
def test_no_knock_for_a_bundle_with_what_is_no_kem_key(key: bytes) -> None:
    with pytest.raises(MalformedData):
        kem_encapsulate(key)
    with pytest.raises(MalformedData):
        _knock_for(replace(_bundle(), kem=key))


@pytest.mark.parametrize("size", [0, KEM_CIPHERTEXT_SIZE - 1, KEM_CIPHERTEXT_SIZE + 1])
def test_no_door_opens_for_what_is_no_kem_ciphertext(size: int) -> None:
    with pytest.raises(MalformedData):
        kem_decapsulate(bytes(64), bytes(size))
    with pytest.raises(PeerMisbehaved):
        _deliver(lambda header: {**header, "kem": bytes(size)})


@pytest.mark.parametrize("filling", [b"\x00", b"\xff"])
def test_a_kem_ciphertext_of_nothing_gives_a_secret_nobody_knows(filling: bytes) -> None:
    seed, nothing = secrets.token_bytes(64), filling * KEM_CIPHERTEXT_SIZE
    assert kem_decapsulate(seed, nothing) != kem_decapsulate(secrets.token_bytes(64), nothing)
    with pytest.raises(PeerMisbehaved):
        _deliver(lambda header: {**header, "kem": nothing})


def _bundle() -> Bundle:
    return Bundle(
        door=DOOR,
        identity=x25519_public(IDENTITY),
        ephemeral=x25519_public(secrets.token_bytes(KEY_SIZE)),
        kem=kem_public(secrets.token_bytes(64)),
        nonce=secrets.token_bytes(DOOR_NONCE_SIZE),
        work_bits=0,
        effort_bits=0,
        expires=NOW + 300,
        versions=(1,),
        capabilities=(),
    )


def _side() -> KnockingSide:
    introduction = Introduction("Mallory", "", OnionKey(ed25519_public(secrets.token_bytes(32))))
    return KnockingSide(
        FriendCode(DOOR), introduction, static_key=secrets.token_bytes(32), random=secrets.token_bytes, now=NOW
    )


def _knock_for(bundle: Bundle) -> None:
    side = _side()
    side.start()
    side.receive(frame(bundle.sign(SEED)))


def _deliver(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Knock, with another header in the knock. The door demands no work, so it looks at it."""
    side, door = _side(), DoorSide(DoorSecrets(SEED, IDENTITY), random=secrets.token_bytes, work_bits=0)
    door.receive(side.start(), now=NOW)
    ((ready),) = side.receive(door.data_to_send())
    knock: Any = cbor.decode(ready.message[2:])  # type: ignore[union-attr]  # the first event is the knock
    header: Any = cbor.decode(knock["header"])
    changed = cbor.encode({**knock, "header": cbor.encode(change(header))})
    door.receive(frame(changed), now=NOW)
    door.open(0)
