"""Published vectors, each run against the very function this project calls."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from noise.backends.default.keypairs import KeyPair25519  # type: ignore[import-untyped]
from noise.connection import Keypair, NoiseConnection  # type: ignore[import-untyped]

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.protocol.handshake import Pattern
from chattor_bridge.protocol.primitives import (
    aead_open,
    aead_seal,
    dh,
    ed25519_public,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
    x25519_public,
)

_PUBLISHED = Path(__file__).parent.parent / "vectors" / "published"


def _load(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((_PUBLISHED / name).read_text())["vectors"]
    return vectors


def _numbered(name: str) -> list[Any]:
    return [pytest.param(vector, id=str(number)) for number, vector in enumerate(_load(name))]


def _raw(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("vector", _numbered("noise.json"))
def test_noise(vector: dict[str, Any]) -> None:
    assert vector["protocol_name"] in {pattern.protocol_name for pattern in Pattern}
    initiator, responder = (_noise(vector, initiator=initiator) for initiator in (True, False))
    for number, message in enumerate(vector["messages"]):
        payload, ciphertext = _raw(message, "payload", "ciphertext")
        writer, reader = (initiator, responder) if number % 2 == 0 else (responder, initiator)
        if number < 2:
            assert bytes(writer.write_message(payload)) == ciphertext
            assert bytes(reader.read_message(ciphertext)) == payload
        else:
            assert writer.encrypt(payload) == ciphertext
            assert reader.decrypt(ciphertext) == payload
    assert initiator.get_handshake_hash() == responder.get_handshake_hash()


def _noise(vector: dict[str, Any], *, initiator: bool) -> NoiseConnection:
    own, other = ("init", "resp") if initiator else ("resp", "init")
    own_static, other_static, ephemeral, psk = _raw(
        vector, f"{own}_static", f"{other}_static", f"{own}_ephemeral", "psk"
    )
    noise = NoiseConnection.from_name(vector["protocol_name"].encode())
    if initiator:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.set_prologue(bytes.fromhex(vector["prologue"]))
    noise.set_psks(psk=psk)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, own_static)
    if initiator or "KK" in vector["protocol_name"]:
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, x25519_public(other_static))
    noise.start_handshake()
    noise.noise_protocol.handshake_state.e = KeyPair25519.from_private_bytes(ephemeral)
    return noise


@pytest.mark.parametrize("vector", _numbered("x25519.json"))
def test_x25519(vector: dict[str, Any]) -> None:
    scalar, u, output = _raw(vector, "scalar", "u", "output")
    assert dh(scalar, u) == output


@pytest.mark.parametrize("small", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f"])
def test_x25519_refuses_keys_of_small_order(small: str) -> None:
    """RFC 7748 section 6.1: an all-zero agreement is refused."""
    with pytest.raises(AuthenticationFailed):
        dh(bytes(range(32)), bytes.fromhex(small))


@pytest.mark.parametrize("vector", _numbered("ed25519.json"))
def test_ed25519(vector: dict[str, Any]) -> None:
    seed, public, message, signature = _raw(vector, "seed", "public", "message", "signature")
    assert ed25519_public(seed) == public
    assert SigningKey(seed).sign(message).signature == signature
    VerifyKey(public).verify(message, signature)
    with pytest.raises(BadSignatureError):
        VerifyKey(public).verify(message + b"\0", signature)


@pytest.mark.parametrize("vector", _numbered("aes-256-gcm.json"))
def test_aes_256_gcm(vector: dict[str, Any]) -> None:
    key, nonce, ad, ciphertext, tag = _raw(vector, "key", "nonce", "ad", "ciphertext", "tag")
    if vector["plaintext"] is None:
        with pytest.raises(AuthenticationFailed):
            aead_open(key, nonce, ciphertext + tag, ad)
        return
    plaintext = bytes.fromhex(vector["plaintext"])
    assert aead_seal(key, nonce, plaintext, ad) == ciphertext + tag
    assert aead_open(key, nonce, ciphertext + tag, ad) == plaintext


@pytest.mark.parametrize("vector", _numbered("hkdf-sha256.json"))
def test_hkdf_sha256(vector: dict[str, Any]) -> None:
    ikm, salt, info, okm = _raw(vector, "ikm", "salt", "info", "okm")
    assert HKDF(algorithm=SHA256(), length=vector["length"], salt=salt, info=info).derive(ikm) == okm


@pytest.mark.parametrize("vector", _numbered("ml-kem-768.json"))
def test_ml_kem_768(vector: dict[str, Any]) -> None:
    d, z, public, ciphertext, secret = _raw(vector, "d", "z", "public", "ciphertext", "secret")
    assert kem_public(d + z) == public
    assert kem_decapsulate(d + z, ciphertext) == secret
    # Implicit rejection: what was not made for this key gives the secret the standard says, not an error.
    invalid, rejected = _raw(vector, "invalid_ciphertext", "invalid_secret")
    assert kem_decapsulate(d + z, invalid) == rejected


def test_ml_kem_768_encapsulation_is_read_by_another_implementation() -> None:
    """OpenSSL draws the randomness of an encapsulation itself, so no vector can fix it."""
    seed = bytes(range(64))
    public, private = ML_KEM_768.key_derive(seed)
    assert kem_public(seed) == public
    ciphertext, secret = kem_encapsulate(public)
    assert ML_KEM_768.decaps(private, ciphertext) == secret


@pytest.mark.parametrize("vector", _numbered("blake2b.json"))
def test_blake2b(vector: dict[str, Any]) -> None:
    message, digest = _raw(vector, "message", "digest")
    assert hashlib.blake2b(message).digest() == digest
