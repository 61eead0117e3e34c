"""docs/protocol/link.md, "Frames"."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.frames import (
    BYE_REASONS,
    AckFrame,
    Bye,
    EnvelopeFrame,
    Frame,
    Hello,
    KeepAlive,
    Onions,
    ResyncAnswer,
    ResyncDone,
    ResyncStart,
    SignalFrame,
    decode_frames,
    encode_frame,
)
from chattor_bridge.protocol.limits import (
    ENVELOPE_SIZES,
    LINK_SIZES,
    MAX_BYE_REASON,
    MAX_CAPABILITIES,
    MAX_CAPABILITY_NAME,
    MAX_EPOCH,
    MAX_HELLO,
    MAX_ONIONS_FRAME,
    MAX_SEQ,
    MAX_SIGNAL,
    MAX_VERSION,
    MAX_VERSIONS,
)
from chattor_bridge.protocol.window import Ack
from tests.protocol.sources import onion_key

HELLO = Hello((1,), ("profile", "receipt", "text"), bytes(range(16)), 0, 3, 2)

_names = st.from_regex(r"[a-z0-9._-]{1,32}", fullmatch=True)
_seqs = st.integers(0, MAX_SEQ)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Hello,
        st.sets(st.integers(1, MAX_VERSION), min_size=1, max_size=MAX_VERSIONS).map(lambda found: tuple(sorted(found))),
        st.sets(_names, max_size=MAX_CAPABILITIES).map(lambda found: tuple(sorted(found))),
        st.binary(min_size=16, max_size=16),
        st.integers(0, MAX_EPOCH),
        _seqs,
        _seqs,
        st.binary(min_size=16, max_size=16),
    ),
    st.sampled_from(ENVELOPE_SIZES).map(lambda size: EnvelopeFrame(bytes(size))),
    st.builds(lambda upto, gap, run: AckFrame(Ack(upto, ((upto + gap, upto + gap + run),))), *[st.integers(2, 99)] * 3),
    st.binary(min_size=1, max_size=MAX_SIGNAL).map(SignalFrame),
    st.just(KeepAlive()),
    st.builds(Onions, *[st.none() | st.text(max_size=9).map(onion_key)] * 2, asks=st.booleans()),
    st.builds(Onions, st.text(max_size=9).map(onion_key), keeps=st.just(True), dials=st.none(), asks=st.booleans()),
    st.sampled_from(BYE_REASONS).map(Bye),
    st.just(ResyncStart(cbor.encode({"key": bytes(32), "kem": bytes(1_184)}))),
    st.just(ResyncAnswer(cbor.encode({"key": bytes(32), "kem": bytes(1_088)}), bytes(40), bytes(45))),
    st.just(ResyncDone()),
)


@given(st.lists(frames, min_size=1, max_size=5))
def test_frames_follow_one_another(said: list[Frame]) -> None:
    assert decode_frames(b"".join(map(encode_frame, said))) == said


@given(st.binary(max_size=100))
def test_any_bytes_are_frames_or_malformed(data: bytes) -> None:
    try:
        decode_frames(data)
    except MalformedData:
        return


@given(st.sampled_from(range(1, 8)), st.binary(max_size=60))
def test_any_body_is_a_frame_or_malformed(kind: int, body: bytes) -> None:
    try:
        found = decode_frames(_frame(kind, body))
    except MalformedData:
        return
    assert b"".join(map(encode_frame, found)) == _frame(kind, body)


def _frame(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def test_every_envelope_leaves_room_for_its_head_the_tag_and_the_padding_mark() -> None:
    for envelope, message in zip(ENVELOPE_SIZES, LINK_SIZES, strict=False):
        assert len(encode_frame(EnvelopeFrame(bytes(envelope)))) + 16 + 1 <= message


def test_the_longest_hello_is_allowed() -> None:
    names = tuple(sorted(f"{number:0{MAX_CAPABILITY_NAME}}" for number in range(MAX_CAPABILITIES)))
    versions = tuple(range(MAX_VERSION - MAX_VERSIONS + 1, MAX_VERSION + 1))
    hello = Hello(versions, names, bytes(16), MAX_EPOCH, MAX_SEQ, MAX_SEQ)
    assert decode_frames(encode_frame(hello)) == [hello]


def test_a_hello_may_say_more_than_this_version_knows() -> None:
    fields = {**_HELLO, "shelf": [1, 2], "x": None}
    assert decode_frames(_frame(0x01, cbor.encode(fields))) == [HELLO]


@pytest.mark.parametrize("kind", [0x80, 0xFF])
def test_an_unknown_frame_that_may_be_passed_over_is(kind: int) -> None:
    data = _frame(kind, b"later") + encode_frame(KeepAlive()) + _frame(kind, b"")
    assert decode_frames(data) == [KeepAlive()]


@pytest.mark.parametrize("kind", [0x00, 0x0B, 0x7F])
def test_an_unknown_frame_that_matters_is_malformed(kind: int) -> None:
    with pytest.raises(MalformedData):
        decode_frames(_frame(kind, b""))


_HELLO: dict[str, Any] = {
    "versions": [1],
    "capabilities": ["profile", "receipt", "text"],
    "session": bytes(range(16)),
    "epoch": 0,
    "sent": 3,
    "received": 2,
    "seen": bytes(16),
}
_WRONG_HELLOS: dict[str, dict[str, Any]] = {
    "no versions": {"versions": []},
    "version zero": {"versions": [0]},
    "descending versions": {"versions": [2, 1]},
    "a version twice": {"versions": [1, 1]},
    "too high a version": {"versions": [MAX_VERSION + 1]},
    "too many versions": {"versions": list(range(1, MAX_VERSIONS + 2))},
    "a version that is a boolean": {"versions": [True]},
    "unsorted capabilities": {"capabilities": ["b", "a"]},
    "a capability twice": {"capabilities": ["a", "a"]},
    "an empty capability": {"capabilities": [""]},
    "a capability of other characters": {"capabilities": ["A"]},
    "a capability with a line break": {"capabilities": ["a\n"]},
    "a long capability": {"capabilities": ["a" * (MAX_CAPABILITY_NAME + 1)]},
    "too many capabilities": {"capabilities": [f"{number:04}" for number in range(MAX_CAPABILITIES + 1)]},
    "a short session id": {"session": bytes(15)},
    "a negative epoch": {"epoch": -1},
    "an epoch too high": {"epoch": MAX_EPOCH + 1},
    "sent too high": {"sent": MAX_SEQ + 1},
    "received that is no number": {"received": "2"},
    "a long digest": {"seen": bytes(17)},
    "too large": {"x": bytes(MAX_HELLO)},
}


@pytest.mark.parametrize("change", _WRONG_HELLOS.values(), ids=_WRONG_HELLOS.keys())
def test_a_wrong_hello_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedData):
        decode_frames(_frame(0x01, cbor.encode({**_HELLO, **change})))


@pytest.mark.parametrize("missing", _HELLO)
def test_a_hello_says_everything(missing: str) -> None:
    with pytest.raises(MalformedData):
        decode_frames(_frame(0x01, cbor.encode({key: value for key, value in _HELLO.items() if key != missing})))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x06",
        b"\x06\x00",
        b"\x06\x00\x01",
        _frame(0x06, b"x"),
        _frame(0x02, b""),
        _frame(0x02, bytes(999)),
        _frame(0x02, bytes(16_001)),
        _frame(0x03, b""),
        _frame(0x03, cbor.encode([])),
        _frame(0x03, cbor.encode([1, 2, 2])),
        _frame(0x03, cbor.encode([1, 3, 3]) + b"\0"),
        _frame(0x04, b""),
        _frame(0x04, bytes(MAX_SIGNAL + 1)),
        _frame(0x05, b""),
        _frame(0x05, b"No"),
        _frame(0x05, b"gr\xc3\xbc\xc3\x9fe"),
        _frame(0x05, b"closing\n"),
        _frame(0x05, b"x" * (MAX_BYE_REASON + 1)),
    ],
    ids=lambda data: data[:12].hex() or "empty",
)
def test_what_breaks_a_rule_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedData):
        decode_frames(data)


@pytest.mark.parametrize(
    "frame",
    [EnvelopeFrame(b"short"), SignalFrame(b""), Bye("Not a word"), Hello((), (), bytes(16), 0, 0, 0)],
    ids=lambda frame: type(frame).__name__,
)
def test_what_nobody_would_read_is_not_sent(frame: Frame) -> None:
    with pytest.raises(ValueError, match=":"):
        encode_frame(frame)


def test_an_onions_frame_may_say_more_than_this_version_knows() -> None:
    body = cbor.encode({"hosts": bytes(onion := onion_key("hosted")), "later": 1})
    assert decode_frames(b"\x07" + len(body).to_bytes(2, "big") + body) == [Onions(onion, None)]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"hosts": bytes(31)}, {"hosts": bytes(32)}, {"dials": "x" * 32}, {"x": bytes(MAX_ONIONS_FRAME)}, []),
        *({"asks": False}, {"asks": 1}, {"keeps": True}),
    ],
)
def test_a_wrong_onions_frame_is_malformed(wrong: object) -> None:
    body = cbor.encode(wrong)
    with pytest.raises(MalformedData):
        decode_frames(b"\x07" + len(body).to_bytes(2, "big") + body)
