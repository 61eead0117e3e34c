"""docs/protocol/encoding.md, Primitives and Labels. The published vectors run in ``test_published.py``."""

from __future__ import annotations

import hashlib
from base64 import b32decode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import primitives as p
from tests.protocol.sources import Source

_P = 2**255 - 19
_SMALL_ORDER_U = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    _P - 1,
    _P,
    _P + 1,
]
_SMALL_ORDER_EDWARDS = [
    (1).to_bytes(32, "little"),
    (_P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


def test_labels_and_parts_have_lengths() -> None:
    assert p.labelled("door") == b"\x00\x00\x00\x0fchattor/v1/door"
    assert p.labelled("x", [b"ab", b""]) == b"\x00\x00\x00\x0cchattor/v1/x\x00\x00\x00\x02ab\x00\x00\x00\x00"
    assert p.hash256("x", b"ab") == hashlib.sha256(p.labelled("x", [b"ab"])).digest()


_PARTS = st.lists(st.binary(max_size=6), max_size=4)


@given(_PARTS, _PARTS)
def test_no_two_lists_of_parts_meet(one: list[bytes], two: list[bytes]) -> None:
    assert (p.labelled("x", one) == p.labelled("x", two)) == (one == two)


def test_everything_in_a_derivation_counts() -> None:
    outputs = {
        p.hkdf(b"secret", label="a"),
        p.hkdf(b"secret", label="b"),
        p.hkdf(b"secret", label="a", info=[b""]),
        p.hkdf(b"secret", label="a", info=[b"x", b"y"]),
        p.hkdf(b"secret", label="a", info=[b"xy"]),
        p.hkdf(b"secret", label="a", salt=b"salt"),
        p.hkdf(b"other", label="a"),
    }
    assert len(outputs) == 7
    assert p.hkdf(b"secret", label="a", length=64)[:32] == p.hkdf(b"secret", label="a")


@pytest.mark.parametrize("u", _SMALL_ORDER_U)
@pytest.mark.parametrize("top_bit", [0, 0x80])
def test_keys_of_small_order_agree_on_nothing(u: int, top_bit: int) -> None:
    public = bytearray(u.to_bytes(32, "little"))
    public[31] |= top_bit
    with pytest.raises(AuthenticationFailed):
        p.dh(Source("private")(32), bytes(public))


def test_key_agreement() -> None:
    one, two = Source("one")(32), Source("two")(32)
    assert p.dh(one, p.x25519_public(two)) == p.dh(two, p.x25519_public(one))


def test_signatures_are_for_one_purpose() -> None:
    seed = Source("seed")(32)
    public = p.ed25519_public(seed)
    signature = p.ed25519_sign(seed, "door", b"message")
    p.ed25519_verify(public, "door", b"message", signature)
    for key, label, message, made in (
        (public, "other", b"message", signature),
        (public, "door", b"messagf", signature),
        (public, "door", b"message", signature[:-1]),
        (public, "door", b"message", signature[:32] + bytes(32)),
        (public, "door", b"message", b""),
        (p.ed25519_public(Source("other")(32)), "door", b"message", signature),
        (bytes(31), "door", b"message", signature),
    ):
        with pytest.raises(AuthenticationFailed):
            p.ed25519_verify(key, label, message, made)


@pytest.mark.parametrize("public", _SMALL_ORDER_EDWARDS)
def test_a_key_under_which_everything_verifies(public: bytes) -> None:
    assert not p.is_ed25519_key(public)
    with pytest.raises(AuthenticationFailed):  # R = key, S = 0 verifies in lenient libraries
        p.ed25519_verify(public, "door", b"message", public + bytes(32))


def test_ed25519_keys() -> None:
    assert p.is_ed25519_key(p.ed25519_public(Source("seed")(32)))
    assert not p.is_ed25519_key(b"")
    assert not p.is_ed25519_key(b"\xff" * 32)
    assert not p.is_ed25519_key((2).to_bytes(32, "little"))  # not on the curve


def test_the_expanded_key_is_the_key() -> None:
    seed = Source("seed")(32)
    expanded = p.expanded_ed25519(seed)
    assert len(expanded) == 64
    assert crypto_scalarmult_ed25519_base_noclamp(expanded[:32]) == p.ed25519_public(seed)
    assert expanded[32:] == hashlib.sha512(seed).digest()[32:]


def test_an_address_known_everywhere() -> None:
    address = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion"
    assert p.onion_address(OnionKey(b32decode(address[:56].upper())[:32])) == address


def test_sealing() -> None:
    key, nonce = Source("key")(32), Source("nonce")(12)
    sealed = p.aead_seal(key, nonce, b"plain", b"ad")
    assert p.aead_open(key, nonce, sealed, b"ad") == b"plain"
    for wrong in (
        (Source("other")(32), nonce, sealed, b"ad"),
        (key, bytes(12), sealed, b"ad"),
        (key, b"", sealed, b"ad"),
        (key, nonce, sealed[:-1], b"ad"),
        (key, nonce, b"", b"ad"),
        (key, nonce, sealed, b"da"),
    ):
        with pytest.raises(AuthenticationFailed):
            p.aead_open(*wrong)


def test_encapsulation() -> None:
    seed = Source("kem")(64)
    public = p.kem_public(seed)
    ciphertext, secret = p.kem_encapsulate(public)
    assert (len(public), len(ciphertext), len(secret)) == (1_184, 1_088, 32)
    assert p.kem_decapsulate(seed, ciphertext) == secret
    changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert p.kem_decapsulate(seed, changed) not in (secret, bytes(32))
    assert p.kem_encapsulate(public)[1] != secret
    for key in (b"", public[:-1], public + b"\x00", b"\xff" * 1_184):
        with pytest.raises(MalformedData):
            p.kem_encapsulate(key)
    for bad in (b"", ciphertext[:-1], ciphertext + b"\x00"):
        with pytest.raises(MalformedData):
            p.kem_decapsulate(seed, bad)
