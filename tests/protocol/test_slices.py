"""docs/protocol/files.md, "Slices"."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.ids import EventId
from chattor_bridge.protocol.chunks import Content, Offered
from chattor_bridge.protocol.events import Event, FileSlice, encode_event
from chattor_bridge.protocol.limits import (
    CHUNK_SIZE,
    CHUNKS_OF_GROUP,
    ENVELOPE_SIZES,
    MAX_INNER,
    MAX_SHELF_BLOCKS,
    MAX_SLICED_FILE,
    MAX_SLICES_WAITING,
    MAX_TIME,
    SLICE_SIZE,
)
from chattor_bridge.protocol.slices import Joining, cut, is_slice, slice_count
from tests.protocol.sources import NOW, session_pair
from tests.protocol.test_file_tree import offered

SIZES = (0, 1, SLICE_SIZE - 16, SLICE_SIZE - 15, CHUNK_SIZE, CHUNK_SIZE + 1, MAX_SLICED_FILE)


def sealed_chunks(file: Offered, data: bytes) -> list[bytes]:
    sealed = list[bytes]()
    for group in range(-(-file.content.count // CHUNKS_OF_GROUP)):
        start, length = file.bounds_of_group(group)
        count = -(-length // CHUNK_SIZE)
        chunks = file.sealed_chunks(group, data[start : start + length], group * CHUNKS_OF_GROUP, count)
        sealed += [chunk.sealed for chunk in chunks]
    return sealed


def join(content: Content, slices: list[bytes]) -> list[tuple[int, bytes]]:
    joining = Joining(content)
    chunks = [chunk for data in slices for chunk in joining.add(data)]
    joining.end()
    return chunks


@pytest.mark.parametrize("size", SIZES)
def test_what_was_cut_is_put_together(size: int) -> None:
    data = hashlib.shake_256(b"slices").digest(size)
    file = offered(data)
    sealed = sealed_chunks(file, data)
    slices = cut(b"".join(sealed))
    assert len(slices) == slice_count(file.content)
    assert all(is_slice(file.content, number, len(one)) for number, one in enumerate(slices))
    assert not is_slice(file.content, len(slices), 1)
    assert join(file.content, slices) == list(enumerate(sealed))


def test_the_largest_leaves_room_on_a_shelf() -> None:
    content = offered(bytes(MAX_SLICED_FILE)).content
    assert slice_count(content) == 75 <= MAX_SLICES_WAITING < MAX_SHELF_BLOCKS
    assert not is_slice(replace(content, size=MAX_SLICED_FILE + 1), 0, SLICE_SIZE)


def test_the_largest_slice_leaves_room_in_an_event() -> None:
    body = FileSlice(offered(b"").content.file_id, 65_535, bytes(SLICE_SIZE))
    said = Event(EventId(bytes(16)), MAX_TIME, body, reply=EventId(bytes(16)), thread=EventId(bytes(16)), expires=1)
    encoded = encode_event(said)
    assert len(encoded) < MAX_INNER - 800
    knocker, _ = session_pair()
    assert len(knocker.seal(encoded, random=bytes, now=NOW).envelope) == ENVELOPE_SIZES[-1]


@given(at=st.integers(0, 5 * SLICE_SIZE - 33), bit=st.integers(0, 7))
def test_another_bit_is_found(at: int, bit: int) -> None:
    data = bytes(5 * SLICE_SIZE - 32)
    file = offered(data)
    sealed = bytearray(b"".join(sealed_chunks(file, data)))
    sealed[at] ^= 1 << bit
    with pytest.raises(AuthenticationFailed):
        join(file.content, cut(bytes(sealed)))


def test_other_content_under_the_same_key_is_found() -> None:
    """Whoever offers a file can seal what it likes."""
    file = offered(bytes(CHUNK_SIZE + 1))
    lie = [file.content.seal(0, b"x" * CHUNK_SIZE), file.content.seal(1, b"x")]
    with pytest.raises(AuthenticationFailed):
        join(file.content, cut(b"".join(lie)))


def test_nothing_may_be_missing_or_too_much() -> None:
    data = bytes(3 * SLICE_SIZE)
    file = offered(data)
    slices = cut(b"".join(sealed_chunks(file, data)))
    for others in (slices[:-1], [*slices, b"x"], []):
        with pytest.raises(AuthenticationFailed):
            join(file.content, others)
