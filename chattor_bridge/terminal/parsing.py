"""What the parts of the command line are made of: how a command is added, and how its words are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chattor_bridge.durations import read_duration, read_timer
from chattor_bridge.errors import UsageError
from chattor_bridge.terminal.home import DEFAULT_HOME

MAX_ORDER = 2**63 - 1
"""The largest order number: what a signed 64-bit column holds."""

MAX_WAIT = 86_400
"""Seconds that a command can be told to wait for a friend or a mailbox: a day; it goes on by itself all the same, and
`history` or `carry` tells."""

if TYPE_CHECKING:  # a private name of argparse, and generic to the type checker alone
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


class Add(Protocol):
    """Adds a command: its name, what it does in a line, its manual and the shape of its objects."""

    def __call__(self, name: str, summary: str, manual: str = "", shape: str = "") -> argparse.ArgumentParser: ...


def adder(commands: _Commands) -> Add:
    """Adds to these."""
    return partial(_command, commands)


def add_common(parser: argparse.ArgumentParser, absent: object) -> None:
    """What stands before or after every command; ``absent`` is what they are when they are not given."""
    parser.add_argument(
        "--home", type=Path, metavar="DIR", default=absent, help=f"the identity's directory (default {DEFAULT_HOME})"
    )
    parser.add_argument(
        "--json", action="store_true", default=absent or False, help="write JSON objects, one a line, for scripts"
    )


def _command(
    commands: _Commands, name: str, summary: str, manual: str = "", shape: str = ""
) -> argparse.ArgumentParser:
    paragraphs = [f"{summary[0].upper()}{summary[1:]}.", manual]
    if shape:
        paragraphs.append(f"with --json:\n{shape}")
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description="\n\n".join(paragraph for paragraph in paragraphs if paragraph),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # not given here, what stood before the command must stay
    add_common(command, absent=argparse.SUPPRESS)
    return command


def duration(text: str) -> int:
    """A length of time, in seconds."""
    try:
        return read_duration(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def timer(text: str) -> int:
    """The same with seconds, or off."""
    try:
        return read_timer(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def bounded(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers within bounds, both included."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return number

    return read
