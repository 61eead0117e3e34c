"""CommonMark as lines of a terminal.

Nothing that a friend writes is markup to the screen: texts become `rich.text.Text` leaf by leaf, each neutralised after
it was parsed, because an entity may stand for a control character. Links are shown with where they lead, and are not
followed. What has no look of its own here is shown as it stands; nothing is left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from chattor_bridge import spoilers
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.ink import Ink

MAXIMUM_NESTING = 20
"""Levels of quotes, lists and formatting. Each takes columns; deeper ones are shown as they stand."""

MAXIMUM_BRACKETS = 500
"""Opening brackets in one text: more take the parser longer than a screen may stand still, so such a text is shown as
it stands."""

MIN_WIDTH = 8
"""Columns that a text gets however deep it is indented."""

_CONSOLE = Console(file=io.StringIO(), color_system=None, width=80)
"""Rich wraps text by the rules of a console; this one shows nothing."""

COVER = "▒"
"""Stands for each column of what is hidden until the message is chosen."""


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MAXIMUM_NESTING})
    parser.enable("strikethrough").disable(["image", "html_block", "html_inline", "reference"])
    spoilers.enable(parser)
    return parser


_PARSER = _make_parser()


def in_lines(source: str, width: int, ink: Ink, *, revealed: bool = True) -> list[Text]:
    """``source`` in lines of at most ``width`` columns. Unless ``revealed``, what its writer has hidden is covered."""
    tokens = [] if source.count("[") > MAXIMUM_BRACKETS else _PARSER.parse(source)
    if not tokens or any(token.level >= MAXIMUM_NESTING - 1 for token in tokens):
        return plain_lines(source, width)
    return [line for block in _Blocks(ink, revealed=revealed).read(tokens) for line in block.in_lines(width)]


def plain_lines(source: str, width: int, style: str = "") -> list[Text]:
    """``source`` as it stands."""
    lines = source.replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return [part for line in lines for part in wrapped(Text(neutralised(line), style), width)]


def wrapped(text: Text, width: int) -> list[Text]:
    """A line in lines of at most ``width`` columns, cut within words where that must be."""
    lines = list(text.wrap(_CONSOLE, max(width, MIN_WIDTH), overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines or [Text()]


_SET_APART = {"blockquote_open", "list_item_open", "paragraph_open", "heading_open", "fence", "code_block", "hr"}


class _Block:
    """Some text, what stands in front of its first line, and in front of the others."""

    def __init__(self, text: Text, first: Text, rest: Text, *, filled: str = "") -> None:
        self._text = text
        self._first = first
        self._rest = rest
        self._filled = filled

    def in_lines(self, width: int) -> Iterator[Text]:
        inside = width - self._first.cell_len
        if self._filled:
            yield Text.assemble(self._first, self._filled * max(inside, 1))
            return
        front = self._first
        for line in self._text.split("\n", allow_blank=True):
            for part in wrapped(line, inside):
                whole = Text.assemble(front, part)
                whole.rstrip()
                yield whole
                front = self._rest


class _Blocks:
    """Reads a document's tokens. What stands in front of lines is a stack: quotes and lists, one within another."""

    def __init__(self, ink: Ink, *, revealed: bool) -> None:
        self._ink = ink
        self._revealed = revealed
        self._first: list[Text] = []
        self._rest: list[Text] = []
        self._numbers: list[int | None] = []

    def read(self, tokens: Sequence[Token]) -> Iterator[_Block]:
        gap = False
        opened = ""
        for token in tokens:
            # a free line stands before what it sets apart, outside of its signs
            if gap and token.type in _SET_APART and not token.hidden:
                yield self._block(Text())
                gap = False
            match token.type:
                case "blockquote_open":
                    self._indent(Text("│ ", self._ink.quote), Text("│ ", self._ink.quote))
                case "bullet_list_open":
                    self._numbers.append(None)
                    gap = False
                case "ordered_list_open":
                    self._numbers.append(int(token.attrs.get("start", 1)))
                    gap = False
                case "list_item_open":
                    self._indent_item()
                case "blockquote_close" | "list_item_close":
                    self._first.pop()
                    self._rest.pop()
                    gap = gap or token.type == "blockquote_close"
                case "bullet_list_close" | "ordered_list_close":
                    self._numbers.pop()
                    gap = not self._numbers
                case "paragraph_open" | "heading_open" | "fence" | "code_block" | "hr":
                    gap = not token.hidden
            match token.type:
                case "inline":
                    heading = self._ink.heading if opened == "heading_open" else ""
                    yield self._block(self._inline(token.children or (), heading))
                case "fence" | "code_block":
                    code = token.content.removesuffix("\n").replace("\t", "    ")
                    yield self._block(
                        Text("\n").join(Text(neutralised(line), self._ink.code) for line in code.split("\n"))
                    )
                case "hr":
                    yield self._block(Text(), filled="─")
            opened = token.type

    def _indent(self, first: Text, rest: Text) -> None:
        self._first.append(first)
        self._rest.append(rest)

    def _indent_item(self) -> None:
        number = self._numbers[-1]
        sign = "• "
        if number is not None:
            sign, self._numbers[-1] = f"{number}. ", number + 1
        self._indent(Text(sign, self._ink.quote), Text(" " * len(sign)))

    def _block(self, text: Text, *, filled: str = "") -> _Block:
        first, rest = Text().join(self._first), Text().join(self._rest)
        self._first = self._rest.copy()  # a sign stands once
        return _Block(text, first, rest, filled=filled)

    def _inline(self, children: Sequence[Token], style: str) -> Text:
        text = Text()
        styles = [style]
        links: list[tuple[str, int]] = []
        hidden: list[int] = []
        for token in children:
            now = " ".join(filter(None, styles))
            match token.type:
                case "text":
                    text.append(neutralised(token.content), now)
                case "softbreak" | "hardbreak":
                    text.append("\n")
                case "code_inline":
                    text.append(neutralised(token.content), f"{now} {self._ink.code}".strip())
                case "strong_open":
                    styles.append("bold")
                case "em_open":
                    styles.append("italic")
                case "s_open":
                    styles.append("strike")
                case "link_open":
                    styles.append(self._ink.link)
                    links.append((str(token.attrs.get("href", "")), len(text)))
                case "link_close":
                    styles.pop()
                    href, start = links.pop()
                    if text.plain[start:] not in (neutralised(href), neutralised(href.removeprefix("mailto:"))):
                        text.append(f" <{neutralised(href)}>", self._ink.faint)
                case "spoiler_open":
                    hidden.append(len(text))
                case "spoiler_close":
                    start = hidden.pop()
                    if not self._revealed:
                        covered = "\n".join(COVER * cell_len(line) for line in text.plain[start:].split("\n"))
                        text = text[:start].append(covered)
                case "strong_close" | "em_close" | "s_close":
                    styles.pop()
                case _:
                    text.append(neutralised(token.content), now)
        return text
