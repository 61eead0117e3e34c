"""Messages that disappear: the timer of a conversation."""

from __future__ import annotations

from chattor_bridge.bot.addressing import called, meant
from chattor_bridge.bot.contacts import GROUP
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.durations import read_timer, timer_in_words
from chattor_bridge.node.ports import Transaction


async def disappearing(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact, text = await meant(
            request,
            tx,
            contacts,
            "Say which contact, and after how long: disappearing 1 1d. contacts shows the numbers.",
        )
        name = called(contact)
        if text:
            await node.set_timer(tx, contact.peer_id, read_timer(text))
            if request.heard.portal is None:  # else the room itself says it
                await request.answer(
                    tx, f"I have told **{name}**, and say what holds now in the room of the conversation."
                )
            return
        timer = contact.preferences.timer
        said = f"disappears after {timer_in_words(timer)}" if timer else "stays"
        await request.answer(
            tx, f"What you and **{name}** say {said}. `disappearing … 1d` or `disappearing … off` changes it."
        )

    return deed


COMMANDS = (
    Command(
        "disappearing",
        "NUMBER [TIME|off]",
        GROUP,
        "let what you and a contact say disappear after a while",
        disappearing,
        details="It holds for what both of you say from now on, at both ends: your own messages go so long after you "
        "sent them, your contact's so long after you read them, with all that was put under them. Either of you can "
        "change it, and both are told. It is agreed between the two programs; a contact can keep a copy all the same, "
        "and your homeserver keeps what is removed for some days.",
        examples=("disappearing 1 1d", "disappearing 1 off", "!chattor disappearing 30m"),
        there="[TIME|off]",
    ),
)
