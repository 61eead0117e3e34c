"""The command about holding mail, as a terminal shows it."""

from __future__ import annotations

import argparse

from chattor_bridge.terminal.client import ask_once
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised

_DONE = {
    "ask": "Asked. Your friend decides; {list} shows how it stands.",
    "leave": "Your friend is told. What it still holds comes to you all the same.",
    "offer": "Your friend is told, and decides what to make of it.",
    "stop": "Your friend is told. What you hold for it can still be collected.",
}


async def carry(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    said = {"what": arguments.action, "contact": arguments.contact} if arguments.action else {}
    if arguments.action == "offer":
        said |= {"shelves": arguments.shelves, "blocks": arguments.blocks}
    items, _ = await ask_once(home, "carry", **said)
    if arguments.action:
        output.show({"done": arguments.action}, _DONE[arguments.action].format(list=home.command("carry")))
        return
    for item in items:
        lines = [f"{neutralised(item['name'])} {words}" for words in item["words"]]
        output.show(item, *lines)
    if not items:
        output.say(f"Nobody holds your mail, and you hold nobody's. {home.command('carry ask NAME')} asks a friend.")
