"""``||what is hidden||``, as a rule for markdown-it beside those for emphasis."""

from __future__ import annotations

from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.rules_inline.state_inline import Delimiter, StateInline

MARKER = "|"


def enable(parser: MarkdownIt) -> None:
    """Have the parser make ``spoiler_open`` and ``spoiler_close`` of what two bars enclose."""
    parser.inline.add_terminator_char(MARKER)
    parser.inline.ruler.after("strikethrough", "spoiler", tokenize)
    parser.inline.ruler2.after("strikethrough", "spoiler", join)


def tokenize(state: StateInline, silent: bool) -> bool:
    """Take two bars, and no more and no fewer, for a delimiter."""
    if silent or state.src[state.pos] != MARKER:
        return False
    scanned = state.scanDelims(state.pos, True)
    token = state.push("text", "", 0)
    token.content = MARKER * scanned.length
    if scanned.length == 2:
        state.delimiters.append(
            Delimiter(
                marker=ord(MARKER),
                length=0,
                token=len(state.tokens) - 1,
                end=-1,
                open=scanned.can_open,
                close=scanned.can_close,
            )
        )
    state.pos += scanned.length
    return True


def join(state: StateInline) -> None:
    """Make tokens of the delimiters that have found one another."""
    _join(state, state.delimiters)
    for meta in state.tokens_meta:
        if meta and "delimiters" in meta:
            _join(state, meta["delimiters"])


def _join(state: StateInline, delimiters: Iterable[Delimiter]) -> None:
    known = list(delimiters)
    for start in known:
        if start.marker != ord(MARKER) or start.end == -1:
            continue
        for delimiter, name, nesting in ((start, "spoiler_open", 1), (known[start.end], "spoiler_close", -1)):
            token = state.tokens[delimiter.token]
            token.type, token.tag, token.nesting, token.content = name, "span", nesting, ""  # type: ignore[assignment]
            token.markup = MARKER * 2
