"""How events become entries of the history and back: their text in words, and their detail as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chattor_bridge.ids import EventId, FileId
from chattor_bridge.node.notices import in_words
from chattor_bridge.protocol.events import (
    Delete,
    Edit,
    Event,
    FileOffer,
    Location,
    Poll,
    PollEnd,
    Reaction,
    Text,
    Unknown,
    Vote,
)
from chattor_bridge.terminal.ports import JsonObject
from chattor_bridge.wording import MICRO

STYLES = frozenset({"emote", "notice"})
"""Kinds of text that are shown in another way."""


@dataclass(frozen=True, slots=True)
class Form:
    """See `HistoryEntry` for each."""

    kind: str
    text: str
    target: EventId | None = None
    detail: JsonObject | None = None


def form_of(event: Event) -> Form:
    """The entry for an event that a person said, or that stands in the place of one."""
    match event.body:
        case Text(text, kind):
            return Form(kind if kind in STYLES else "text", text)
        case Edit(target, text, kind):
            return Form("edit", text, target, {"kind": kind if kind in STYLES else "text"})
        case Delete(target) | PollEnd(target):
            return Form(event.body.TYPE, "", target)
        case Reaction(target, emoji):
            return Form("reaction", emoji, target)
        case Vote(target, choices):
            return Form("vote", "", target, {"choices": list(choices)})
        case Location():
            return _place(event.body)
        case Poll():
            return _poll(event.body)
        case FileOffer(content, name, mime, kind, caption):
            return Form("file", caption, None, file_detail(content.file_id, name, mime, kind, content.size))
        case Unknown(type_name, fields):
            return _unknown(event, type_name, fields)
        case body:  # nothing that a friend says is dropped for being nothing that the terminal shows
            return _unknown(event, body.TYPE, {})


def file_detail(file_id: FileId, name: str, mime: str, kind: str, size: int) -> JsonObject:
    """What is kept of an offer; how far the file is, the node knows."""
    return {"file": file_id.hex(), "file_name": name, "mime": mime, "kind": kind, "size": size}


def _place(place: Location) -> Form:
    latitude, longitude = place.latitude / MICRO, place.longitude / MICRO
    accuracy = "" if place.accuracy is None else f" ± {place.accuracy} m"
    where = f"{latitude:.6f}, {longitude:.6f}{accuracy}"
    detail = {"latitude": latitude, "longitude": longitude, "accuracy": place.accuracy, "name": place.name}
    return Form("location", f"{place.name} ({where})" if place.name else where, None, detail)


def _poll(poll: Poll) -> Form:
    detail = {
        "question": poll.question,
        "answers": list(poll.answers),
        "choices": poll.choices,
        "disclosed": poll.disclosed,
    }
    return Form("poll", poll.question, None, detail)


def _unknown(event: Event, type_name: str, fields: Mapping[str, object]) -> Form:
    said = in_words(type_name, fields, typed=_typed)
    if said is not None:
        return Form("note", f"[{said}]")
    said = f"a message of a kind this version cannot show ({type_name}): upgrade chattor to see it"
    if event.critical:
        said = (
            f"WARNING: an important message of a kind this version does not know ({type_name}). Do not go on as if it "
            "had not been said: upgrade chattor, or ask your friend what it was"
        )
    return Form("unknown", f"[{said}]")


def _typed(command: str, rest: str = "") -> str:
    """On a command line, where a friend has to be named; what its number is, an entry that is kept cannot say."""
    return f"`{f'chattor {command} NAME {rest}'.rstrip()}`"


def counted(detail: Mapping[str, Any], choices: object) -> list[int] | None:
    """The choices of a vote in the poll of this detail; None when it is void."""
    if not isinstance(choices, list) or len(choices) > detail["choices"]:
        return None
    return None if any(choice >= len(detail["answers"]) for choice in choices) else choices
