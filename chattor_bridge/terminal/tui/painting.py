"""Rows of a conversation as lines of a terminal."""

from __future__ import annotations

import time

from rich.cells import cell_len
from rich.text import Text

from chattor_bridge.terminal.tui.ink import Ink
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.speech import GUTTER, shortened, speech
from chattor_bridge.terminal.tui.timeline import Day, Row, Said, Unread

STATES = {
    "queued": "… waiting",
    "carried": "⇢ carried by {carriers}",
    "delivered": "✓ delivered",
    "read": "✓✓ read",
    "failed": "✗ not delivered",
}


def paint(row: Row, name: str, width: int, ink: Ink, *, revealed: bool = False) -> list[Text]:
    """The lines of a row, none wider than ``width``. ``name`` is what the friend is called; see `speech`."""
    match row:
        case Day(words):
            return [_rule(words, width, ink.faint)]
        case Unread():
            return [_rule("new", width, ink.warning)]
        case Said(message, headed):
            head = [_head(message, name, width, ink)] if headed else []
            return [*head, *speech(message, name, width, ink, revealed=revealed)]


def _head(message: Message, name: str, width: int, ink: Ink) -> Text:
    when = clock(message.time, message.stored)
    state = STATES[message.state].format(carriers=message.carriers) if message.sent else ""
    after = f" · {when}" + (f" · {state}" if state else "")
    who = shortened("you" if message.sent else name, max(width - GUTTER - cell_len(after), 1))
    # the sign tells the sides apart even when a friend calls itself "you"
    sign, style = ("▸ ", ink.mine) if message.sent else ("◂ ", ink.friend)
    line = Text.assemble((sign + who, style), (after, ink.faint))
    line.truncate(width)
    return line


def _rule(words: str, width: int, style: str) -> Text:
    words = shortened(f" {words} ", width)
    left = max(width - cell_len(words), 0) // 2
    return Text("─" * left + words + "─" * max(width - left - cell_len(words), 0), style)


def clock(seconds: int, stored: int) -> str:
    """The time of day of something said, with the day when it did not arrive on that."""
    said, kept = time.localtime(seconds), time.localtime(stored)
    form = "%H:%M" if said[:3] == kept[:3] else "%Y-%m-%d %H:%M"
    return time.strftime(form, said)
