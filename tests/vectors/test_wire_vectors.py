"""link.json, frames.json, signals.json and events.json, made again and verified by other means."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.vectors import independent as plain
from tests.vectors.make_wire import FILES, text_of


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_code_makes(name: str) -> None:
    assert (Path(__file__).parent / name).read_text(encoding="utf-8") == text_of(name)


# --- links: Noise as its specification (revision 34) writes it, the tokens of the two patterns spelled out -----------


@dataclass
class _Noise:
    """SymmetricState and CipherState of one handshake, seen from outside by somebody who knows every private key."""

    hash: bytes
    chaining_key: bytes
    key: bytes = b""
    nonce: int = 0

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self.chaining_key, self.key = _outputs(self.chaining_key, secret, 2)
        self.nonce = 0

    def mix_psk(self, psk: bytes) -> None:
        self.chaining_key, extra, self.key = _outputs(self.chaining_key, psk, 3)
        self.mix_hash(extra)
        self.nonce = 0

    def mix_ephemeral(self, public: bytes) -> None:
        self.mix_hash(public)
        self.mix_key(public)  # as every handshake with a pre-shared key does

    def unseal(self, ciphertext: bytes) -> bytes:
        plaintext = plain.unseal(self.key, _nonce(self.nonce), ciphertext, self.hash)
        self.nonce += 1
        self.mix_hash(ciphertext)
        return plaintext


def _outputs(chaining_key: bytes, secret: bytes, count: int) -> list[bytes]:
    temporary = hmac.digest(chaining_key, secret, "sha256")
    outputs = [b""]
    for number in range(1, count + 1):
        outputs.append(hmac.digest(temporary, outputs[-1] + bytes([number]), "sha256"))
    return outputs[1:]


def _nonce(number: int) -> bytes:
    return bytes(4) + number.to_bytes(8, "big")


@pytest.mark.parametrize("vector", plain.load("link.json"), ids=lambda vector: vector["name"])
def test_links(vector: Any) -> None:
    for size, plaintext, frames in open_stream(vector, b"chattor/v1/link"):
        assert size in (1_024, 4_096, 18_432, 65_535)
        assert plaintext == b"".join(frames)


def open_stream(vector: Any, label: bytes) -> list[tuple[int, bytes, list[bytes]]]:
    """Verify a handshake, and open what is said after it: of each message its size, what is in it, and which frames
    should be."""
    raw = {name: bytes.fromhex(value) for name, value in vector.items() if _is_hex(value)}
    nameless = vector["protocol_name"] == "Noise_NKpsk0_25519_AESGCM_SHA256"
    static_i, static_r = raw.get("dialling_static_private", b""), raw["answering_static_private"]
    ephemeral_i, ephemeral_r = raw["dialling_ephemeral_private"], raw["answering_ephemeral_private"]
    public = plain.x25519_public
    first, second, *rest = vector["stream"]
    accepting = vector["protocol_name"] == "Noise_IKpsk1_25519_AESGCM_SHA256"

    # the prologue, byte by byte
    role = vector["dialler_role"].encode() if not nameless else b""
    onion = raw["dialled_onion"]
    ending = b"" if nameless else bytes([0x60 + len(role)]) + role
    assert (
        raw["prologue"] == bytes([0x83 + (not nameless), 0x60 + len(label)]) + label + b"\x01\x58\x20" + onion + ending
    )

    # a name no longer than a hash is padded with zeros
    name = vector["protocol_name"].encode()
    start = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
    noise = _Noise(start, start)
    noise.mix_hash(raw["prologue"])
    if not accepting and not nameless:
        noise.mix_hash(public(static_i))
    noise.mix_hash(public(static_r))

    # message 1: "e, es, s, ss, psk", "psk, e, es, ss" or "psk, e, es"
    message = _only_message(first)
    assert first["from"] == "dialling"
    if not accepting:
        noise.mix_psk(raw["psk"])
    assert message[:32] == public(ephemeral_i)
    noise.mix_ephemeral(message[:32])
    noise.mix_key(plain.x25519(static_r, public(ephemeral_i)))
    payload = message[32:]
    if accepting:
        assert noise.unseal(payload[:48]) == public(static_i)
        payload = payload[48:]
    if not nameless:
        noise.mix_key(plain.x25519(static_r, public(static_i)))
    if accepting:
        noise.mix_psk(raw["psk"])
    assert noise.unseal(payload) == plain.padded(b"", len(payload) - 16)

    # message 2: "e, ee, se" or "e, ee"
    message = _only_message(second)
    assert second["from"] == "answering"
    assert message[:32] == public(ephemeral_r)
    noise.mix_ephemeral(message[:32])
    noise.mix_key(plain.x25519(ephemeral_r, public(ephemeral_i)))
    if not nameless:
        noise.mix_key(plain.x25519(ephemeral_r, public(static_i)))
    assert noise.unseal(message[32:]) == plain.padded(b"", 1024 - 32 - 16)
    assert noise.hash == raw["handshake_hash"]

    # what is said then
    keys = dict(zip(("dialling", "answering"), _outputs(noise.chaining_key, b"", 2), strict=True))
    nonces = {"dialling": 0, "answering": 0}
    opened = []
    for part in rest:
        side = part["from"]
        message = _only_message(part)
        plaintext = plain.unseal(keys[side], _nonce(nonces[side]), message, b"")
        nonces[side] += 1
        opened.append((len(message), plain.unpadded(plaintext), [bytes.fromhex(frame) for frame in part["frames"]]))
    return opened


def _is_hex(value: object) -> bool:
    return isinstance(value, str) and set(value) <= set("0123456789abcdef")


def _only_message(part: Any) -> bytes:
    data = bytes.fromhex(part["bytes"])
    assert data == plain.framed(data[2:])
    return data[2:]


# --- frames ----------------------------------------------------------------------------------------------------------

_TYPES = {"hello": 1, "envelope": 2, "ack": 3, "signal": 4, "bye": 5, "keep-alive": 6, "onions": 7}
_TYPES |= {"resync-start": 8, "resync-answer": 9, "resync-done": 10, "block": 11, "collected": 12, "holding": 13}


@pytest.mark.parametrize("vector", plain.load("frames.json")["frames"])
def test_frames(vector: Any) -> None:
    data = bytes.fromhex(vector["bytes"])
    frame = vector["frame"]
    assert data[0] == _TYPES[frame.pop("type")]
    assert int.from_bytes(data[1:3], "big") == len(body := data[3:])
    match data[0]:
        case 1:
            assert plain.read_cbor(body) == frame | {name: bytes.fromhex(frame[name]) for name in ("session", "seen")}
        case 3:
            cumulative, digest, *ranges = frame["ack"]
            assert plain.read_cbor(body) == [cumulative, bytes.fromhex(digest), *ranges]
        case 5:
            assert body == frame["reason"].encode()
        case 6 | 10:
            assert body == b""
        case 11 | 12:
            place = bytes.fromhex(frame["shelf"]) + frame["number"].to_bytes(8, "big")
            assert body == place + bytes.fromhex(frame.get("block", ""))
        case 13:
            assert body == frame["blocks"].to_bytes(4, "big")
        case 9:
            header, ciphertext = map(bytes.fromhex, frame["ratchet"])
            assert plain.read_cbor(body) == {"head": bytes.fromhex(frame["head"]), "ratchet": [header, ciphertext]}
        case 7 | 8:
            assert plain.read_cbor(body) == {
                name: said if said is True else bytes.fromhex(said) for name, said in frame.items()
            }
        case _:
            assert [body.hex()] == list(frame.values())


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", plain.load("signals.json")["signals"])
def test_signals(vector: Any) -> None:
    assert plain.read_cbor(bytes.fromhex(vector["bytes"])) == vector["signal"]


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", plain.load("events.json")["events"])
def test_events(vector: Any) -> None:
    assert plain.read_cbor(bytes.fromhex(vector["bytes"])) == _from_json(vector["event"])


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {key: _from_json(item) for key, item in value.items()}
    return [_from_json(item) for item in value] if isinstance(value, list) else value
