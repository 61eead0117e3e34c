"""The HTML of a Matrix message as CommonMark.

nh3 reads the HTML as a browser would and leaves what Matrix allows in messages, in time linear in its length;
markdownify writes the CommonMark; and what it wrote is read again and compared, because CommonMark cannot express
every emphasis HTML can (such as bold that begins with a bracket in the middle of a word).

What would tell a friend more than the words does not leave: links to Matrix users and rooms become their text, and a
user id in one loses its homeserver; who is mentioned and known to the friend is called as the friend calls them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

import nh3
from bs4 import BeautifulSoup, Tag
from markdownify import MarkdownConverter

from chattor_bridge.bridge.content import NOBODY
from chattor_bridge.matrix.commonmark import MAXIMUM_NESTING, PARSER, escape, from_plain, words

MAXIMUM_ELEMENTS = 1_000
"""Elements of one message whose formatting is kept. Taking HTML apart costs more than linear time in them: the 12,000
table cells that fit one event took half a minute."""

_TAGS = {
    *("a", "b", "blockquote", "br", "caption", "code", "del", "details", "div", "em", "font", "h1", "h2", "h3", "h4"),
    *("h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "span", "strike", "strong", "sub", "summary", "sup"),
    *("table", "tbody", "td", "th", "thead", "tr", "u", "ul"),
}
"""Client-Server API, "m.room.message msgtypes". Other tags are removed and their text kept."""

_REMOVED_WHOLE = {"mx-reply", "script", "style", "title"}
"""``mx-reply`` quotes the message that is answered, with links to its writer and room."""

_ATTRIBUTES = {
    "a": {"href"},
    "code": {"class"},
    "img": {"alt", "title"},
    "ol": {"start"},
    "span": {"data-mx-spoiler"},
}

_SCHEMES = {"http", "https", "ftp", "mailto", "magnet"}

_LINES_ONLY = re.compile(r"(?:[^<]|<br\s*/?>)*", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>\n?", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_MATRIX_LINK = re.compile(r"https?://matrix\.to/(?:#/)?", re.IGNORECASE)
_NOT_IN_A_LINK = re.compile(r"[\s()<>\\]")
_USER_ID = re.compile(r"(@[^:\s]+):\S+")
_LIST_START = re.compile(r"[0-9]{1,9}", re.ASCII)
_LANGUAGE = re.compile(r"language-([\w.+#-]{1,32})", re.ASCII)
_REPLY = re.compile(r"<mx-reply\b", re.IGNORECASE)
_REPLY_ENDS = re.compile(r"</mx-reply\s*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
SPOILER = "spoiler"
"""What an element is called here whose content is hidden until somebody wants to see it."""

_BLOCKS = {"blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"}


def html_to_markdown(source: str, names: Mapping[str, str] = NOBODY, /) -> str:
    """CommonMark with the words of ``source`` and, where CommonMark can express it, its formatting. Whoever of
    ``names``, by Matrix id, is mentioned is called so.

    Of HTML without any words, such as a line across the page, nothing is left.

    HTML with no tags but ``<br>`` is plain text with line breaks: its spaces are kept too.
    """
    source = _without_reply(source)
    if _LINES_ONLY.fullmatch(source):
        return from_plain(html.unescape(_BREAK.sub("\n", source)))
    clean = nh3.clean(
        source,
        tags=_TAGS,
        clean_content_tags=_REMOVED_WHOLE,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel=None,
        strip_comments=True,
    )
    if clean.count("<") > 2 * MAXIMUM_ELEMENTS:
        return from_plain(_plain_text(clean))
    soup = BeautifulSoup(clean, "html.parser")
    if _depth(soup) > MAXIMUM_NESTING:
        return from_plain(_plain_text(clean))
    _simplify(soup, names)
    if not soup.get_text().strip():
        return ""
    markdown: str = _WRITER.convert_soup(soup)
    if words(PARSER.parse(markdown)) == "".join(soup.get_text().split()):
        return markdown.strip("\n")
    return from_plain(_plain_text(str(soup)))


def _without_reply(source: str) -> str:
    """Without ``mx-reply``, taken out as text: HTML's own rules let a block inside end it if a paragraph is around."""
    kept, at = [], 0
    while (begin := _REPLY.search(source, at)) and (end := _REPLY_ENDS.search(source, begin.end())):
        kept.append(source[at : begin.start()])
        at = end.end()
    return "".join([*kept, source[at:]])


def _simplify(soup: BeautifulSoup, names: Mapping[str, str]) -> None:
    """Leave only what CommonMark has, and the words of the rest."""
    for picture in soup.find_all("img"):
        picture.replace_with(str(picture.get("alt") or picture.get("title") or ""))
    for link in soup.find_all("a"):
        address = str(link.get("href") or "")
        if not address or _MATRIX_LINK.match(address):
            mentioned = names.get(unquote(_MATRIX_LINK.sub("", address).partition("?")[0]))
            name = _USER_ID.fullmatch(link.get_text())
            if mentioned:
                link.string = f"@{mentioned}"
            elif name:
                link.string = name[1]
            link.unwrap()
        elif address == link.get_text() == escape(address):  # readers make links of bare addresses themselves
            link.unwrap()
        else:
            link["href"] = _NOT_IN_A_LINK.sub(lambda found: quote(found[0], safe=""), address)
    for hidden in soup.find_all("span", attrs={"data-mx-spoiler": True}):
        reason = str(hidden["data-mx-spoiler"])
        if reason:
            hidden.insert_before(f"({reason}) ")
        hidden.name = SPOILER
    for row in soup.find_all("tr"):
        for cell in row.find_all(["td", "th"], recursive=False)[1:]:
            cell.insert(0, " | ")
        row.name = "div"
    for other in soup.find_all(["caption", "details", "summary"]):
        other.name = "div"
    for wrapper in soup.find_all(["font", "span", "sub", "sup", "table", "tbody", "td", "th", "thead", "u"]):
        wrapper.unwrap()
    for numbered in soup.find_all("ol", start=True):
        if not _LIST_START.fullmatch(str(numbered["start"])):
            del numbered["start"]
    soup.smooth()
    for text in soup.find_all(string=True):
        if text.find_parent("pre") is None:
            before = text.previous_sibling
            after_break = isinstance(before, Tag) and before.name == "br"
            spaced = _SPACE.sub(" ", text)
            text.replace_with(spaced.lstrip(" ") if after_break else spaced)


def _depth(soup: BeautifulSoup) -> int:
    deepest = 0
    waiting: list[tuple[Tag, int]] = [(soup, 0)]
    while waiting:
        tag, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in tag.children if isinstance(child, Tag))
    return deepest


def _plain_text(markup: str) -> str:
    """The words, with a line for each block; linear in time, whatever the nesting."""
    bare = nh3.clean(markup, tags=_BLOCKS | {"br"}, attributes={}, link_rel=None)
    return _BLANK_LINES.sub("\n\n", html.unescape(_TAG.sub("\n", bare))).strip("\n")


class _Writer(MarkdownConverter):
    """markdownify with our escapes and code blocks."""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        text = escape(text)
        if "a" in parent_tags:
            text = text.replace("]", "\\]")
        # before a link it would make an image, and images are loaded
        return f"{text[:-1]}\\!" if text.endswith("!") else text

    def convert_spoiler(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        return f"||{text}||"

    def convert_pre(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        if "_inline" in parent_tags:
            return text
        code = element.find("code")
        language = _LANGUAGE.fullmatch(" ".join(code.get("class") or ())) if isinstance(code, Tag) else None
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        newline = "" if text.endswith("\n") else "\n"
        return f"\n\n{fence}{language[1] if language else ''}\n{text}{newline}{fence}\n\n"


_WRITER = _Writer(bullets="-", heading_style="ATX", strong_em_symbol="*", newline_style="SPACES", autolinks=True)
