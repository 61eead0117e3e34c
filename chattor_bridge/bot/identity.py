"""One's own node: start, profile, status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.counting import counted
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo, NodeStatus, WorkStatus

GROUP = "You"

MOST_TROUBLES = 10
"""Lines about what does not work, at most: more than a screen helps nobody."""

WORK = {
    "door": "The door of a code",
    "knock": "A request of yours",
    "friend": "The way to {name}",
    "carrier": "Leaving something for {name} with those who hold mail for them",
    "shelf": "Where mail is left that you hold for a contact",
    "onion": "Where a contact reaches you",
    "node": "Your node",
}


async def start(request: Request) -> Deed:
    existing = request.desk.host.node_of(request.owner)
    if existing is not None and existing.running:
        return request.answering("You have a Chattor node already. `status` shows how it is; `help` what you can do.")
    if existing is not None:
        return _resume(request, existing)
    name = request.rest or _localpart(request.owner)

    async def deed(tx: Transaction) -> None:
        await request.desk.host.create(tx, request.owner, name)
        await request.answer(
            tx,
            f"Your Chattor node is running. Contacts will see you as **{literal(name)}**; `profile` and another name "
            "changes that.\n\nNext: `code new friends` makes a friend code to give away, so that others can ask to be "
            "your contact. If you were given one, write `add` and the code.",
        )

    return deed


def _resume(request: Request, node: Node) -> Deed:
    async def deed(tx: Transaction) -> None:
        await request.desk.host.resume(tx, node)
        await request.answer(
            tx,
            f"Your Chattor node is running again, and contacts see you as **{literal(node.profile_name)}** as before. "
            "What they wrote meanwhile arrives when their nodes have found yours.",
        )

    return deed


async def logout(request: Request) -> Deed:
    request.nothing_more("logout")
    node = request.node

    async def deed(tx: Transaction) -> None:
        await request.desk.host.pause(tx, node)
        await request.answer(
            tx,
            "Your Chattor node is stopped: your contacts see you offline, and nobody can knock at your friend codes. "
            "Everything is kept. `start` brings it back; `delete-everything` takes it away for good.",
        )

    return deed


async def profile(request: Request) -> Deed:
    node = request.node

    async def deed(tx: Transaction) -> None:
        if request.rest:
            await node.set_profile_name(tx, request.rest)
            await request.answer(tx, f"Your contacts see you as **{literal(request.rest)}** from now on.")
        else:
            record = await request.desk.store.nodes.get(tx, node.node_id)
            name = record.profile_name if record is not None else ""
            await request.answer(
                tx, f"Your contacts see you as **{literal(name)}**. `profile` and another name changes it."
            )

    return deed


async def avatar(request: Request) -> Deed:
    node = request.node
    word = request.rest.lower()
    if word not in ("", "off"):
        raise UsageError("Write profile avatar for the picture of your Matrix profile, or profile avatar off for none.")
    data = await request.desk.picture_of(request.owner) if not word else None
    if data is None and not word:
        raise UsageError("Your Matrix profile has no picture that I can use. Set one there, and write this again.")

    async def deed(tx: Transaction) -> None:
        await node.set_picture(tx, data)
        said = "see the picture of your Matrix profile" if data is not None else "see no picture of you"
        tail = " When you change it there, write this again." if data is not None else ""
        await request.answer(tx, f"Your contacts {said} from now on.{tail}")

    return deed


async def status(request: Request) -> Deed:
    request.nothing_more("status")
    node = request.any_node
    return request.answering(describe_status(await node.status(), await node.contacts()))


def describe_status(status: NodeStatus, contacts: Sequence[ContactInfo]) -> str:
    """A node's state of health in words, as CommonMark."""
    lines = [
        f"Your node is {'running' if status.running else 'stopped'}.",
        f"Contacts see you as **{literal(status.profile_name)}**.",
        f"Contacts: {status.contacts}, of them {status.contacts_online} online.",
        f"Friend codes: {status.codes}, of them {status.codes_published} reachable.",
        f"Onion services: {status.onions}, of them {status.onions_published} published.",
        f"Requests: {status.requests} to you, {status.outgoing} of yours.",
        f"On the way to contacts: {status.queued}.",
    ]
    if status.missed is not None:
        lines.append(status.missed.in_words)
    if dropped := status.counters.in_words:
        lines.append(f"Dropped since your node started: {dropped}.")
    text = "\n".join(f"- {line}" for line in lines)
    names = {contact.peer_id: literal(contact.alias or contact.name or NAMELESS) for contact in contacts}
    troubles = _troubles([work for work in status.work if work.amiss], names)
    return f"{text}\n\nNot working at the moment:\n\n{troubles}" if troubles else text


def _troubles(work: Sequence[WorkStatus], names: Mapping[PeerId, str]) -> str:
    lines = [f"- {_trouble(item, names.get(PeerId(item.ident), NAMELESS))}" for item in work[:MOST_TROUBLES]]
    if len(work) > MOST_TROUBLES:
        lines.append(f"- and {len(work) - MOST_TROUBLES} more")
    return "\n".join(lines)


def _trouble(item: WorkStatus, name: str) -> str:
    said = f"{WORK.get(item.what, item.what).format(name=name)}: {literal(item.reason)}"
    again = "" if item.next_try_in is None else f"; I try again in {max(1, round(item.next_try_in))} s"
    return f"{said} ({counted(item.failures, 'failure')} in a row{again})" if item.failures else said


def _localpart(user: str) -> str:
    return user[1:].partition(":")[0]


COMMANDS = (
    Command(
        "start",
        "[NAME]",
        GROUP,
        "get a Chattor node of your own, or bring back a stopped one",
        start,
        details="NAME is what contacts will see; without it, the first part of your Matrix id.",
        examples=("start", "start Ada"),
    ),
    Command("profile", "[NAME]", GROUP, "show or change the name contacts see", profile, examples=("profile Ada",)),
    Command(
        "profile avatar",
        "[off]",
        GROUP,
        "show contacts the picture of your Matrix profile, or none",
        avatar,
        details="It is sent once, small, and with nothing of the file it came from.",
        examples=("profile avatar", "profile avatar off"),
    ),
    Command("status", "", GROUP, "how your node is", status),
    Command(
        "logout",
        "",
        GROUP,
        "stop your node; everything is kept, and start brings it back",
        logout,
        details="Your contacts see you offline meanwhile, and what they write waits with them.",
    ),
)
