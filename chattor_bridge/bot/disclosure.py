"""What contacts see of the person, and what the person keeps of them: privacy, mute and note."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from chattor_bridge.bot.addressing import called, meant, only
from chattor_bridge.bot.contacts import ALL, GROUP
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Shared
from chattor_bridge.node.views import ContactInfo

_USAGE: Final = "Say whom, what and whether: privacy 1 typing on, or privacy all presence off. It can be " + (
    ", ".join(Shared) + "."
)
_WHAT: Final = {
    Shared.RECEIPTS: "what you have read",
    Shared.TYPING: "that you are typing",
    Shared.PRESENCE: "whether you are there",
}


async def privacy(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()
    words = request.rest.lower().split()
    if not words and request.heard.portal is None:
        return request.answering(_overview(contacts))

    async def deed(tx: Transaction) -> None:
        peer_id: PeerId | None = None
        if words[:1] == [ALL]:
            whose, rest = "Every contact", words[1:]
        else:
            contact, after = await meant(request, tx, contacts, _USAGE)
            peer_id, whose, rest = contact.peer_id, f"**{called(contact)}**", after.lower().split()
            if not rest:
                await request.answer(tx, f"{whose} can see: {_seen(contact)}.")
                return
        if len(rest) != 2 or rest[0] not in list(Shared) or rest[1] not in ("on", "off"):
            raise UsageError(_USAGE)
        shared, on = Shared(rest[0]), rest[1] == "on"
        await node.share(tx, peer_id, shared, on=on)
        if shared is Shared.PRESENCE:
            tx.after_commit(partial(request.desk.look_at_presence, request.owner))
        who = f"{whose} sees" if on else f"{whose} does not see" if peer_id else "No contact sees"
        await request.answer(tx, f"{who} {_WHAT[shared]} from now on.")

    return deed


async def mute(request: Request, *, muted: bool) -> Deed:
    node = request.node
    contacts = await node.contacts()
    verb = "mute" if muted else "unmute"

    async def deed(tx: Transaction) -> None:
        contact = await only(request, tx, contacts, verb)
        await node.mute(tx, contact.peer_id, muted=muted)
        said = (
            "does not disturb you any more: what they write comes as notices, for which clients ring no bell. "
            "`unmute` ends it"
            if muted
            else "disturbs you again when they write"
        )
        await request.answer(tx, f"**{called(contact)}** {said}.")

    return deed


async def note(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact, text = await meant(
            request, tx, contacts, "Say which contact, and the note: note 1 Met at the choir. `-` takes it away."
        )
        if not text:
            kept = literal(contact.preferences.note)
            await request.answer(tx, kept or f"There is no note about **{called(contact)}**.")
            return
        await node.annotate(tx, contact.peer_id, "" if text == "-" else text)
        await request.answer(tx, "Noted. Nobody but you sees it." if text != "-" else "The note is gone.")

    return deed


def _overview(contacts: Sequence[ContactInfo]) -> str:
    lines = [f"- **{called(contact)}** can see: {_seen(contact)}" for contact in contacts]
    how = (
        "`privacy all typing on` changes it for everybody, `privacy 1 receipts off` for one. That something has "
        "*arrived* your contacts always see: without that, nothing could be sent reliably."
    )
    return "\n".join(lines or ["You have no contacts yet."]) + f"\n\n{how}"


def _seen(contact: ContactInfo) -> str:
    return ", ".join(_WHAT[each] for each in Shared if each in contact.preferences.shares) or "nothing of that"


COMMANDS = (
    Command(
        "privacy",
        "[NUMBER|all receipts|typing|presence on|off]",
        GROUP,
        "what contacts see of you: what you read, that you type, whether you are there",
        privacy,
        details="Receipts are on and the others off, until you want it otherwise. Nobody is told that you changed it. "
        "`all` is for every contact you have and will have. In the room of a conversation leave NUMBER out.",
        examples=("privacy", "privacy 1 typing on", "privacy all receipts off", "!chattor privacy presence on"),
        there="[receipts|typing|presence on|off]",
    ),
    Command(
        "mute",
        "NUMBER",
        GROUP,
        "be disturbed no more by a contact; nobody is told",
        partial(mute, muted=True),
        details="What they write comes as notices, which clients show without a sound and without counting them. "
        "Pictures and files cannot be notices and ring as before.",
        examples=("mute 1", "!chattor mute"),
        there="",
    ),
    Command(
        "unmute",
        "NUMBER",
        GROUP,
        "hear a muted contact again",
        partial(mute, muted=False),
        examples=("unmute 1",),
        there="",
    ),
    Command(
        "note",
        "NUMBER [TEXT]",
        GROUP,
        "keep a note about a contact, or read it",
        note,
        details="It is encrypted where it is kept, and nobody else sees it. `-` as TEXT takes it away.",
        examples=("note 1 Met at the choir", "note 1", "!chattor note -"),
        there="[TEXT]",
    ),
)
