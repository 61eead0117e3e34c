"""What a message says, in lines: its text, what it refers to, and what was done with it.

The first two columns of every line are ours: the signs that stand there say what a line is, and nobody can write them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from chattor_bridge.counting import sized
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.commonmark import COVER, in_lines, plain_lines
from chattor_bridge.terminal.tui.ink import Ink
from chattor_bridge.terminal.tui.said import File, Message, Poll, Quote

GUTTER = 2
"""Columns left of every text, where nobody's text can stand."""


_HIDDEN = re.compile(r"\|\|.*?(?:\|\||$)", re.DOTALL)
"""What a quotation must not show: it is cut off somewhere, perhaps before what is hidden ends."""

BAR = 20
"""Columns of a progress bar."""

FILE_STATES = {
    "offered": ("offered: s fetches and saves it", "offered, and your friend has not fetched it yet"),
    "arrived": ("here, and kept encrypted: s saves it", "your friend has it"),
    "done": ("saved", "your friend has it"),
    "failed": ("it did not come", "it did not arrive"),
    "gone": ("not kept any more", "not kept any more"),
}
"""How a file stands, for a friend's and for ours."""


def speech(message: Message, name: str, width: int, ink: Ink, *, revealed: bool = False) -> list[Text]:
    """The lines below a message's head, none wider than ``width``. ``name`` is what the friend is called; unless
    ``revealed``, what the writer has hidden is covered."""
    lines = list(_parts(message, name, width - GUTTER, ink, revealed))
    return [Text.assemble((f"{sign:<{GUTTER}}" if line else sign, ink.faint), line) for sign, line in lines]


def shortened(text: str, width: int) -> str:
    """``text``, neutralised, on one line in at most ``width`` columns."""
    text = neutralised(text)
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"


def quoted(quote: Quote, name: str) -> str:
    """What a message refers to, in words."""
    if quote.order is None:
        return "something that is not here any more"
    if quote.deleted:
        return "something that was taken back"
    said = _HIDDEN.sub(COVER * 3, quote.text).partition("\n")[0]
    return f"{'you' if quote.sent else name}: “{said}”"


def _parts(message: Message, name: str, width: int, ink: Ink, revealed: bool) -> Iterator[tuple[str, Text]]:
    """Each line with the sign in front of it."""
    if message.thread is not None:
        yield "⌥", Text(shortened(f"in the thread of {quoted(message.thread, name)}", width), ink.faint)
    if message.reply is not None:
        yield "↪", Text(shortened(quoted(message.reply, name), width), ink.faint)
    yield from _said(message, name, width, ink, revealed)
    if message.poll is not None:
        for line in _poll(message.poll, name, width, ink):
            yield "", line
    if message.edited and not message.deleted:
        yield "~", Text("changed", ink.faint)
    if message.reactions:
        signs = [f"{emoji} {'you' if sent else name}" for emoji, sent in message.reactions]
        for line in plain_lines("  ".join(signs), width):
            yield "+", line
    for reason in (message.reason, *(f"{kind} not delivered: {why}" for kind, why in message.troubles)):
        for line in plain_lines(reason, width, ink.warning) if reason else ():
            yield "✗", line


def _said(message: Message, name: str, width: int, ink: Ink, revealed: bool) -> Iterator[tuple[str, Text]]:
    if message.deleted:
        yield "", Text("taken back", f"italic {ink.faint}")
        return
    match message.kind:
        case "note" | "unknown":
            for line in plain_lines(message.text.removeprefix("[").removesuffix("]"), width, ink.note):
                yield "◆", line
        case "location":
            for line in plain_lines(message.text, width):
                yield "⌖", line
        case "emote":
            who = "you" if message.sent else shortened(name, width // 2)
            for place, line in enumerate(in_lines(message.text, width - cell_len(who) - 1, ink, revealed=revealed)):
                yield "*", Text.assemble((who, "italic") if place == 0 else " " * cell_len(who), " ", line)
        case "file" if message.file is not None:
            yield from _file(message.file, width, ink, sent=message.sent)
            for line in in_lines(message.text, width, ink, revealed=revealed) if message.text else ():
                yield "", line
        case "poll":
            for line in plain_lines(message.text, width, ink.title):
                yield "?", line
        case "text" | "notice":
            for line in in_lines(message.text, width, ink, revealed=revealed):
                yield "", line
        case kind:  # a change whose message is not here
            for line in plain_lines(f"{kind}: {message.text}", width, ink.faint):
                yield "~", line


def _file(file: File, width: int, ink: Ink, *, sent: bool) -> Iterator[tuple[str, Text]]:
    """What it is, and how far."""
    what = " · ".join(filter(None, (neutralised(file.name), sized(file.size), neutralised(file.mime))))
    for line in plain_lines(what, width, ink.title):
        yield "▤", line
    if file.state == "accepted":
        waits = "" if file.streams else " waiting for your friend"
        filled = file.percent * BAR // 100
        bar = f"{'█' * filled}{'░' * (BAR - filled)} {file.percent:3} %{waits}"
        yield "", Text(shortened(bar, width))
        return
    theirs, ours = FILE_STATES[file.state]
    words = f"{ours if sent else theirs}{f': {file.reason}' if file.reason else ''}"
    for line in plain_lines(words, width, ink.faint):
        yield "", line


def _poll(poll: Poll, name: str, width: int, ink: Ink) -> Iterator[Text]:
    """The answers, with who chose each."""
    theirs = poll.theirs or ()
    counts = Counter([*poll.mine, *theirs])
    for number, answer in enumerate(poll.answers):
        voters = ["you"] * (number in poll.mine) + [name] * (number in theirs)
        votes = f" ─ {counts[number]}: {', '.join(voters)}" if voters else ""
        box = "☑" if number in poll.mine else "☐"
        yield from plain_lines(f"{number + 1} {box} {neutralised(answer)}{votes}", width)
    how = "over" if poll.ended else f"choose up to {poll.choices}" if poll.choices > 1 else "choose one"
    hidden = "" if poll.disclosed or poll.ended else "; votes are shown when it is over"
    yield from plain_lines(f"({how}{hidden})", width, ink.faint)
