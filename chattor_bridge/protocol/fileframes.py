"""What two friends say to each other on a file stream. Implements docs/protocol/files.md, "Stream".

One Noise message holds one frame, with the same head as a frame of a link: a type byte, a u16 big-endian length, a
body; then padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import FileId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.chunks import SEALED_SIZE, SealedChunk
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, FILE_ID_SIZE, MAX_FILE_SIZE
from chattor_bridge.protocol.primitives import TAG_SIZE
from chattor_bridge.protocol.reasons import decode_reason
from chattor_bridge.protocol.tree import HASH_SIZE


@dataclass(frozen=True, slots=True)
class Open:
    """The dialling side's first frame: which file this stream is for. ``have``: how many of its chunks the sender has
    already, None where it is the one that offers."""

    file_id: FileId
    have: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The answering side's first frame: it has this file under way too. ``have`` as in `Open`."""

    have: int | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """The fetching side asks for ``count`` chunks from ``first`` on, all of one group."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class End:
    """The last frame a side sends before it closes the stream; ``reason`` is one of `END_REASONS`, or one that a later
    version has added."""

    reason: str


FileFrame = Open | Ready | Want | SealedChunk | End

END_REASONS: Final = ("cancelled", "done", "later", "unknown")
"""Why a stream ends: the transfer is off, and an event says why; everything is there; come again later; no such file is
under way here."""

MAX_COUNT: Final = -(-MAX_FILE_SIZE // CHUNK_SIZE)
"""Chunks of the largest file."""

MAX_PATH: Final = (MAX_COUNT - 1).bit_length()
"""Siblings in the longest proof."""

_HEAD_SIZE: Final = 3
_CHUNK_HEAD: Final = 5
_MAX_CONTROL: Final = 500


def encode_file_frame(frame: FileFrame) -> bytes:
    """One frame with its head. Raises: ValueError when it breaks a rule of the specification."""
    kind, body = _encode_body(frame)
    try:
        _DECODERS[kind](body)
    except MalformedData as error:
        raise ValueError(str(error)) from error
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def decode_file_frame(data: bytes) -> FileFrame:
    """The frame in a message, padding already taken off. Raises: MalformedData."""
    if len(data) < _HEAD_SIZE or int.from_bytes(data[1:_HEAD_SIZE], "big") != len(data) - _HEAD_SIZE:
        raise MalformedData("file frame: not exactly one in a message")
    decoder = _DECODERS.get(data[0])
    if decoder is None:
        raise MalformedData("file frame: of an unknown type")
    return decoder(data[_HEAD_SIZE:])


def _encode_body(frame: FileFrame) -> tuple[int, bytes]:
    match frame:
        case Open(file_id, have):
            return _OPEN, cbor.encode({"file": bytes(file_id), **({} if have is None else {"have": have})})
        case Ready(have):
            return _READY, cbor.encode({} if have is None else {"have": have})
        case Want(first, count):
            return _WANT, cbor.encode({"first": first, "count": count})
        case SealedChunk(index, path, sealed):
            return _CHUNK, index.to_bytes(4, "big") + bytes([len(path)]) + b"".join(path) + sealed
        case End(reason):
            return _END, reason.encode()


def _fields(body: bytes, what: str) -> Fields:
    if len(body) > _MAX_CONTROL:
        raise MalformedData(f"{what}: too large")
    return Fields(cbor.decode(body), what)


def _decode_open(body: bytes) -> Open:
    fields = _fields(body, "open")
    return Open(FileId(fields.bytes("file", length=FILE_ID_SIZE)), _have(fields))


def _decode_ready(body: bytes) -> Ready:
    return Ready(_have(_fields(body, "ready")))


def _have(fields: Fields) -> int | None:
    return fields.integer("have", low=0, high=MAX_COUNT) if "have" in fields else None


def _decode_want(body: bytes) -> Want:
    fields = _fields(body, "want")
    first = fields.integer("first", low=0, high=MAX_COUNT - 1)
    count = fields.integer("count", low=1, high=CHUNKS_OF_GROUP - first % CHUNKS_OF_GROUP)
    return Want(first, count)


def _decode_chunk(body: bytes) -> SealedChunk:
    siblings = body[_CHUNK_HEAD - 1] if len(body) > _CHUNK_HEAD else 0
    end = _CHUNK_HEAD + siblings * HASH_SIZE
    if siblings > MAX_PATH or not TAG_SIZE < len(body) - end <= SEALED_SIZE:
        raise MalformedData("chunk: of a size that none may have")
    path = tuple(body[at : at + HASH_SIZE] for at in range(_CHUNK_HEAD, end, HASH_SIZE))
    return SealedChunk(int.from_bytes(body[: _CHUNK_HEAD - 1], "big"), path, body[end:])


def _decode_end(body: bytes) -> End:
    return End(decode_reason(body, "end"))


_OPEN: Final = 0x01
_READY: Final = 0x02
_WANT: Final = 0x03
_CHUNK: Final = 0x04
_END: Final = 0x05

_DECODERS: Final[Mapping[int, Callable[[bytes], FileFrame]]] = {
    _OPEN: _decode_open,
    _READY: _decode_ready,
    _WANT: _decode_want,
    _CHUNK: _decode_chunk,
    _END: _decode_end,
}
