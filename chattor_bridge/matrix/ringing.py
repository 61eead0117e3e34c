"""Whom a message rings for, said only where it has to be.

A message says in ``m.mentions`` whom it means. Where that is missing, homeservers and clients search the text for each
member's name, and for ``@room`` (Client-Server API, "Default Override Rules" and "Default Content Rules", the legacy
ones). Synapse spends a tenth of what a message costs it on checking what is there, so in a room that it can read, a
message that means nobody goes without where such a search finds nothing either.
"""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix.members import Member

MENTIONS = "m.mentions"

EVERYBODY = "@room"

WILDCARDS = frozenset("*?")
"""In a name, Synapse takes them for any letters."""


def means_nobody(content: JsonObject) -> bool:
    """Whether this is a message that says so. A change of an earlier one is none: it says it of both."""
    return content.get(MENTIONS) == {} and isinstance(content.get("body"), str) and "m.new_content" not in content


def shortened(content: JsonObject, members: Sequence[Member]) -> JsonObject:
    """Of a message that means nobody, what has to be sent to a room in which these people are. Where a name stands in
    the text, if only as part of a word, a search might find it."""
    text = content["body"].casefold()
    names = [EVERYBODY, *(name for member in members for name in (member.name, _localpart(member)) if name)]
    if any(name.casefold() in text or WILDCARDS & set(name) for name in names):
        return content
    return {key: value for key, value in content.items() if key != MENTIONS}


def _localpart(member: Member) -> str:
    return member.user[1:].partition(":")[0]
