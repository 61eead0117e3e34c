"""The part of the command line by which people say what is no plain text, or is about something that was said."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from decimal import Decimal

from chattor_bridge.protocol.limits import MAX_ACCURACY, MAX_ANSWERS
from chattor_bridge.terminal.forms import MICRO

Add = Callable[[str, str, str, str], argparse.ArgumentParser]
"""Adds a command: its name, summary, manual and the shape of its objects."""

_SENT = '{"event_id": "5f…", "state": "queued"}'

_NUMBER_OF = "number of the message, as history shows it"


def add_talk(add: Add, order: Callable[[str], int], at_least_one: Callable[[str], int]) -> None:
    """Add the commands. ``order`` reads the number of a message, ``at_least_one`` a small number."""
    reply = add(
        "reply",
        "answer a message",
        "The answer shows what it answers. With --thread it belongs to the thread that begins with that message, and\n"
        "with --thread and --to it answers one message in the thread of another. As send otherwise.",
        _SENT,
    )
    _to_message(reply, order)
    reply.add_argument("text", nargs="*", metavar="TEXT", help="what to say; put -- before it if it begins with a dash")
    reply.add_argument("--thread", action="store_true", help="say it in the thread of this message")
    reply.add_argument("--to", type=order, metavar="N", help="with --thread: the message in it that is answered")
    edit = add(
        "edit",
        "change what you have said",
        "Your friend sees the new text and that it was changed. Only your own texts can be changed.",
        _SENT,
    )
    _to_message(edit, order)
    edit.add_argument("text", nargs="*", metavar="TEXT", help="how it is to read; without it, standard input")
    delete = add(
        "delete",
        "take back what you have said",
        "It is erased here, and at your friend's as soon as your friend is reached. What was read was read.",
        _SENT,
    )
    _to_message(delete, order)
    react = add(
        "react",
        "put an emoji under a message",
        "A short word will do as well, up to 64 bytes. --remove takes it back.",
        _SENT,
    )
    _to_message(react, order)
    react.add_argument("emoji", help="what to put there, such as 👍")
    react.add_argument("--remove", action="store_true", help="take it back")
    poll = add(
        "poll",
        "ask a question with answers to choose from",
        "Both of you may vote until you end it with end-poll.",
        _SENT,
    )
    poll.add_argument("contact", help="number, alias or name")
    poll.add_argument("question", help="in one argument")
    poll.add_argument("answers", nargs="+", metavar="ANSWER", help=f"each in one argument, up to {MAX_ANSWERS}")
    poll.add_argument(
        "--choices",
        type=at_least_one,
        default=1,
        metavar="N",
        help="how many answers you may each choose (default 1)",
    )
    poll.add_argument("--hidden", action="store_true", help="show the votes only when the poll is over")
    vote = add(
        "vote",
        "choose in a poll",
        "Takes the place of what you chose before. Without ANSWER it takes your vote back.",
        _SENT,
    )
    _to_message(vote, order)
    vote.add_argument("answers", nargs="*", type=at_least_one, metavar="ANSWER", help="numbers of answers, from 1")
    end_poll = add("end-poll", "end a poll of yours", "Votes that come later do not count.", _SENT)
    _to_message(end_poll, order)
    place = add(
        "place",
        "tell a friend of a place",
        "In degrees, north and east positive: chattor place bob 51.5007 -0.1246 --name 'Big Ben'.",
        _SENT,
    )
    place.add_argument("contact", help="number, alias or name")
    place.add_argument("latitude", type=degrees, help="-90 to 90")
    place.add_argument("longitude", type=degrees, help="-180 to 180")
    place.add_argument("--name", default="", help="what it is called")
    place.add_argument("--accuracy", type=_metres, metavar="METRES", help="how sure it is")


def _to_message(command: argparse.ArgumentParser, order: Callable[[str], int]) -> None:
    command.add_argument("order", type=order, metavar="N", help=_NUMBER_OF)


def degrees(text: str) -> int:
    """Degrees as the protocol has them. Raises: ArgumentTypeError."""
    if not re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,20})?", text, re.ASCII):
        raise argparse.ArgumentTypeError("must be degrees such as 51.5007")
    return int((Decimal(text) * MICRO).to_integral_value())


def _metres(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", text, re.ASCII) or int(text) > MAX_ACCURACY:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {MAX_ACCURACY}")
    return int(text)
