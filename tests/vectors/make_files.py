"""Makes files.json with the code under test.

``python -m tests.vectors.make_files`` writes it anew; ``test_file_vectors.py`` checks that it is what is written, and
verifies it without this code. Byte strings are lower-case hexadecimal. The content of every file here is the same bytes
over and over: byte number i is i modulo 251.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import FileId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.chunks import Content, Offered, SealedChunk
from chattor_bridge.protocol.fileframes import (
    End,
    FileFrame,
    Open,
    Ready,
    Want,
    decode_file_frame,
    encode_file_frame,
)
from chattor_bridge.protocol.filestream import FileStream, Part
from chattor_bridge.protocol.handshake import LinkKeys, Pattern, Purpose, prologue
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, MAX_SLICED_FILE, SLICE_SIZE
from chattor_bridge.protocol.link import Established, Link
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.slices import cut
from chattor_bridge.protocol.tree import OutlineBuilder, Tree
from tests.protocol.sources import Source, onion_key

_PATH = Path(__file__).parent / "files.json"
_CYCLE = bytes(range(251))
_SIZES = (0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE, 16 * CHUNK_SIZE, 16 * CHUNK_SIZE + 1, 53 * CHUNK_SIZE - 7)

_SLICED = (0, 1, SLICE_SIZE - 16, CHUNK_SIZE, CHUNK_SIZE + 1, 5 * SLICE_SIZE - 32, MAX_SLICED_FILE)


def content_of(size: int) -> bytes:
    """The content of a file of this size."""
    return (_CYCLE * (size // len(_CYCLE) + 1))[:size]


def _offered(size: int) -> Offered:
    data, builder = content_of(size), OutlineBuilder()
    for at in range(0, size, CHUNK_SIZE):
        builder.add(data[at : at + CHUNK_SIZE])
    outline, source = builder.outline(), Source(f"file {size}")
    return Offered(Content(FileId(source(16)), source(32), size, Tree(outline).root), outline)


def _chunk(file: Offered, index: int) -> SealedChunk:
    group = index // CHUNKS_OF_GROUP
    start, length = file.bounds_of_group(group)
    [chunk] = file.sealed_chunks(group, content_of(start + length)[start:], index, 1)
    return chunk


def trees() -> list[dict[str, Any]]:
    """Files of telling sizes, and of each the chunks at which something could go wrong."""
    vectors = []
    for size in _SIZES:
        file = _offered(size)
        content = file.content
        telling = sorted({0, 1, 15, 16, content.count // 2, content.count - 1} & set(range(content.count)))
        chunks = [_chunk(file, index) for index in telling]
        vectors.append(
            {
                "size": size,
                "file": content.file_id.hex(),
                "key": content.key.hex(),
                "count": content.count,
                "root": content.root.hex(),
                "chunks": [
                    {
                        "index": chunk.index,
                        "path": [sibling.hex() for sibling in chunk.path],
                        "sealed_sha256": hashlib.sha256(chunk.sealed).hexdigest(),
                        "tag": chunk.sealed[-16:].hex(),
                    }
                    for chunk in chunks
                ],
            }
        )
    return vectors


def slices() -> list[dict[str, Any]]:
    """Small files as they go in envelopes: the first slice, one with the seam of two chunks in it, and the last."""
    vectors = []
    for size in _SLICED:
        file = _offered(size)
        cuts = cut(b"".join(_chunk(file, index).sealed for index in range(file.content.count)))
        telling = sorted({0, 4, len(cuts) - 1} & set(range(len(cuts))))
        vectors.append(
            {
                "size": size,
                "file": file.content.file_id.hex(),
                "key": file.content.key.hex(),
                "count": len(cuts),
                "slices": [
                    {"number": number, "length": len(cuts[number]), "sha256": hashlib.sha256(cuts[number]).hexdigest()}
                    for number in telling
                ],
            }
        )
    return vectors


def stream() -> dict[str, Any]:
    """The owner dials and fetches a file of two chunks, the second of them one byte long."""
    file = _offered(CHUNK_SIZE + 1)
    source, onion = Source("file stream"), onion_key("file stream")
    dialling_static, answering_static, psk = source(32), source(32), source(32)
    dialling_random, answering_random = Source("file stream dialling"), Source("file stream answering")
    dialling_keys = LinkKeys(
        dialling_static, x25519_public(answering_static), psk, Pattern.KK, "owner", purpose=Purpose.FILE
    )
    answering_keys = LinkKeys(
        answering_static, x25519_public(dialling_static), psk, Pattern.KK, "knocker", purpose=Purpose.FILE
    )
    dialling = FileStream.dial(dialling_keys, onion, dialling_random, file.content.file_id, Part.FETCHES)
    first = dialling.data_to_send()
    link = Link.answer([answering_keys], onion, answering_random)
    [established] = link.receive(first)
    assert isinstance(established, Established)
    answering = FileStream.answered(*link.hand_over())
    second = answering.data_to_send()
    said: list[tuple[str, list[FileFrame], bytes]] = [("dialling", [], first), ("answering", [], second)]

    def pass_on(side: str, frames: list[FileFrame]) -> None:
        sender, receiver = (dialling, answering) if side == "dialling" else (answering, dialling)
        said.append((side, frames, data := sender.data_to_send()))
        receiver.receive(data)

    dialling.receive(second)
    pass_on("dialling", [Open(file.content.file_id)])
    answering.ready(Part.OFFERS)
    pass_on("answering", [Ready()])
    dialling.want(1, 1)
    pass_on("dialling", [Want(1, 1)])
    answering.send(_chunk(file, 1))
    pass_on("answering", [_chunk(file, 1)])
    dialling.end("done")
    pass_on("dialling", [End("done")])
    return {
        "protocol_name": Pattern.KK.protocol_name,
        "dialled_onion": onion.hex(),
        "dialler_role": "owner",
        "prologue": prologue(onion, "owner", Purpose.FILE).hex(),
        "psk": psk.hex(),
        "dialling_static_private": dialling_static.hex(),
        "answering_static_private": answering_static.hex(),
        "dialling_ephemeral_private": dialling_random.drawn[0].hex(),
        "answering_ephemeral_private": answering_random.drawn[0].hex(),
        "handshake_hash": established.handshake_hash.hex(),
        "stream": [
            {"from": side, "frames": [encode_file_frame(frame).hex() for frame in frames], "bytes": data.hex()}
            for side, frames, data in said
        ],
    }


def frames() -> dict[str, Any]:
    chunk = SealedChunk(70_000, (bytes(32), bytes(range(32))), Source("sealed")(20))
    good: list[tuple[FileFrame, dict[str, Any]]] = [
        (Open(FileId(Source("file")(16))), {"type": "open", "file": Source("file")(16).hex()}),
        (Open(FileId(bytes(16)), 1_118_482), {"type": "open", "file": bytes(16).hex(), "have": 1_118_482}),
        (Ready(), {"type": "ready"}),
        (Ready(7), {"type": "ready", "have": 7}),
        (Want(16, 16), {"type": "want", "first": 16, "count": 16}),
        (
            chunk,
            {
                "type": "chunk",
                "index": chunk.index,
                "path": [one.hex() for one in chunk.path],
                "sealed": chunk.sealed.hex(),
            },
        ),
        (End("later"), {"type": "end", "reason": "later"}),
    ]
    bad = [
        ("no frame at all", b""),
        ("two frames", encode_file_frame(Ready()) * 2),
        ("a body cut short", b"\x05\x00\x05late"),
        ("an unknown type", b"\x80\x00\x00"),
        ("a file id of 15 bytes", _raw(0x01, {"file": bytes(15)})),
        ("more chunks than there can be", _raw(0x02, {"have": 1_118_483})),
        ("no chunk is wanted", _raw(0x03, {"first": 0, "count": 0})),
        ("chunks of two groups", _raw(0x03, {"first": 15, "count": 2})),
        ("a chunk past the largest file", _raw(0x03, {"first": 1_118_482, "count": 1})),
        ("a chunk without content", b"\x04\x00\x15" + bytes(21)),
        ("a chunk that is too large", b"\x04" + (5 + 61_457).to_bytes(2, "big") + bytes(5 + 61_457)),
        ("a proof longer than any", b"\x04" + (729).to_bytes(2, "big") + bytes([0, 0, 0, 0, 22]) + bytes(724)),
        ("a reason that is no word", b"\x05\x00\x02No"),
    ]
    for why, data in bad:
        try:
            decode_file_frame(data)
        except MalformedData:
            continue
        raise AssertionError(why)
    return {
        "good": [{"frame": meaning, "bytes": encode_file_frame(frame).hex()} for frame, meaning in good],
        "refused": [{"why": why, "bytes": _short(data)} for why, data in bad],
    }


def _raw(kind: int, value: object) -> bytes:
    body = cbor.encode(value)
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def _short(data: bytes) -> str:
    """Hexadecimal; zeros at the end of something long as ``...`` and how many bytes there are in all."""
    return data.hex() if len(data) < 1_000 else f"{data.rstrip(bytes(1)).hex()}...{len(data)}"


def text() -> str:
    """What files.json must hold."""
    return (
        json.dumps(
            {"trees": trees(), "slices": slices(), "stream": stream(), "frames": frames()}, indent=2, ensure_ascii=True
        )
        + "\n"
    )


if __name__ == "__main__":
    _PATH.write_text(text(), encoding="utf-8")
