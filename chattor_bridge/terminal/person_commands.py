"""The commands about what people want with a friend, and show of themselves."""

from __future__ import annotations

import argparse

from chattor_bridge.durations import timer_in_words
from chattor_bridge.terminal.client import ask_once
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised, neutralised_lines


async def privacy(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "privacy", who=arguments.who, what=arguments.what, on=arguments.on == "on")
    for item in items:
        shown = ", ".join(item["shares"]) or "nothing"
        output.show(item, f"{item['contact']} {neutralised(item['alias'] or item['name'])} sees of you: {shown}")
    if not items:
        output.say("No friends yet." if arguments.what is None else "Noted, for every friend to come.")


async def mute(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    muted = arguments.command == "mute"
    items, _ = await ask_once(home, "mute", contact=arguments.contact, muted=muted)
    name = neutralised(items[0]["alias"] or items[0]["name"])
    output.show(items[0], f"{name} {'does not disturb you any more' if muted else 'disturbs you again'}.")


async def note(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    text = "" if arguments.remove else " ".join(arguments.text) or None
    items, _ = await ask_once(home, "note", contact=arguments.contact, text=text)
    kept = items[0]["note"]
    output.show(items[0], neutralised_lines(kept) if kept else "The note is gone." if arguments.remove else "No note.")


async def disappearing(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "disappearing", contact=arguments.contact, seconds=arguments.after)
    timer, name = items[0]["timer"], neutralised(items[0]["alias"] or items[0]["name"])
    said = f"disappears after {timer_in_words(timer)}" if timer else "stays"
    output.show(items[0], f"What you and {name} say {said}.")


async def typing(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    await ask_once(home, "typing", contact=arguments.contact, on=arguments.on == "on")


async def presence(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    await ask_once(home, "presence", state=arguments.state)
    output.say(f"Friends who may see it ({home.command('privacy')}) see you {arguments.state} now.")
