"""docs/protocol/encoding.md, Framing and Padding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.padding import pad, unpad


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.integers(1, 50))
def test_messages_come_out_however_the_bytes_come_in(messages: list[bytes], step: int) -> None:
    stream = b"".join(map(frame, messages))
    splitter = FrameSplitter()
    received = []
    for at in range(0, len(stream), step):
        received += splitter.receive(stream[at : at + step])
    assert received == messages
    assert splitter.pending == 0


def test_the_longest_message() -> None:
    longest = bytes(65_535)
    assert FrameSplitter().receive(frame(longest)) == [longest]


@pytest.mark.parametrize("size", [0, 65_536])
def test_what_no_frame_holds(size: int) -> None:
    with pytest.raises(ValueError, match="a frame holds"):
        frame(bytes(size))


def test_a_length_is_judged_before_its_bytes_come() -> None:
    for head in (b"\x00\x00", b"\x00\x65"):
        with pytest.raises(MalformedData):
            FrameSplitter(100).receive(head)
    assert FrameSplitter(100).receive(b"\x00\x64") == []


def test_the_limit_may_change_between_messages() -> None:
    splitter = FrameSplitter(5)
    splitter.feed(frame(b"small") + frame(b"much larger"))
    assert splitter.next_message() == b"small"
    splitter.max_length = 20
    assert splitter.next_message() == b"much larger"
    assert splitter.next_message() is None


@given(st.binary(max_size=200), st.integers(0, 100))
def test_padding_comes_off(data: bytes, extra: int) -> None:
    padded = pad(data, len(data) + 1 + extra)
    assert len(padded) == len(data) + 1 + extra
    assert unpad(padded) == data


def test_padding_needs_room_for_its_mark() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pad(b"1234", 4)


@pytest.mark.parametrize("padded", [b"", b"\x00", b"data", b"data\x80\x00\x01", b"data\x81\x00", bytes(100)])
def test_broken_padding(padded: bytes) -> None:
    with pytest.raises(MalformedData):
        unpad(padded)
