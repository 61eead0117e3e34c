"""What can be seen to be wrong in a command line alone, said before anything is asked of the daemon or of the person.

The daemon checks all of it again, by the same rules: whoever asks it may be another program.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from chattor_bridge.errors import LimitReached, UsageError
from chattor_bridge.node.preferences import MAX_CONTACT_NOTE
from chattor_bridge.node.texts import MAX_LABEL, check_alias, check_line, check_profile_name, check_text
from chattor_bridge.protocol.limits import (
    MAX_ANSWER,
    MAX_ANSWERS,
    MAX_NOTE,
    MAX_PLACE,
    MAX_QUESTION,
    MAX_REACTION,
    MAX_TEXT,
)
from chattor_bridge.terminal.exits import CommandError, Exit

MAX_SEND_BYTES: Final = 64 * 1024
"""Bytes of one text to send: a long letter, in five envelopes. More is a file, and files are not chat."""


def check(arguments: argparse.Namespace) -> None:
    """Raises: UsageError, FriendCodeError or CommandError when the command could never be done as it was typed."""
    look = _CHECKS.get(arguments.command)
    if look is not None:
        look(arguments)


def check_said(text: str) -> None:
    """Raises: UsageError when nobody can be told this."""
    if not text.strip():
        raise UsageError("there is nothing to send")
    if len(text.encode(errors="replace")) > MAX_SEND_BYTES:
        raise LimitReached(f"a text can be {MAX_SEND_BYTES // 1024} KiB at most: send it in parts")


def check_new_words(text: str) -> None:
    """Raises: UsageError when nothing can be changed into this."""
    if not text.strip():
        raise UsageError("there is nothing to say instead; delete takes a message back")
    if len(text.encode(errors="replace")) > MAX_TEXT:
        raise LimitReached(f"a message can be changed into {MAX_TEXT:,} bytes at most: say the rest in another one")


def check_choices(choices: int, answers: int) -> None:
    """Raises: UsageError when a poll with so many answers cannot let people choose so many."""
    if not 1 <= choices <= answers:
        raise UsageError("a poll lets everybody choose from 1 to as many answers as it has")


def check_filled(text: str, at_most: int, what: str) -> None:
    """Raises: UsageError when there is nothing in it, or too much."""
    if not text:
        raise UsageError(f"{what} cannot be empty")
    check_text(text, at_most, what, allowed="\n\t")


def _said(arguments: argparse.Namespace) -> None:
    if arguments.text:  # without, it comes from standard input
        check_said(" ".join(arguments.text))


def _edit(arguments: argparse.Namespace) -> None:
    if arguments.text and arguments.remove:
        raise CommandError(Exit.USAGE, "a caption is either changed or taken away: leave --remove or the text out")
    if arguments.text:
        check_new_words(" ".join(arguments.text))


def _reaction(arguments: argparse.Namespace) -> None:
    check_line(arguments.emoji, MAX_REACTION, "what you put under a message")


def _poll(arguments: argparse.Namespace) -> None:
    check_filled(arguments.question, MAX_QUESTION, "a question")
    if len(arguments.answers) > MAX_ANSWERS:
        raise LimitReached(f"a poll has {MAX_ANSWERS} answers at most")
    for answer in arguments.answers:
        check_filled(answer, MAX_ANSWER, "an answer")
    check_choices(arguments.choices, len(arguments.answers))


def _place(arguments: argparse.Namespace) -> None:
    if arguments.name:
        check_line(arguments.name, MAX_PLACE, "the name of a place")


def _code(arguments: argparse.Namespace) -> None:
    if arguments.action == "new" and arguments.label:
        check_line(arguments.label, MAX_LABEL, "the label of a code")


def _add(arguments: argparse.Namespace) -> None:
    code, note = "", arguments.note
    if arguments.code:
        from chattor_bridge.typed_code import code_and_note  # its libraries take long to load

        code, note = code_and_note(" ".join(arguments.code), note)
    check_text(note, MAX_NOTE, "the note", allowed="\n\t")
    _friend_code(code)


def _pair(arguments: argparse.Namespace) -> None:
    if arguments.code != ["-"]:
        _friend_code(" ".join(arguments.code))


def _friend_code(code: str) -> None:
    if code:
        from chattor_bridge.protocol.friendcode import FriendCode  # as above

        FriendCode.parse(code)


def _profile(arguments: argparse.Namespace) -> None:
    if arguments.name is not None:
        check_profile_name(arguments.name)


def _rename(arguments: argparse.Namespace) -> None:
    check_alias(arguments.alias)


def _note(arguments: argparse.Namespace) -> None:
    if arguments.text and arguments.remove:
        raise CommandError(Exit.USAGE, "a note is either written or taken away: leave --remove or the text out")
    check_text(" ".join(arguments.text), MAX_CONTACT_NOTE, "the note", allowed="\n\t")


def _privacy(arguments: argparse.Namespace) -> None:
    if (arguments.what is None) is not (arguments.on is None):
        raise CommandError(Exit.USAGE, "say what, and on or off: chattor privacy NAME typing on")


def _retire(arguments: argparse.Namespace) -> None:
    if arguments.contact is None and not arguments.all:
        raise CommandError(Exit.USAGE, "say which contact, or --all")


_CHECKS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "send": _said,
    "reply": _said,
    "edit": _edit,
    "react": _reaction,
    "poll": _poll,
    "place": _place,
    "code": _code,
    "add": _add,
    "pair": _pair,
    "profile": _profile,
    "rename": _rename,
    "note": _note,
    "privacy": _privacy,
    "retire": _retire,
}
