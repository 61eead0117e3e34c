"""Matrix message content, read and written."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Mapping
from html.entities import html5
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.ports import TextConversion
from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.node.names import presentable

NOBODY: Mapping[str, str] = MappingProxyType({})

HTML_FORMAT = "org.matrix.custom.html"

CONTENT_LIMIT = 46_000
"""Bytes of a message's content. A Matrix event may have 65,536 with everything around it, and encryption makes four
bytes of three; a Chattor text has at most 14,000, but HTML's entities can make five of one. Formatting is left out
where it would not fit."""

FALLBACK_LENGTH = 200
"""Characters of a long edited text that are shown by clients that know no edits."""

_UNSENDABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters other than tab and line feed: homeservers refuse some, and the rest can play tricks."""

_ISOLATE, _END_OF_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
"""Unicode's bidirectional classes whose neighbours change their places."""

_ESCAPED = re.compile(
    r"\\([!-/:-@\[-`{-~]|\n(?=.*\S))|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
)
"""CommonMark's backslash escapes and entities."""


def written(
    conversion: TextConversion,
    markdown: str,
    mark: str,
    *,
    notice: bool,
    emote: bool = False,
    mentions: Mapping[str, str] = NOBODY,
) -> JsonObject:
    """The content that shows a CommonMark text; ``mark`` is its transaction id. Where ``@`` and a name of ``mentions``
    stand in it, the user given there is mentioned."""
    text = _UNSENDABLE.sub("\N{REPLACEMENT CHARACTER}", markdown.replace("\r\n", "\n"))
    content: JsonObject = {
        "msgtype": "m.notice" if notice else "m.emote" if emote else "m.text",
        "body": _ESCAPED.sub(_unescaped, text),
        "m.mentions": {},  # or clients fall back to searching the text for the reader's name
        MARK_KEY: mark,
    }
    formatted = conversion.markdown_to_html(text, mentions)
    if formatted is not None:
        mentioned = [user for user in mentions.values() if user_link(user) in formatted]
        if mentioned:
            content["m.mentions"] = {"user_ids": mentioned}
        with_format = {**content, "format": HTML_FORMAT, "formatted_body": formatted}
        if _size(with_format) <= CONTENT_LIMIT:
            return with_format
    return content


def as_reply(content: JsonObject, target: str) -> JsonObject:
    return {**content, "m.relates_to": {"m.in_reply_to": {"event_id": target}}}


def _unescaped(found: re.Match[str]) -> str:
    """What an escape or an entity stands for; what only looks like an entity, for itself."""
    if found[1] is not None:
        return found[1]
    known = found[0].startswith("&#") or found[0][1:] in html5
    return html.unescape(found[0]) if known else found[0]


def in_relation(content: JsonObject, reply: str | None, thread: str | None) -> JsonObject:
    """The content as an answer to one event, as a part of the thread that begins with another, as both or as neither.
    Clients that know no threads show what is said in one as an answer to its beginning."""
    if thread is None:
        return content if reply is None else as_reply(content, reply)
    relates_to = {
        "rel_type": "m.thread",
        "event_id": thread,
        "is_falling_back": reply is None,
        "m.in_reply_to": {"event_id": reply or thread},
    }
    return {**content, "m.relates_to": relates_to}


def as_edit(content: JsonObject, target: str) -> JsonObject:
    """The content that replaces an earlier message, with the fallback for clients that cannot show edits: of a long
    text only its beginning, since all of it stands in the event already."""
    new = {key: value for key, value in content.items() if key != MARK_KEY}
    fallback = {**content, "body": f"* {content['body']}"}
    if _size(fallback) + _size(new) > CONTENT_LIMIT:
        fallback = {key: value for key, value in content.items() if key not in ("format", "formatted_body")}
        fallback["body"] = f"* {content['body'][:FALLBACK_LENGTH]}…"
    # whoever is mentioned was told of it by the first version
    fallback["m.mentions"] = {}
    return {**fallback, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": target}}


def _size(content: JsonObject) -> int:
    """Bytes of it in an event."""
    return len(json.dumps(content, ensure_ascii=False).encode())


def reaction(target: str, emoji: str, mark: str) -> JsonObject:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": emoji}, MARK_KEY: mark}


def spoken(conversion: TextConversion, content: JsonObject, names: Mapping[str, str] = NOBODY) -> str:
    """What a text message says, as CommonMark, with these users (by Matrix id) called so where they are mentioned. A
    quotation of the message it answers is left out."""
    if content.get("format") == HTML_FORMAT and isinstance(content.get("formatted_body"), str):
        said = conversion.html_to_markdown(content["formatted_body"], names).strip("\n")
        if said.strip():
            return said
    lines = html.escape(plain(content), quote=False).split("\n")
    return conversion.html_to_markdown("<br>".join(lines)).strip("\n")


def plain(content: JsonObject) -> str:
    """The unformatted text of a message, without the quotation of the message it answers."""
    body = content.get("body")
    if not isinstance(body, str):
        return ""
    if reply_target(content) is not None and body.startswith("> "):
        quotation, blank, answer = body.partition("\n\n")
        if blank and all(line.startswith(">") for line in quotation.split("\n")):
            return answer
    return body


def relation(content: JsonObject) -> JsonObject:
    """``m.relates_to``, or an empty object when there is none worth the name."""
    relates_to: Any = content.get("m.relates_to")
    return relates_to if isinstance(relates_to, dict) else {}


def reply_target(content: JsonObject) -> str | None:
    """The event this one answers. A thread's fallback for old clients is no answer."""
    relates_to = relation(content)
    if relates_to.get("rel_type") == "m.thread" and relates_to.get("is_falling_back", False):
        return None
    target = relates_to.get("m.in_reply_to")
    event_id = target.get("event_id") if isinstance(target, dict) else None
    return event_id if isinstance(event_id, str) else None


def has_control(text: str) -> bool:
    """Whether there are characters in it (Unicode's Cc) that are no letters and no signs."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def literal(text: str) -> str:
    """Somebody's words inside a CommonMark text of ours: on one line, nothing in them taken as formatting, nothing
    unseen, and words written from right to left kept from turning ours around."""
    words = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", presentable(text))
    turns = any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in words)
    return f"{_ISOLATE}{words}{_END_OF_ISOLATE}" if turns else words


def user_link(user: str) -> str:
    """By which a formatted text mentions somebody."""
    return f"https://matrix.to/#/{quote(user, safe='@:')}"


def room_link(portal: Portal | None) -> str:
    """A portal's room for a CommonMark text: a link, once there is a room."""
    if portal is None or portal.room_id is None:
        return "another room"
    return f"[the other room](https://matrix.to/#/{quote(portal.room_id)})"
