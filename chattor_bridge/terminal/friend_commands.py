"""The commands about friends, and how each shows its answer."""

from __future__ import annotations

import argparse

from chattor_bridge.durations import timer_in_words
from chattor_bridge.terminal.client import ask_once
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised, table
from chattor_bridge.wording import in_groups

NOTE_SHOWN = 40
"""Characters of a note in the list of contacts; `note` shows all of it."""

FOUND = {
    "unverified": "not compared yet",
    "verified": "verified",
    "mismatch": "WARNING: a comparison failed; somebody may stand between you",
}


async def block(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "block", who=arguments.who, request=arguments.request)
    if arguments.request:
        output.show(items[0], "Blocked. Its sender is not told, and it does not come again.")
        return
    number, name = items[0]["contact"], neutralised(items[0]["name"])
    output.show(
        items[0], f"{name} cannot reach you, and sees you offline. {home.command(f'unblock {number}')} ends it."
    )


async def unblock(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "unblock", who=arguments.who, request=arguments.request)
    if arguments.request:
        output.show(items[0], "Not blocked any more; you can still accept it.")
        return
    output.show(items[0], f"{neutralised(items[0]['name'])} can reach you again.")


async def whom(home: Home, word: str) -> str:
    """The friend that `forget` and `retire` would be about, as a person knows it. Raises: CommandError."""
    items, _ = await ask_once(home, "whom", contact=word)
    return f"{neutralised(items[0]['name'])} (contact {items[0]['contact']})"


async def forget(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "forget", contact=arguments.contact)
    output.show(items[0], f"{neutralised(items[0]['name'])} is forgotten, and what you said to each other is erased.")


async def merge(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "merge", contact=arguments.contact, other=arguments.other)
    output.show(
        items[0], f"Said so to {neutralised(items[0]['name'])}. The two become one when your friend says it too."
    )


async def retire(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "retire", contact=arguments.contact or "", all=arguments.all)
    for item in items:
        output.show(item, f"The friendship with {neutralised(item['name'])} is ended, and they are told.")
    output.say(f"Make new friend codes with {home.command('code new')}, and hand them out in person or by voice.")


async def contacts(_arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "contacts")
    rows = table([contact_row(item) for item in items])
    for item, row in zip(items, rows, strict=True):
        output.show(item, row)
    if not items:
        output.say(f"No friends yet. {home.command('code new')} makes a friend code; {home.command('add')} takes one.")


async def rename(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "rename", contact=arguments.contact, alias=arguments.alias)
    shown = neutralised(items[0]["alias"] or items[0]["name"])
    output.show(items[0], f"Contact {items[0]['contact']} is shown as {shown} now.")


async def resync(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "resync", contact=arguments.contact)
    output.show(
        items[0], f"The encryption with {neutralised(items[0]['name'])} begins anew as soon as both of you are online."
    )


async def verify(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "verify", contact=arguments.contact, what=arguments.what)
    item = items[0]
    lines = [f"{neutralised(item['name'])}: {FOUND[item['verification']]}", f"  {in_groups(item['number'])}"]
    if item["emoji"] is not None:
        lines.append("  " + ", ".join(f"{neutralised(sign)} {neutralised(word)}" for sign, word in item["emoji"]))
    if arguments.what == "emoji" and item["emoji"] is None:
        lines.append("Asked; follow and verify show the emoji once your friend takes part, for ten minutes.")
    output.show(item, *lines)


def contact_row(item: JsonObject) -> list[str]:
    """A friend in a table: number, name, state, news and note."""
    name = neutralised(item["alias"] or item["name"]) or "(no name)"
    if item["alias"] and item["name"]:
        name += f" ({neutralised(item['name'])})"
    news = ["typing"] if item["typing"] else []
    if item["unread"]:
        news.append(f"{item['unread']} unread")
    if item["timer"]:
        news.append(f"disappearing after {timer_in_words(item['timer'])}")
    if item["muted"]:
        news.append("muted")
    if item["queued"]:
        news.append(f"{item['queued']} on their way")
    if item["verification"] != "unverified":
        news.append("verified" if item["verification"] == "verified" else "COMPARISON FAILED")
    state = "ended" if item["retired"] else "blocked" if item["blocked"] else "online" if item["online"] else "offline"
    here = "" if item["here"] == "unknown" else f" ({item['here']})"
    note = neutralised(item["note"].partition("\n")[0][:NOTE_SHOWN])
    return [str(item["contact"]), name, state + here, ", ".join(news), note]
