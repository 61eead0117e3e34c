"""The part of the command line by which messages are read, as they are and as they arrive."""

from __future__ import annotations

from chattor_bridge.terminal.control import MAX_HISTORY
from chattor_bridge.terminal.parsing import MAX_ORDER, Add, bounded

DEFAULT_HISTORY = 20
"""Messages that `history` shows: a screenful."""

_RECEIPTS = """\
Friends' messages that were shown are marked as read, and their senders get a read receipt; --no-receipts leaves them
unread."""

_MESSAGE = """{"order": 7, "contact": 1, "name": "Bob", "peer": "a1…", "event_id": "5f…", "sent": false,
 "kind": "text", "text": "Hello", "time": 1793000000, "stored": 1793000002, "state": "received"}
time is the sender's clock, stored ours. kind is text, emote, notice, location, poll, unknown, or note for what this
program says itself. Where it applies there are besides:
 "edited": 1793000009, the text is the newest then; "deleted": 1793000009, the text is empty then
 "reply": {"event_id": "5f…", "order": 5, "sent": true, "text": "Hi", "deleted": false}, what it answers, without the
   last four when that is not here; "thread": the same of the first message of its thread
 "reactions": [{"emoji": "👍", "sent": true}]
 "location": {"latitude": 51.5007, "longitude": -0.1246, "accuracy": 35, "name": "Big Ben"}
 "poll": {"question": "Tea?", "answers": ["yes", "no"], "choices": 1, "disclosed": true, "ended": false, "mine": [0],
   "theirs": [1]}, the numbers of answers from 0; theirs is null while they are hidden
 "failed": [{"kind": "edit", "reason": "…"}], changes of it that will not arrive"""

_STATES = """
state is received or read; for what you sent queued, carried with "carriers": 2, at which it waits for the friend,
delivered, read, or failed with a "reason"."""

_CHANGES = """
follow also shows what changes an earlier message, when it comes: kind edit, delete, reaction, vote ("choices": [0]) or
poll_end, with that message as "target", in the shape of "reply"."""


def add_reading(add: Add) -> None:
    """Add the commands."""
    history = add(
        "history",
        "show messages, oldest first",
        _RECEIPTS,
        _MESSAGE + _STATES,
    )
    history.add_argument("contact", help="number, alias or name")
    history.add_argument(
        "--limit",
        type=bounded(1, MAX_HISTORY),
        default=DEFAULT_HISTORY,
        metavar="N",
        help=f"how many: the last ones, or with --after the next (default {DEFAULT_HISTORY}, up to {MAX_HISTORY})",
    )
    place = history.add_mutually_exclusive_group()
    place.add_argument(
        "--after",
        type=bounded(0, MAX_ORDER),
        metavar="ORDER",
        help="begin behind this order number; 0 is the beginning",
    )
    place.add_argument(
        "--before", type=bounded(1, MAX_ORDER), metavar="ORDER", help="the last ones in front of this order number"
    )
    history.add_argument(
        "--thread",
        type=bounded(1, MAX_ORDER),
        metavar="ORDER",
        help="only the thread in which this message is, or which it begins",
    )
    follow = add(
        "follow",
        "show messages as they arrive, until Ctrl-C",
        "Every message carries an order number that only grows. --after ORDER begins behind that message, so a script\n"
        "that remembers the last order it handled misses nothing and sees nothing twice, whatever happens between.\n"
        "Without it, what is unread comes first. When chattor run stops, this ends with exit code 3.\n\n" + _RECEIPTS,
        _MESSAGE + _CHANGES,
    )
    follow.add_argument("contact", nargs="?", help="number, alias or name; without it, all conversations together")
    follow.add_argument("--after", type=bounded(0, MAX_ORDER), metavar="ORDER", help="begin behind this order number")
    follow.add_argument("--sent", action="store_true", help="show your own messages too")
    add(
        "watch",
        "tell what changes, as it changes, until Ctrl-C",
        "Messages with their states, friends coming and going, requests, codes. Each change comes once however often\n"
        "it happened meanwhile, with how things are now. Marks nothing as read. What must not be missed when this\n"
        "command stands still is follow's to tell.",
        '{"change": "everything"} first, and whenever it was too much to say one by one: look at all anew\n'
        '{"change": "message", "message": {…}} as in history, {"change": "gone", "contact": 1, "event_id": "5f…"}\n'
        '{"change": "contact", "contact": {…}} as in contacts\n'
        '{"change": "missed", "messages": 1200, "friends": 3, "over": false, "words": "…"}\n'
        '{"change": "contacts|requests|codes|status"}: ask for these anew',
    )
    for reading in (history, follow):
        reading.add_argument("--no-receipts", action="store_true", help="leave what is shown unread")
