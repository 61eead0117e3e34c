"""The cryptographic primitives, each under one name (docs/protocol/encoding.md, Primitives).

Nothing is invented here: X25519, AES-256-GCM, HKDF-SHA-256, SHA-256 and ML-KEM-768 come from ``cryptography``
(OpenSSL), Ed25519 from ``nacl`` (libsodium, whose verification refuses non-canonical and small-order keys).

Every derivation, hash and signature takes a label, written without the common prefix ``chattor/v1/``. Variable parts
are length-prefixed, so no two different lists of parts can meet in the same bytes.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.ids import OnionKey

RandomBytes = Callable[[int], bytes]
"""Gives that many bytes from a cryptographic random source."""

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
SIGNATURE_SIZE: Final = 64
KEM_SEED_SIZE: Final = 64
KEM_PUBLIC_SIZE: Final = 1_184
KEM_CIPHERTEXT_SIZE: Final = 1_088

_LABEL_PREFIX = "chattor/v1/"
_LENGTH_SIZE = 4


def labelled(label: str, parts: Sequence[bytes] = ()) -> bytes:
    """The label with its prefix, then the parts, each after its u32 big-endian length."""
    strings = ((_LABEL_PREFIX + label).encode("ascii"), *parts)
    return b"".join(len(string).to_bytes(_LENGTH_SIZE, "big") + string for string in strings)


def hash256(label: str, *parts: bytes) -> bytes:
    """SHA-256 of the labelled parts, 32 bytes."""
    return hashlib.sha256(labelled(label, parts)).digest()


def hkdf(secret: bytes, *, label: str, info: Sequence[bytes] = (), length: int = KEY_SIZE, salt: bytes = b"") -> bytes:
    """HKDF-SHA-256 (RFC 5869) with the labelled parts as info. ``length`` in bytes."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=labelled(label, info)).derive(secret)


def x25519_public(private: bytes) -> bytes:
    """The public key, 32 bytes, of a private key of 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def dh(private: bytes, public: bytes) -> bytes:
    """X25519, 32 bytes. Raises: AuthenticationFailed when the result is all zero (RFC 7748 section 6.1), which an
    attacker forces with a key of small order."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise AuthenticationFailed("a key agreement gives nothing secret") from error


def ed25519_public(seed: bytes) -> bytes:
    """The public key, 32 bytes, of a 32-byte seed."""
    return SigningKey(seed).verify_key.encode()


def ed25519_sign(seed: bytes, label: str, message: bytes) -> bytes:
    """A signature, 64 bytes, over the labelled message."""
    return SigningKey(seed).sign(labelled(label, [message])).signature


def ed25519_verify(public: bytes, label: str, message: bytes, signature: bytes) -> None:
    """Raises: AuthenticationFailed when the signature over the labelled message is not that key's."""
    try:
        VerifyKey(public).verify(labelled(label, [message]), signature)
    except (BadSignatureError, ValueError) as error:
        raise AuthenticationFailed("a signature does not verify") from error


def is_ed25519_key(public: bytes) -> bool:
    """Whether these 32 bytes are a point of the prime-order group, canonically encoded, as tor requires."""
    return len(public) == KEY_SIZE and crypto_core_ed25519_is_valid_point(public)


def expanded_ed25519(seed: bytes) -> bytes:
    """The 64-byte expanded private key that tor's ADD_ONION takes (RFC 8032 section 5.1.5, steps 1 and 2)."""
    expanded = bytearray(hashlib.sha512(seed).digest())
    expanded[0] &= 0b1111_1000
    expanded[31] &= 0b0111_1111
    expanded[31] |= 0b0100_0000
    return bytes(expanded)


def onion_address(onion: OnionKey) -> str:
    """The v3 address, 56 characters and ``.onion`` (tor's rend-spec-v3, section 6)."""
    version = b"\x03"
    checksum = hashlib.sha3_256(b".onion checksum" + onion + version).digest()[:2]
    return b32encode(onion + checksum + version).decode("ascii").lower() + ".onion"


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """AES-256-GCM: ciphertext and 16-byte tag. ``nonce`` is 12 bytes and never used twice with one key."""
    return AESGCM(key).encrypt(nonce, plaintext, ad)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """The plaintext. Raises: AuthenticationFailed when the tag does not verify."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, ad)
    except (InvalidTag, ValueError) as error:
        raise AuthenticationFailed("a message does not authenticate") from error


def kem_public(seed: bytes) -> bytes:
    """The ML-KEM-768 public key, 1,184 bytes, of a 64-byte seed (d, then z; FIPS 203)."""
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """A ciphertext, 1,088 bytes, and the secret in it, 32 bytes; the randomness is OpenSSL's own.

    Raises: MalformedData when ``public`` is no ML-KEM-768 key.
    """
    try:
        secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError as error:
        raise MalformedData("not an ML-KEM-768 public key") from error
    return ciphertext, secret


def kem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """The secret, 32 bytes. A ciphertext that was tampered with gives another secret, silently (implicit rejection).

    Raises: MalformedData when ``ciphertext`` has the wrong length.
    """
    try:
        return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)
    except ValueError as error:
        raise MalformedData("not an ML-KEM-768 ciphertext") from error
