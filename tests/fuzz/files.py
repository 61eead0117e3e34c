"""What comes with files: frames and streams of them, and slices in envelopes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from chattor_bridge.errors import AuthenticationFailed, MalformedData, PeerMisbehaved
from chattor_bridge.ids import FileId
from chattor_bridge.protocol.chunks import Content, Offered, SealedChunk
from chattor_bridge.protocol.fileframes import decode_file_frame, encode_file_frame
from chattor_bridge.protocol.filestream import FileStream, Part
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.handshake import Purpose
from chattor_bridge.protocol.limits import (
    FILE_SIZES,
    MAX_CHUNKS_WANTED,
)
from chattor_bridge.protocol.link import Link, Pattern
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.slices import Joining
from chattor_bridge.protocol.tree import leaf_hash
from tests.fuzz.target import Target, from_vectors
from tests.protocol.links import Friendship
from tests.protocol.sources import Source

_TAG_SIZE = 16


def _file_frame(data: bytes) -> None:
    with suppress(MalformedData):
        each = decode_file_frame(data)
        assert decode_file_frame(encode_file_frame(each)) == each


def _file_stream(data: bytes) -> None:
    """What a friend can put into an authentic message of a file stream, at every part and place of it."""
    for part in Part:
        for is_open in (False, True):
            dialling, answering = _file_streams(part)
            if is_open:
                answering.ready(Part.OFFERS if part is Part.FETCHES else Part.FETCHES)
                dialling.receive(answering.data_to_send())
            ends = (dialling, answering) if is_open else (dialling,)
            for end in ends:
                if is_open and end._part is Part.FETCHES:
                    end.want(0, 3)
                    end.data_to_send()
                wanted = end.under_way
                with suppress(PeerMisbehaved):
                    events = end.receive(_authentic(answering if end is dialling else dialling, data))
                    assert len(events) == 1
                    if isinstance(events[0], SealedChunk):
                        assert (is_open, end._part, end.under_way) == (True, Part.FETCHES, wanted - 1)
                    assert end.under_way <= MAX_CHUNKS_WANTED


def _authentic(sender: FileStream, data: bytes) -> bytes:
    assert sender._secured is not None
    size = next((each for each in FILE_SIZES if len(data) < each - _TAG_SIZE), FILE_SIZES[-1])
    return frame(sender._secured.seal(pad(data[: size - _TAG_SIZE - 1], size - _TAG_SIZE)))


def _file_streams(part: Part) -> tuple[FileStream, FileStream]:
    friendship = Friendship("fuzzed files")
    keys = [replace(one(Pattern.KK), purpose=Purpose.FILE) for one in (friendship.owner, friendship.knocker)]
    have = 0 if part is Part.FETCHES else None
    dialling = FileStream.dial(keys[0], friendship.onion, Source("dialling"), FileId(bytes(16)), part, have)
    link = Link.answer([keys[1]], friendship.onion, Source("answering"))
    link.receive(dialling.data_to_send())
    answering = FileStream.answered(*link.hand_over())
    dialling.receive(answering.data_to_send())
    answering.receive(dialling.data_to_send())
    return dialling, answering


def _slices(data: bytes) -> None:
    """What a friend says in slices is the file that it offered, or refused."""
    offered = Offered(Content(FileId(bytes(16)), bytes(32), 5, leaf_hash(b"hello")), leaf_hash(b"hello"))
    joining, [chunk] = Joining(offered.content), offered.sealed_chunks(0, b"hello", 0, 1)
    with suppress(AuthenticationFailed):
        joined = [one for at in range(0, len(data), 7) for one in joining.add(data[at : at + 7])]
        joining.end()
        assert joined == [(0, chunk.sealed)]
        assert data == chunk.sealed


def _file_frames() -> tuple[bytes, ...]:
    return tuple(seed for seed in from_vectors("files.json", "bytes") if len(seed) < 1_000)


TARGETS = (
    Target("file_frame", _file_frame, _file_frames()),
    Target("file_stream", _file_stream, _file_frames()),
    Target("slices", _slices, (Content(FileId(bytes(16)), bytes(32), 5, bytes(32)).seal(0, b"hello"),)),
)
