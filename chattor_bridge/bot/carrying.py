"""Friends who hold mail for each other: who for whom, asking, offering, and the end of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from chattor_bridge.bot.addressing import called, meant
from chattor_bridge.bot.contacts import GROUP
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction

USAGE: Final = "Say what, and which contact: carry ask 1, carry leave 1, carry offer 1 or carry stop 1."

NOBODY: Final = (
    "Nobody holds your mail, and you hold nobody's. `carry ask 1` asks a contact; `contacts` shows the numbers. Your "
    "node is always on, so what matters more is whom you can help: `carry offer 1`."
)

MEGABYTES: Final = re.compile(r"\d{1,6}", re.ASCII)

DONE: Final = {
    "ask": "Asked. Your contact decides, and I tell you in your conversation.",
    "leave": "Your contact is told. What it still holds comes to you all the same.",
    "offer": "Your contact is told, and decides what to make of it.",
    "stop": "Your contact is told. What is held for it here can still be collected.",
}


async def carry(request: Request) -> Deed:
    node = request.node
    contacts = await node.contacts()
    what, _, rest = request.rest.partition(" ")
    what = what.lower()
    if not what:
        names = {contact.peer_id: called(contact) for contact in contacts}
        infos = await node.carrying.overview()
        lines = [
            f"- **{names[one.peer_id]}** {words}" for one in infos if one.peer_id in names for words in one.in_words
        ]
        if not lines:
            return request.answering(NOBODY)
        return _limit(request, lines, None)
    if what == "limit":
        return _limit(request, [], rest.strip().lower())
    if what not in DONE:
        raise UsageError(USAGE)

    async def deed(tx: Transaction) -> None:
        contact, more = await meant(replace(request, rest=rest.strip()), tx, contacts, USAGE)
        numbers = more.split()
        if numbers and (what != "offer" or len(numbers) != 2 or not all(one.isdecimal() for one in numbers)):
            raise UsageError(f"{USAGE} carry offer takes two numbers besides: shelves and blocks.")
        carrying, peer_id = node.carrying, contact.peer_id
        if what == "ask":
            await carrying.ask(tx, peer_id)
        elif what == "leave":
            await carrying.leave(tx, peer_id)
        elif what == "stop":
            await carrying.stop(tx, peer_id)
        else:
            await carrying.offer(tx, peer_id, *map(int, numbers))
        await request.answer(tx, DONE[what])

    return deed


def _limit(request: Request, lines: Sequence[str], megabytes: str | None) -> Deed:
    """Say, below these lines, how much is held of how much, after changing that if it is wanted."""
    quota = request.node.carrying.quota
    if megabytes and megabytes != "most" and not (MEGABYTES.fullmatch(megabytes) and int(megabytes)):
        raise UsageError("Write how many megabytes your node may hold: carry limit 50, or carry limit most.")

    async def deed(tx: Transaction) -> None:
        if megabytes:
            await quota.change(tx, None if megabytes == "most" else int(megabytes))
        await request.answer(tx, "\n".join([*lines, "", (await quota.overview(tx)).in_words]).strip())

    return deed


COMMANDS = (
    Command(
        "carry",
        "[ask|leave|offer|stop NUMBER] [limit MB]",
        GROUP,
        "friends who hold your mail while you are offline, and those whose mail you hold",
        carry,
        details="Who holds mail can neither read it nor tell whom it is from; they see when how much comes, and when "
        "it is collected. `offer` may say how much: shelves, one for each friend of theirs (1 to 16), and blocks of "
        "16 KiB on each (1 to 128). `limit` shows how much your node holds in all, or sets how many megabytes it "
        "may hold; `most` is what this bridge allows. In the room of a conversation leave NUMBER out.",
        examples=(
            "carry",
            "carry ask 1",
            "carry offer 2",
            "carry offer 2 8 64",
            "carry limit 50",
            "!chattor carry stop",
        ),
        there="[ask|leave|offer|stop]",
    ),
)
