"""docs/protocol/wire.cddl describes what the vectors hold, and nothing wider than what is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycddl import Schema, ValidationError  # type: ignore[import-untyped]

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.events import EVENT_TYPES, Body, Shelves, Unknown, decode_event
from chattor_bridge.protocol.frames import decode_frames
from tests.vectors import independent as plain

_DOCS = Path(__file__).parents[2] / "docs/protocol"
_CDDL = "\n".join((_DOCS / name).read_text(encoding="utf-8") for name in ("handshake.cddl", "wire.cddl"))
_SCHEMAS = {
    rule: Schema(f"start = {rule}\n{_CDDL}")
    for rule in re.findall(r"^([a-z-]+) = [{[]", (_DOCS / "wire.cddl").read_text(encoding="utf-8"), re.MULTILINE)
}

# The rule for the events that this version knows none better for covers the others too, so the branches of ``event``
# are chosen by what the decoder makes of the bytes.
_RULE_OF_TYPE = {name: f"{name.replace('_', '-')}-event" for name in EVENT_TYPES} | {"receipt": "read-event"}


def _rule_of(body: Body) -> str:
    return "unknown-event" if isinstance(body, Unknown) else _RULE_OF_TYPE[body.TYPE]


_OPTIONAL = {
    "profile-event": {"avatar", "avatar_type"},
    "file-offer-event": {
        *("mime", "kind", "caption", "width", "height", "duration", "waveform", "blurhash", "thumbnail"),
    },
    "edit-event": {"text"},
    "location-event": {"accuracy", "name"},
    "link-onions": {"hosts", "dials", "keeps", "asks"},
    "read-event": set[str](),  # where the kind must be
}

_RULE_OF_FRAME = {
    "hello": "link-hello",
    "onions": "link-onions",
    "resync-start": "resync-start",
    "resync-answer": "resync-answer",
}


def _matches(rule: str, data: bytes) -> bool:
    try:
        _SCHEMAS[rule].validate_cbor(data)
    except ValidationError:
        return False
    return True


def _structures() -> list[tuple[str, bytes]]:
    structures = [("prologue", bytes.fromhex(link["prologue"])) for link in plain.load("link.json")]
    structures += [
        (rule, bytes.fromhex(vector["bytes"])[3:])
        for vector in plain.load("frames.json")["frames"]
        if (rule := _RULE_OF_FRAME.get(vector["frame"]["type"]))
    ]
    structures += [
        ("resync-head", plain.read_cbor(data)["head"]) for rule, data in structures if rule == "resync-answer"
    ]
    for vector in plain.load("signals.json")["signals"]:
        structures.append((f"{vector['signal']['type']}-signal", bytes.fromhex(vector["bytes"])))
    for vector in plain.load("events.json")["events"]:
        data = bytes.fromhex(vector["bytes"])
        structures.append((_rule_of(decode_event(data).body), data))
        if isinstance(body := decode_event(data).body, Shelves):
            structures += [("deposit", plain.cbor(one.to_fields())) for one in body.deposits]
    return structures


def test_every_rule_has_a_vector() -> None:
    assert {rule for rule, _ in _structures()} == set(_SCHEMAS)


@pytest.mark.parametrize(("rule", "data"), _structures())
def test_the_structures_of_the_vectors(rule: str, data: bytes) -> None:
    assert _matches(rule, data)


@pytest.mark.parametrize(("rule", "data"), [pair for pair in _structures() if pair[0] != "prologue"])
def test_each_field_is_described(rule: str, data: bytes) -> None:
    """Nothing can go missing or change its type unnoticed, and later fields may come."""
    fields: dict[str, Any] = plain.read_cbor(data)
    described = {"id", "time", "type"} if rule == "unknown-event" else set(fields) - {"critical", "seen_by", "where"}
    assert _matches(rule, plain.cbor(fields | {"later": 1})) == (rule != "deposit")
    for name in described:
        optional = (
            name in {"reply", "thread", "expires"}
            or (name == "kind" and "text" in fields)
            or name in _OPTIONAL.get(rule, ())
        )
        assert _matches(rule, plain.cbor({key: value for key, value in fields.items() if key != name})) == optional
        assert not _matches(rule, plain.cbor(fields | {name: None}))


# Control characters, order, points of a curve and what one number says of another CDDL leaves to the text; and the
# checker searches where ``.regexp`` means the whole string, and looks past what a map within an array has too much.
_NOT_CHECKED = {
    "a line break in a name",
    "a type in capitals",
    "a poll with more choices than answers",
    "a vote that is not ascending",
    "a file with a name in two lines",
    "a shelf whose onion is no key",
    "a shelf for a sender with one thing more",
}


@pytest.mark.parametrize("vector", plain.load("events.json")["refused"], ids=lambda vector: vector["why"])
def test_refused_events_are_not_deterministic_or_not_as_described(vector: Any) -> None:
    data = bytes.fromhex(vector["bytes"])
    with pytest.raises(MalformedData):
        decode_event(data)
    try:
        fields = plain.read_cbor(data)
    except (AssertionError, IndexError, KeyError):
        return
    rule = _RULE_OF_TYPE.get(fields["type"], "unknown-event") if isinstance(fields, dict) else "unknown-event"
    assert _matches(rule, data) == (vector["why"] in _NOT_CHECKED)


@pytest.mark.parametrize(
    "prologue",
    [
        ["chattor/v1/link", 1, bytes(32)],
        ["chattor/v1/link", 2, bytes(32), "owner"],
        ["chattor/v2/link", 1, bytes(32), "owner"],
        ["chattor/v1/link", 1, bytes(31), "owner"],
        ["chattor/v1/link", 1, bytes(32), "friend"],
    ],
)
def test_what_no_prologue_is(prologue: list[object]) -> None:
    assert not _matches("prologue", plain.cbor(prologue))


_fields = st.dictionaries(
    st.sampled_from(["id", "time", "type", "critical", "text", "name", "kind", "events"]),
    st.one_of(
        st.sampled_from(["text", "profile", "receipt", "read", "x", "Bad", "", 0, -1, 253_402_300_800, True, False]),
        st.sampled_from([None, bytes(16), bytes(15), [bytes(16)], [bytes(16)] * 41, "x" * 65, "x" * 14_001]),
    ),
)


@given(_fields)
@settings(max_examples=300, deadline=None)
def test_what_is_read_as_an_event_is_described_as_one(fields: dict[str, object]) -> None:
    data = plain.cbor({"id": bytes(16), "time": 1, "type": "text", "text": "hello"} | fields)
    try:
        event = decode_event(data)
    except MalformedData:
        return
    assert _matches(_rule_of(event.body), data)


@given(
    st.dictionaries(
        st.sampled_from(["versions", "capabilities", "session", "epoch", "sent", "received", "seen"]),
        st.sampled_from([[], [1], [2, 1], [0], ["a"], ["b", "a"], ["A"], bytes(16), bytes(15), 0, 7, -1, 2**32, 2**63]),
        max_size=3,
    )
)
@settings(max_examples=300, deadline=None)
def test_what_is_read_as_a_hello_is_described_as_one(changes: dict[str, object]) -> None:
    hello: dict[str, object] = {"versions": [1], "capabilities": ["a"], "session": bytes(16), "epoch": 0}
    hello |= {"sent": 0, "received": 0, "seen": bytes(16)}
    body = plain.cbor(hello | changes)
    try:
        decode_frames(b"\x01" + len(body).to_bytes(2, "big") + body)
    except MalformedData:
        return
    assert _matches("link-hello", body)
