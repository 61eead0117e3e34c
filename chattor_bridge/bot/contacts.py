"""Contacts: list and rename."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.showing import NAMELESS
from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo

GROUP = "Contacts"


async def list_contacts(request: Request) -> Deed:
    request.nothing_more("contacts")
    node = request.node
    contacts = await node.contacts()
    if not contacts:
        return request.answering(
            "You have no contacts yet. Give somebody a friend code (`code new`), or write `add` and the code of theirs."
        )

    async def deed(tx: Transaction) -> None:
        numbers = await Numbers(request.desk.store).of(
            tx, node.node_id, Kind.CONTACT, [contact.peer_id for contact in contacts]
        )
        lines = [f"- **{numbers[contact.peer_id]}** {_line(contact)}" for contact in contacts]
        await request.answer(tx, "Your contacts:\n\n" + "\n".join(lines))

    return deed


async def rename(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact, alias = await meant(
            request, tx, contacts, "Say which contact, and the new name: rename 1 Ada. contacts shows the numbers."
        )
        await node.rename(tx, contact.peer_id, alias)
        shown = literal(alias or contact.name or NAMELESS)
        tail = "Only you see this name." if alias else "That is the name they give themselves."
        await request.answer(tx, f"This contact is called **{shown}** now. {tail}")

    return deed


async def resync(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact, rest = await meant(request, tx, contacts, "Say which contact: resync 1. contacts shows the numbers.")
        if rest:
            raise UsageError("resync takes a contact and nothing more.")
        await node.renew_session(tx, contact.peer_id)
        name = literal(contact.alias or contact.name or NAMELESS)
        await request.answer(
            tx,
            f"The encryption with **{name}** begins anew as soon as both of you are online. I say so in the room of "
            "the conversation.",
        )

    return deed


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
    contact = await Numbers(request.desk.store).find(
        tx,
        request.node.node_id,
        Kind.CONTACT,
        reference,
        contacts,
        ident=lambda contact: contact.peer_id,
        names=lambda contact: (contact.alias, contact.name),
    )
    return contact, rest.strip()


def _line(contact: ContactInfo) -> str:
    name = literal(contact.alias or contact.name or NAMELESS)
    also = f" (calls themselves {literal(contact.name)})" if contact.alias and contact.name != contact.alias else ""
    state = "online" if contact.online else "offline"
    queued = f", {contact.queued} on the way" if contact.queued else ""
    return f"**{name}**{also}, {state}{queued}"


COMMANDS = (
    Command("contacts", "", GROUP, "your contacts, and who is online", list_contacts, aliases=("contact",)),
    Command(
        "rename",
        "NUMBER NAME",
        GROUP,
        "give a contact a name of your own",
        rename,
        details="Nobody but you sees it. Without NAME they are called as they call themselves. In the room of a "
        "conversation leave NUMBER out.",
        examples=("rename 1 Ada from the choir", "!chattor rename Ada"),
    ),
    Command(
        "resync",
        "NUMBER",
        GROUP,
        "begin the encryption with a contact anew",
        resync,
        details="It begins anew by itself when it has to, for example after a database was restored; you need this "
        "only when messages stay away although both of you are online. Nothing that waits is lost. Once a day at most.",
        examples=("resync 1", "!chattor resync"),
    ),
)
