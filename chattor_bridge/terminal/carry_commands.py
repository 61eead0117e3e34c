"""The commands about holding mail, as a terminal shows them."""

from __future__ import annotations

import argparse
from contextlib import aclosing

from chattor_bridge.counting import counted
from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import Item, JsonObject
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised

DONE = {
    "ask": "Asked. Your friend decides; {list} shows how it stands.",
    "leave": "Your friend is told. What it still holds comes to you all the same.",
    "offer": "Your friend is told, and decides what to make of it.",
    "stop": "Your friend is told. What you hold for it can still be collected.",
}


async def carry(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    if arguments.action == "limit":
        items, _ = await ask_once(home, "carry", what="limit", megabytes=arguments.megabytes)
        output.show(items[0], items[0]["words"])
        return
    said = {"what": arguments.action, "contact": arguments.contact} if arguments.action else {}
    if arguments.action == "offer":
        said |= {"blocks": arguments.blocks}
        if arguments.shelves is not None:
            said |= {"shelves": arguments.shelves}
    items, in_all = await ask_once(home, "carry", **said)
    if arguments.action:
        output.show({"done": arguments.action}, DONE[arguments.action].format(list=home.command("carry")))
        return
    for item in items:
        lines = [f"{item['contact']} {neutralised(item['name'])} {words}" for words in item["words"]]
        output.show(item, *lines)
    if any(item["carried"] or item["held"] for item in items):
        output.say(in_all["words"])
    if not items:
        output.say(f"Nobody holds your mail, and you hold nobody's. {home.command('carry ask NAME')} asks a friend.")


def mailbox_lines(mailbox: JsonObject) -> list[str]:
    """The part of `status` that is about what is held for others."""
    carried = mailbox["carried"]
    if carried:
        held, limit = (f"{mailbox[one] / 1_000_000:,.1f} MB" for one in ("held", "limit"))
        friends = counted(len(carried), "friend")
        shelves = f"{mailbox['shelves']} of {mailbox['most_shelves']} shelves"
        lines = [f"mailbox   {held} held for {friends}, of {limit} at most, on {shelves}"]
        lines += [
            f"          {one['contact']} {neutralised(one['name'])}: {counted(one['held'], 'block')}" for one in carried
        ]
    else:
        lines = ["mailbox   for nobody yet: pair makes a code for that"]
    if (tor := mailbox["tor"]) is not None:
        lines.append(f"shelves   their tor is {'connected' if tor['ready'] else neutralised(tor['summary'])}")
    return [*lines, f"disk      {mailbox['free'] // 2**20:,} MiB free"]


_PAIRING = {
    "calling": "Looking for the mailbox.",
    "left": "The code has arrived there.",
    "friend": "It is a friend of yours now, and was asked to hold your mail.",
    "paired": "Paired. {name} holds your mail from now on while you are offline.",
    "spare": "Paired. {name} holds your mail when one of the two that do so now cannot.",
}


async def pair(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    if not arguments.code:
        codes, _ = await ask_once(home, "pair")
        code = neutralised(codes[0]["code"])
        output.show(codes[0], f"chattor pair {code}")
        output.say(
            "",
            "Type that where you chat, within a day; with the bridge, send it to the bot without the first word. It is",
            "good for one node.",
        )
        return
    async with aclosing(ask(home, "pair", code=" ".join(arguments.code), wait=arguments.timeout)) as answers:
        async for answer in answers:
            if isinstance(answer, Item):
                output.show(answer.fields, pairing_step(answer.fields))


def pairing_step(step: JsonObject) -> str:
    """How far pairing is, in words."""
    line = _PAIRING[step["state"]].format(name=neutralised(step["name"]))
    return f"{line} ({neutralised(step['reason'])})" if step["reason"] else line
