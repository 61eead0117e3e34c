"""Which contact a person means, and how it is called in what the bot says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chattor_bridge.bot.numbers import Kind, Numbers, is_number
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo


async def only(request: Request, tx: Transaction, contacts: Sequence[ContactInfo], verb: str) -> ContactInfo:
    """The contact that is all that follows ``verb``. Raises: UsageError, NotFound."""
    contact, rest = await meant(request, tx, contacts, f"Say which contact: {verb} 1. contacts shows the numbers.")
    if rest and request.heard.portal is not None:
        raise UsageError(f"Here {verb} is about the friend of this conversation. Write just !chattor {verb}.")
    if rest:
        raise UsageError(f"{verb} takes a contact and nothing more.")
    return contact


async def meant(
    request: Request, tx: Transaction, contacts: Sequence[ContactInfo], missing: str
) -> tuple[ContactInfo, str]:
    """Which contact, and what was said after it: in a conversation its friend, elsewhere the whole name or number that
    was typed first, or the first word.

    Raises: UsageError, saying ``missing`` when there is no word; NotFound.
    """
    if request.heard.portal is not None:
        peer_id = request.heard.portal.peer_id
        contact = next((contact for contact in contacts if contact.peer_id == peer_id), None)
        if contact is None:
            raise NotFound("the friend of this conversation is not among your contacts any more")
        return contact, request.rest
    if not request.rest:
        raise UsageError(missing)
    end = _end_of_name(request.rest, contacts)
    return await by_word(request, tx, contacts, request.rest[:end]), request.rest[end:].strip()


async def by_word(request: Request, tx: Transaction, contacts: Sequence[ContactInfo], word: str) -> ContactInfo:
    """The contact of this number or name. Raises: UsageError, NotFound."""
    return await Numbers(request.desk.store).find(
        tx,
        request.node.node_id,
        Kind.CONTACT,
        word,
        contacts,
        ident=lambda contact: contact.peer_id,
        names=lambda contact: (contact.alias, contact.name),
    )


def _end_of_name(text: str, contacts: Sequence[ContactInfo]) -> int:
    """Where the longest name of a contact ends with which this begins, or else the first word, as a number always does:
    no contact can change what it means by what it calls itself."""
    words = [(word[0].casefold(), word.end()) for word in re.finditer(r"\S+", text)]
    names = {tuple(name.casefold().split()) for contact in contacts for name in (contact.alias, contact.name)}
    longest = 1 if is_number(words[0][0]) else min(len(words), max(map(len, names), default=0))
    for count in range(longest, 1, -1):
        if tuple(word for word, _ in words[:count]) in names:
            return words[count - 1][1]
    return words[0][1]


def called(contact: ContactInfo) -> str:
    """Its name, which says nothing else than itself in CommonMark."""
    return literal(contact.alias or contact.name or NAMELESS)
