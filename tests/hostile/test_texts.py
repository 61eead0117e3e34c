"""Texts made to take a long time to convert: in that time nobody else would be served."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from chattor_bridge.matrix.text import html_to_markdown, markdown_to_html
from chattor_bridge.protocol.limits import MAX_TEXT

MAX_FORMATTED = 60_000
"""Bytes of HTML that fit one Matrix event."""

ORDINARY = "A line with *some* **formatting**, `code` and a [link](https://example.org/).\n"
ORDINARY_HTML = "A line with <em>some</em> <b>formatting</b>, and then nothing but ordinary words. " * 2 + "<br>"

AT_MOST = 7
"""Times the cost of ordinary text of that length: what was found by attacking took from twice this to hundreds."""

MARKDOWN = ("[", "[[[]", "**x [a*b**c*", "[](", "<![CDATA[", "![[]()", "]" * 7_000 + "[", "*a_", "a**b", "~", "`a``b")
HTML = (
    "<table><tr>" + "<td>a" * 12_000,
    "<blockquote>" * 38 + "a<br>" * 11_000,
    "[" * MAX_FORMATTED,
    "<b>a</b>*_[`" * 5_000,
    "<ol start=5><li>a</ol>" * 2_600,
    "<span data-mx-spoiler='a'>b</span>" * 1_700,
    "<ul>" * 20 + "<li>a" * 9_000,
)


@pytest.mark.parametrize("pattern", MARKDOWN)
def test_no_text_of_a_friend_holds_everybody_up(pattern: str) -> None:
    text = (pattern * MAX_TEXT)[:MAX_TEXT] if len(pattern) < MAX_TEXT // 2 else pattern + "[" * (MAX_TEXT // 2)
    ordinary = (ORDINARY * MAX_TEXT)[:MAX_TEXT]
    assert _cost(markdown_to_html, text) < AT_MOST * _cost(markdown_to_html, ordinary)


@pytest.mark.parametrize("source", HTML)
def test_no_message_of_a_user_of_the_bridge_holds_everybody_up(source: str) -> None:
    ordinary = (ORDINARY_HTML * 200).ljust(MAX_FORMATTED, "x")
    converted = html_to_markdown(source)
    assert len(converted) <= 2 * MAX_FORMATTED  # a backslash before each character at most
    assert _cost(html_to_markdown, source) < AT_MOST * _cost(html_to_markdown, ordinary)


def _cost(convert: Callable[[str], str | None], text: str) -> float:
    """Seconds of this process, the better of two: what else runs on the machine does not count."""
    costs = []
    for _ in range(2):
        began = time.process_time()
        convert(text)
        costs.append(time.process_time() - began)
    return min(costs)
