"""How we read CommonMark, and plain text as CommonMark that reads the same.

Chattor texts are CommonMark without raw HTML. Of what CommonMark leaves to whoever renders it: a line break in the
source is shown as one, as everybody expects in a chat. ``~~`` strikes through and ``||`` hides until the reader asks,
which is outside CommonMark and reads well where it is not known. Images are links, so that no text makes anybody load
anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from chattor_bridge import spoilers

MAXIMUM_NESTING = 40
"""Levels of blocks or of formatting. Nobody writes more than a few; each costs time and stack."""

MAXIMUM_BRACKETS = 500
"""Opening brackets in one text. The parser looks for the other half of each again and again: 14,000 of them, which fit
one message, take it half a second in which nobody else is served."""

LINK = re.compile(r"(?:https?|ftp)://|mailto:|magnet:", re.IGNORECASE)
"""How the links begin that Matrix allows in messages."""

_PLAIN_TOKENS = frozenset({"paragraph_open", "paragraph_close", "inline", "text", "softbreak", "hardbreak"})

_READS_DIFFERENTLY = re.compile(
    r"\\[!-/:-@\[-`{-~\n]"  # an escape
    r"|&[A-Za-z#]"  # perhaps an entity
    r"|^[ \t]+[^ \t\n]",  # an indentation, which would be dropped
    re.MULTILINE,
)

_INLINE = re.compile(
    r"[\\`*\[]"
    r"|&(?=[A-Za-z#])"
    r"|<(?=[A-Za-z/!?])"
    r"|~(?=~)|(?<=~)~"
    r"|\|(?=\|)|(?<=\|)\|"
    r"|(?<![^\W_])_|_(?![^\W_])",  # within a word an underscore is one
)
_LINE_START = re.compile(r"^(?:#(?=#{0,5}(?:\s|$))|>|[-+](?=\s|$)|-(?=[-\s]*$)|=(?==*\s*$))", re.MULTILINE)
_NUMBERED = re.compile(r"^([0-9]{1,9})([.)])(?=\s|$)", re.MULTILINE)
_INDENTATION = re.compile(r"^([ \t])(?=[ \t]*[^ \t\n])", re.MULTILINE)
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - markdown-it's name
        return LINK.match(url) is not None


def _make_parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "breaks": True, "maxNesting": MAXIMUM_NESTING})
    parser.enable("strikethrough").disable("image")
    spoilers.enable(parser)
    parser.add_render_rule("spoiler_open", lambda *_: '<span data-mx-spoiler="">')
    parser.add_render_rule("spoiler_close", lambda *_: "</span>")
    parser.add_render_rule("s_open", lambda *_: "<del>")
    parser.add_render_rule("s_close", lambda *_: "</del>")
    return parser


PARSER = _make_parser()


def is_laborious(text: str) -> bool:
    """Whether reading this as CommonMark would take more time than any message deserves; it is then shown as it
    stands."""
    return text.count("[") > MAXIMUM_BRACKETS


def is_plain(tokens: Sequence[Token]) -> bool:
    """Whether these blocks are nothing but paragraphs of unformatted text."""
    return all(token.type in _PLAIN_TOKENS for token in tokens) and all(
        child.type in _PLAIN_TOKENS for token in tokens for child in token.children or ()
    )


def is_too_deep(tokens: Sequence[Token]) -> bool:
    """Whether the parser gave up on something, which it then leaves out."""
    return any(token.level >= MAXIMUM_NESTING - 1 for token in tokens)


def words(tokens: Sequence[Token]) -> str:
    """The text of these blocks without any white space: what must be the same on both sides of a conversion."""
    return "".join("".join(_texts(tokens)).split())


def _texts(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type in ("text", "code_inline", "code_block", "fence"):
            yield token.content
        yield from _texts(token.children or ())


def from_plain(text: str) -> str:
    """CommonMark that reads as ``text``, line by line and character by character. Most texts stay as they are."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if is_laborious(text):
        return _escaped_throughout(text)
    if not _READS_DIFFERENTLY.search(text) and is_plain(PARSER.parse(text)):
        return text
    escaped = _INDENTATION.sub(_as_entity, escape(text))
    if is_plain(PARSER.parse(escaped)):
        return escaped
    return _escaped_throughout(text)


def _escaped_throughout(text: str) -> str:
    return _INDENTATION.sub(_as_entity, _PUNCTUATION.sub(r"\\\g<0>", text))


def escape(text: str) -> str:
    """Backslashes before whatever could be taken for formatting, at any place of a line."""
    text = _INLINE.sub(r"\\\g<0>", text)
    text = _LINE_START.sub(r"\\\g<0>", text)
    return _NUMBERED.sub(r"\1\\\2", text)


def _as_entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[1])};"
