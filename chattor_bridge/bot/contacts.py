"""Contacts: list and rename."""

from __future__ import annotations

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.showing import NAMELESS
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import PeerId
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

    async def find(tx: Transaction) -> tuple[PeerId, str]:
        if request.heard.portal is not None:
            return request.heard.portal.peer_id, request.rest
        reference, _, alias = request.rest.partition(" ")
        if not reference:
            raise UsageError("Say which contact, and the new name: rename 1 Ada. contacts shows the numbers.")
        contact = await Numbers(request.desk.store).find(
            tx,
            node.node_id,
            Kind.CONTACT,
            reference,
            contacts,
            ident=lambda contact: contact.peer_id,
            names=lambda contact: (contact.alias, contact.name),
        )
        return contact.peer_id, alias.strip()

    async def deed(tx: Transaction) -> None:
        peer_id, alias = await find(tx)
        await node.rename(tx, peer_id, alias)
        own = next((contact.name for contact in contacts if contact.peer_id == peer_id), "")
        shown = literal(alias or own or NAMELESS)
        tail = "Only you see this name." if alias else "That is the name they give themselves."
        await request.answer(tx, f"This contact is called **{shown}** now. {tail}")

    return deed


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
)
