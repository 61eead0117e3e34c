"""Makes link.json, frames.json, signals.json and events.json with the code under test.

``python -m tests.vectors.make_wire`` writes them anew; ``test_wire_vectors.py`` checks that they are what is written,
and verifies them without this code. Byte strings are lower-case hexadecimal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import EventId, FileId, ShelfId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.chunks import Content
from chattor_bridge.protocol.events import (
    NO_AVATAR,
    Avatar,
    CarryAsk,
    CarryEnd,
    CarryOffer,
    Delete,
    Deposit,
    Edit,
    EpochAccept,
    EpochOffer,
    Event,
    FileAccept,
    FileCancel,
    FileDone,
    FileOffer,
    FileSlice,
    Location,
    Merge,
    MergeDone,
    Poll,
    PollEnd,
    Profile,
    Reaction,
    Receipt,
    Retire,
    ShelfClose,
    ShelfOpen,
    ShelfReady,
    Shelves,
    Text,
    Timer,
    Unknown,
    VerifyAccept,
    VerifyDone,
    VerifyKey,
    VerifyStart,
    Vote,
    decode_event,
    encode_event,
)
from chattor_bridge.protocol.files import Thumbnail
from chattor_bridge.protocol.frames import (
    AckFrame,
    Block,
    Bye,
    Collected,
    EnvelopeFrame,
    Frame,
    Hello,
    Holding,
    KeepAlive,
    Onions,
    ResyncAnswer,
    ResyncDone,
    ResyncStart,
    SignalFrame,
    decode_frames,
    encode_frame,
)
from chattor_bridge.protocol.handshake import prologue
from chattor_bridge.protocol.limits import MAX_TEXT, SLICE_SIZE
from chattor_bridge.protocol.link import Established, Link, LinkKeys, Pattern
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.signals import Here, Presence, Signal, Typing, encode_signal, read_signal
from chattor_bridge.protocol.window import Ack
from tests.protocol.sources import NOW, Source, onion_key

_HERE = Path(__file__).parent
_HELLO = Hello((1,), ("profile", "receipt", "text"), Source("session id")(16), 0, 7, 5, Source("seen")(16))
_ONION, _OTHER_ONION = onion_key("hosted"), onion_key("dialled")
_SHELF = ShelfId(Source("shelf")(16))
_ID = EventId(Source("event")(16))
_CONTENT = Content(FileId(Source("file id")(16)), Source("file key")(32), 2**36, Source("file root")(32))

_FILE: dict[str, object] = {"type": "file_offer", "file": bytes(16), "key": bytes(32), "size": 1, "root": bytes(32)}
_FILE |= {"name": "a"}
_SLICE: dict[str, object] = {"type": "file_slice", "file": bytes(16), "number": 0, "data": b"x"}
_SMALL: dict[str, object] = {"data": b"x", "mime": "image/png", "width": 1, "height": 1}


# --- link ------------------------------------------------------------------------------------------------------------


def links() -> list[dict[str, Any]]:
    """An accepting link, a later one, and one to a reverse onion, which the owner hosts."""
    return [
        _link("accepting", Pattern.IK, dialler="owner", largest=1_000),
        _link("later", Pattern.KK, dialler="owner", largest=16_000),
        _link("reverse", Pattern.KK, dialler="knocker", largest=4_000),
    ]


def _link(name: str, pattern: Pattern, *, dialler: str, largest: int) -> dict[str, Any]:
    answerer = "knocker" if dialler == "owner" else "owner"
    source = Source(f"link {name}")
    dialling_static, answering_static, psk = source(32), source(32), source(32)
    onion = onion_key(f"link {name}")
    known = None if pattern is Pattern.IK else x25519_public(dialling_static)
    dialling_random, answering_random = Source(f"link {name} dialling"), Source(f"link {name} answering")
    dialling = Link.dial(
        LinkKeys(dialling_static, x25519_public(answering_static), psk, pattern, dialler), onion, dialling_random
    )
    answering = Link.answer([LinkKeys(answering_static, known, psk, pattern, answerer)], onion, answering_random)
    first = dialling.data_to_send()
    answering.receive(first)
    second = answering.data_to_send()
    [established] = dialling.receive(second)
    assert isinstance(established, Established)
    said: list[tuple[str, list[Frame]]] = [
        ("dialling", [_HELLO]),
        ("answering", [_HELLO, EnvelopeFrame(Source("envelope")(1_000))]),
        ("dialling", [EnvelopeFrame(Source("envelope")(largest)), AckFrame(Ack(6))]),
        ("answering", [KeepAlive()]),
        ("dialling", [Bye("closing")]),
    ]
    ends = {"dialling": (dialling, answering), "answering": (answering, dialling)}
    stream: list[tuple[str, list[str], bytes]] = [("dialling", [], first), ("answering", [], second)]
    for side, frames in said:
        sender, receiver = ends[side]
        for frame in frames:
            sender.send(frame)
        data = sender.data_to_send()
        receiver.receive(data)
        stream.append((side, [encode_frame(frame).hex() for frame in frames], data))
    return {
        "name": name,
        "protocol_name": pattern.protocol_name,
        "dialled_onion": onion.hex(),
        "dialler_role": dialler,
        "prologue": prologue(onion, dialler).hex(),
        "psk": psk.hex(),
        "dialling_static_private": dialling_static.hex(),
        "answering_static_private": answering_static.hex(),
        "dialling_ephemeral_private": dialling_random.drawn[0].hex(),
        "answering_ephemeral_private": answering_random.drawn[0].hex(),
        "handshake_hash": established.handshake_hash.hex(),
        "stream": [{"from": side, "frames": frames, "bytes": data.hex()} for side, frames, data in stream],
    }


# --- frames ----------------------------------------------------------------------------------------------------------


def frames() -> dict[str, Any]:
    start = cbor.encode({"key": Source("resync key")(32), "kem": Source("resync kem")(1_184)})
    head = cbor.encode({"key": Source("resync key")(32), "kem": Source("resync ciphertext")(1_088)})
    shelf, digest = ShelfId(Source("shelf")(16)), Source("digest")(16)
    good: list[tuple[Frame, Any]] = [
        (_HELLO, _hello_fields(_HELLO)),
        (hello := Hello((1, 2), (), bytes(16), 2**32 - 1, 2**63 - 1, 0), _hello_fields(hello)),
        (EnvelopeFrame(Source("envelope")(1_000)), {"type": "envelope", "envelope": Source("envelope")(1_000).hex()}),
        (AckFrame(Ack(0)), {"type": "ack", "ack": [0, "00" * 16]}),
        (AckFrame(Ack(12, ((14, 14), (16, 300)), digest)), {"type": "ack", "ack": [12, digest.hex(), 14, 14, 16, 300]}),
        (SignalFrame(b"typing"), {"type": "signal", "signal": b"typing".hex()}),
        (Bye("replaced"), {"type": "bye", "reason": "replaced"}),
        (KeepAlive(), {"type": "keep-alive"}),
        (ResyncStart(start), {"type": "resync-start"} | _hexed(cbor.decode(start))),
        (
            ResyncAnswer(head, bytes(40), bytes(45)),
            {"type": "resync-answer", "head": head.hex(), "ratchet": [bytes(40).hex(), bytes(45).hex()]},
        ),
        (ResyncDone(), {"type": "resync-done"}),
        (
            Block(shelf, 2**40, block := Source("block")(16_384)),
            {"type": "block", "shelf": shelf.hex(), "number": 2**40, "block": block.hex()},
        ),
        (Collected(shelf, 7), {"type": "collected", "shelf": shelf.hex(), "number": 7}),
        (Holding(2_310), {"type": "holding", "blocks": 2_310}),
        (Onions(None, None), {"type": "onions"}),
        (Onions(_ONION, _OTHER_ONION), {"type": "onions", "hosts": _ONION.hex(), "dials": _OTHER_ONION.hex()}),
        (Onions(_ONION, None, keeps=True), {"type": "onions", "hosts": _ONION.hex(), "keeps": True}),
        (
            Onions(_ONION, _OTHER_ONION, keeps=True, asks=True),
            {"type": "onions", "hosts": _ONION.hex(), "dials": _OTHER_ONION.hex(), "keeps": True, "asks": True},
        ),
    ]
    known = _hello_fields(_HELLO)
    fields = {name: known[name] for name in ("versions", "capabilities", "epoch", "sent", "received")}
    fields |= {"session": _HELLO.session_id, "seen": _HELLO.seen}
    bad = [
        ("no frame at all", b""),
        ("a head cut short", b"\x06\x00"),
        ("a body cut short", b"\x04\x00\x02x"),
        ("a type that must be known", b"\x1f\x00\x00"),
        ("a keep-alive that says something", b"\x06\x00\x01x"),
        ("an envelope of a size that none has", b"\x02\x03\xe7" + bytes(999)),
        ("an acknowledgement without a digest", _raw(0x03, [1])),
        ("an acknowledgement with a digest of 15 bytes", _raw(0x03, [1, bytes(15)])),
        ("ranges that touch", _raw(0x03, [1, digest, 2, 3])),
        ("ranges that descend", _raw(0x03, [1, digest, 9, 9, 5, 5])),
        ("an empty signal", b"\x04\x00\x00"),
        ("a reason that is no word", b"\x05\x00\x02No"),
        ("a hosted onion of 31 bytes", _raw(0x07, {"hosts": bytes(31)})),
        ("a hosted onion that is no key", _raw(0x07, {"hosts": bytes(32)})),
        ("an onion that is kept and not hosted", _raw(0x07, {"keeps": True})),
        ("asking for nothing", _raw(0x07, {"asks": False})),
        ("a hello without versions", _raw(0x01, fields | {"versions": []})),
        ("versions that descend", _raw(0x01, fields | {"versions": [2, 1]})),
        ("capabilities that are not sorted", _raw(0x01, fields | {"capabilities": ["text", "profile"]})),
        ("a digest of 17 bytes", _raw(0x01, fields | {"seen": bytes(17)})),
        ("a resync with a ciphertext for a key", b"\x08" + len(head).to_bytes(2, "big") + head),
        ("an answer without a ratchet message", _raw(0x09, {"head": head})),
        ("an answer whose head is a start", _raw(0x09, {"head": start, "ratchet": [bytes(40), bytes(45)]})),
        ("an end of a resync that says something", b"\x0a\x00\x01x"),
        ("a block one byte too short", b"\x0b\x40\x17" + bytes(23) + b"\x01" + bytes(16_383)),
        ("a block without a number", b"\x0b\x40\x18" + bytes(24 + 16_384)),
        ("something collected up to nothing", b"\x0c\x00\x18" + bytes(24)),
        ("a shelf without a number", b"\x0c\x00\x10" + bytes(16)),
        ("a number of three bytes", b"\x0d\x00\x03" + bytes(3)),
        ("a session id of 15 bytes", _raw(0x01, fields | {"session": bytes(15)})),
    ]
    _all_refused(bad, decode_frames)
    return {
        "frames": [{"frame": meaning, "bytes": encode_frame(frame).hex()} for frame, meaning in good],
        "passed_over": [{"why": "an unknown type from 0x80 up", "bytes": "8000056c61746572"}],
        "refused": [{"why": why, "bytes": data.hex()} for why, data in bad],
    }


def _hello_fields(hello: Hello) -> dict[str, Any]:
    return {
        "type": "hello",
        "versions": list(hello.versions),
        "capabilities": list(hello.capabilities),
        "session": hello.session_id.hex(),
        "epoch": hello.epoch,
        "sent": hello.highest_sent,
        "received": hello.highest_received,
        "seen": hello.seen.hex(),
    }


def _hexed(fields: object) -> dict[str, Any]:
    assert isinstance(fields, dict)
    return {name: value.hex() for name, value in fields.items()}


def _raw(kind: int, value: object) -> bytes:
    body = cbor.encode(value)
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


# --- signals ---------------------------------------------------------------------------------------------------------


def signals() -> dict[str, Any]:
    typing = encode_signal(Typing(on=True))
    strange = [
        ("a type of a later version", cbor.encode({"type": "singing", "on": True})),
        ("a state of a later version", cbor.encode({"type": "presence", "state": "asleep"})),
        ("typing that is neither on nor off", cbor.encode({"type": "typing", "on": 1})),
        ("a map without a type", cbor.encode({"on": True})),
        ("no map", cbor.encode("typing")),
        ("no CBOR", b"typing"),
        ("a byte after it", typing + b"\x00"),
    ]
    for why, data in strange:
        assert read_signal(data) is None, why
    known: list[Signal] = [Typing(on=True), Typing(on=False), *(Presence(state) for state in Here)]
    later = cbor.encode({"type": "typing", "on": True, "where": "here"})
    return {
        "signals": [{"signal": cbor.decode(data), "bytes": data.hex()} for data in (*map(encode_signal, known), later)],
        "passed_over": [{"why": why, "bytes": data.hex()} for why, data in strange],
    }


# --- events ----------------------------------------------------------------------------------------------------------


def events() -> dict[str, Any]:
    good = [
        Event(_ID, NOW, Text("Grüße aus *Zürich* 🙂\n\n> and a quotation")),
        Event(EventId(bytes(16)), 0, Text("x")),
        Event(_ID, NOW, Receipt("read", (EventId(bytes(16)), _ID))),
        Event(_ID, NOW, Profile("Zoë")),
        Event(_ID, NOW, Profile("Zoë", Avatar("image/png", Source("avatar")(600)))),
        Event(_ID, NOW, Profile("Zoë", NO_AVATAR)),
        Event(_ID, NOW, CarryAsk()),
        Event(_ID, NOW, CarryOffer(16, 128)),
        Event(_ID, NOW, CarryEnd("carrier")),
        Event(_ID, NOW, CarryEnd("recipient")),
        Event(_ID, NOW, ShelfOpen(_SHELF, Source("capability")(32))),
        Event(_ID, NOW, ShelfReady(_SHELF, _ONION, Source("shelf key")(32))),
        Event(_ID, NOW, ShelfClose(_SHELF)),
        Event(_ID, NOW, Shelves((Deposit(_ONION, Source("shelf key")(32), Source("capability")(32)),))),
        Event(_ID, NOW, Shelves(())),
        Event(_ID, NOW, EpochOffer(0, Source("epoch offer")(1_184))),
        Event(_ID, NOW, EpochAccept(7, Source("epoch accept")(1_088))),
        Event(_ID, NOW, VerifyStart(Source("run")(16))),
        Event(_ID, NOW, VerifyAccept(Source("run")(16), Source("commitment")(32))),
        Event(_ID, NOW, VerifyKey(Source("run")(16), Source("verify key")(32))),
        Event(_ID, NOW, VerifyDone(Source("run")(16), True)),
        Event(_ID, NOW, Merge(Source("merge proof")(32))),
        Event(_ID, NOW, MergeDone()),
        Event(_ID, NOW, Retire(), critical=True),
        Event(_ID, NOW, Text("an answer", "emote"), reply=EventId(bytes(16)), thread=_ID),
        Event(_ID, NOW, Text("with what a later version adds"), extra={"seen_by": [1, 2]}),
        Event(_ID, NOW, Edit(EventId(bytes(16)), "Grüße aus *Bern*", "notice")),
        Event(_ID, NOW, Edit(EventId(bytes(16)), "")),
        Event(_ID, NOW, Delete(EventId(bytes(16)))),
        Event(_ID, NOW, Reaction(EventId(bytes(16)), "👍🏽")),
        Event(_ID, NOW, Location(47_376_900, -8_541_700)),
        Event(_ID, NOW, Location(-90_000_000, 180_000_000, 12, "Südpol")),
        Event(_ID, NOW, Poll("Wann?", ("heute", "morgen", "nie"), choices=2, disclosed=False)),
        Event(_ID, NOW, Vote(EventId(bytes(16)), (0, 2))),
        Event(_ID, NOW, Vote(EventId(bytes(16)), ())),
        Event(_ID, NOW, PollEnd(EventId(bytes(16)))),
        Event(_ID, NOW, Timer(86_400, 1)),
        Event(_ID, NOW, Timer(0, 4_294_967_295)),
        Event(_ID, NOW, Text("not for long"), expires=31_622_400),
        Event(_ID, NOW, FileOffer(_CONTENT, "übersicht.pdf")),
        Event(
            _ID,
            NOW,
            FileOffer(
                _CONTENT,
                "../../voice.ogg",
                "audio/ogg",
                "voice",
                "*listen*",
                640,
                480,
                12_345,
                (0, 512, 1_024),
                "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
                Thumbnail(Source("thumbnail")(40), "image/webp", 64, 48),
            ),
        ),
        Event(_ID, NOW, FileAccept(_CONTENT.file_id)),
        Event(_ID, NOW, FileDone(_CONTENT.file_id)),
        Event(_ID, NOW, FileCancel(_CONTENT.file_id, "file-changed")),
        Event(_ID, NOW, FileSlice(_CONTENT.file_id, 74, Source("slice")(40))),
        Event(
            _ID, NOW, Unknown("circle.invite", {"circle": b"\x01\x02", "members": [1, -1, None, True]}), critical=True
        ),
        Event(_ID, NOW, Unknown("receipt", {"kind": "played", "events": [bytes(_ID)]})),
    ]
    text: dict[str, object] = {"id": bytes(_ID), "time": NOW, "type": "text", "text": "hello"}
    canonical = cbor.encode(text)
    bad = [
        ("nothing", b""),
        ("an array", cbor.encode([text])),
        ("no id", cbor.encode({key: value for key, value in text.items() if key != "id"})),
        ("an id of 15 bytes", cbor.encode(text | {"id": bytes(15)})),
        ("a time before 1970", cbor.encode(text | {"time": -1})),
        ("a time after 9999", cbor.encode(text | {"time": 253_402_300_800})),
        ("a type in capitals", cbor.encode(text | {"type": "Text"})),
        ("critical: false", cbor.encode(text | {"critical": False})),
        ("an empty text", cbor.encode(text | {"text": ""})),
        ("a text one byte too long", cbor.encode(text | {"text": "x" * (MAX_TEXT + 1)})),
        ("a line break in a name", cbor.encode({"id": bytes(_ID), "time": NOW, "type": "profile", "name": "a\nb"})),
        ("a receipt for nothing", cbor.encode(text | {"type": "receipt", "kind": "read", "events": []})),
        ("an epoch offered with a short key", cbor.encode(_epoch("epoch_offer", 0, 1_183))),
        ("an epoch accepted with a long ciphertext", cbor.encode(_epoch("epoch_accept", 0, 1_089))),
        ("a run of 15 bytes", cbor.encode(text | {"type": "verify_start", "run": bytes(15)})),
        ("a proof of 31 bytes", cbor.encode(text | {"type": "merge", "proof": bytes(31)})),
        ("a merge without a proof", cbor.encode(text | {"type": "merge"})),
        ("a finding that is neither", cbor.encode(text | {"type": "verify_done", "run": bytes(16), "match": 1})),
        ("an epoch after the last", cbor.encode(_epoch("epoch_accept", 2**32 - 1, 1_088))),
        ("a reply to half an id", cbor.encode(text | {"reply": bytes(8)})),
        ("a thread that has no id", cbor.encode(text | {"thread": None})),
        ("a kind that is no word", cbor.encode(text | {"kind": ""})),
        ("an edit of nothing", cbor.encode(text | {"type": "edit"})),
        ("a reaction of nothing", cbor.encode(text | {"type": "reaction", "target": bytes(16), "emoji": ""})),
        ("a place beyond the pole", cbor.encode(text | {"type": "location", "latitude": 90_000_001, "longitude": 0})),
        ("a poll without answers", cbor.encode(text | _POLL | {"answers": []})),
        ("a poll with an empty answer", cbor.encode(text | _POLL | {"answers": ["yes", ""]})),
        ("a poll with more choices than answers", cbor.encode(text | _POLL | {"choices": 3})),
        ("a vote for a twenty-first answer", cbor.encode(text | _VOTE | {"choices": [20]})),
        ("a vote that is not ascending", cbor.encode(text | _VOTE | {"choices": [1, 0]})),
        ("a file larger than any", cbor.encode(text | _FILE | {"size": 2**36 + 1})),
        ("a file with a name in two lines", cbor.encode(text | _FILE | {"name": "a\nb"})),
        ("a file without a root", cbor.encode(text | {k: v for k, v in _FILE.items() if k != "root"})),
        ("a file of no width", cbor.encode(text | _FILE | {"width": 0})),
        ("a waveform that is too loud", cbor.encode(text | _FILE | {"waveform": [1_025]})),
        ("a thumbnail of 8,001 bytes", cbor.encode(text | _FILE | {"thumbnail": _SMALL | {"data": bytes(8_001)}})),
        ("a thumbnail that says more", cbor.encode(text | _FILE | {"thumbnail": _SMALL | {"x": 1}})),
        ("an empty slice", cbor.encode(text | _SLICE | {"data": b""})),
        ("a slice one byte too long", cbor.encode(text | _SLICE | {"data": bytes(SLICE_SIZE + 1)})),
        ("a slice past all numbers", cbor.encode(text | _SLICE | {"number": 65_536})),
        ("an end for no reason", cbor.encode(text | {"type": "file_cancel", "file": bytes(16), "reason": ""})),
        ("a timer of more than a year", cbor.encode(text | {"type": "timer", "seconds": 31_622_401, "round": 1})),
        ("a timer without a round", cbor.encode(text | {"type": "timer", "seconds": 1, "round": 0})),
        ("a picture of 12,001 bytes", cbor.encode(_PICTURED | {"avatar": bytes(12_001)})),
        ("a picture that is none", cbor.encode(_PICTURED | {"avatar_type": "text/html"})),
        ("an event that disappears at once", cbor.encode(text | {"expires": 0})),
        ("an offer to carry nothing", cbor.encode(text | {"type": "carry_offer", "shelves": 1, "blocks": 0})),
        ("an offer to carry everything", cbor.encode(text | {"type": "carry_offer", "shelves": 17, "blocks": 128})),
        ("an end of nobody's", cbor.encode(text | {"type": "carry_end", "role": "sender"})),
        ("a shelf with a short id", cbor.encode(text | {"type": "shelf_close", "shelf": bytes(15)})),
        ("a shelf without a capability", cbor.encode(text | {"type": "shelf_open", "shelf": bytes(16)})),
        ("a shelf whose onion is no key", cbor.encode(text | _READY | {"onion": bytes(32)})),
        ("three shelves for one sender", cbor.encode(text | {"type": "shelves", "shelves": [_DEPOSIT] * 3})),
        (
            "a shelf for a sender with one thing more",
            cbor.encode(text | {"type": "shelves", "shelves": [_DEPOSIT | {"x": 1}]}),
        ),
        ("an integer key", cbor.encode(dict([*text.items(), (1, 1)]))),
        ("a byte after it", canonical + b"\x00"),
        ("a map of indefinite length", b"\xbf" + canonical[1:] + b"\xff"),
        ("the id after the other keys", canonical[:1] + canonical[21:] + canonical[1:21]),
        ("a key twice", b"\xa5" + canonical[1:] + b"\x64type\x64text"),
    ]
    _all_refused(bad, decode_event)
    return {
        "events": [_described(event) for event in good],
        "refused": [{"why": why, "bytes": data.hex()} for why, data in bad],
    }


_PICTURED: dict[str, object] = {
    "id": bytes(_ID),
    "time": NOW,
    "type": "profile",
    "name": "Zoë",
    "avatar": b"x",
    "avatar_type": "image/png",
}
_POLL: dict[str, object] = {
    "type": "poll",
    "question": "Now?",
    "answers": ["yes", "no"],
    "choices": 1,
    "disclosed": True,
}
_READY: dict[str, object] = {"type": "shelf_ready", "shelf": bytes(16), "onion": bytes(_ONION), "key": bytes(32)}
_DEPOSIT: dict[str, object] = {"onion": bytes(_ONION), "key": bytes(32), "capability": bytes(32)}
_VOTE: dict[str, object] = {"type": "vote", "target": bytes(16)}


def _epoch(kind: str, number: int, size: int) -> dict[str, object]:
    return {"id": bytes(_ID), "time": NOW, "type": kind, "epoch": number, "kem": bytes(size)}


def _described(event: Event) -> dict[str, Any]:
    data = encode_event(event)
    return {"event": _as_json(cbor.decode(data)), "bytes": data.hex()}


def _as_json(value: object) -> Any:
    """JSON has no byte strings: they become ``{"hex": ...}``."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return value


def _all_refused(bad: Iterable[tuple[str, bytes]], decode: Callable[[bytes], object]) -> None:
    for why, data in bad:
        try:
            decode(data)
        except MalformedData:
            continue
        raise AssertionError(why)


FILES: dict[str, Callable[[], object]] = {
    "link.json": links,
    "frames.json": frames,
    "signals.json": signals,
    "events.json": events,
}


def text_of(name: str) -> str:
    """What the file of that name must hold."""
    return json.dumps(FILES[name](), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file_name in FILES:
        (_HERE / file_name).write_text(text_of(file_name), encoding="utf-8")
