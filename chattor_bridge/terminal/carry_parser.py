"""The part of the command line that is about holding mail."""

from __future__ import annotations

import argparse

from chattor_bridge.protocol.limits import MAX_SHELF_BLOCKS, MAX_SHELVES
from chattor_bridge.terminal.parsing import MAX_WAIT, Add, adder, bounded

_CARRY = """{"contact": 1, "name": "Bob", "carries": true, "asked": true, "offered": true, "carried": false,
 "wants": false, "held": 0, "held_on": 0, "shelves": 0, "blocks": 0, "words": ["holds your mail on up to …"]}
{"done": "ask"} after an action. carries: it holds your mail; carried: you hold its mail, "held" blocks on "held_on"
shelves now; wants: it asks you to.
{"held": 640, "limit": 3051, "most": 12268, "words": "…"} of limit, in blocks of 16 KiB: most is what the configuration
allows."""


_PAIR = """an object as in code, where the code is made; else, as it goes on:
{"state": "calling|left|friend|paired|spare", "name": "Mailbox", "reason": ""}
calling: not there yet; left: the code has arrived; friend: it was asked to hold your mail; paired: it does; spare: it
does when one of the two that hold it now cannot. The name comes with the last two."""

PAIR_WAIT = 180
"""Seconds that `pair` waits: over Tor it takes one or two minutes from when the mailbox was started."""


def add_carrying(add: Add) -> None:
    """Add the commands."""
    pair = add(
        "pair",
        "have a mailbox of your own hold your mail while you are offline",
        "A mailbox is a chattor run --headless on a machine that is always on. There, pair shows a code; here, pair\n"
        "and that code do the rest. Other users of this machine can see command lines: with - for CODE, it is read\n"
        "from standard input. Waits until the mailbox holds your mail; when that takes too long, exit code 5, and it\n"
        "goes on by itself.",
        _PAIR,
    )
    pair.add_argument(
        "code", nargs="*", default=[], metavar="CODE", help="what pair shows on the mailbox; nothing on the mailbox"
    )
    pair.add_argument(
        "--timeout",
        type=bounded(1, MAX_WAIT),
        default=PAIR_WAIT,
        metavar="SECONDS",
        help=f"how long to wait at most (default {PAIR_WAIT}, up to {MAX_WAIT})",
    )
    carry = add(
        "carry",
        "friends who hold your mail while you are offline, and those whose mail you hold",
        "A friend who holds your mail can neither read it nor tell whom it is from; it sees when how much comes, and\n"
        "when you collect it. Ask one or two who are online most of the time. A node of your own that is always on\n"
        "does best: see pair. Without an action, what is agreed is listed.",
        _CARRY,
    )
    add_action = adder(carry.add_subparsers(dest="action", metavar="ACTION"))
    for name, summary in (
        ("ask", "ask a friend to hold your mail"),
        ("leave", "have a friend hold your mail no more"),
        ("offer", "hold a friend's mail, asked or unasked, or change how much"),
        ("stop", "hold a friend's mail no more; what you hold can still be collected"),
    ):
        action = add_action(name, summary)
        action.add_argument("contact", help="number, alias or name")
        if name == "offer":
            action.add_argument(
                "--shelves",
                type=bounded(1, MAX_SHELVES),
                metavar="N",
                help=f"one for each of its friends, 1 to {MAX_SHELVES} (default: all, and half of those left at most)",
            )
            action.add_argument(
                "--blocks",
                type=bounded(1, MAX_SHELF_BLOCKS),
                default=MAX_SHELF_BLOCKS,
                metavar="N",
                help=f"of 16 KiB on each shelf, 1 to {MAX_SHELF_BLOCKS} (default: {MAX_SHELF_BLOCKS})",
            )
    limit = add_action(
        "limit",
        "how much you hold for all friends together: show it, or set it",
        "What is held already stays until it is collected. Beyond, nothing is taken; its sender keeps it.",
    )
    limit.add_argument(
        "megabytes",
        nargs="?",
        type=_megabytes,
        metavar="MB",
        help="at most so many megabytes; or most: what the configuration allows, at carrying.in_all",
    )


def _megabytes(text: str) -> int:
    """So many, 0 for as many as can be."""
    if text == "most":
        return 0
    if not text.isascii() or not text.isdecimal() or not 1 <= len(text) <= 6 or not int(text):
        raise argparse.ArgumentTypeError("write a number of megabytes, 1 or more, or the word most")
    return int(text)
