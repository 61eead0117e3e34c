"""The rooms of conversations and the space they are in: go there, give one up, have them back."""

from __future__ import annotations

from typing import Final

from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction

GROUP: Final = "Rooms"


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
        "space",
        "[off]",
        GROUP,
        "be invited to the space that groups your conversations",
        space,
        details="It is made with your first conversation. Leaving it, or `space off`, does away with it.",
        examples=("space", "space off"),
    ),
)
