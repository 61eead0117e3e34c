"""Events: one thing said by one friend to another. Implements docs/protocol/events.md.

An event is one deterministic CBOR map with text keys. Some keys belong to every event, a type adds its own, and
whatever a decoder does not know it keeps: an event of an unknown type becomes `Unknown`, an unknown key of a known type
stays in `Event.extra`, and either encodes again to the very bytes it came from. That is what lets an old node pass a
new event on. The bodies themselves are in `talk` (what people say), `files` and `control` (what nodes say to each
other); each knows its ``TYPE``, the fields it is written as, and how to read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chattor_bridge.errors import LimitReached, MalformedData, UsageError
from chattor_bridge.ids import EventId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.carrying import (
    CarryAsk,
    CarryEnd,
    CarryEvent,
    CarryOffer,
    Deposit,
    ShelfClose,
    ShelfEvent,
    ShelfOpen,
    ShelfReady,
    Shelves,
)
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.control import (
    Control,
    EpochAccept,
    EpochEvent,
    EpochOffer,
    Merge,
    MergeDone,
    MergeEvent,
    Retire,
    VerifyAccept,
    VerifyDone,
    VerifyEvent,
    VerifyKey,
    VerifyStart,
)
from chattor_bridge.protocol.files import FileAccept, FileCancel, FileDone, FileNews, FileOffer, FileSlice
from chattor_bridge.protocol.limits import (
    EVENT_ID_SIZE,
    MAX_CAPTION,
    MAX_EVENT_TYPE,
    MAX_INNER,
    MAX_TEXT,
    MAX_TIME,
    MAX_TIMER,
)
from chattor_bridge.protocol.talk import (
    NO_AVATAR,
    Avatar,
    Delete,
    Edit,
    Location,
    Poll,
    PollEnd,
    Profile,
    Reaction,
    Receipt,
    Talk,
    Text,
    Timer,
    Vote,
)

__all__ = [
    "EVENT_TYPES",
    "NO_AVATAR",
    "Avatar",
    "Body",
    "CarryAsk",
    "CarryEnd",
    "CarryEvent",
    "CarryOffer",
    "Control",
    "Delete",
    "Deposit",
    "Edit",
    "EpochAccept",
    "EpochEvent",
    "EpochOffer",
    "Event",
    "FileAccept",
    "FileCancel",
    "FileDone",
    "FileNews",
    "FileOffer",
    "FileSlice",
    "Location",
    "Merge",
    "MergeDone",
    "MergeEvent",
    "Poll",
    "PollEnd",
    "Profile",
    "Reaction",
    "Receipt",
    "Retire",
    "ShelfClose",
    "ShelfEvent",
    "ShelfOpen",
    "ShelfReady",
    "Shelves",
    "Talk",
    "Text",
    "Timer",
    "Unknown",
    "VerifyAccept",
    "VerifyDone",
    "VerifyEvent",
    "VerifyKey",
    "VerifyStart",
    "Vote",
    "decode_event",
    "encode_event",
]


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a type (or a kind of receipt) this version does not know: kept, and shown as needing a newer one.

    ``fields`` is everything but the keys that belong to every event, as decoded from CBOR. Whether it may be passed
    over is `Event.critical`.
    """

    type: str
    fields: Mapping[str, object] = field(hash=False)

    @property
    def TYPE(self) -> str:  # noqa: N802 - as in every other body
        return self.type

    def to_fields(self) -> Mapping[str, object]:
        return self.fields


Body = Talk | FileOffer | FileNews | Receipt | Profile | Retire | Control | CarryEvent | ShelfEvent | Unknown

_BODIES: Final[Mapping[str, Any]] = {
    body.TYPE: body
    for body in (
        *(Text, Edit, Delete, Reaction, Location, Poll, Vote, PollEnd, Timer, Receipt, Profile),
        *(FileOffer, FileAccept, FileDone, FileCancel, FileSlice),
        *(CarryAsk, CarryOffer, CarryEnd, ShelfOpen, ShelfReady, ShelfClose, Shelves),
        *(EpochOffer, EpochAccept, VerifyStart, VerifyAccept, VerifyKey, VerifyDone, Merge, MergeDone, Retire),
    )
}

EVENT_TYPES: Final = tuple(sorted(_BODIES))
"""Event types this version understands, sorted."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing said.

    ``time`` is the sender's clock in whole seconds since the epoch: shown, never used for ordering. ``critical`` says
    that a reader who does not know the type must not act as if it had not been said. ``reply`` is the event that this
    one answers, ``thread`` the first event of the thread it belongs to. ``expires`` says how many seconds after it was
    read it is to disappear, None for never. ``extra`` holds optional keys this version does not know, by name.
    """

    event_id: EventId
    time: int
    body: Body
    critical: bool = False
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)
    reply: EventId | None = None
    thread: EventId | None = None
    expires: int | None = None


_TYPE_NAME: Final = re.compile(r"(?!node\.)[a-z][a-z0-9_.]*", re.ASCII)
"""``node.`` is for what a node tells its own owner in the place of an event; a friend must not be able to."""


def encode_event(event: Event) -> bytes:
    """The event as deterministic CBOR.

    Raises: LimitReached when it exceeds a limit of docs/protocol/limits.md, UsageError when it is no valid event for
    another reason.
    """
    common: dict[str, object] = {"id": bytes(event.event_id), "time": event.time, "type": event.body.TYPE}
    if event.critical:
        common["critical"] = True
    for name, other in (("reply", event.reply), ("thread", event.thread)):
        if other is not None:
            common[name] = bytes(other)
    if event.expires is not None:
        common["expires"] = event.expires
    try:
        if isinstance(event.body, FileOffer) and (size := len(event.body.caption.encode())) > MAX_CAPTION:
            raise LimitReached(f"this caption is {size} bytes long; one may have {MAX_CAPTION} at most")
        if isinstance(event.body, Text | Edit) and (size := len(event.body.text.encode())) > MAX_TEXT:
            raise LimitReached(f"this text is {size} bytes long; one may have {MAX_TEXT} at most")
        encoded = cbor.encode({**event.extra, **event.body.to_fields(), **common})
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
    fields = Fields(cbor.decode(data), "event")
    event_id = EventId(fields.bytes("id", length=EVENT_ID_SIZE))
    time = fields.integer("time", low=0, high=MAX_TIME)
    type_name = fields.text("type", at_most=MAX_EVENT_TYPE)
    if not _TYPE_NAME.fullmatch(type_name):
        raise fields.wrong("type")
    # Absent means false, so that there is one way to write it.
    critical = "critical" in fields
    if critical and not fields.boolean("critical"):
        raise fields.wrong("critical")
    reply, thread = _related(fields, "reply"), _related(fields, "thread")
    expires = fields.integer("expires", low=1, high=MAX_TIMER) if "expires" in fields else None
    own = fields.unread()
    body: Body | None = _BODIES[type_name].read(fields) if type_name in _BODIES else None
    if body is None:
        return Event(event_id, time, Unknown(type_name, own), critical, {}, reply, thread, expires)
    return Event(event_id, time, body, critical, fields.unread(), reply, thread, expires)


def _related(fields: Fields, name: str) -> EventId | None:
    return EventId(fields.bytes(name, length=EVENT_ID_SIZE)) if name in fields else None
