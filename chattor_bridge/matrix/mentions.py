"""Mentions: in a Chattor text ``@`` and the name somebody goes by, in Matrix a link to the user."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from markdown_it.token import Token

from chattor_bridge.bridge.content import user_link


def mention(tokens: Sequence[Token], mentions: Mapping[str, str]) -> None:
    """Make links of the mentions in parsed CommonMark, but in code and where there is a link already. Letter case does
    not count."""
    users = {f"@{name.casefold()}": user for name, user in mentions.items() if name}
    if not users:
        return
    names = "|".join(re.escape(name) for name in sorted(users, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE)
    for token in tokens:
        if token.children:
            token.children = list(_linked(token.children, pattern, users))


def _linked(tokens: Sequence[Token], pattern: re.Pattern[str], users: Mapping[str, str]) -> Iterator[Token]:
    in_link = 0
    for token in tokens:
        in_link += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type != "text" or in_link:
            yield token
            continue
        end = 0
        for found in pattern.finditer(token.content):
            user = users.get(found[0].casefold())
            if user is None:
                continue
            yield _text(token, token.content[end : found.start()])
            yield Token("link_open", "a", 1, {"href": user_link(user)}, level=token.level)
            yield _text(token, found[0])
            yield Token("link_close", "a", -1, level=token.level)
            end = found.end()
        yield _text(token, token.content[end:])


def _text(token: Token, content: str) -> Token:
    return Token("text", "", 0, content=content, level=token.level)
