"""Matrix events that carry a file, read and written: everything they say of it but its content.

Both sides are read as what strangers claim. What Matrix is shown as a picture is one by its first bytes, whatever it is
called; a name has no way into another directory and nothing unseen; and a number is believed within its bounds only.
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, fields
from typing import Any

from chattor_bridge.bridge import content
from chattor_bridge.bridge.attachment import Attachment
from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.ports import TextConversion
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.node.names import presentable
from chattor_bridge.node.pictures import PICTURE_TYPES, picture_type
from chattor_bridge.protocol.files import FileOffer
from chattor_bridge.protocol.limits import (
    MAX_BLURHASH,
    MAX_DURATION,
    MAX_FILE_NAME,
    MAX_MIME_TYPE,
    MAX_PIXELS,
    MAX_WAVEFORM,
    WAVEFORM_PEAK,
)

OCTETS = "application/octet-stream"

MAX_EXTENSION = 16
"""Bytes of a name's extension that survive when the name has to be cut."""

VOICE = ("org.matrix.msc3245.voice", "m.voice")
AUDIO = ("org.matrix.msc1767.audio", "m.audio")
BLURHASH = ("xyz.amorgan.blurhash", "blurhash")
"""Names of extensions, as clients write them now and as they will."""

_KINDS = {"m.image": "image", "m.video": "video", "m.audio": "audio", "m.file": ""}
_MIME_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}", re.ASCII)
_BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,.:;=?@\[\]^_{|}~-]{6,128}", re.ASCII)
_ACTIVE = re.compile(r"text/(html|xml|xsl|.*script)|application/(xml|.*script)|.*\+xml")
"""Types of what a browser might run when it is told that it is one of them."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of a file, within the bounds of docs/protocol/limits.md but for ``caption`` (CommonMark), which may
    be of any length. ``duration`` is in milliseconds; 0 or empty is what is not known. ``kind`` is that of an offer."""

    name: str
    mime: str = ""
    kind: str = ""
    caption: str = ""
    width: int = 0
    height: int = 0
    duration: int = 0
    waveform: tuple[int, ...] = ()
    blurhash: str = ""

    @classmethod
    def of(cls, offer: FileOffer) -> Description:
        return cls(**{name.name: getattr(offer, name.name) for name in fields(cls)})


@dataclass(frozen=True, slots=True)
class Shape:
    """Size and type of a file that was uploaded, in bytes and as `shown_type` says; in pixels where it is known."""

    size: int
    mime: str
    width: int = 0
    height: int = 0


def carries_file(event_type: str, event_content: JsonObject) -> bool:
    """Whether an event of this type and content is about a file."""
    return event_type == "m.sticker" or (event_type == "m.room.message" and str(event_content.get("msgtype")) in _KINDS)


def described(conversion: TextConversion, event_type: str, event_content: JsonObject) -> Description:
    """What an event that carries a file says of it."""
    info = _object(event_content.get("info"))
    audio = next((_object(event_content[key]) for key in AUDIO if key in event_content), {})
    mime = mime_type(info.get("mimetype"))
    kind = "sticker" if event_type == "m.sticker" else _KINDS.get(str(event_content.get("msgtype")), "")
    if kind == "audio" and any(key in event_content for key in VOICE):
        kind = "voice"
    body, filename = content.plain(event_content), event_content.get("filename")
    has_caption = isinstance(filename, str) and filename not in ("", body)
    return Description(
        file_name(filename if has_caption else body, mime, kind),
        mime,
        kind,
        content.spoken(conversion, event_content).strip() if has_caption else "",
        _number(info.get("w"), MAX_PIXELS),
        _number(info.get("h"), MAX_PIXELS),
        _number(info.get("duration"), MAX_DURATION) or _number(audio.get("duration"), MAX_DURATION),
        _waveform(audio.get("waveform")),
        next((info[key] for key in BLURHASH if _is_blurhash(info.get(key))), ""),
    )


def written(
    conversion: TextConversion,
    said: Description,
    attachment: Attachment,
    shape: Shape,
    thumbnail: tuple[Attachment, Shape] | None,
    mark: str,
) -> tuple[str, JsonObject]:
    """Type and content of the event that shows a file; ``mark`` is its transaction id. ``shape`` has the type that
    `shown_type` found."""
    message_type = _message_type(said.kind, shape.mime)
    name = file_name(said.name, shape.mime, said.kind)
    words: JsonObject = {"body": name, "m.mentions": {}, MARK_KEY: mark}
    if said.caption.strip():
        words = content.written(conversion, said.caption, mark, notice=False)
    info = _info(shape) | _if_known(duration=said.duration if message_type in ("m.audio", "m.video") else 0)
    if message_type in ("m.image", "m.video") and _is_blurhash(said.blurhash):
        info[BLURHASH[0]] = said.blurhash
    if thumbnail is not None and message_type != "m.audio":
        info |= thumbnail[0].to_content("thumbnail_url", "thumbnail_file") | {"thumbnail_info": _info(thumbnail[1])}
    if said.kind == "sticker" and message_type == "m.image" and attachment.key is None:
        # there is none in the specification for encrypted rooms
        return "m.sticker", {**_without_type(words), "url": attachment.address, "info": info}
    event_content = {**words, "msgtype": message_type, "filename": name, **attachment.to_content(), "info": info}
    if message_type == "m.audio":
        audio = _if_known(duration=said.duration) | ({"waveform": list(said.waveform)} if said.waveform else {})
        event_content |= {AUDIO[0]: audio} | ({VOICE[0]: {}} if said.kind == "voice" else {})
    return "m.room.message", event_content


def recaptioned(conversion: TextConversion, shown: JsonObject, caption: str, mark: str) -> JsonObject:
    """The content of an event that shows a file, with another caption, or with none when that is empty."""
    words: JsonObject = {"body": shown["filename"], MARK_KEY: mark}
    if caption.strip():
        words = content.written(conversion, caption, mark, notice=False)
    kept = {key: value for key, value in shown.items() if key not in ("body", "format", "formatted_body", MARK_KEY)}
    return {**words, **kept}


def shown_type(kind: str, claimed: str, start: bytes) -> str:
    """The type under which Matrix gets a file that claims to be ``claimed`` and begins with these 12 bytes or more."""
    raster = picture_type(start)
    if raster is not None and kind in ("image", "sticker"):
        return raster
    mime = mime_type(claimed)
    if not mime or _ACTIVE.fullmatch(mime) or (mime.startswith("image/") and mime != raster):
        return OCTETS
    return mime


def file_name(claimed: object, mime: str = "", kind: str = "") -> str:
    """A name a person can read and a program can save under, 1 to ``MAX_FILE_NAME`` bytes: one component of a path, on
    one line, nothing unseen in it."""
    name = presentable(re.sub(r"[/\\\x00]", "_", claimed)) if isinstance(claimed, str) else ""
    name = name.lstrip(". ")
    if not name:
        name = (kind or "file") + (mimetypes.guess_extension(mime) or "")
    stem, dot, extension = name.rpartition(".")
    tail = (dot + extension).encode() if stem else b""
    if len(tail) > MAX_EXTENSION:
        tail = b""
    room = MAX_FILE_NAME - len(tail)
    encoded = name.encode()
    if len(encoded) <= MAX_FILE_NAME:
        return name
    return (encoded[:room].decode(errors="ignore") + tail.decode()).strip()


def mime_type(claimed: object) -> str:
    """A media type without its parameters; empty when it is none."""
    if not isinstance(claimed, str) or len(claimed) > 2 * MAX_MIME_TYPE:
        return ""
    mime = claimed.partition(";")[0].strip().lower()
    return mime if _MIME_TYPE.fullmatch(mime) else ""


def _message_type(kind: str, mime: str) -> str:
    """What its type lets it be, of what its sender meant it as."""
    if kind in ("image", "sticker") and mime in PICTURE_TYPES:
        return "m.image"
    if kind == "video" and mime.startswith("video/"):
        return "m.video"
    if kind in ("audio", "voice") and (mime.startswith("audio/") or mime == "application/ogg"):
        return "m.audio"
    return "m.file"


def _info(shape: Shape) -> JsonObject:
    return {"mimetype": shape.mime, "size": shape.size, **_if_known(w=shape.width, h=shape.height)}


def _if_known(**numbers: int) -> JsonObject:
    return {name: number for name, number in numbers.items() if number}


def _without_type(words: JsonObject) -> JsonObject:
    return {key: value for key, value in words.items() if key != "msgtype"}


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _number(value: object, most: int) -> int:
    """A number of 1 to ``most``, as JSON has them; 0 for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= most:
        value = int(value)
    return value if type(value) is int and 0 < value <= most else 0


def _waveform(values: object) -> tuple[int, ...]:
    """At most ``MAX_WAVEFORM`` loudnesses: of those that fall together the loudest."""
    if not isinstance(values, list) or not values or not all(type(value) is int for value in values):
        return ()
    width = -(-len(values) // MAX_WAVEFORM)
    loudest = [max(values[start : start + width]) for start in range(0, len(values), width)]
    return tuple(min(max(value, 0), WAVEFORM_PEAK) for value in loudest)


def _is_blurhash(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_BLURHASH and _BLURHASH.fullmatch(value) is not None
