"""Text between Matrix's HTML and CommonMark: nothing said is lost, nothing runs, nothing loads."""

from __future__ import annotations

import html
import re
import time

import nh3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chattor_bridge.bridge import content
from chattor_bridge.matrix import text
from chattor_bridge.matrix.commonmark import MAXIMUM_NESTING, PARSER, words
from chattor_bridge.matrix.text import html_to_markdown, markdown_to_html

BOTH_WAYS = [
    ("<p><strong>bold</strong>, <em>italic</em> and <del>gone</del></p>", "**bold**, *italic* and ~~gone~~"),
    ("<p>a <em>b <strong>c</strong></em></p>", "a *b **c***"),
    ("<p><code>x = 1</code> and <code>a`b</code></p>", "`x = 1` and `` a`b ``"),
    ('<pre><code class="language-python">if x:\n\n    y()\n</code></pre>', "```python\nif x:\n\n    y()\n```"),
    ("<pre><code>```\n</code></pre>", "````\n```\n````"),
    ('<p><a href="https://example.org/a_b">here</a></p>', "[here](https://example.org/a_b)"),
    ("<ul>\n<li>one\n<ul>\n<li>two</li>\n</ul>\n</li>\n<li>three</li>\n</ul>", "- one\n  - two\n- three"),
    ('<ol start="3">\n<li>three</li>\n<li>four</li>\n</ol>', "3. three\n4. four"),
    ("<blockquote>\n<p>you said</p>\n</blockquote>\n<p>I say</p>", "> you said\n\nI say"),
    ("<h2>Head</h2>\n<p>text</p>", "## Head\n\ntext"),
    ("<p>one<br />\n<em>two</em></p>\n<p>three</p>", "one  \n*two*\n\nthree"),
    ('<p>so <span data-mx-spoiler="">he <em>dies</em></span>.</p>', "so ||he *dies*||."),
    ("<p>日本語 <strong>ä♥</strong></p>", "日本語 **ä♥**"),
]


@pytest.mark.parametrize(("formatted", "markdown"), BOTH_WAYS)
def test_formatting_survives_both_ways(formatted: str, markdown: str) -> None:
    assert html_to_markdown(formatted) == markdown
    assert markdown_to_html(markdown) == formatted


@pytest.mark.parametrize(
    ("formatted", "markdown"),
    [
        ("<mx-reply><blockquote>quoted</blockquote></mx-reply>answer", "answer"),
        ('<a href="https://matrix.to/#/@ada:example.org">Ada</a>: hi', "Ada: hi"),
        ('<a href="https://matrix.to/#/@ada:example.org">@ada:example.org</a>: hi', "@ada: hi"),
        ('<a href="https://example.org/x">https://example.org/x</a>', "https://example.org/x"),
        ('<a href="https://example.org/a b)">t]x</a>', "[t\\]x](https://example.org/a%20b%29)"),
        ('<a href="javascript:alert(1)">click</a>', "click"),
        ('<img src="https://example.org/x.png" alt="a picture">', "a picture"),
        ('so!<a href="https://example.org/x.png">x</a>', "so\\![x](https://example.org/x.png)"),
        ("<script>alert(1)</script><style>p {}</style>safe", "safe"),
        ("<span data-mx-spoiler>he dies</span>", "||he dies||"),
        ('<span data-mx-spoiler="film">he dies</span>', "(film) ||he dies||"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a | b\n\nc"),
        ("<p>1 &lt; 2 &amp;&amp; 3 &gt; 2</p>", "1 < 2 && 3 > 2"),
        ("<p>&lt;b&gt;not bold&lt;/b&gt; &amp;amp;</p>", "\\<b>not bold\\</b> \\&amp;"),
        ("<p># no\nheading</p>", "# no heading".replace("#", "\\#", 1)),
        ("half a w<b>(ord)</b>s", "half a w(ord)s"),  # CommonMark has no such emphasis
        ("<ol start='²'><li>one</li></ol>", "1. one"),
    ],
)
def test_html_of_other_clients(formatted: str, markdown: str) -> None:
    assert html_to_markdown(formatted) == markdown


@pytest.mark.parametrize(
    "markdown",
    ["plain", "2 * 3 * 4", "a_b_c", "two\nlines", "two\n\nparagraphs", "1 < 2", "<b>", "\\*stars\\*", "&amp;", "", " "],
)
def test_text_without_formatting_needs_no_html(markdown: str) -> None:
    assert markdown_to_html(markdown) is None


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script> **x**",
        "[x](javascript:alert(1)) **x**",
        "[x](data:text/html,hi) **x**",
        "![x](https://example.org/x.png) **x**",
        "<img src=https://example.org/x.png> **x**",
        "[x][1] **x**\n\n[1]: vbscript:x",
        '```x" onclick="y\nz\n```',
    ],
)
def test_nothing_of_a_friend_runs_or_loads(markdown: str) -> None:
    rendered = markdown_to_html(markdown)
    assert rendered is not None
    assert not re.search(r"<(?!/?(?:p|strong|a|pre|code|br)\b)", rendered)
    assert not re.search(r'<[^>]*\s(?:src|on\w+)=|href="(?!https://)', rendered)


def test_soft_break_is_shown_as_one() -> None:
    assert markdown_to_html("**a**\nb") == "<p><strong>a</strong><br />\nb</p>"


@pytest.mark.parametrize(
    "source",
    [
        "<b>" * 15_000 + "deep",
        "<blockquote>" * 5_000 + "deep",
        "<ul><li>" * 7_000 + "deep",
        "deep" + "<a " * 20_000,
        "deep" + "<a href='" * 7_000,
        "deep" + "<!--" * 16_000,
        "deep" + "<br>" * 16_000,
        "deep" + "<b></i>" * 9_000,
    ],
)
def test_hostile_html_costs_little_and_keeps_its_words(source: str) -> None:
    began = time.process_time()
    assert html_to_markdown(source).strip() == "deep"
    assert time.process_time() - began < 5


@pytest.mark.parametrize("opening", [">", "- ", "*_", "[", "**a", "`", "<", "~~", "1. ", "&", "||", "||a", "@Ann "])
def test_hostile_markdown_costs_little(opening: str) -> None:
    began = time.process_time()
    markdown = opening * (16_000 // len(opening)) + "deep"
    rendered = markdown_to_html(markdown, {"Ann": "@ann:example.org"})
    assert rendered is None or "deep" in rendered
    assert words(PARSER.parse(html_to_markdown(html.escape(markdown)))) == "".join(markdown.split())
    assert time.process_time() - began < 5


def test_nesting_within_reason_is_shown() -> None:
    rendered = markdown_to_html("> " * (MAXIMUM_NESTING // 4) + "deep")
    assert rendered is not None
    assert rendered.count("<blockquote>") == MAXIMUM_NESTING // 4


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
TRICKY_TEXT = st.text(st.sampled_from("ab1. \n\t\\`*_[]()<>&;#~=+-!|:/\"'äé\u00a0\u200b"), max_size=60)
PIECES = st.sampled_from(
    ["&amp;", "&#32;", "&notit;", "**", "```", "~~~", "\n\n", "    ", "1)", "---", "![x](y)", "\\\n"]
)
PLAIN = ANY_TEXT | TRICKY_TEXT | st.lists(PIECES | TRICKY_TEXT, max_size=8).map("".join)


@settings(deadline=None)
@given(PLAIN)
@example("\t\x0c")
def test_plain_text_comes_back_as_it_was(said: str) -> None:
    """What looks like formatting survives a round trip through both bridges."""
    markdown = content.spoken(text, {"msgtype": "m.text", "body": said})
    shown = content.written(text, markdown, "mark", notice=False)
    expected = content.written(text, "", "mark", notice=False) | {"body": _sendable(said).strip("\n")}
    assert shown == expected
    assert words(PARSER.parse(markdown)) == "".join(said.split())


def _sendable(said: str) -> str:
    unified = said.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", unified)


TAGS = [
    "b",
    "i",
    "em",
    "code",
    "pre",
    "p",
    "blockquote",
    "ul",
    "ol",
    "li",
    "a",
    "h1",
    "del",
    "span",
    "div",
    "table",
    "td",
]


def _element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda tag, inside: f"<{tag}>{''.join(inside)}</{tag}>", st.sampled_from(TAGS), st.lists(children, max_size=4)
    )


MARKUP = st.recursive((TRICKY_TEXT | ANY_TEXT).map(html.escape) | st.just("<br>"), _element, max_leaves=20)


@settings(deadline=None)
@given(MARKUP)
def test_every_word_of_html_arrives(source: str) -> None:
    arrived = words(PARSER.parse(html_to_markdown(source)))
    clean = nh3.clean(source, tags=set())
    assert arrived.replace("|", "") == "".join(html.unescape(clean).split()).replace("|", "")


NAMES = {"@ann:example.org": "Ann Ä."}
PILL = st.sampled_from(
    [
        '<a href="https://matrix.to/#/@ann:example.org">x</a>',
        '<a href="https://matrix.to/#/%40ann%3Aexample.org?via=y">x</a>',
        "<mx-reply><blockquote>quoted</blockquote></mx-reply>",
        "<span data-mx-spoiler>hidden</span>",
        '<span data-mx-spoiler="why">hidden <b>words</b></span>',
        '<a href="https://example.org/">link</a>',
        "<script>run()</script>",
        "||",
    ]
)
RICH = st.recursive(MARKUP | PILL, _element, max_leaves=8)


def _sent(markdown: str) -> dict[str, object]:
    users = {name: user for user, name in NAMES.items()}
    return content.written(text, markdown, "mark", notice=False, mentions=users)


def _shown_words(markdown: str) -> str:
    """What a reader sees: words, or the text as it stands where there is nothing but formatting."""
    return words(PARSER.parse(markdown)) or "".join(str(_sent(markdown)["body"]).split())


@settings(deadline=None)
@given(RICH)
@example("<hr>")
@example("<pre></pre>")
@example("<ul><li>1</li><br><li>1</li></ul>")
@example("<p><mx-reply><blockquote>quoted</blockquote></mx-reply></p>")
def test_what_crosses_two_bridges_and_comes_back_is_the_same(source: str) -> None:
    """HTML of a client becomes a text, HTML at the friend's bridge, and the same text when the friend sends it back."""
    said = {"msgtype": "m.text", "body": "", "format": "org.matrix.custom.html", "formatted_body": _sendable(source)}
    markdown = content.spoken(text, said, NAMES)
    again = content.spoken(text, _sent(markdown), NAMES)
    assert words(PARSER.parse(again)) == _shown_words(markdown)
    assert content.spoken(text, _sent(again), NAMES) == again
    shown = str(_sent(markdown).get("formatted_body", ""))
    assert "<script" not in shown
    assert "run()" not in markdown
    assert "quoted" not in markdown


@settings(deadline=None)
@given(PLAIN)
@example("-")
@example("\\\n")
@example("&notit;")
@example("```&ap;")
def test_what_a_friend_writes_keeps_its_words_there_and_back(markdown: str) -> None:
    markdown = _sendable(markdown)
    again = content.spoken(text, _sent(markdown), NAMES)
    assert words(PARSER.parse(again)) == _shown_words(markdown)
    third = content.spoken(text, _sent(again), NAMES)
    assert content.spoken(text, _sent(third), NAMES) == third


def test_who_is_mentioned_is_called_by_name_and_mentioned_again() -> None:
    pill = '<p>hi <a href="https://matrix.to/#/@ann:example.org">x</a>, well</p>'
    assert html_to_markdown(pill, NAMES) == "hi @Ann Ä., well"
    sent = _sent("hi @ANN Ä.!")
    assert sent["m.mentions"] == {"user_ids": ["@ann:example.org"]}
    assert sent["formatted_body"] == '<p>hi <a href="https://matrix.to/#/@ann:example.org">@ANN Ä.</a>!</p>'
    for nobody in ("`@Ann Ä.`", "x@Ann Ä.", "@Ann Ä.b", "[@Ann Ä.](https://example.org)", "@Ann"):
        assert _sent(nobody)["m.mentions"] == {}, nobody


@settings(deadline=None)
@given(st.text(st.sampled_from("<>/abip=\"' &;!-\n"), max_size=100))
def test_broken_html_is_no_trouble(source: str) -> None:
    html_to_markdown(source)


def test_a_link_to_nowhere_goes_nowhere() -> None:
    assert markdown_to_html("[here]()") == "<p><a>here</a></p>"


@settings(deadline=None)
@given(PLAIN)
def test_html_for_matrix_is_what_matrix_allows(markdown: str) -> None:
    rendered = markdown_to_html(markdown)
    if rendered is None:
        return
    allowed = {*TAGS, "br", "hr", "strong", "h2", "h3", "h4", "h5", "h6"}
    attributes = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}, "span": {"data-mx-spoiler"}}
    clean = nh3.clean(
        rendered,
        tags=allowed,
        attributes=attributes,
        url_schemes={"http", "https", "ftp", "mailto", "magnet"},
        link_rel=None,
    )
    tags = [tag.replace(" /", "") for tag in re.findall("<[^>]*>", rendered)]
    assert sorted(re.findall("<[^>]*>", clean)) == sorted(tags)
