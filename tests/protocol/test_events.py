"""docs/protocol/events.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import LimitReached, MalformedData, UsageError
from chattor_bridge.ids import EventId, FileId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.chunks import Content
from chattor_bridge.protocol.events import (
    NO_AVATAR,
    Avatar,
    Body,
    Delete,
    Edit,
    Event,
    FileAccept,
    FileCancel,
    FileDone,
    FileOffer,
    FileSlice,
    Location,
    Poll,
    PollEnd,
    Profile,
    Reaction,
    Receipt,
    Text,
    Timer,
    Unknown,
    Vote,
    decode_event,
    encode_event,
)
from chattor_bridge.protocol.files import Thumbnail
from chattor_bridge.protocol.limits import (
    ENVELOPE_SIZES,
    MAX_ACCURACY,
    MAX_ANSWER,
    MAX_ANSWERS,
    MAX_BLURHASH,
    MAX_BYE_REASON,
    MAX_CAPTION,
    MAX_DURATION,
    MAX_EVENT_TYPE,
    MAX_FILE_NAME,
    MAX_FILE_SIZE,
    MAX_INNER,
    MAX_LATITUDE,
    MAX_LONGITUDE,
    MAX_MIME_TYPE,
    MAX_NAME,
    MAX_PIXELS,
    MAX_PLACE,
    MAX_QUESTION,
    MAX_REACTION,
    MAX_RECEIPT_EVENTS,
    MAX_SLICE_NUMBER,
    MAX_TEXT,
    MAX_THUMBNAIL,
    MAX_TIME,
    MAX_TIMER,
    MAX_TIMER_ROUND,
    MAX_WAVEFORM,
    SLICE_SIZE,
    WAVEFORM_PEAK,
)
from chattor_bridge.protocol.splitting import split_text
from tests.protocol.sources import NOW, Source, session_pair

_ID = EventId(bytes(range(16)))
_TEXT: dict[str, Any] = {"id": bytes(_ID), "time": NOW, "type": "text", "text": "Grüß dich"}

_LARGEST_OFFER = FileOffer(
    Content(FileId(bytes(16)), bytes(32), MAX_FILE_SIZE, bytes(32)),
    "x" * MAX_FILE_NAME,
    "x" * MAX_MIME_TYPE,
    "x" * MAX_EVENT_TYPE,
    "x" * MAX_CAPTION,
    MAX_PIXELS,
    MAX_PIXELS,
    MAX_DURATION,
    (WAVEFORM_PEAK,) * MAX_WAVEFORM,
    "x" * MAX_BLURHASH,
    Thumbnail(bytes(MAX_THUMBNAIL), "x" * MAX_MIME_TYPE, MAX_PIXELS, MAX_PIXELS),
)

_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
_ids = st.binary(min_size=16, max_size=16).map(EventId)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)
_lines = st.text("aöß漢🙂 ", min_size=1, max_size=MAX_REACTION // 4)
_kinds = st.sampled_from(["", "emote", "notice", "of.a_later9"])
_fields = st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), _values, max_size=4)
_bodies: st.SearchStrategy[Body] = st.one_of(
    _texts.map(Text),
    st.lists(_ids, min_size=1, max_size=MAX_RECEIPT_EVENTS).map(lambda ids: Receipt("read", tuple(ids))),
    st.builds(
        Profile,
        st.text("aöß漢🙂 ", min_size=1, max_size=MAX_NAME // 4),
        st.one_of(
            st.none(),
            st.just(NO_AVATAR),
            st.builds(Avatar, st.sampled_from(("image/png", "image/x-new")), st.binary(min_size=1, max_size=60)),
        ),
    ),
    st.builds(Text, _texts, _kinds),
    st.builds(Edit, _ids, st.just("") | _texts, _kinds),
    st.builds(Delete, _ids),
    st.builds(Reaction, _ids, _lines),
    st.builds(
        Location,
        st.integers(-MAX_LATITUDE, MAX_LATITUDE),
        st.integers(-MAX_LONGITUDE, MAX_LONGITUDE),
        st.none() | st.integers(0, MAX_ACCURACY),
        st.just("") | _lines,
    ),
    st.lists(_texts.filter(lambda text: len(text.encode()) <= MAX_ANSWER), min_size=1, max_size=MAX_ANSWERS).flatmap(
        lambda answers: st.builds(Poll, _texts, st.just(tuple(answers)), st.integers(1, len(answers)), st.booleans())
    ),
    st.builds(Vote, _ids, st.sets(st.integers(0, MAX_ANSWERS - 1)).map(lambda chosen: tuple(sorted(chosen)))),
    st.builds(PollEnd, _ids),
    st.builds(Timer, st.integers(0, MAX_TIMER), st.integers(1, MAX_TIMER_ROUND)),
    st.builds(
        FileOffer,
        st.builds(
            Content,
            _ids.map(FileId),
            st.binary(min_size=32, max_size=32),
            st.integers(0, MAX_FILE_SIZE),
            st.binary(min_size=32, max_size=32),
        ),
        _lines,
        st.just("") | _lines,
        _kinds,
        st.just("") | _texts,
        st.integers(0, MAX_PIXELS),
        st.integers(0, MAX_PIXELS),
        st.integers(0, MAX_DURATION),
        st.lists(st.integers(0, WAVEFORM_PEAK), max_size=MAX_WAVEFORM).map(tuple),
        st.just("") | _lines,
        st.none()
        | st.builds(
            Thumbnail,
            st.binary(min_size=1, max_size=99),
            _lines,
            st.integers(1, MAX_PIXELS),
            st.integers(1, MAX_PIXELS),
        ),
    ),
    st.builds(FileAccept, _ids.map(FileId)),
    st.builds(FileDone, _ids.map(FileId)),
    st.builds(FileCancel, _ids.map(FileId), st.from_regex(r"[a-z-]{1,32}", fullmatch=True)),
    st.builds(
        FileSlice, _ids.map(FileId), st.integers(0, MAX_SLICE_NUMBER), st.binary(min_size=1, max_size=SLICE_SIZE)
    ),
    st.builds(Unknown, st.from_regex(r"x_[a-z0-9_.]{1,20}", fullmatch=True), _fields),
)


def _events() -> st.SearchStrategy[Event]:
    def build(event: Event, extra: dict[str, object]) -> Event:
        return event if isinstance(event.body, Unknown) else replace(event, extra=extra)

    related = {"reply": st.none() | _ids, "thread": st.none() | _ids}
    plain = st.builds(Event, _ids, st.integers(0, MAX_TIME), _bodies, st.booleans(), st.just({}), **related)
    return st.builds(build, plain, _fields)


@given(_events())
def test_what_is_said_is_what_arrives(event: Event) -> None:
    data = encode_event(event)
    assert decode_event(data) == event
    assert encode_event(decode_event(data)) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_malformed(data: bytes) -> None:
    try:
        event = decode_event(data)
    except MalformedData:
        return
    assert encode_event(event) == data


@given(_events(), st.data())
def test_a_damaged_event_is_another_event_or_malformed(event: Event, data: st.DataObject) -> None:
    encoded = bytearray(encode_event(event))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        again = decode_event(bytes(encoded))
    except MalformedData:
        return
    assert encode_event(again) == encoded


@given(st.dictionaries(st.sampled_from(["id", "time", "type", "critical", "text", "kind", "events", "name"]), _values))
def test_any_fields_are_an_event_or_malformed(fields: dict[str, object]) -> None:
    try:
        event = decode_event(cbor.encode({**_TEXT, **fields}))
    except MalformedData:
        return
    assert cbor.decode(encode_event(event)) == {**_TEXT, **fields}


def test_unknown_keys_of_a_known_type_stay() -> None:
    fields = {**_TEXT, "seen_by": bytes(16), "effect": {"of": bytes(16), "for": 2}}
    event = decode_event(cbor.encode(fields))
    assert event.body == Text("Grüß dich")
    assert event.extra == {"seen_by": bytes(16), "effect": {"of": bytes(16), "for": 2}}
    assert cbor.decode(encode_event(event)) == fields


@pytest.mark.parametrize("critical", [False, True])
def test_an_unknown_type_is_kept(critical: bool) -> None:
    fields = {"id": bytes(_ID), "time": 7, "type": "circle.invite", "circle": b"c", "members": [1, {"a": None}]}
    if critical:
        fields["critical"] = True
    event = decode_event(cbor.encode(fields))
    assert event == Event(_ID, 7, Unknown("circle.invite", {"circle": b"c", "members": [1, {"a": None}]}), critical)
    assert encode_event(event) == cbor.encode(fields)


def test_a_kind_of_receipt_from_a_later_version_is_kept() -> None:
    fields = {"id": bytes(_ID), "time": 7, "type": "receipt", "kind": "played", "at": 3}
    event = decode_event(cbor.encode(fields))
    assert event.body == Unknown("receipt", {"kind": "played", "at": 3})
    assert encode_event(event) == cbor.encode(fields)


_POLL: dict[str, Any] = {"type": "poll", "question": "?", "answers": ["a", "b"], "choices": 1, "disclosed": True}
_FILE: dict[str, Any] = {"type": "file_offer", "file": bytes(16), "key": bytes(32), "size": 1, "root": bytes(32)}
_FILE["name"] = "a"
_WRONG: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "short id": {"id": bytes(15)},
    "long id": {"id": bytes(17)},
    "text for id": {"id": "0123456789abcdef"},
    "no time": {"time": None},
    "negative time": {"time": -1},
    "time past the end of calendars": {"time": MAX_TIME + 1},
    "boolean time": {"time": True},
    "no type": {"type": None},
    "type of other characters": {"type": "Text"},
    "empty type": {"type": ""},
    "type that only a node's own notes have": {"type": "node.missing"},
    "long type": {"type": "x" * (MAX_EVENT_TYPE + 1)},
    "critical said to be false": {"critical": False},
    "critical as a number": {"critical": 1},
    "no text": {"text": None},
    "empty text": {"text": ""},
    "text as bytes": {"text": b"hello"},
    "text one byte too long": {"text": "x" * (MAX_TEXT + 1)},
    "text of two-byte characters too long": {"text": "ü" * (MAX_TEXT // 2 + 1)},
    "no name": {"type": "profile"},
    "empty name": {"type": "profile", "name": ""},
    "long name": {"type": "profile", "name": "ü" * (MAX_NAME // 2 + 1)},
    "line break in a name": {"type": "profile", "name": "a\nb"},
    "escape in a name": {"type": "profile", "name": "a\x9b31m"},
    "receipt without a kind": {"type": "receipt", "events": [bytes(16)]},
    "receipt for nothing": {"type": "receipt", "kind": "read", "events": []},
    "receipt for too much": {"type": "receipt", "kind": "read", "events": [bytes(16)] * (MAX_RECEIPT_EVENTS + 1)},
    "receipt for something else": {"type": "receipt", "kind": "read", "events": [bytes(15)]},
    "reply to half an id": {"reply": bytes(15)},
    "thread named by text": {"thread": "root"},
    "kind that is no word": {"kind": "Emote"},
    "empty kind": {"kind": ""},
    "edit of nothing": {"type": "edit"},
    "edit to nothing": {"type": "edit", "target": bytes(16), "text": ""},
    "deletion of nothing": {"type": "delete"},
    "reaction without a sign": {"type": "reaction", "target": bytes(16)},
    "reaction too long": {"type": "reaction", "target": bytes(16), "emoji": "x" * (MAX_REACTION + 1)},
    "reaction in two lines": {"type": "reaction", "target": bytes(16), "emoji": "a\nb"},
    "place without a longitude": {"type": "location", "latitude": 0},
    "place in halves": {"type": "location", "latitude": True, "longitude": 0},
    "place too far east": {"type": "location", "latitude": 0, "longitude": MAX_LONGITUDE + 1},
    "place too vague": {"type": "location", "latitude": 0, "longitude": 0, "accuracy": MAX_ACCURACY + 1},
    "place with a long name": {"type": "location", "latitude": 0, "longitude": 0, "name": "x" * (MAX_PLACE + 1)},
    "poll without answers": {**_POLL, "answers": []},
    "poll with too many answers": {**_POLL, "answers": ["x"] * (MAX_ANSWERS + 1)},
    "poll with a long answer": {**_POLL, "answers": ["x" * (MAX_ANSWER + 1), "y"]},
    "poll with a long question": {**_POLL, "question": "x" * (MAX_QUESTION + 1)},
    "poll with more choices than answers": {**_POLL, "choices": 3},
    "poll without choices": {**_POLL, "choices": 0},
    "poll that may or may not be disclosed": {**_POLL, "disclosed": 1},
    "vote for one answer twice": {"type": "vote", "target": bytes(16), "choices": [1, 1]},
    "vote for no number": {"type": "vote", "target": bytes(16), "choices": [False]},
    "vote for an answer no poll has": {"type": "vote", "target": bytes(16), "choices": [MAX_ANSWERS]},
    "end of nothing": {"type": "poll_end"},
    "file without a key": {"type": "file_offer", "file": bytes(16), "size": 1, "root": bytes(32), "name": "a"},
    "file without a name": {**_FILE, "name": ""},
    "file with half a root": {**_FILE, "root": bytes(16)},
    "file of 2^60 bytes": {**_FILE, "size": 2**60},
    "file of less than nothing": {**_FILE, "size": -1},
    "file with an empty caption": {**_FILE, "caption": ""},
    "file with an empty waveform": {**_FILE, "waveform": []},
    "file with a long waveform": {**_FILE, "waveform": [0] * (MAX_WAVEFORM + 1)},
    "file with a picture that is none": {**_FILE, "thumbnail": b"x"},
    "end of a file for no reason": {"type": "file_cancel", "file": bytes(16)},
    "end of half a file": {"type": "file_done", "file": bytes(8)},
    "timer that goes back": {"type": "timer", "seconds": -1},
    "timer of years": {"type": "timer", "seconds": MAX_TIMER + 1},
    "receipt without a list": {"type": "receipt", "kind": "read", "events": bytes(16)},
}


@pytest.mark.parametrize("change", _WRONG.values(), ids=_WRONG.keys())
def test_what_breaks_a_rule_is_malformed(change: dict[str, Any]) -> None:
    fields = {key: value for key, value in {**_TEXT, **change}.items() if value is not None}
    with pytest.raises(MalformedData):
        decode_event(cbor.encode(fields))


_NO_EVENTS: list[object] = [[], "text", 1, None, {}, {1: 2}, dict([*_TEXT.items(), (1, 2)])]


@pytest.mark.parametrize("value", _NO_EVENTS, ids=str)
def test_what_is_no_event_is_malformed(value: object) -> None:
    with pytest.raises(MalformedData):
        decode_event(cbor.encode(value))


def test_an_oversized_event_is_malformed_and_is_not_sent() -> None:
    too_much = {"x_filler": bytes(MAX_INNER)}
    with pytest.raises(MalformedData):
        decode_event(cbor.encode({**_TEXT, **too_much}))
    for event in (Event(_ID, NOW, Text("hello"), extra=too_much), Event(_ID, NOW, Text("ü" * (MAX_TEXT // 2 + 1)))):
        with pytest.raises(LimitReached):
            encode_event(event)


@pytest.mark.parametrize(
    "event",
    [
        Event(EventId(b"short"), NOW, Text("hello")),
        Event(_ID, -1, Text("hello")),
        Event(_ID, NOW, Text("")),
        Event(_ID, NOW, Text("half a character: \ud800")),
        Event(_ID, NOW, Profile("a\x07b")),
        Event(_ID, NOW, Receipt("read", ())),
        Event(_ID, NOW, Unknown("text", {})),
        Event(_ID, NOW, Unknown("Bad Type", {})),
        Event(_ID, NOW, Unknown("x_pi", {"pi": 3.14})),
    ],
    ids=str,
)
def test_what_nobody_would_read_is_not_sent(event: Event) -> None:
    with pytest.raises(UsageError):
        encode_event(event)


def test_the_longest_text_and_the_longest_receipt_fit_their_envelopes() -> None:
    session, _ = session_pair()
    for body, size in (
        (Text("x" * MAX_TEXT), ENVELOPE_SIZES[2]),
        (Poll("x" * MAX_QUESTION, ("x" * MAX_ANSWER,) * MAX_ANSWERS), ENVELOPE_SIZES[2]),
        (Reaction(_ID, "x" * MAX_REACTION), ENVELOPE_SIZES[0]),
        (_LARGEST_OFFER, ENVELOPE_SIZES[2]),
        (FileCancel(FileId(bytes(_ID)), "x" * MAX_BYE_REASON), ENVELOPE_SIZES[0]),
        (Receipt("read", (_ID,) * MAX_RECEIPT_EVENTS), ENVELOPE_SIZES[0]),
    ):
        inner = encode_event(Event(_ID, MAX_TIME, body))
        assert len(session.seal(inner, random=Source("envelope"), now=NOW).envelope) == size


# --- splitting -----------------------------------------------------------------------------------------------------

_long_texts = st.lists(
    st.tuples(st.text(" \n abcüß漢🙂é\u0301\u200d\U0001f3fd", min_size=1, max_size=30), st.integers(1, 3_000)),
    max_size=5,
).map(lambda runs: "".join(text * times for text, times in runs))


@given(_long_texts)
def test_pieces_fit_and_give_the_text_back(text: str) -> None:
    pieces = split_text(text)
    assert "".join(pieces) == text
    assert all(1 <= len(piece.encode()) <= MAX_TEXT for piece in pieces)
    assert len(pieces) <= len(text.encode()) // (MAX_TEXT // 2 - 200) + 1


def test_a_text_that_fits_is_one_piece() -> None:
    assert split_text("") == []
    assert split_text("hello\nworld") == ["hello\nworld"]
    assert split_text("ü" * (MAX_TEXT // 2)) == ["ü" * (MAX_TEXT // 2)]


def test_lines_stay_whole() -> None:
    line = "twelve words make a line of this text and it ends here.\n"
    pieces = split_text(line * 1_000)
    assert len(pieces) > 1
    assert all(piece.endswith("\n") for piece in pieces)


def test_words_stay_whole_where_lines_are_long() -> None:
    pieces = split_text("word " * 10_000)
    assert len(pieces) > 1
    assert all(piece.endswith("word ") for piece in pieces)


@pytest.mark.parametrize("cluster", ["e\u0301", "👩\u200d👩\u200d👧", "👍\U0001f3fd", "☝\ufe0f", "ü", "漢"])
def test_what_is_drawn_as_one_character_stays_whole(cluster: str) -> None:
    for offset in range(4):
        pieces = split_text("x" * offset + cluster * MAX_TEXT)
        assert all(piece.removeprefix("x" * offset).replace(cluster, "") == "" for piece in pieces)


def test_an_endless_pile_of_accents_is_cut_somewhere() -> None:
    pieces = split_text("a" + "\u0301" * MAX_TEXT)
    assert "".join(pieces) == "a" + "\u0301" * MAX_TEXT
    assert len(pieces) == 3
