"""Taking everything away: one's own, or as an administrator somebody else's."""

from __future__ import annotations

from chattor_bridge.bot.confirmation import confirmed, question
from chattor_bridge.bot.numbers import Numbers
from chattor_bridge.bot.parked import series_of
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.erasure import Erasure
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.bridge.voice import Place
from chattor_bridge.counting import counted
from chattor_bridge.errors import NotFound, UsageError
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.ports import Transaction

QUESTION = (
    "This removes {whose} Chattor node for good: its keys, {codes}, {contacts}, and {queued} still on "
    "the way. Nobody can bring it back. The contacts are not told; they see it offline. "
    "What was said stays in the Matrix rooms; I and the contacts leave them.\n\n"
    "To do it, write `{command}` within ten minutes."
)
REMOVED = (
    "Everything is removed: your Chattor node, its keys, friend codes and contacts, and what was on its way. I know "
    "nothing of you any more but that this room is where we talk. `start` makes a new node, which nobody knows."
)
REMOVED_BY_ADMIN = (
    "Whoever runs this bridge has removed your Chattor node and everything that belonged to it: its keys, friend codes "
    "and contacts, and what was on its way."
)


async def delete_everything(request: Request) -> Deed:
    async def deed(tx: Transaction) -> None:
        if await confirmed(tx, request, "delete-everything", request.rest):
            await _erase(tx, request, request.owner)
            await request.desk.voice.say(tx, Place.management(request.owner), REMOVED)
        else:
            command = f"delete-everything {await question(tx, request, 'delete-everything')}"
            await request.answer(tx, await _question(tx, request, request.owner, "your", command))

    request.any_node  # noqa: B018 - it raises when there is nothing to delete
    return deed


async def remove_user(request: Request) -> Deed:
    name, _, number = request.rest.partition(" ")
    owner = MatrixUserId(name)
    if not name:
        raise UsageError("Say whom, by the full Matrix id: remove @somebody:example.org. nodes shows who has a node.")
    if request.desk.host.node_of(owner) is None:
        raise NotFound("nobody of that id has a node here; nodes shows who has")

    async def deed(tx: Transaction) -> None:
        if await confirmed(tx, request, f"remove {owner}", number.strip()):
            await _erase(tx, request, owner)
            await request.desk.voice.say(tx, Place.management(owner), REMOVED_BY_ADMIN)
            await request.answer(tx, f"Everything of {literal(owner)} is removed.")
        else:
            command = f"remove {owner} {await question(tx, request, f'remove {owner}')}"
            await request.answer(tx, await _question(tx, request, owner, f"{literal(owner)}'s", command))

    return deed


async def _question(tx: Transaction, request: Request, owner: MatrixUserId, whose: str, command: str) -> str:
    node = request.desk.host.node_of(owner)
    if node is None:
        raise NotFound("there is no such node any more")
    store = request.desk.store
    contacts = await store.contacts.of_node(tx, node.node_id)
    queued = sum([await store.outbox.count(tx, node.node_id, contact.peer_id) for contact in contacts])
    return QUESTION.format(
        whose=whose,
        codes=counted(len(await store.doors.of_node(tx, node.node_id)), "friend code"),
        contacts=counted(len(contacts), "contact"),
        queued=counted(queued, "message"),
        command=command,
    )


async def _erase(tx: Transaction, request: Request, owner: MatrixUserId) -> None:
    desk = request.desk
    numbers = Numbers(desk.store)
    node = desk.host.node_of(owner)
    if node is not None:
        await numbers.forget(tx, node.node_id)
    await numbers.forget(tx, series_of(owner))
    await Erasure(desk.store, desk.host, desk.voice, desk.conversations).erase(tx, owner)


COMMANDS = (
    Command(
        "delete-everything",
        "",
        "You",
        "remove your node, its keys, codes and contacts for good; I ask back first",
        delete_everything,
        details="Your contacts are not told; they see you offline. logout stops your node and keeps everything.",
        everybody_with_a_node=True,
    ),
    Command(
        "remove",
        "USER",
        "Running the bridge",
        "remove somebody's node and everything of it; I ask back first",
        remove_user,
        examples=("remove @somebody:example.org",),
        level=Level.ADMIN,
    ),
)
