"""What a node itself writes into a conversation, in words (the types of `chattor_bridge.node.happenings`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from chattor_bridge.durations import timer_in_words
from chattor_bridge.node.happenings import (
    CARRY_ASKED,
    CARRY_BEGUN,
    CARRY_ENDED,
    CARRY_OFFERED,
    EMOJI_INVITED,
    EMOJI_READY,
    MERGE_ASKED,
    MERGE_UNPROVEN,
    MERGED,
    MISSING,
    RETIRED,
    SESSION_NOT_RENEWED,
    SESSION_RENEWED,
    TIMER_SET,
    UNREADABLE,
    VERIFICATION_FAILED,
    VERIFICATION_MATCHED,
)
from chattor_bridge.protocol.renewal import Reason

_RENEWED: Final[Mapping[object, str]] = {
    Reason.CONTRADICTION: "one of the two sides has forgotten something: it may have been restored from an old copy",
    Reason.BROKEN: "a message could not be opened",
    Reason.ASKED: "you asked for it",
    Reason.GIVEN_UP: "what had waited for your friend for 30 days was given up",
    Reason.FRIEND: "your friend's side asked for it",
}


class Typed(Protocol):
    """How a person types a command about the friend of this conversation, where it is read: a bare word that somebody
    writes into a conversation goes to the friend, and does nothing."""

    def __call__(self, command: str, rest: str = "") -> str: ...


def in_words(
    type_name: str, fields: Mapping[str, object], *, typed: Typed, quoted: Callable[[str], str] = str
) -> str | None:
    """What to show for an `Unknown` event that the node made; None for one that a friend sent. ``quoted`` makes of a
    name, which somebody else chose, what can stand in such a text."""
    name = quoted(str(fields.get("name", "")))
    if type_name == UNREADABLE:
        return "A message came here that nobody can read any more. Ask for it again."
    if type_name == MISSING:
        count = fields.get("count")
        if count == 1:
            return "Missing here: 1 message that has not arrived."
        return f"Missing here: {count or 'some'} messages that have not arrived."
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
    if type_name == EMOJI_INVITED:
        return (
            "Your friend wants to compare emoji with you, to be sure that nobody stands between you. While you talk by "
            f"voice or sit together, take part with {typed('verify', 'emoji')}; it waits for ten minutes."
        )
    if type_name == EMOJI_READY:
        return (
            f"Compare these with what your friend sees: {_pictured(fields.get('emoji'))}. Say what you find with "
            f"{typed('verify', 'match')} or {typed('verify', 'mismatch')}."
        )
    if type_name == VERIFICATION_MATCHED:
        return (
            f"Your friend has found the emoji to be the same. If you have too, say so with {typed('verify', 'match')}."
        )
    if type_name == VERIFICATION_FAILED:
        return (
            "⚠️ WARNING: comparing with this friend failed. Somebody may stand between you and read everything. Do not "
            "say anything secret here. Meet, exchange new friend codes, and become friends anew."
        )
    if type_name == MERGE_ASKED:
        return (
            f"Your friend says that it is the same person as in your other conversation, “{name}”, and "
            f"wants the two to become one. If you find that right, write {typed('merge')}; only if that other "
            "conversation says the same will anything happen. If you do nothing, both stay."
        )
    if type_name == MERGE_UNPROVEN:
        return (
            "⚠️ Your friend says that another conversation of yours is with the same person, and could not prove it. "
            "Nothing was changed. Perhaps you have forgotten that conversation; or somebody tries to deceive you."
        )
    if type_name == MERGED:
        return f"Your other conversation, “{name}”, has become one with this. Everything goes on here."
    if type_name == CARRY_ASKED:
        return (
            "Your friend asks you to hold its mail while it is offline. You could neither read it nor tell whom it is "
            f"from. If you are online most of the time and want to, say so with {typed('carry offer')}; if you do "
            "nothing, nothing happens."
        )
    if type_name == CARRY_BEGUN:
        return "You hold this friend's mail from now on while it is offline, because it asked."
    if type_name == CARRY_OFFERED:
        if fields.get("wanted") is True:
            return "Your friend holds your mail from now on while you are offline."
        return (
            "Your friend is willing to hold your mail while you are offline. To have it so, write "
            f"{typed('carry ask')}."
        )
    if type_name == CARRY_ENDED:
        if fields.get("ours") is True:
            return "Your friend does not want you to hold its mail any more."
        return "Your friend does not hold your mail any more."
    if type_name == TIMER_SET:
        return _timer(fields)
    if type_name == RETIRED:
        return (
            "⚠️ WARNING: your friend has ended this friendship, because somebody else may have its keys. What you read "
            "here lately may come from somebody else, and what you said may be known. Nothing more can be said here. "
            "Meet or call, exchange a new friend code, and become friends anew."
        )
    return None


def _timer(fields: Mapping[str, object]) -> str:
    seconds, wanted = fields.get("seconds"), fields.get("wanted", fields.get("seconds"))
    who = "You have" if fields.get("ours") is True else "Your friend has"
    said = f"{who} set messages to disappear {_after(wanted)}." if wanted else f"{who} set messages to stay."
    if wanted != seconds:
        now = f"disappear {_after(seconds)}" if seconds else "stay"
        return f"{said} You had set something else at the same time, which counts: messages {now}."
    if not seconds:
        return f"{said} What was said before this still disappears when its time is over."
    return (
        f"{said} That is for what both of you say from now on: yours counts from when you send it, your friend's from "
        "when you have read it. A friend can keep a copy all the same."
    )


def _after(seconds: object) -> str:
    return f"after {timer_in_words(seconds)}" if isinstance(seconds, int) else "at some time"


def _pictured(emoji: object) -> str:
    if not isinstance(emoji, list):
        return ""
    return ", ".join(f"{sign} {name}" for sign, name in emoji)
