"""The part of the command line by which people find each other: friend codes and contact requests."""

from __future__ import annotations

import argparse

from chattor_bridge.protocol.limits import MAX_CODE_USES
from chattor_bridge.terminal.parsing import Add, adder, bounded, duration


def add_codes(add: Add) -> None:
    """Add the commands."""
    code = add(
        "code",
        "list, make and retire friend codes",
        "A friend code is what you hand out so that people can ask to be your friend. Make one for each group of\n"
        "people you meet: retiring it stops further requests through it and changes nothing for friends you have.\n"
        "Whoever has a code can see whether you are online. Without a further word, lists.",
        '{"id": "9c…", "label": "work", "code": "chattor:…", "published": true, "once": false, "expires": null,\n'
        ' "uses": 0, "max_uses": null, "parked": false, "created": 1793000000}',
    )
    code.add_argument("--qr", action="store_true", help="draw them as QR codes too")
    add_action = adder(code.add_subparsers(dest="action", metavar="ACTION"))
    listing = add_action("list", "list your friend codes")
    new = add_action("new", "make a friend code")
    new.add_argument("label", nargs="?", default="", help="what you call it; never sent to anybody")
    new.add_argument(
        "--once",
        action="store_true",
        help="for one person: longer, good for one request, and nobody without it can see that you are online",
    )
    new.add_argument("--expires", type=duration, metavar="TIME", help="close it after this time: 30m, 12h, 7d, 2w")
    new.add_argument(
        "--uses", type=bounded(1, MAX_CODE_USES), metavar="N", help=f"close it after N requests, up to {MAX_CODE_USES}"
    )
    park = add_action("park", "close the door behind a friend code for now; the code stays")
    unpark = add_action("unpark", "open a parked door again")
    rotate = add_action("rotate", "put a new friend code in the place of one", "Friends made through the old one stay.")
    rotate.add_argument(
        "--grace",
        type=duration,
        metavar="TIME",
        default="1d",
        help="how long the old code stays open, 0d to 7d (default 1d)",
    )
    for showing in (listing, new, rotate):
        showing.add_argument("--qr", action="store_true", default=argparse.SUPPRESS, help="draw as QR code too")
    retire = add_action("retire", "take a friend code out of use, for good")
    for one in (park, unpark, rotate, retire):
        one.add_argument("code", help="its id (or the beginning of it) or its label")

    asking = add(
        "add",
        "ask the owner of a friend code to be your friend",
        "The request is left at the owner's door as soon as it can be reached; requests shows where it stands. Other\n"
        "users of this machine can see command lines: without CODE, it is read from standard input.",
        '{"request": "1d…"}',
    )
    asking.add_argument(
        "code",
        nargs="*",
        default=[],
        metavar="CODE",
        help="the friend code; upper case and spaces do no harm, and words behind it are the note",
    )
    asking.add_argument("--note", default="", help="who you are and why, 1,000 bytes at most; the owner reads it")
    add(
        "requests",
        "list contact requests, received and sent",
        "A request that came has a number, by which it is accepted; it stays, and is never given again. It has\n"
        "cost its sender some computing work; those that cost the most come first, and when many wait the effort\n"
        "is shown: each point more is twice the work. 100 wait at most. When more come, those you ignored make room\n"
        "first, then those with the least effort that this list has not shown yet.",
        shape='{"direction": "received", "number": 3, "id": "1d…", "name": "Bob", "note": "from school",\n'
        ' "label": "work", "ignored": false, "blocked": false, "effort": 4, "time": 1793000000}\n'
        '{"direction": "sent", "id": "77…", "state": "calling|left|failed", "reason": "", "note": "…",\n'
        ' "time": 1793000000}',
    )
    for name, summary, shape in (
        ("accept", "accept a contact request", '{"contact": 1, "name": "Bob"}'),
        ("ignore", "leave a contact request unanswered; its sender is not told", '{"id": "1d…"}'),
    ):
        answer = add(name, summary, shape=shape)
        answer.add_argument("request", help="its number, the name in it, or (the beginning of) its id")
