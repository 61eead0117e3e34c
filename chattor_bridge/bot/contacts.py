"""Contacts: list, rename, block and forget."""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.bot.addressing import by_word, called, meant, only
from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bot.requests import block_request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.counting import counted
from chattor_bridge.durations import timer_in_words
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo, Verification
from chattor_bridge.protocol.signals import Here

GROUP = "Contacts"

SURE = "yes"
"""What has to stand behind a command that cannot be undone."""

ALL = "all"
"""What stands for every contact."""

NOTE_SHOWN = 60
"""Characters of a note in the list; `note` shows all of it."""

_HERE = {Here.ONLINE: "there now", Here.AWAY: "away", Here.OFFLINE: "not there"}
"""What the person shows of itself, beside whether its node can be reached."""

_FOUND = {
    Verification.NONE: "",
    Verification.VERIFIED: ", ✅ verified",
    Verification.MISMATCH: ", ⚠️ a comparison failed",
}


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
        if request.heard.portal is not None and alias:
            await _refuse_number(request, tx, contacts, alias.split()[0].lstrip("#"))
        await node.rename(tx, contact.peer_id, alias)
        shown = literal(alias or contact.name or NAMELESS)
        tail = "Only you see this name." if alias else "That is the name they give themselves."
        await request.answer(tx, f"This contact is called **{shown}** now. {tail}")

    return deed


async def _refuse_number(request: Request, tx: Transaction, contacts: Sequence[ContactInfo], word: str) -> None:
    """Raises: UsageError when this is the number of a contact, where none is asked for."""
    ids = [contact.peer_id for contact in contacts]
    numbers = await Numbers(request.desk.store).of(tx, request.node.node_id, Kind.CONTACT, ids)
    if word in map(str, numbers.values()):
        raise UsageError(
            f"{word} is the number of a contact, and here rename is about the friend of this conversation. Write "
            f"!chattor rename and the name alone, or rename {word} and the name in the chat with me."
        )


async def resync(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact = await only(request, tx, contacts, "resync")
        await node.renew_session(tx, contact.peer_id)
        await request.answer(
            tx,
            f"The encryption with **{called(contact)}** begins anew as soon as both of you are online. I say so in the "
            "room of the conversation.",
        )

    return deed


async def block(request: Request) -> Deed:
    reply_to = request.heard.reply_to
    if reply_to is not None and not request.rest and request.heard.portal is None:
        return await block_request(request)
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact = await only(request, tx, contacts, "block")
        await node.block(tx, contact.peer_id)
        await request.answer(
            tx,
            f"**{called(contact)}** cannot reach you any more, and sees you offline. Nobody is told. `unblock` ends "
            "it.",
        )

    return deed


async def unblock(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact = await only(request, tx, contacts, "unblock")
        await node.unblock(tx, contact.peer_id)
        await request.answer(tx, f"**{called(contact)}** can reach you again.")

    return deed


async def forget(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        contact, word = await meant(request, tx, contacts, "Say which contact: forget 1. contacts shows the numbers.")
        if word.lower() != SURE:
            await request.answer(
                tx,
                f"This ends the friendship with **{called(contact)}** for good: its keys are erased, and what has not "
                f"been sent yet. They are not told, and see you offline. If you are sure, write the same again with "
                f"`{SURE}` behind it.",
            )
            return
        await node.forget(tx, contact.peer_id)
        await request.answer(
            tx, f"**{called(contact)}** is forgotten. The room of your conversation stays until you leave it."
        )

    return deed


async def merge(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()

    async def deed(tx: Transaction) -> None:
        missing = "Say which two contacts are one person: merge 1 2. contacts shows the numbers."
        contact, word = await meant(request, tx, contacts, missing)
        other = await by_word(request, tx, contacts, word) if word else None
        await node.merge(tx, contact.peer_id, None if other is None else other.peer_id)
        await request.answer(
            tx,
            f"I have told **{called(contact)}** so in both conversations. They become one as soon as your friend says "
            "the same; if the two are different people, nothing happens but that both are told.",
        )

    return deed


async def retire(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()
    words = request.rest.lower().split()
    if words[:1] == [ALL]:
        if words != [ALL, SURE]:
            return request.answering(
                "This ends the friendship with **every contact** you have and takes every friend code back, because "
                "somebody else may have your keys. Your friends are told, in the conversation, to exchange new codes "
                f"with you. If you are sure, write `retire {ALL} {SURE}`."
            )

        async def everything(tx: Transaction) -> None:
            ended = counted(await node.retire_all(tx), "friendship is", "friendships are")
            await request.answer(
                tx,
                f"{ended} ended, and your friend codes taken back. Make new ones with `code new`, and hand them out in "
                "person or by voice.",
            )

        return everything

    async def deed(tx: Transaction) -> None:
        contact, word = await meant(request, tx, contacts, "Say which contact: retire 1. contacts shows the numbers.")
        if word.lower() != SURE:
            await request.answer(
                tx,
                f"This ends the friendship with **{called(contact)}** because somebody else may have its keys. They "
                "are told, and to exchange a new friend code with you. If you are sure, write the same again with "
                f"`{SURE}` behind it.",
            )
            return
        await node.retire(tx, contact.peer_id)
        await request.answer(
            tx,
            f"The friendship with **{called(contact)}** is ended; they are told as soon as they can be reached, within "
            "a week. Exchange a new friend code in person or by voice, and `forget` this contact when you like.",
        )

    return deed


def _line(contact: ContactInfo) -> str:
    name = called(contact)
    also = f" (calls themselves {literal(contact.name)})" if contact.alias and contact.name != contact.alias else ""
    state = "ended" if contact.retired else "blocked" if contact.blocked else "online" if contact.online else "offline"
    here = "" if contact.here is Here.UNKNOWN else f" ({_HERE[contact.here]})"
    typing = ", typing" if contact.typing else ""
    queued = f", {contact.queued} on the way" if contact.queued else ""
    timer = contact.preferences.timer
    fades = f", ⏳ {timer_in_words(timer)}" if timer else ""
    muted = ", 🔕 muted" if contact.preferences.muted else ""
    first = contact.preferences.note.partition("\n")[0][:NOTE_SHOWN]
    note = f" — {literal(first)}" if first else ""
    return f"**{name}**{also}, {state}{here}{typing}{queued}{fades}{muted}{_FOUND[contact.verification]}{note}"


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
        there="NAME",
    ),
    Command(
        "block",
        "NUMBER",
        GROUP,
        "be unreachable for a contact; nobody is told",
        block,
        details="They see you offline. What they send meanwhile arrives when you write unblock. In the room of a "
        "conversation leave NUMBER out. As a reply to the notice of a request, it blocks the request.",
        examples=("block 1", "!chattor block"),
        there="",
    ),
    Command(
        "unblock",
        "NUMBER",
        GROUP,
        "be there for a blocked contact again",
        unblock,
        examples=("unblock 1",),
        there="",
    ),
    Command(
        "forget",
        "NUMBER",
        GROUP,
        "end a friendship for good",
        forget,
        details="To be contacts again, one of you needs a friend code of the other.",
        examples=("forget 1", f"forget 1 {SURE}"),
        there="",
    ),
    Command(
        "merge",
        "NUMBER NUMBER",
        GROUP,
        "make one of two contacts that are the same person",
        merge,
        details="It happens when two people have added each other at the same time. Your friend has to say the same; "
        "when your friend was first, one of the two numbers is enough, or none in the room of a conversation. What you "
        "said and what waits goes on in one room, and the other says where.",
        examples=("merge 1 2", "!chattor merge"),
        there="[NUMBER]",
    ),
    Command(
        "retire",
        "NUMBER|all",
        GROUP,
        "end friendships because somebody else may have your keys",
        retire,
        details="For example when a device or a backup was stolen. Your friends are told, and need a new friend code.",
        examples=("retire 1", f"retire {ALL} {SURE}"),
        there="",
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
        there="",
    ),
)
