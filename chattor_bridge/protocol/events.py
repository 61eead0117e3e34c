"""Events: one thing said by one friend to another. Implements docs/protocol/events.md.

An event is one deterministic CBOR map with text keys. Four keys belong to every event (``id``, ``time``, ``type`` and
the optional ``critical``), a type adds its own, and whatever a decoder does not know it keeps: an event of an unknown
type becomes `Unknown`, an unknown key of a known type stays in `Event.extra`, and either encodes again to the very
bytes it came from. That is what lets a later version add a reply or thread relation to every type without breaking
this one, and what lets an old node pass a new event on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from chattor_bridge.errors import LimitReached, MalformedData, UsageError
from chattor_bridge.ids import EventId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import (
    EVENT_ID_SIZE,
    MAX_EPOCH,
    MAX_EVENT_TYPE,
    MAX_INNER,
    MAX_NAME,
    MAX_RECEIPT_EVENTS,
    MAX_TEXT,
    MAX_TIME,
    VERIFICATION_ID_SIZE,
)
from chattor_bridge.protocol.primitives import KEM_CIPHERTEXT_SIZE, KEM_PUBLIC_SIZE, KEY_SIZE


@dataclass(frozen=True, slots=True)
class Text:
    """Something written, in CommonMark; 1 to ``MAX_TEXT`` bytes of UTF-8."""

    text: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Events of the friend's that were read. ``kind`` is ``"read"``, the only one there is (delivery is told by
    acknowledgements); 1 to ``MAX_RECEIPT_EVENTS`` ids."""

    kind: str
    event_ids: tuple[EventId, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What the sender wants this friend to call it from now on; 1 to ``MAX_NAME`` bytes of UTF-8, no control
    characters."""

    name: str


@dataclass(frozen=True, slots=True)
class EpochOffer:
    """The next epoch is offered, under this ``epoch``; ``key`` is an ML-KEM-768 public key of 1,184 bytes."""

    epoch: int
    key: bytes


@dataclass(frozen=True, slots=True)
class EpochAccept:
    """The offer made under this ``epoch`` is accepted; ``ciphertext`` is of ML-KEM-768, 1,088 bytes."""

    epoch: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a type (or a kind of receipt) this version does not know: kept, and shown as needing a newer one.

    ``fields`` is everything but the four common keys, as decoded from CBOR. Whether it may be passed over is
    `Event.critical`.
    """

    type: str
    fields: Mapping[str, object] = field(hash=False)


@dataclass(frozen=True, slots=True)
class VerifyStart:
    """Emoji are to be compared, in a run with this id of 16 bytes."""

    run_id: bytes


@dataclass(frozen=True, slots=True)
class VerifyAccept:
    """The other person agrees; ``commitment`` is to the key that will be shown, 32 bytes."""

    run_id: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """``key`` is an X25519 public key made for this run, 32 bytes."""

    run_id: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class VerifyDone:
    """What the person who compared has found."""

    run_id: bytes
    match: bool


@dataclass(frozen=True, slots=True)
class Merge:
    """The sender wants this friendship and another between the same two people to become one; ``proof``, 32 bytes, says
    which (`Session.merge_proof`)."""

    proof: bytes


@dataclass(frozen=True, slots=True)
class MergeDone:
    """Said in the surviving one of two friendships: the sender has given up the other."""


@dataclass(frozen=True, slots=True)
class Retire:
    """The sender believes its keys to be in other hands; this friendship is over."""


EpochEvent = EpochOffer | EpochAccept
"""What the two halves of one session say to each other."""

VerifyEvent = VerifyStart | VerifyAccept | VerifyKey | VerifyDone

MergeEvent = Merge | MergeDone

Control = EpochEvent | VerifyEvent | MergeEvent
"""What two nodes say to each other; nobody is shown it."""

Body = Text | Receipt | Profile | Retire | Control | Unknown


@dataclass(frozen=True, slots=True)
class Event:
    """One thing said.

    ``time`` is the sender's clock in whole seconds since the epoch: shown, never used for ordering. ``critical`` says
    that a reader who does not know the type must not act as if it had not been said. ``extra`` holds optional keys
    this version does not know, by name.
    """

    event_id: EventId
    time: int
    body: Body
    critical: bool = False
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)


EVENT_TYPES: Final = (
    "epoch_accept",
    "epoch_offer",
    "merge",
    "merge_done",
    "profile",
    "receipt",
    "retire",
    "text",
    "verify_accept",
    "verify_done",
    "verify_key",
    "verify_start",
)
"""Event types this version understands, sorted."""

_COMMON_KEYS: Final = frozenset({"id", "time", "type", "critical"})
_TYPE_NAME: Final = re.compile(r"(?!node\.)[a-z][a-z0-9_.]*", re.ASCII)
"""``node.`` is for what a node tells its own owner in the place of an event; a friend must not be able to."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def encode_event(event: Event) -> bytes:
    """The event as deterministic CBOR.

    Raises: LimitReached when it exceeds a limit of docs/protocol/limits.md, UsageError when it is no valid event for
    another reason.
    """
    common: dict[str, object] = {"id": bytes(event.event_id), "time": event.time, "type": _type_of(event.body)}
    if event.critical:
        common["critical"] = True
    try:
        if isinstance(event.body, Text) and (size := len(event.body.text.encode())) > MAX_TEXT:
            raise LimitReached(f"this text is {size} bytes long; one may have {MAX_TEXT} at most")
        encoded = cbor.encode({**event.extra, **_own_fields(event.body), **common})
        if len(encoded) > MAX_INNER:
            raise LimitReached(f"this is {len(encoded)} bytes long; an event may have {MAX_INNER} at most")
        # What we would refuse to read we refuse to write.
        decode_event(encoded)
    except (MalformedData, TypeError, ValueError) as error:
        raise UsageError("this cannot be sent: it is no valid event") from error
    return encoded


def decode_event(data: bytes) -> Event:
    """The event in ``data``; ``encode_event(decode_event(data)) == data``.

    Raises: MalformedData.
    """
    if len(data) > MAX_INNER:
        raise MalformedData("event: too large")
    value = cbor.decode(data)
    fields = Fields(value, "event")
    event_id = EventId(fields.bytes("id", length=EVENT_ID_SIZE))
    time = fields.integer("time", low=0, high=MAX_TIME)
    type_name = fields.text("type", at_most=MAX_EVENT_TYPE)
    if not _TYPE_NAME.fullmatch(type_name):
        raise fields.wrong("type")
    # Absent means false, so that there is one way to write it.
    critical = "critical" in fields
    if critical and fields.raw("critical") is not True:
        raise fields.wrong("critical")
    body, own_keys = _read_body(type_name, fields)
    assert isinstance(value, dict)  # established by Fields
    rest = {key: one for key, one in value.items() if key not in _COMMON_KEYS and key not in own_keys}
    if body is None:
        return Event(event_id, time, Unknown(type_name, rest), critical)
    return Event(event_id, time, body, critical, rest)


def _type_of(body: Body) -> str:
    match body:
        case Text():
            return "text"
        case Receipt():
            return "receipt"
        case Profile():
            return "profile"
        case EpochOffer():
            return "epoch_offer"
        case EpochAccept():
            return "epoch_accept"
        case VerifyStart():
            return "verify_start"
        case VerifyAccept():
            return "verify_accept"
        case VerifyKey():
            return "verify_key"
        case VerifyDone():
            return "verify_done"
        case Merge():
            return "merge"
        case MergeDone():
            return "merge_done"
        case Retire():
            return "retire"
        case Unknown(type_name):
            return type_name


def _own_fields(body: Body) -> Mapping[str, object]:
    match body:
        case Text(text):
            return {"text": text}
        case Receipt(kind, event_ids):
            return {"kind": kind, "events": [bytes(event_id) for event_id in event_ids]}
        case Profile(name):
            return {"name": name}
        case EpochOffer(epoch, key):
            return {"epoch": epoch, "kem": key}
        case EpochAccept(epoch, ciphertext):
            return {"epoch": epoch, "kem": ciphertext}
        case VerifyStart(run_id):
            return {"run": run_id}
        case VerifyAccept(run_id, commitment):
            return {"run": run_id, "commitment": commitment}
        case VerifyKey(run_id, key):
            return {"run": run_id, "key": key}
        case VerifyDone(run_id, match):
            return {"run": run_id, "match": match}
        case Merge(proof):
            return {"proof": proof}
        case MergeDone() | Retire():
            return {}
        case Unknown(_, fields):
            return fields


def _read_body(type_name: str, fields: Fields) -> tuple[Body | None, frozenset[str]]:
    """The body and the keys it was read from; none for a type this version does not know."""
    match type_name:
        case "text":
            text = fields.text("text", at_most=MAX_TEXT)
            if not text:
                raise fields.wrong("text")
            return Text(text), frozenset({"text"})
        case "profile":
            name = fields.text("name", at_most=MAX_NAME)
            if not name or _CONTROL.search(name):
                raise fields.wrong("name")
            return Profile(name), frozenset({"name"})
        case "receipt" if fields.text("kind", at_most=MAX_EVENT_TYPE) == "read":
            return Receipt("read", _read_event_ids(fields)), frozenset({"kind", "events"})
        case "epoch_offer":
            key = fields.bytes("kem", length=KEM_PUBLIC_SIZE)
            return EpochOffer(_read_epoch(fields), key), frozenset({"epoch", "kem"})
        case "epoch_accept":
            ciphertext = fields.bytes("kem", length=KEM_CIPHERTEXT_SIZE)
            return EpochAccept(_read_epoch(fields), ciphertext), frozenset({"epoch", "kem"})
        case "verify_start":
            return VerifyStart(_read_run(fields)), frozenset({"run"})
        case "verify_accept":
            commitment = fields.bytes("commitment", length=KEY_SIZE)
            return VerifyAccept(_read_run(fields), commitment), frozenset({"run", "commitment"})
        case "verify_key":
            return VerifyKey(_read_run(fields), fields.bytes("key", length=KEY_SIZE)), frozenset({"run", "key"})
        case "verify_done":
            match = fields.raw("match")
            if not isinstance(match, bool):
                raise fields.wrong("match")
            return VerifyDone(_read_run(fields), match), frozenset({"run", "match"})
        case "merge":
            return Merge(fields.bytes("proof", length=KEY_SIZE)), frozenset({"proof"})
        case "merge_done":
            return MergeDone(), frozenset()
        case "retire":
            return Retire(), frozenset()
        case _:
            return None, frozenset()


def _read_run(fields: Fields) -> bytes:
    return fields.bytes("run", length=VERIFICATION_ID_SIZE)


def _read_epoch(fields: Fields) -> int:
    return fields.integer("epoch", low=0, high=MAX_EPOCH - 1)


def _read_event_ids(fields: Fields) -> tuple[EventId, ...]:
    event_ids = []
    for value in fields.list("events", at_most=MAX_RECEIPT_EVENTS):
        if not isinstance(value, bytes) or len(value) != EVENT_ID_SIZE:
            raise fields.wrong("events")
        event_ids.append(EventId(value))
    if not event_ids:
        raise fields.wrong("events")
    return tuple(event_ids)


def split_text(text: str) -> list[str]:
    """``text`` in pieces that each fit one event; joined, they are ``text`` again. None for an empty text.

    A piece ends after a line, else after a space, else between two characters that are not drawn as one; a line or
    space in the first half of a piece is passed over, so that there are at most about twice as many pieces as needed.
    """
    data = text.encode()
    pieces = []
    start = 0
    while len(data) - start > MAX_TEXT:
        end = _cut(data[start : start + MAX_TEXT + _LONGEST_CHARACTER])
        pieces.append(data[start : start + end].decode())
        start += end
    if start < len(data):
        pieces.append(data[start:].decode())
    return pieces


_LONGEST_CHARACTER: Final = 4
"""Bytes of UTF-8 that one character takes at most."""

_LONGEST_CLUSTER: Final = 16
"""Characters that are drawn as one, at most, as far as `split_text` cares (the longest emoji in use has 10)."""

_JOINER: Final = "\u200d"


def _cut(data: bytes) -> int:
    """Where to end the piece that begins with ``data``, in bytes; ``data`` goes on past the longest piece."""
    longest = MAX_TEXT
    for boundary in (b"\n", b" "):
        end = data.rfind(boundary, longest // 2, longest) + 1
        if end:
            return end
    while _is_continuation(data[longest]):
        longest -= 1
    end = longest
    for _ in range(_LONGEST_CLUSTER):
        if not _belong_together(data, end):
            return end
        end -= 1
        while _is_continuation(data[end]):
            end -= 1
    return longest


def _is_continuation(byte: int) -> bool:
    return byte & 0b1100_0000 == 0b1000_0000


def _belong_together(data: bytes, at: int) -> bool:
    """Whether the characters before and after byte ``at`` are drawn as one."""
    before = data[max(0, at - _LONGEST_CHARACTER) : at].decode(errors="ignore")[-1:]
    after = data[at : at + _LONGEST_CHARACTER].decode(errors="ignore")[:1]
    is_modifier = "\U0001f3fb" <= after <= "\U0001f3ff"
    return _JOINER in (before, after) or is_modifier or unicodedata.category(after).startswith("M")
