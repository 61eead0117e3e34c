"""The part of the command line by which people say something, or change what was said."""

from __future__ import annotations

import argparse
import re
from decimal import Decimal

from chattor_bridge.protocol.limits import MAX_ACCURACY, MAX_ANSWERS
from chattor_bridge.terminal.parsing import MAX_ORDER, MAX_WAIT, Add, bounded
from chattor_bridge.wording import MICRO

DEFAULT_WAIT = 60
"""Seconds that `send --wait` waits: a link over Tor comes up well within them when the friend is online."""

_SENT = '{"event_id": "5f…", "state": "queued"}'
_SAID = '{"event_id": "5f…", "order": 9, "state": "queued"}'

_ORDER = bounded(1, MAX_ORDER)

_NUMBER_OF = "number of the message, as history shows it"


def add_talk(add: Add) -> None:
    """Add the commands."""
    send = add(
        "send",
        "send a message to a friend",
        "The text may use CommonMark (**bold**, *italics*, `code`). Without TEXT it is read from standard input. It\n"
        "is on disk when this returns and goes out as soon as the friend can be reached. A long text becomes several\n"
        "messages; their numbers are shown, one a line.",
        _SAID + '\nand with --wait later {"event_id": "5f…", "order": 9, "state": "delivered|read|failed"}',
    )
    send.add_argument("contact", help="number, alias or name")
    send.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="what to say; put -- before it if it begins with a dash"
    )
    send.add_argument("--emote", action="store_true", help="tell of yourself in the third person: * Alice waves")
    send.add_argument("--wait", action="store_true", help="wait until the friend has it on disk")
    send.add_argument(
        "--timeout",
        type=bounded(1, MAX_WAIT),
        default=DEFAULT_WAIT,
        metavar="SECONDS",
        help=f"how long --wait waits at most (default {DEFAULT_WAIT}, up to {MAX_WAIT})",
    )
    reply = add(
        "reply",
        "answer a message",
        "The answer shows what it answers. With --thread it belongs to the thread that begins with that message, and\n"
        "with --thread and --to it answers one message in the thread of another. As send otherwise.",
        _SAID,
    )
    _to_message(reply)
    reply.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="what to say; put -- before it if it begins with a dash"
    )
    reply.add_argument("--thread", action="store_true", help="say it in the thread of this message")
    reply.add_argument("--to", type=_ORDER, metavar="N", help="with --thread: the message in it that is answered")
    edit = add(
        "edit",
        "change what you have said",
        "Your friend sees the new text and that it was changed. Only your own texts and captions of files can be\n"
        "changed; --remove takes a caption away.",
        _SENT,
    )
    _to_message(edit)
    edit.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="how it is to read; without it, standard input"
    )
    edit.add_argument("--remove", action="store_true", help="take the caption of a file away")
    delete = add(
        "delete",
        "take back what you have said",
        "It is erased here, and at your friend's as soon as your friend is reached. What was read was read.",
        _SENT,
    )
    _to_message(delete)
    react = add(
        "react",
        "put an emoji under a message",
        "A short word will do as well, up to 64 bytes. --remove takes it back.",
        _SENT,
    )
    _to_message(react)
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
        type=bounded(1, MAX_ANSWERS),
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
    _to_message(vote)
    vote.add_argument(
        "answers",
        nargs="*",
        default=[],
        type=bounded(1, MAX_ANSWERS),
        metavar="ANSWER",
        help="numbers of answers, from 1",
    )
    end_poll = add("end-poll", "end a poll of yours", "Votes that come later do not count.", _SENT)
    _to_message(end_poll)
    place = add(
        "place",
        "tell a friend of a place",
        "In degrees, north and east positive: chattor place bob 51.5007 -0.1246 --name 'Big Ben'.",
        _SENT,
    )
    place.add_argument("contact", help="number, alias or name")
    place.add_argument("latitude", type=latitude, help="-90 to 90")
    place.add_argument("longitude", type=longitude, help="-180 to 180")
    place.add_argument("--name", default="", help="what it is called")
    place.add_argument("--accuracy", type=_metres, metavar="METRES", help="how sure it is")


def _to_message(command: argparse.ArgumentParser) -> None:
    command.add_argument("order", type=_ORDER, metavar="N", help=_NUMBER_OF)


def latitude(text: str) -> int:
    """A latitude as the protocol has it. Raises: ArgumentTypeError."""
    return _degrees(text, 90)


def longitude(text: str) -> int:
    """A longitude as the protocol has it. Raises: ArgumentTypeError."""
    return _degrees(text, 180)


def _degrees(text: str, most: int) -> int:
    if re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,20})?", text, re.ASCII) and abs(Decimal(text)) <= most:
        return int((Decimal(text) * MICRO).to_integral_value())
    raise argparse.ArgumentTypeError(f"must be degrees such as 51.5007, from -{most} to {most}")


def _metres(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", text, re.ASCII) or int(text) > MAX_ACCURACY:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {MAX_ACCURACY}")
    return int(text)
