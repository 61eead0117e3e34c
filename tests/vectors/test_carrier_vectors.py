"""carriers.json, made again and verified by other means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.vectors import independent as plain
from tests.vectors.make_carriers import text
from tests.vectors.test_wire_vectors import open_stream

_VECTORS = plain.load("carriers.json")


def test_the_file_is_what_the_code_makes() -> None:
    assert (Path(__file__).parent / "carriers.json").read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("vector", _VECTORS["blocks"], ids=lambda vector: vector["sender"])
def test_blocks(vector: Any) -> None:
    secret, onion = bytes.fromhex(vector["friendship_secret"]), bytes.fromhex(vector["onion"])
    key = plain.hkdf(secret, "block-key", onion, vector["sender"].encode())
    assert key.hex() == vector["key"]
    block = bytes.fromhex(vector["block"])
    assert len(block) == 16_384
    content = plain.unpadded(plain.unseal(key, block[:12], block[12:], plain.labelled("block")))
    envelopes = map(bytes.fromhex, vector["envelopes"])
    assert content == b"".join(len(envelope).to_bytes(2, "big") + envelope for envelope in envelopes)


def test_the_stream() -> None:
    vector = _VECTORS["stream"]
    secret, onion = bytes.fromhex(vector["psk"]), bytes.fromhex(vector["dialled_onion"])
    assert plain.hkdf(secret, "shelf-auth", onion).hex() == vector["auth_private"]
    said = []
    for size, plaintext, frames in open_stream(vector, b"chattor/v1/deposit"):
        assert [plaintext] == frames
        if size == 18_432:
            assert len(plaintext) == 16_384
            said.append("block")
        else:
            assert size == 1_024
            said.append(plain.read_cbor(plaintext))
    told = [{"stored": count, "room": 2 - count} for count in range(3)]
    assert said == [told[0], "block", told[1], "block", told[2]]
