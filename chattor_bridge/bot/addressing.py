"""Which contact a person means, and how it is called in what the bot says."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.bot.numbers import Kind, Numbers
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
    """Which contact, and what was said after it: in a conversation its friend, elsewhere the first word.

    Raises: UsageError, saying ``missing`` when there is no word; NotFound.
    """
    if request.heard.portal is not None:
        peer_id = request.heard.portal.peer_id
        contact = next((contact for contact in contacts if contact.peer_id == peer_id), None)
        if contact is None:
            raise NotFound("the friend of this conversation is not among your contacts any more")
        return contact, request.rest
    reference, _, rest = request.rest.partition(" ")
    if not reference:
        raise UsageError(missing)
    return await by_word(request, tx, contacts, reference), rest.strip()


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


def called(contact: ContactInfo) -> str:
    """Its name, which says nothing else than itself in CommonMark."""
    return literal(contact.alias or contact.name or NAMELESS)
