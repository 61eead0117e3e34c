"""The protocol's arithmetic a second time, from other libraries and from scratch.

Nothing here imports the code under test. X25519 and AES-GCM are libsodium's (the node uses OpenSSL's), Ed25519
verification and argon2id are OpenSSL's (the node uses libsodium's), ML-KEM-768 is kyber-py's plain Python; HKDF, the
Double Ratchet, CBOR, base32 and CRC-16 are written out below, as the specification says them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]
from nacl.bindings import (
    crypto_aead_aes256gcm_decrypt,
    crypto_aead_aes256gcm_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)

_HERE = Path(__file__).parent


def load(name: str) -> Any:
    """A file of vectors, as JSON."""
    return json.loads((_HERE / name).read_text(encoding="utf-8"))


# --- primitives ------------------------------------------------------------------------------------------------------


def labelled(label: str, *parts: bytes) -> bytes:
    result = b""
    for part in (b"chattor/v1/" + label.encode(), *parts):
        result += bytes([len(part) >> 24, len(part) >> 16 & 255, len(part) >> 8 & 255, len(part) & 255]) + part
    return result


def sha256(label: str, *parts: bytes) -> bytes:
    return hashlib.sha256(labelled(label, *parts)).digest()


def joined(digests: list[bytes]) -> bytes:
    """Their exclusive or."""
    total = 0
    for digest in digests:
        total ^= int.from_bytes(digest, "big")
    return total.to_bytes(16, "big")


def hkdf_raw(secret: bytes, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
    """RFC 5869 with SHA-256."""
    key = hmac.digest(salt or bytes(32), secret, "sha256")
    output = block = b""
    counter = 1
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        output += block
        counter += 1
    return output[:length]


def hkdf(secret: bytes, label: str, *parts: bytes) -> bytes:
    return hkdf_raw(secret, labelled(label, *parts))


def x25519(private: bytes, public: bytes) -> bytes:
    result: bytes = crypto_scalarmult(private, public)
    return result


def x25519_public(private: bytes) -> bytes:
    result: bytes = crypto_scalarmult_base(private)
    return result


def seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    result: bytes = crypto_aead_aes256gcm_encrypt(plaintext, ad, nonce, key)
    return result


def unseal(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    result: bytes = crypto_aead_aes256gcm_decrypt(ciphertext, ad, nonce, key)
    return result


def effort(nonce: bytes, knock_hash: bytes, proof: bytes) -> int:
    """Leading zero bits of the argon2id of a proof."""
    argon2 = Argon2id(salt=nonce[:16], length=32, iterations=1, lanes=1, memory_cost=8_192)
    digest = argon2.derive(labelled("proof", nonce, knock_hash, proof))
    return len(f"{int.from_bytes(digest, 'big'):0256b}".partition("1")[0])


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


def kem_public(seed: bytes) -> bytes:
    public, _ = ML_KEM_768.key_derive(seed)
    return bytes(public)


def kem_encapsulate(public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and secret for fixed randomness (FIPS 203, ML-KEM.Encaps_internal)."""
    secret, ciphertext = ML_KEM_768._encaps_internal(public, message)
    return bytes(ciphertext), bytes(secret)


def kem_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    _, private = ML_KEM_768.key_derive(seed)
    return bytes(ML_KEM_768.decaps(private, ciphertext))


# --- encodings -------------------------------------------------------------------------------------------------------


def cbor(value: Any) -> bytes:
    """Deterministic CBOR of integers, strings, arrays, maps, booleans and null."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        pairs = sorted((cbor(key), cbor(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    return _head(4, len(value)) + b"".join(map(cbor, value))


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 256**size:
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def read_cbor(data: bytes) -> Any:
    """The value of one deterministic encoding, checked by encoding it again."""
    value, rest = _read(data)
    assert rest == b""
    assert cbor(value) == data
    return value


def _read(data: bytes) -> tuple[Any, bytes]:
    major, low, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        return {22: None, 21: True, 20: False}[low], data
    if low >= 24:
        size = 1 << (low - 24)
        low, data = int.from_bytes(data[:size], "big"), data[size:]
    match major:
        case 0:
            return low, data
        case 1:
            return -1 - low, data
        case 2:
            return data[:low], data[low:]
        case 3:
            return data[:low].decode(), data[low:]
    items = []
    for _ in range(low * (2 if major == 5 else 1)):
        item, data = _read(data)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if major == 5 else items), data


def framed(message: bytes) -> bytes:
    return bytes([len(message) >> 8, len(message) & 255]) + message


def padded(data: bytes, size: int) -> bytes:
    return data + b"\x80" + b"\x00" * (size - len(data) - 1)


def unpadded(data: bytes) -> bytes:
    end = len(data)
    while data[end - 1] == 0:
        end -= 1
    assert data[end - 1] == 0x80
    return data[: end - 1]


def base32(data: bytes) -> str:
    """Unpadded lower-case base32 (RFC 4648), the spare bits zero."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(alphabet[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


def crc16(data: bytes) -> int:
    """Long division by x^16 + x^12 + x^5 + 1, most significant bit first, starting from all ones."""
    register = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            carry = register >> 15 ^ byte >> bit & 1
            register = register << 1 & 0xFFFF
            if carry:
                register ^= 0x1021
    return register


# --- the Double Ratchet ----------------------------------------------------------------------------------------------


@dataclass
class Ratchet:
    """One side, as in Signal's specification, without skipped messages; ``keys`` are its private keys in order."""

    root: bytes
    keys: list[bytes]
    peer: bytes
    own: bytes = b""
    sending: bytes = b""
    receiving: bytes = b""
    sent: int = 0
    previous: int = 0
    received: int = 0
    used: list[bytes] = field(default_factory=list)

    def begin_sending(self) -> None:
        self.own = self.keys.pop(0)
        self.root, self.sending = self._step_root()

    def begin_receiving(self, own: bytes) -> None:
        self.own = own
        self._turn()

    def encrypt(self, plaintext: bytes, ad: bytes, nonce: bytes) -> tuple[bytes, bytes]:
        key, self.sending = _step_chain(self.sending)
        header = x25519_public(self.own) + self.previous.to_bytes(4, "big") + self.sent.to_bytes(4, "big")
        self.sent += 1
        return header, nonce + seal(key, nonce, plaintext, labelled("ratchet-message", ad, header))

    def decrypt(self, header: bytes, ciphertext: bytes, ad: bytes) -> bytes:
        if header[:32] != self.peer:
            self.peer = header[:32]
            self._turn()
        assert int.from_bytes(header[36:], "big") == self.received, "this verifier takes messages in order"
        key, self.receiving = _step_chain(self.receiving)
        self.received += 1
        return unseal(key, ciphertext[:12], ciphertext[12:], labelled("ratchet-message", ad, header))

    def _turn(self) -> None:
        self.root, self.receiving = self._step_root()
        self.own = self.keys.pop(0)
        self.root, self.sending = self._step_root()
        self.previous, self.sent, self.received = self.sent, 0, 0

    def _step_root(self) -> tuple[bytes, bytes]:
        output = hkdf_raw(x25519(self.own, self.peer), labelled("ratchet-root"), 64, salt=self.root)
        return output[:32], output[32:]


def _step_chain(chain: bytes) -> tuple[bytes, bytes]:
    """Message key and next chain key."""
    return hmac.digest(chain, b"\x01", "sha256"), hmac.digest(chain, b"\x02", "sha256")
