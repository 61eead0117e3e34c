"""Bodies of the events by which people talk. Implements docs/protocol/events.md from "text" to "timer".

A ``target`` is the id of an event said before, in the same friendship. Who may change what is the reader's to check,
with its history at hand: an edit, a deletion and the end of a poll count for events of their own sender alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from chattor_bridge.ids import EventId
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import (
    EVENT_ID_SIZE,
    MAX_ACCURACY,
    MAX_ANSWER,
    MAX_ANSWERS,
    MAX_AVATAR,
    MAX_EVENT_TYPE,
    MAX_LATITUDE,
    MAX_LONGITUDE,
    MAX_NAME,
    MAX_PLACE,
    MAX_QUESTION,
    MAX_REACTION,
    MAX_RECEIPT_EVENTS,
    MAX_TEXT,
    MAX_TIMER,
    MAX_TIMER_ROUND,
)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MIME_TYPE: Final = re.compile(r"image/[a-z0-9.+-]+", re.ASCII)
_WORD: Final = re.compile(r"[a-z][a-z0-9_.]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Text:
    """Something written, in CommonMark; 1 to ``MAX_TEXT`` bytes of UTF-8. ``kind`` is ``"emote"`` (the sender tells of
    itself in the third person), ``"notice"`` (a program says it), or ``""``; any other word is as good as ``""``."""

    TYPE: ClassVar = "text"
    text: str
    kind: str = ""

    def to_fields(self) -> dict[str, object]:
        return {"text": self.text, **({"kind": self.kind} if self.kind else {})}

    @classmethod
    def read(cls, fields: Fields) -> Text:
        return cls(filled(fields, "text", MAX_TEXT), kind_of(fields))


@dataclass(frozen=True, slots=True)
class Edit:
    """What the sender said in ``target``, a text or the caption of a file, is to read like this. Of several the last
    counts; each names the first version, never another edit. ``text`` is empty where a caption is taken away."""

    TYPE: ClassVar = "edit"
    target: EventId
    text: str
    kind: str = ""

    def to_fields(self) -> dict[str, object]:
        said = {name: word for name, word in (("text", self.text), ("kind", self.kind)) if word}
        return {"target": bytes(self.target), **said}

    @classmethod
    def read(cls, fields: Fields) -> Edit:
        text = filled(fields, "text", MAX_TEXT) if "text" in fields else ""
        return cls(target_of(fields), text, kind_of(fields))


@dataclass(frozen=True, slots=True)
class Delete:
    """The sender takes ``target`` back, whatever it was: a reaction too."""

    TYPE: ClassVar = "delete"
    target: EventId

    def to_fields(self) -> dict[str, object]:
        return {"target": bytes(self.target)}

    @classmethod
    def read(cls, fields: Fields) -> Delete:
        return cls(target_of(fields))


@dataclass(frozen=True, slots=True)
class Reaction:
    """``emoji``, or another short text without control characters, 1 to ``MAX_REACTION`` bytes, put under ``target``,
    whoever said that."""

    TYPE: ClassVar = "reaction"
    target: EventId
    emoji: str

    def to_fields(self) -> dict[str, object]:
        return {"target": bytes(self.target), "emoji": self.emoji}

    @classmethod
    def read(cls, fields: Fields) -> Reaction:
        return cls(target_of(fields), line(fields, "emoji", MAX_REACTION))


@dataclass(frozen=True, slots=True)
class Location:
    """A place: degrees times 1,000,000 (WGS 84), ``accuracy`` in metres or None, and what it is called, up to
    ``MAX_PLACE`` bytes."""

    TYPE: ClassVar = "location"
    latitude: int
    longitude: int
    accuracy: int | None = None
    name: str = ""

    def to_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"latitude": self.latitude, "longitude": self.longitude}
        if self.accuracy is not None:
            fields["accuracy"] = self.accuracy
        return {**fields, **({"name": self.name} if self.name else {})}

    @classmethod
    def read(cls, fields: Fields) -> Location:
        return cls(
            fields.integer("latitude", low=-MAX_LATITUDE, high=MAX_LATITUDE),
            fields.integer("longitude", low=-MAX_LONGITUDE, high=MAX_LONGITUDE),
            fields.integer("accuracy", low=0, high=MAX_ACCURACY) if "accuracy" in fields else None,
            line(fields, "name", MAX_PLACE) if "name" in fields else "",
        )


@dataclass(frozen=True, slots=True)
class Poll:
    """A question with 1 to ``MAX_ANSWERS`` answers, of which everybody may choose up to ``choices``. ``disclosed``:
    what was chosen is shown before the end."""

    TYPE: ClassVar = "poll"
    question: str
    answers: tuple[str, ...]
    choices: int = 1
    disclosed: bool = True

    def to_fields(self) -> dict[str, object]:
        return {
            "question": self.question,
            "answers": list(self.answers),
            "choices": self.choices,
            "disclosed": self.disclosed,
        }

    @classmethod
    def read(cls, fields: Fields) -> Poll:
        question = filled(fields, "question", MAX_QUESTION)
        answers: list[str] = []
        for answer in fields.list("answers", at_most=MAX_ANSWERS):
            if not isinstance(answer, str) or not 1 <= len(answer.encode()) <= MAX_ANSWER:
                raise fields.wrong("answers")
            answers.append(answer)
        choices = fields.integer("choices", low=1, high=MAX_ANSWERS)
        if choices > len(answers):
            raise fields.wrong("choices")
        return cls(question, tuple(answers), choices, fields.boolean("disclosed"))


@dataclass(frozen=True, slots=True)
class Vote:
    """The sender chooses these answers, by their number from 0, of the poll ``target``, instead of what it chose
    before; none takes the vote back."""

    TYPE: ClassVar = "vote"
    target: EventId
    choices: tuple[int, ...]

    def to_fields(self) -> dict[str, object]:
        return {"target": bytes(self.target), "choices": list(self.choices)}

    @classmethod
    def read(cls, fields: Fields) -> Vote:
        target = target_of(fields)
        chosen: list[int] = []
        for choice in fields.list("choices", at_most=MAX_ANSWERS):
            if not isinstance(choice, int) or isinstance(choice, bool) or not 0 <= choice < MAX_ANSWERS:
                raise fields.wrong("choices")
            if chosen and choice <= chosen[-1]:
                raise fields.wrong("choices")
            chosen.append(choice)
        return cls(target, tuple(chosen))


@dataclass(frozen=True, slots=True)
class PollEnd:
    """The sender's poll ``target`` is over; votes that come later do not count."""

    TYPE: ClassVar = "poll_end"
    target: EventId

    def to_fields(self) -> dict[str, object]:
        return {"target": bytes(self.target)}

    @classmethod
    def read(cls, fields: Fields) -> PollEnd:
        return cls(target_of(fields))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Events of the friend's that were read. ``kind`` is ``"read"``, the only one there is (delivery is told by
    acknowledgements); 1 to ``MAX_RECEIPT_EVENTS`` ids."""

    TYPE: ClassVar = "receipt"
    kind: str
    event_ids: tuple[EventId, ...]

    def to_fields(self) -> dict[str, object]:
        return {"kind": self.kind, "events": [bytes(event_id) for event_id in self.event_ids]}

    @classmethod
    def read(cls, fields: Fields) -> Receipt | None:
        """None for a receipt of another kind."""
        if fields.text("kind", at_most=MAX_EVENT_TYPE) != "read":
            return None
        event_ids = []
        for value in fields.list("events", at_most=MAX_RECEIPT_EVENTS):
            if not isinstance(value, bytes) or len(value) != EVENT_ID_SIZE:
                raise fields.wrong("events")
            event_ids.append(EventId(value))
        if not event_ids:
            raise fields.wrong("events")
        return cls("read", tuple(event_ids))


@dataclass(frozen=True, slots=True)
class Avatar:
    """A small picture of a person, up to ``MAX_AVATAR`` bytes. ``mime_type`` is what the sender says it is: whoever
    shows it looks at its first bytes, and shows only what it knows."""

    mime_type: str
    data: bytes = field(repr=False)


NO_AVATAR: Final = Avatar("", b"")
"""In a profile: the picture there was is taken back."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the sender wants this friend to call it from now on; 1 to ``MAX_NAME`` bytes of UTF-8, no control
    characters. ``avatar`` is None when the picture stays as it was."""

    TYPE: ClassVar = "profile"
    name: str
    avatar: Avatar | None = None

    def to_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"name": self.name}
        if self.avatar is not None:
            fields["avatar"] = self.avatar.data
            if self.avatar.data:
                fields["avatar_type"] = self.avatar.mime_type
        return fields

    @classmethod
    def read(cls, fields: Fields) -> Profile:
        name = line(fields, "name", MAX_NAME)
        if "avatar" not in fields:
            return cls(name)
        data = fields.bytes("avatar", at_most=MAX_AVATAR)
        if not data:
            return cls(name, NO_AVATAR)
        mime_type = fields.text("avatar_type", at_most=MAX_EVENT_TYPE)
        if not _MIME_TYPE.fullmatch(mime_type):
            raise fields.wrong("avatar_type")
        return cls(name, Avatar(mime_type, data))


@dataclass(frozen=True, slots=True)
class Timer:
    """What both say from now on disappears this many ``seconds`` after it was read; 0 for never. ``round`` is one more
    than the highest its sender knew in this friendship, from 1."""

    TYPE: ClassVar = "timer"
    seconds: int
    round: int

    def to_fields(self) -> dict[str, object]:
        return {"seconds": self.seconds, "round": self.round}

    @classmethod
    def read(cls, fields: Fields) -> Timer:
        seconds = fields.integer("seconds", low=0, high=MAX_TIMER)
        return cls(seconds, fields.integer("round", low=1, high=MAX_TIMER_ROUND))


Talk = Text | Edit | Delete | Reaction | Location | Poll | Vote | PollEnd | Timer
"""What is shown in a conversation, or changes what is shown there."""


def target_of(fields: Fields) -> EventId:
    return EventId(fields.bytes("target", length=EVENT_ID_SIZE))


def filled(fields: Fields, name: str, at_most: int) -> str:
    text = fields.text(name, at_most=at_most)
    if not text:
        raise fields.wrong(name)
    return text


def line(fields: Fields, name: str, at_most: int) -> str:
    text = filled(fields, name, at_most)
    if _CONTROL.search(text):
        raise fields.wrong(name)
    return text


def kind_of(fields: Fields) -> str:
    """The word in ``kind``; none when it is absent, so that there is one way to write that."""
    if "kind" not in fields:
        return ""
    kind = fields.text("kind", at_most=MAX_EVENT_TYPE)
    if not _WORD.fullmatch(kind):
        raise fields.wrong("kind")
    return kind
