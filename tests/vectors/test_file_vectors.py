"""files.json, made again and verified by other means."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_generichash_blake2b_salt_personal

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.fileframes import decode_file_frame
from tests.vectors import independent as plain
from tests.vectors.make_files import text
from tests.vectors.test_wire_vectors import open_stream

_VECTORS = plain.load("files.json")
_CHUNK = 61_440
_SLICE = 14_000


def test_the_file_is_what_the_code_makes() -> None:
    assert (Path(__file__).parent / "files.json").read_text(encoding="utf-8") == text()


# --- trees: libsodium's BLAKE2b, and the tree as RFC 9162, section 2.1, defines it -----------------------------------


def _hash(data: bytes) -> bytes:
    digest: bytes = crypto_generichash_blake2b_salt_personal(data, digest_size=32, person=b"chattor/v1/file")
    return digest


def _mth(chunks: list[bytes]) -> bytes:
    if not chunks:
        return _hash(b"")
    if len(chunks) == 1:
        return _hash(b"\x00" + chunks[0])
    half = _split(len(chunks))
    return _hash(b"\x01" + _mth(chunks[:half]) + _mth(chunks[half:]))


def _path(index: int, chunks: list[bytes]) -> list[bytes]:
    if len(chunks) == 1:
        return []
    half = _split(len(chunks))
    if index < half:
        return [*_path(index, chunks[:half]), _mth(chunks[half:])]
    return [*_path(index - half, chunks[half:]), _mth(chunks[:half])]


def _split(count: int) -> int:
    half = 1
    while half * 2 < count:
        half *= 2
    return half


@pytest.mark.parametrize("vector", _VECTORS["trees"], ids=lambda vector: str(vector["size"]))
def test_trees(vector: Any) -> None:
    size = vector["size"]
    data = bytes(i % 251 for i in range(size))
    chunks = [data[at : at + _CHUNK] for at in range(0, size, _CHUNK)]
    file_id, key = bytes.fromhex(vector["file"]), bytes.fromhex(vector["key"])
    assert vector["count"] == len(chunks)
    assert vector["root"] == _mth(chunks).hex()
    ad = plain.labelled("file-chunk", file_id, len(chunks).to_bytes(8, "big"), size.to_bytes(8, "big"))
    for chunk in vector["chunks"]:
        index = chunk["index"]
        sealed = plain.seal(key, index.to_bytes(12, "big"), chunks[index], ad)
        assert chunk["tag"] == sealed[-16:].hex()
        assert chunk["sealed_sha256"] == hashlib.sha256(sealed).hexdigest()
        assert chunk["path"] == [sibling.hex() for sibling in _path(index, chunks)]


# --- slices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", _VECTORS["slices"], ids=lambda vector: str(vector["size"]))
def test_slices(vector: Any) -> None:
    size = vector["size"]
    data = bytes(i % 251 for i in range(size))
    file_id, key = bytes.fromhex(vector["file"]), bytes.fromhex(vector["key"])
    chunks = [data[at : at + _CHUNK] for at in range(0, size, _CHUNK)]
    ad = plain.labelled("file-chunk", file_id, len(chunks).to_bytes(8, "big"), size.to_bytes(8, "big"))
    sealed = b"".join(plain.seal(key, n.to_bytes(12, "big"), chunk, ad) for n, chunk in enumerate(chunks))
    cuts = [sealed[at : at + _SLICE] for at in range(0, len(sealed), _SLICE)]
    assert vector["count"] == len(cuts)
    assert [one["number"] for one in vector["slices"]] == sorted({0, 4, len(cuts) - 1} & set(range(len(cuts))))
    for one in vector["slices"]:
        cut = cuts[one["number"]]
        assert (one["length"], one["sha256"]) == (len(cut), hashlib.sha256(cut).hexdigest())


# --- the stream ------------------------------------------------------------------------------------------------------


def test_the_stream() -> None:
    messages = open_stream(_VECTORS["stream"], b"chattor/v1/file")
    for size, plaintext, frames in messages:
        [frame] = frames
        assert size == (1_024 if len(frame) <= 1_007 else 62_464)
        assert plaintext == frame


# --- frames ----------------------------------------------------------------------------------------------------------

_TYPES = {"open": 1, "ready": 2, "want": 3, "chunk": 4, "end": 5}


@pytest.mark.parametrize("vector", _VECTORS["frames"]["good"], ids=lambda vector: vector["frame"]["type"])
def test_frames(vector: Any) -> None:
    data = bytes.fromhex(vector["bytes"])
    frame = dict(vector["frame"])
    kind, body = _TYPES[frame.pop("type")], data[3:]
    assert data[:3] == bytes([kind]) + len(body).to_bytes(2, "big")
    if kind == 4:
        path = [bytes.fromhex(sibling) for sibling in frame["path"]]
        sealed = bytes.fromhex(frame["sealed"])
        assert body == frame["index"].to_bytes(4, "big") + bytes([len(path)]) + b"".join(path) + sealed
    elif kind == 5:
        assert body == frame["reason"].encode()
    else:
        fields = {name: bytes.fromhex(value) if name == "file" else value for name, value in frame.items()}
        assert plain.read_cbor(body) == fields


@pytest.mark.parametrize("vector", _VECTORS["frames"]["refused"], ids=lambda vector: vector["why"])
def test_refused_frames(vector: Any) -> None:
    start, _, size = vector["bytes"].partition("...")
    with pytest.raises(MalformedData):
        decode_file_frame(bytes.fromhex(start).ljust(int(size or 0), b"\0"))
