"""Making sure of a contact: the safety number, and emoji compared live."""

from __future__ import annotations

from typing import Final

from chattor_bridge.bot.addressing import called, meant
from chattor_bridge.bot.contacts import GROUP
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo, Verification, VerificationInfo
from chattor_bridge.wording import in_groups

_WHICH: Final = "Say which contact: verify 1. contacts shows the numbers."

_STATES: Final = {
    Verification.NONE: "You have not compared anything with **{name}** yet.",
    Verification.VERIFIED: "✅ You have made sure of **{name}**.",
    Verification.MISMATCH: "⚠️ **A comparison with {name} failed.** Somebody may stand between you.",
}


async def verify(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()
    known = {contact.peer_id: await node.verification(contact.peer_id) for contact in contacts}

    async def deed(tx: Transaction) -> None:
        contact, what = await meant(request, tx, contacts, _WHICH)
        name = called(contact)
        match what.casefold():
            case "":
                text = _shown(name, known[contact.peer_id])
            case "emoji":
                await node.compare_emoji(tx, contact.peer_id)
                text = (
                    f"As soon as **{name}** takes part too, I show you both the same seven emoji, in the room of the "
                    "conversation. Compare them by voice or in person, within ten minutes."
                )
            case "match":
                await node.confirm(tx, contact.peer_id, match=True)
                await _show_in_room(request, tx, contact)
                text = f"✅ Noted: **{name}** is verified."
            case "mismatch":
                await node.confirm(tx, contact.peer_id, match=False)
                await _show_in_room(request, tx, contact)
                text = (
                    f"⚠️ Noted. **Somebody may stand between you and {name}** and read everything. Meet, exchange new "
                    "friend codes and become friends anew."
                )
            case _:
                raise UsageError("After the contact comes nothing, emoji, match or mismatch: verify 1 emoji.")
        await request.answer(tx, text)

    return deed


async def _show_in_room(request: Request, tx: Transaction, contact: ContactInfo) -> None:
    conversations = request.desk.conversations
    portal = await conversations.portal(tx, request.owner, request.node.node_id, contact.peer_id)
    await conversations.refresh(tx, portal)


def _shown(name: str, info: VerificationInfo) -> str:
    text = [
        _STATES[info.state].format(name=name),
        f"The safety number, the same on both sides when nobody stands between:\n\n`{in_groups(info.number)}`",
    ]
    if info.emoji is not None:
        text.append("To compare now: " + ", ".join(f"{sign} {word}" for sign, word in info.emoji))
    text.append("Compare it by voice or in person, or `verify … emoji`; then `verify … match` or `verify … mismatch`.")
    return "\n\n".join(text)


COMMANDS = (
    Command(
        "verify",
        "NUMBER [emoji | match | mismatch]",
        GROUP,
        "make sure that nobody stands between you and a contact",
        verify,
        details="Without a further word, shows the safety number to compare. emoji shows both of you seven pictures, "
        "while both are there; match or mismatch says what you found. In the room of a conversation leave NUMBER out.",
        examples=("verify 1", "verify 1 emoji", "!chattor verify match"),
        there="[emoji|match|mismatch]",
    ),
)
