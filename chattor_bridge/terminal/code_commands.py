"""The commands by which people find each other, and how each shows its answer."""

from __future__ import annotations

import argparse
import io

from chattor_bridge.counting import counted
from chattor_bridge.terminal.client import ask_once
from chattor_bridge.terminal.control import SHORT_ID, JsonObject
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, local_time, neutralised, neutralised_lines
from chattor_bridge.wording import MANY_REQUESTS


async def code(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    match arguments.action:
        case "new":
            codes, _ = await ask_once(
                home,
                "new_code",
                label=arguments.label,
                once=arguments.once,
                lifetime=arguments.expires,
                uses=arguments.uses,
            )
        case "park" | "unpark":
            codes, _ = await ask_once(home, "park_code", code=arguments.code, parked=arguments.action == "park")
        case "rotate":
            codes, _ = await ask_once(home, "rotate_code", code=arguments.code, grace=arguments.grace)
        case "retire":
            codes, _ = await ask_once(home, "retire_code", code=arguments.code)
            output.show(codes[0], "Retired. Friends you made through it stay.")
            return
        case _:
            codes, _ = await ask_once(home, "codes")
    for each in codes:
        lines = [
            neutralised(each["code"]),
            f"  {_short(each)}  {door_state(each)}  {neutralised(each['label'])}".rstrip(),
        ]
        if arguments.qr:
            lines.extend(_qr_lines(each["code"]))
        output.show(each, *lines)
    if not codes:
        output.say(f"No friend code yet. Make one with {home.command('code new')}")


async def add(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "add", code=" ".join(arguments.code), note=arguments.note)
    output.show(items[0], f"Asked. {home.command('requests')} shows where it stands.")


async def requests(_arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "requests")
    many = sum(item["direction"] == "received" for item in items) >= MANY_REQUESTS
    for item in items:
        output.show(item, *(_received(item, many=many) if item["direction"] == "received" else _sent(item)))
    if not items:
        output.say("No requests.")


async def accept(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "accept", request=arguments.request)
    number, name = items[0]["contact"], neutralised(items[0]["name"])
    output.show(items[0], f"{name} is contact {number} now. Say hello with {home.command(f'send {number} Hello!')}")


async def ignore(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "ignore", request=arguments.request)
    output.show(items[0], "Ignored. Its sender is not told; you can still accept it.")


def _received(item: JsonObject, *, many: bool) -> list[str]:
    through = f" through {neutralised(item['label'])}" if item["label"] else ""
    ignored = "  (blocked)" if item["blocked"] else "  (ignored)" if item["ignored"] else ""
    effort = f", effort {item['effort']}" if many else ""
    lines = [
        f"{item['number']}  from {neutralised(item['name'])}{through}, {local_time(item['time'])}{effort}{ignored}"
    ]
    if item["note"]:
        lines.append(f"    {neutralised_lines(item['note'])}")
    return lines


def _sent(item: JsonObject) -> list[str]:
    states = {"calling": "not at the door yet", "left": "at the door, waiting for an answer", "failed": "given up"}
    reason = f": {neutralised(item['reason'])}" if item["reason"] else ""
    note = f"  ({neutralised(item['note'])})" if item["note"] else ""
    return [f"sent {local_time(item['time'])}: {states[item['state']]}{reason}{note}"]


def _short(item: JsonObject) -> str:
    return str(item["id"])[:SHORT_ID]


def door_state(item: JsonObject) -> str:
    """What there is to know about a friend code, in words."""
    facts = ["parked" if item["parked"] else "reachable" if item["published"] else "not reachable yet"]
    if item["once"]:
        facts.append("one-time")
    elif item["max_uses"] is not None:
        facts.append(f"{item['uses']} of {counted(item['max_uses'], 'use')}")
    if item["max_uses"] is not None and item["uses"] >= item["max_uses"]:
        facts.append("used up")
    elif item["expires"] is not None:
        facts.append(f"closes {local_time(item['expires'])}")
    return ", ".join(facts)


def _qr_lines(text: str) -> list[str]:
    import segno  # which takes as long to load as all else that shows a code

    # upper case is the same code, and a smaller picture
    drawing = io.StringIO()
    segno.make_qr(text.upper()).terminal(out=drawing, compact=True)
    return drawing.getvalue().splitlines()
