"""The command line of `chattor`: argparse, written so that ``--help`` is the manual."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from chattor_bridge.terminal.carry_parser import add_carrying
from chattor_bridge.terminal.code_parser import add_codes
from chattor_bridge.terminal.exits import MEANINGS
from chattor_bridge.terminal.file_parser import add_files
from chattor_bridge.terminal.friend_parser import add_friends
from chattor_bridge.terminal.home import DEFAULT_HOME, HOME_VARIABLE
from chattor_bridge.terminal.identity_parser import add_identity
from chattor_bridge.terminal.parsing import add_common, adder
from chattor_bridge.terminal.person_parser import add_person
from chattor_bridge.terminal.reading_parser import add_reading
from chattor_bridge.terminal.talk_parser import add_talk

_INTRODUCTION = """\
Chattor in a terminal: private chat between friends over Tor onion services, with no server and no account.

first steps:
  chattor init                   make an identity in this home
  chattor run                    be online; leave it running, use another terminal for the rest
  chattor code new               make a friend code and hand it to somebody, or
  chattor add CODE               ask the owner of a friend code to be your friend
  chattor requests               see who asks; chattor accept NAME makes friends
  chattor send NAME Hello!       write; chattor follow shows what arrives, as it arrives
  chattor tui                    or all of it on one screen, with or without chattor run
"""

_EPILOGUE = """\
names:
  A contact is meant by its number in "chattor contacts", by your own alias for it, or by its name; the first words of
  these are enough where no other begins so, but not to end a friendship. A name that two contacts share is refused: use
  the number. A request is meant by its number or its name, a friend code by its short id or its label.

for scripts:
  With --json every command writes one JSON object a line to standard output, in ASCII, and errors as
  {{"error": "..."}} to standard error; what is wrong with the command line itself (exit code 2) is said in words all
  the same. Each command's --help shows its objects. Times are seconds since 1970 (UTC), ids are hexadecimal.

files ({default_home}, or --home, or ${home_variable}):
  config.yaml    options, each explained in it; written by init, never rewritten
  store.key      opens everything stored here: without it nothing can be read again. Back it up apart from the rest.
  chattor.db     the identity, the contacts, the history; texts and keys are encrypted with store.key
  files/         files of friends that were fetched and not saved yet, encrypted
  tor/           what tor keeps
  control.sock   where the other commands find chattor run

exit codes:
{codes}
"""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. ``command`` names the command, ``--home`` and ``--json`` stand before or after it."""
    codes = "\n".join(f"  {int(code):<5}{meaning}" for code, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        prog="chattor",
        description=_INTRODUCTION,
        epilog=_EPILOGUE.format(codes=codes, default_home=DEFAULT_HOME, home_variable=HOME_VARIABLE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_common(parser, absent=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    add = adder(commands)
    add_identity(add)
    add_codes(add)
    add_friends(add)
    add_person(add)
    add_talk(add)
    add_reading(add)
    add_files(add)
    add_carrying(add)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line (``None``: this process's). Like argparse, exits with 2 when it is wrong."""
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    arguments, extra = parser.parse_known_args(words)
    if arguments.command is None:
        parser.error("say what to do: chattor help lists the commands")
    # argparse takes no more words for a list once an option came between: "send bob --wait hello"
    rest = {"send": "text", "reply": "text", "edit": "text", "add": "code", "pair": "code"}.get(arguments.command)
    if extra and rest is not None and not getattr(arguments, rest) and not any(word.startswith("-") for word in extra):
        setattr(arguments, rest, extra)
    elif extra:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    return arguments
