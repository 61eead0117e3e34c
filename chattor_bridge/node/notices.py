"""What a node itself writes into a conversation, in words (the types of `chattor_bridge.node.happenings`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chattor_bridge.node.happenings import MISSING, SESSION_NOT_RENEWED, SESSION_RENEWED, UNREADABLE
from chattor_bridge.protocol.renewal import Reason

_RENEWED: Final[Mapping[object, str]] = {
    Reason.CONTRADICTION: "one of the two sides has forgotten something: it may have been restored from an old copy",
    Reason.BROKEN: "a message could not be opened",
    Reason.ASKED: "you asked for it",
    Reason.FRIEND: "your friend's side asked for it",
}


def in_words(type_name: str, fields: Mapping[str, object]) -> str | None:
    """What to show for an `Unknown` event that the node made; None for one that a friend sent."""
    if type_name == UNREADABLE:
        return "A message came here that nobody can read any more. Ask for it again."
    if type_name == MISSING:
        return f"Missing here: {fields.get('count', 'some')} messages that have not arrived."
    if type_name == SESSION_RENEWED:
        reason = _RENEWED.get(fields.get("reason"), "it was needed")
        return (
            f"The encryption with this friend began anew, because {reason}. What had not arrived is sent again; "
            "messages that one side has forgotten stay lost. Your friend is the same as before."
        )
    if type_name == SESSION_NOT_RENEWED:
        return (
            "Messages cannot go back and forth with this friend for now: the two sides remember different things, and "
            "the encryption began anew less than a day ago, which is done once a day. Perhaps one identity runs in two "
            "places, a restored copy beside the original: stop one of them. It is tried again by itself."
        )
    return None
