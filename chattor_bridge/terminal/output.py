"""What reaches the terminal: lines for a person, or one JSON object a line for a script.

Names, notes and texts come from other people, and a terminal obeys control characters: colours, the clipboard, the
title, the cursor; direction marks make a line read as something else; accents piled up cover the lines above.
`neutralised` turns all of those into visible escapes, so that nobody's message can move, hide or forge another line.
JSON is written in ASCII, which does the same and loses nothing.
"""

from __future__ import annotations

import json
import sys
import time
import unicodedata

from chattor_bridge.node.names import MAX_MARKS
from chattor_bridge.terminal.control import JsonObject

_DANGEROUS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: controls, formats (direction marks, invisible tags), lone surrogates, line separators."""

_HARMLESS = {"\u200c", "\u200d"}
"""The zero-width joiners: Persian and Indic words and many emoji are misspelt without them."""

_CONTINUATION = "    "
"""What every further line of a text begins with, so that none can pass for an entry of its own."""


def neutralised(text: str) -> str:
    """``text`` on one line, everything a terminal would obey made visible: ESC becomes ``\\x1b``."""
    shown: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        shown.append(_visible(character) if marks <= MAX_MARKS else _escaped(character))
    return "".join(shown)


def neutralised_lines(text: str) -> str:
    """The same, keeping the line breaks of a text and indenting its further lines."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return f"\n{_CONTINUATION}".join(neutralised(line) for line in text.split("\n"))


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _DANGEROUS or character in _HARMLESS:
        return character
    return _escaped(character)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class Output:
    """Standard output and error of one command. ``as_json`` chooses the form."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, fields: JsonObject, *lines: str) -> None:
        """Show one thing: the object for a script, the lines for a person. The lines must be neutralised already.

        It has left this process when this returns: what is marked as read was really shown.
        """
        if self.as_json:
            self._write(json.dumps(fields, ensure_ascii=True) + "\n")
        else:
            self._write("".join(f"{line}\n" for line in lines))

    def say(self, *lines: str) -> None:
        """Lines for a person that are no result: left out for scripts."""
        if not self.as_json:
            self._write("".join(f"{line}\n" for line in lines))

    def complain(self, message: str) -> None:
        """The one line of an error, on standard error: an object ``{"error": …}`` for a script."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": message}) + "\n")
        else:
            sys.stderr.write(f"chattor: {neutralised(message)}\n")
        sys.stderr.flush()

    def _write(self, text: str) -> None:
        # a terminal without UTF-8 gets question marks rather than an error
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()


def table(rows: list[list[str]], indent: str = "  ") -> list[str]:
    """Rows of neutralised cells as aligned lines."""
    if not rows:
        return []
    widths = [max(_columns(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        indent + "  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _columns(cell))


def _columns(text: str) -> int:
    """Columns a text takes: East Asian characters take two, marks on top of others none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def local_time(seconds: int) -> str:
    """A point in time as this terminal's time zone shows it. ``seconds`` since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
