"""The rooms of conversations and the space they are in: go there, give one up, have them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from chattor_bridge.bot.addressing import called, meant, only
from chattor_bridge.bot.contacts import SURE
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.voice import Place
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo

GROUP: Final = "Rooms"


_WHICH: Final = "Say with whom: {verb} 1. contacts shows the numbers."


async def chat(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()
    conversations = request.desk.conversations

    async def deed(tx: Transaction) -> None:
        contact = await only(request, tx, contacts, "chat")
        portal = await conversations.portal(tx, request.owner, node.node_id, contact.peer_id)
        await conversations.open(tx, portal)
        name = called(contact)
        where = "" if portal.room_id is None else f" [It is here](https://matrix.to/#/{quote(portal.room_id)})."
        await request.answer(
            tx, f"I invite you to the room of your conversation with **{name}**, unless you are there.{where}"
        )

    return deed


async def unbridge(request: Request) -> Deed:
    contacts = await request.node.contacts()

    async def deed(tx: Transaction) -> None:
        portal, rest = await _portal(request, tx, contacts, "unbridge")
        if rest:
            raise UsageError("unbridge takes a contact and nothing more.")
        await request.desk.conversations.part(tx, portal, everybody=False)
        await _answer_elsewhere(request, tx, "I leave the room of this conversation. You are still friends.")

    return deed


async def delete(request: Request) -> Deed:
    contacts = await request.node.contacts()

    async def deed(tx: Transaction) -> None:
        portal, word = await _portal(request, tx, contacts, "delete")
        if word.lower() != SURE:
            await request.answer(
                tx,
                "This empties the room of the conversation: you and your guests are sent out of it, and I leave it. "
                "You stay friends, and a new room opens when your friend writes, or with `chat`. If you are sure, "
                f"write the same again with `{SURE}` behind it.",
            )
            return
        await request.desk.conversations.part(tx, portal, everybody=True)
        await _answer_elsewhere(request, tx, "The room of this conversation is deleted. You are still friends.")

    return deed


async def _portal(request: Request, tx: Transaction, contacts: Sequence[ContactInfo], verb: str) -> tuple[Portal, str]:
    """The conversation that is meant, and what was said after it: where it is said, whether there is still such a
    friend or not."""
    heard = request.heard.portal
    if heard is not None:
        return await request.desk.store.portals.by_peer(tx, heard.node_id, heard.peer_id) or heard, request.rest
    contact, rest = await meant(request, tx, contacts, _WHICH.format(verb=verb))
    node_id = request.node.node_id
    return await request.desk.conversations.portal(tx, request.owner, node_id, contact.peer_id), rest


async def _answer_elsewhere(request: Request, tx: Transaction, text: str) -> None:
    """Not in the room that is given up, where what I say last stands for itself."""
    await request.desk.voice.say(tx, Place.management(request.owner), text)


async def space(request: Request) -> Deed:
    request.node  # noqa: B018 - it raises when there is nothing to group
    conversations = request.desk.conversations

    async def deed(tx: Transaction) -> None:
        match request.rest.lower():
            case "" | "on":
                await conversations.want_space(tx, request.owner)
                text = "I invite you to your space, which groups your conversations, as soon as there is one."
            case "off":
                await conversations.close_space(tx, request.owner)
                text = "You have no space any more; your conversations stay. `space` brings it back."
            case _:
                raise UsageError("After space comes nothing, or off.")
        await request.answer(tx, text)

    return deed


COMMANDS = (
    Command(
        "chat",
        "NUMBER",
        GROUP,
        "go to the room of a conversation: be invited to it again, or to a new one",
        chat,
        details="The friend's first message opens it too, and so does inviting a friend you see here to a new chat.",
        examples=("chat 1", "chat Ada"),
        aliases=("open",),
    ),
    Command(
        "unbridge",
        "NUMBER",
        GROUP,
        "give up the room of a conversation and keep the friend",
        unbridge,
        details="What was said stays there for you to read. In the room of a conversation leave NUMBER out.",
        examples=("unbridge 1", "!chattor unbridge"),
        there="",
    ),
    Command(
        "delete",
        "NUMBER",
        GROUP,
        "the same, and send everybody out of the room, yourself included",
        delete,
        details="Homeservers may forget a room nobody is in. Nothing is taken back from your friend.",
        examples=("delete 1", f"delete 1 {SURE}"),
        there="",
    ),
    Command(
        "space",
        "[off]",
        GROUP,
        "be invited to the space that groups your conversations",
        space,
        details="It is made with your first conversation. Leaving it, or `space off`, does away with it.",
        examples=("space", "space off"),
    ),
)
