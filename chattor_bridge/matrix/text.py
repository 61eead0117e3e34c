"""Text between the two sides: Matrix's HTML and Chattor's CommonMark.

This module is the bridge's `chattor_bridge.bridge.ports.TextConversion`. Both directions keep every word: a text whose
formatting does not survive is handed over without formatting. Neither direction lets anything through that could run
or load something at the reader's.
"""

from __future__ import annotations

from collections.abc import Mapping

from chattor_bridge.bridge.content import NOBODY
from chattor_bridge.matrix.commonmark import PARSER, is_laborious, is_plain, is_too_deep, words
from chattor_bridge.matrix.from_html import html_to_markdown
from chattor_bridge.matrix.mentions import mention

__all__ = ["html_to_markdown", "markdown_to_html"]


def markdown_to_html(markdown: str, mentions: Mapping[str, str] = NOBODY, /) -> str | None:
    """Matrix's HTML for a CommonMark text; ``None`` when it has no formatting, or nests or brackets beyond reason, and
    should be shown as it stands. Raw HTML in it is text. ``@`` with a name of ``mentions`` becomes a link to the Matrix
    user given there."""
    if is_laborious(markdown):
        return None
    tokens = PARSER.parse(markdown)
    if not words(tokens):  # a dash, say, which alone would be a list of nothing
        return None
    mention(tokens, mentions)
    if is_plain(tokens) or is_too_deep(tokens):
        return None
    rendered: str = PARSER.renderer.render(tokens, PARSER.options, {})
    # a link to nowhere is a link to the page the reader is on
    return rendered.replace('<a href=""', "<a").strip("\n")
