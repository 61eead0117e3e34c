"""The commands that ask the daemon, by name, and what they read from standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine

from chattor_bridge.terminal import (
    carry_commands,
    code_commands,
    file_commands,
    friend_commands,
    identity_commands,
    person_commands,
    reading_commands,
    talk_commands,
)
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output

MAX_INPUT = 256 * 1024
"""Bytes read from standard input: more than the longest text that is accepted, so that the daemon can say its limit."""

NO_WAY_BACK = {
    "forget": "This ends the friendship with {whom}, and erases its keys and all that was said.",
    "retire": "This ends the friendship with {whom}, who is told that somebody else may have its keys.",
}
"""What is asked back about, by command."""

Command = Callable[[argparse.Namespace, Home, Output], Coroutine[None, None, None]]

COMMANDS: dict[str, Command] = {
    "code": code_commands.code,
    "add": code_commands.add,
    "requests": code_commands.requests,
    "accept": code_commands.accept,
    "ignore": code_commands.ignore,
    "block": friend_commands.block,
    "unblock": friend_commands.unblock,
    "forget": friend_commands.forget,
    "merge": friend_commands.merge,
    "retire": friend_commands.retire,
    "contacts": friend_commands.contacts,
    "rename": friend_commands.rename,
    "resync": friend_commands.resync,
    "verify": friend_commands.verify,
    "privacy": person_commands.privacy,
    "mute": person_commands.mute,
    "unmute": person_commands.mute,
    "note": person_commands.note,
    "disappearing": person_commands.disappearing,
    "typing": person_commands.typing,
    "presence": person_commands.presence,
    "profile": identity_commands.profile,
    "avatar": identity_commands.avatar,
    "send": talk_commands.send,
    "history": reading_commands.history,
    "follow": reading_commands.follow,
    "reply": talk_commands.reply,
    "edit": talk_commands.edit,
    "delete": talk_commands.delete,
    "react": talk_commands.react,
    "poll": talk_commands.poll,
    "vote": talk_commands.vote,
    "end-poll": talk_commands.end_poll,
    "place": talk_commands.place,
    "file": file_commands.file,
    "carry": carry_commands.carry,
    "pair": carry_commands.pair,
    "watch": reading_commands.watch,
    "status": identity_commands.status,
}


def take_input(arguments: argparse.Namespace, home: Home) -> None:
    """Fill in from standard input what the command line left out. Not in the commands themselves, because a
    read cannot be interrupted there. Nobody is made to write what nobody would take: the daemon has to be there.

    Raises: CommandError when it is not, or what is read is too long or no text.
    """
    if (arguments.command == "add" and not arguments.code) or (arguments.command == "pair" and arguments.code == ["-"]):
        home.connect().close()
        arguments.code = [_standard_input("Friend code: ", one_line=True)]
    elif arguments.command in ("send", "reply", "edit") and not (arguments.text or getattr(arguments, "remove", False)):
        home.connect().close()
        arguments.text = [_standard_input("Write, and end with Ctrl-D on a line of its own:\n", one_line=False)]


def ask_back(arguments: argparse.Namespace, known: Callable[[str], str]) -> None:
    """Let a person at a terminal think twice about what has no way back; a script has thought. ``known`` says who is
    meant by a word. Raises: CommandError.
    """
    asked = NO_WAY_BACK.get(arguments.command)
    if asked is None or arguments.yes or arguments.json or not sys.stdin.isatty():
        return
    whom = "every friend" if arguments.contact is None else known(arguments.contact)
    sys.stderr.write(f"{asked.format(whom=whom)} This cannot be undone.\nWrite yes to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise CommandError(Exit.REFUSED, "nothing was changed")


def _standard_input(prompt: str, *, one_line: bool) -> str:
    """``prompt`` is for a person at a terminal."""
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        sys.stderr.write(prompt)
        sys.stderr.flush()
    read = sys.stdin.buffer.readline if at_terminal and one_line else sys.stdin.buffer.read
    data = read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise CommandError(Exit.REFUSED, f"standard input is longer than {MAX_INPUT // 1024} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CommandError(Exit.REFUSED, "standard input is not UTF-8 text") from error
    # the line end that an editor or echo adds is not part of what is said
    return text.removesuffix("\n").removesuffix("\r")
