"""Bodies of the events by which a file is offered and fetched. Implements docs/protocol/events.md, "file_offer"
to "file_cancel".

What an offer says of a file beside its content (name, type, dimensions) is a claim of the friend. A name is never a
path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from chattor_bridge.ids import FileId
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.chunks import Content
from chattor_bridge.protocol.limits import (
    FILE_ID_SIZE,
    MAX_BLURHASH,
    MAX_BYE_REASON,
    MAX_CAPTION,
    MAX_DURATION,
    MAX_FILE_NAME,
    MAX_FILE_SIZE,
    MAX_MIME_TYPE,
    MAX_PIXELS,
    MAX_SLICE_NUMBER,
    MAX_THUMBNAIL,
    MAX_WAVEFORM,
    SLICE_SIZE,
    WAVEFORM_PEAK,
)
from chattor_bridge.protocol.primitives import KEY_SIZE
from chattor_bridge.protocol.reasons import is_reason
from chattor_bridge.protocol.talk import filled, kind_of, line
from chattor_bridge.protocol.tree import HASH_SIZE

FILE_KINDS: Final = ("audio", "image", "sticker", "video", "voice")
"""What a file may be meant as; any other word, and none, is a file like any other."""

CANCELLED: Final = "cancelled"
CORRUPT: Final = "corrupt"
DECLINED: Final = "declined"
EXPIRED: Final = "expired"
FILE_CHANGED: Final = "file-changed"
QUOTA: Final = "quota"
TOO_LARGE: Final = "too-large"
TOO_MANY: Final = "too-many"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of what is offered: 1 to ``MAX_THUMBNAIL`` bytes of an image of this type, and its size in
    pixels."""

    data: bytes
    mime: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class FileOffer:
    """A file that the friend may fetch: ``content`` says how. ``name`` has 1 to ``MAX_FILE_NAME`` bytes without control
    characters, ``mime`` is a media type, or ``""`` for an unknown one, ``kind`` one of `FILE_KINDS` or ``""``,
    ``caption`` CommonMark. ``width`` and ``height`` are in pixels, ``duration`` in milliseconds, ``waveform`` up to
    ``MAX_WAVEFORM`` loudnesses of 0 to ``WAVEFORM_PEAK``; 0, ``""`` or nothing where it is not known."""

    TYPE: ClassVar = "file_offer"
    content: Content
    name: str
    mime: str = ""
    kind: str = ""
    caption: str = ""
    width: int = 0
    height: int = 0
    duration: int = 0
    waveform: tuple[int, ...] = ()
    blurhash: str = ""
    thumbnail: Thumbnail | None = field(default=None, repr=False)

    def to_fields(self) -> dict[str, object]:
        content = self.content
        fields: dict[str, object] = {"file": bytes(content.file_id), "key": content.key}
        fields |= {"size": content.size, "root": content.root, "name": self.name}
        optional = {
            "mime": self.mime,
            "kind": self.kind,
            "caption": self.caption,
            "width": self.width,
            "height": self.height,
            "duration": self.duration,
            "waveform": list(self.waveform),
            "blurhash": self.blurhash,
        }
        fields |= {name: value for name, value in optional.items() if value}
        if (small := self.thumbnail) is not None:
            fields["thumbnail"] = {
                "data": small.data,
                "mime": small.mime,
                "width": small.width,
                "height": small.height,
            }
        return fields

    @classmethod
    def read(cls, fields: Fields) -> FileOffer:
        content = Content(
            _file_id(fields),
            fields.bytes("key", length=KEY_SIZE),
            fields.integer("size", low=0, high=MAX_FILE_SIZE),
            fields.bytes("root", length=HASH_SIZE),
        )
        return cls(
            content,
            line(fields, "name", MAX_FILE_NAME),
            line(fields, "mime", MAX_MIME_TYPE) if "mime" in fields else "",
            kind_of(fields),
            filled(fields, "caption", MAX_CAPTION) if "caption" in fields else "",
            _number(fields, "width", MAX_PIXELS),
            _number(fields, "height", MAX_PIXELS),
            _number(fields, "duration", MAX_DURATION),
            _waveform(fields),
            line(fields, "blurhash", MAX_BLURHASH) if "blurhash" in fields else "",
            _thumbnail(fields),
        )


@dataclass(frozen=True, slots=True)
class FileAccept:
    """The sender wants this file of the friend's."""

    TYPE: ClassVar = "file_accept"
    file_id: FileId

    def to_fields(self) -> dict[str, object]:
        return {"file": bytes(self.file_id)}

    @classmethod
    def read(cls, fields: Fields) -> FileAccept:
        return cls(_file_id(fields))


@dataclass(frozen=True, slots=True)
class FileDone:
    """The sender has the whole of this file of the friend's on disk."""

    TYPE: ClassVar = "file_done"
    file_id: FileId

    def to_fields(self) -> dict[str, object]:
        return {"file": bytes(self.file_id)}

    @classmethod
    def read(cls, fields: Fields) -> FileDone:
        return cls(_file_id(fields))


@dataclass(frozen=True, slots=True)
class FileCancel:
    """This file, whoever offered it, will not go over. ``reason`` is a word of docs/protocol/files.md, "Cancelling", or
    one that a later version has added."""

    TYPE: ClassVar = "file_cancel"
    file_id: FileId
    reason: str

    def to_fields(self) -> dict[str, object]:
        return {"file": bytes(self.file_id), "reason": self.reason}

    @classmethod
    def read(cls, fields: Fields) -> FileCancel:
        file_id, reason = _file_id(fields), fields.text("reason", at_most=MAX_BYE_REASON)
        if not is_reason(reason):
            raise fields.wrong("reason")
        return cls(file_id, reason)


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Part of the content of a small file of the sender's: slice ``number``, from 0, of 1 to ``SLICE_SIZE`` bytes. See
    `slices`."""

    TYPE: ClassVar = "file_slice"
    file_id: FileId
    number: int
    data: bytes = field(repr=False)

    def to_fields(self) -> dict[str, object]:
        return {"file": bytes(self.file_id), "number": self.number, "data": self.data}

    @classmethod
    def read(cls, fields: Fields) -> FileSlice:
        file_id, data = _file_id(fields), fields.bytes("data", at_most=SLICE_SIZE)
        if not data:
            raise fields.wrong("data")
        return cls(file_id, fields.integer("number", low=0, high=MAX_SLICE_NUMBER), data)


FileNews = FileAccept | FileDone | FileCancel | FileSlice
"""What the two nodes say to each other about an offer; nobody is shown it as it is."""


def _file_id(fields: Fields) -> FileId:
    return FileId(fields.bytes("file", length=FILE_ID_SIZE))


def _number(fields: Fields, name: str, high: int) -> int:
    """A number from 1 up; 0 when it is absent, so that there is one way to write that."""
    return fields.integer(name, low=1, high=high) if name in fields else 0


def _waveform(fields: Fields) -> tuple[int, ...]:
    if "waveform" not in fields:
        return ()
    values: list[int] = []
    for value in fields.list("waveform", at_most=MAX_WAVEFORM):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= WAVEFORM_PEAK:
            raise fields.wrong("waveform")
        values.append(value)
    if not values:
        raise fields.wrong("waveform")
    return tuple(values)


def _thumbnail(fields: Fields) -> Thumbnail | None:
    if "thumbnail" not in fields:
        return None
    inner = Fields(fields.raw("thumbnail"), "thumbnail")
    data = inner.bytes("data", at_most=MAX_THUMBNAIL)
    if not data or inner.names() != {"data", "mime", "width", "height"}:
        raise fields.wrong("thumbnail")
    return Thumbnail(
        data,
        line(inner, "mime", MAX_MIME_TYPE),
        inner.integer("width", low=1, high=MAX_PIXELS),
        inner.integer("height", low=1, high=MAX_PIXELS),
    )
