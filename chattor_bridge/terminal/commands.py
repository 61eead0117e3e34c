"""The commands that ask the daemon, and how each shows its answer."""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress

import segno

from chattor_bridge.durations import timer_in_words
from chattor_bridge.node.verifying import in_groups
from chattor_bridge.node.views import MANY_REQUESTS
from chattor_bridge.terminal import carry_commands, file_commands, talk_commands
from chattor_bridge.terminal.addressing import SHORT_ID
from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import Answer, Item, JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, local_time, neutralised, neutralised_lines, table
from chattor_bridge.terminal.portrait import portrait
from chattor_bridge.terminal.talk_commands import message_lines

MAX_INPUT = 256 * 1024
"""Bytes read from standard input: more than the longest text that is accepted, so that the daemon can say its limit."""

READ_BATCH = 100
"""Messages marked as read with one request; the daemon's own bound."""

NOTE_SHOWN = 40
"""Characters of a note in the list of contacts; `note` shows all of it."""

FOUND = {
    "unverified": "not compared yet",
    "verified": "verified",
    "mismatch": "WARNING: a comparison failed; somebody may stand between you",
}

Command = Callable[[argparse.Namespace, Home, Output], Coroutine[None, None, None]]


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


async def merge(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "merge", contact=arguments.contact, other=arguments.other)
    output.show(
        items[0], f"Said so to {neutralised(items[0]['name'])}. The two become one when your friend says it too."
    )


async def retire(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    if arguments.contact is None and not arguments.all:
        raise CommandError(Exit.USAGE, "say which contact, or --all")
    items, _ = await ask_once(home, "retire", contact=arguments.contact or "", all=arguments.all)
    for item in items:
        output.show(item, f"The friendship with {neutralised(item['name'])} is ended, and they are told.")
    output.say(f"Make new friend codes with {home.command('code new')}, and hand them out in person or by voice.")


async def forget(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "forget", contact=arguments.contact)
    output.show(items[0], f"{neutralised(items[0]['name'])} is forgotten, and what you said to each other is erased.")


async def contacts(_arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "contacts")
    rows = table([_contact_row(item) for item in items])
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


async def privacy(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    if (arguments.what is None) is not (arguments.on is None):
        raise CommandError(Exit.USAGE, "say what, and on or off: chattor privacy NAME typing on")
    items, _ = await ask_once(home, "privacy", who=arguments.who, what=arguments.what, on=arguments.on == "on")
    for item in items:
        shown = ", ".join(item["shares"]) or "nothing"
        output.show(item, f"{item['contact']} {neutralised(item['alias'] or item['name'])} sees of you: {shown}")


async def mute(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    muted = arguments.command == "mute"
    items, _ = await ask_once(home, "mute", contact=arguments.contact, muted=muted)
    name = neutralised(items[0]["alias"] or items[0]["name"])
    output.show(items[0], f"{name} {'does not disturb you any more' if muted else 'disturbs you again'}.")


async def note(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    text = "" if arguments.remove else " ".join(arguments.text) or None
    items, _ = await ask_once(home, "note", contact=arguments.contact, text=text)
    output.show(items[0], neutralised_lines(items[0]["note"]))


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


async def profile(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    picture: str | None
    if arguments.avatar is not None:
        picture = base64.b64encode(await asyncio.to_thread(portrait, arguments.avatar)).decode()
    else:
        picture = "" if arguments.no_avatar else None
    items, _ = await ask_once(home, "profile", name=arguments.name, avatar=picture)
    output.show(items[0], neutralised(items[0]["name"]))


async def avatar(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "avatar", contact=arguments.contact)
    if arguments.file is not None:
        try:
            with arguments.file.open("xb") as file:
                file.write(base64.b64decode(items[0]["data"]))
        except OSError as error:
            raise CommandError(Exit.REFUSED, f"this file cannot be written: {error.strerror}") from error
    output.show(items[0], items[0]["type"])


async def send(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    text = " ".join(arguments.text)
    wait = arguments.timeout if arguments.wait else None
    kind = "emote" if arguments.emote else None
    async with aclosing(ask(home, "send", contact=arguments.contact, text=text, kind=kind, wait=wait)) as answers:
        async for answer in answers:
            if isinstance(answer, Item):
                state = answer.fields["state"]
                output.show(answer.fields, answer.fields["event_id"] + ("" if state == "queued" else f" {state}"))


async def history(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    answers = ask(
        home,
        "history",
        contact=arguments.contact,
        limit=arguments.limit,
        after=arguments.after,
        before=arguments.before,
        thread=arguments.thread,
    )
    await _show_messages(answers, home, output, receipts=not arguments.no_receipts)


async def follow(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    answers = ask(home, "follow", contact=arguments.contact, after=arguments.after, sent=arguments.sent)
    await _show_messages(answers, home, output, receipts=not arguments.no_receipts)


async def watch(_arguments: argparse.Namespace, home: Home, output: Output) -> None:
    async with aclosing(ask(home, "watch")) as answers:
        async for answer in answers:
            output.show(answer.fields, *_change_lines(answer.fields))


async def status(_arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "status")
    output.show(items[0], *status_lines(items[0]))


def status_lines(state: JsonObject) -> list[str]:
    """How things stand, in words."""
    lines = [
        f"name      {neutralised(state['name'])}",
        f"tor       {'connected' if state['tor']['ready'] else neutralised(state['tor']['summary'])}",
        f"codes     {state['codes']}, {state['published']} of them reachable",
        f"onions    {state['onions']['published']} of {state['onions']['all']} published",
        f"friends   {state['contacts']}, {state['online']} of them online",
        f"requests  {state['requests']} received, {state['asked']} sent and not answered yet",
        f"messages  {state['unread']} unread, {state['queued']} on their way",
    ]
    if "missed" in state:
        lines.append(f"{'missed':<10}{state['missed']['words']}")
    if "mailbox" in state:
        lines += carry_commands.mailbox_lines(state["mailbox"])
    for trouble in state["trouble"]:
        again = "" if trouble["next_try_in"] is None else f"; next try in {trouble['next_try_in']} s"
        label = "retrying" if trouble["failures"] else "note"
        lines.append(f"{label:<10}{neutralised(trouble['what'])}: {neutralised(trouble['reason'])}{again}")
    return lines


COMMANDS: dict[str, Command] = {
    "code": code,
    "add": add,
    "requests": requests,
    "accept": accept,
    "ignore": ignore,
    "block": block,
    "unblock": unblock,
    "forget": forget,
    "merge": merge,
    "retire": retire,
    "contacts": contacts,
    "rename": rename,
    "resync": resync,
    "verify": verify,
    "privacy": privacy,
    "mute": mute,
    "unmute": mute,
    "note": note,
    "disappearing": disappearing,
    "typing": typing,
    "presence": presence,
    "profile": profile,
    "avatar": avatar,
    "send": send,
    "history": history,
    "follow": follow,
    "reply": talk_commands.reply,
    "edit": talk_commands.edit,
    "delete": talk_commands.delete,
    "react": talk_commands.react,
    "poll": talk_commands.poll,
    "vote": talk_commands.vote,
    "end-poll": talk_commands.end_poll,
    "place": talk_commands.place,
    "file": file_commands.file,
    "carry": carry_commands.carry,
    "pair": carry_commands.pair,
    "watch": watch,
    "status": status,
}


async def _show_messages(answers: AsyncGenerator[Answer, None], home: Home, output: Output, *, receipts: bool) -> None:
    """Show messages as they come, and mark the friend's as read once they have been shown.

    What comes in one go is marked with one request, so that a backlog does not become a receipt for each message.
    """
    shown: list[JsonObject] = []
    async with aclosing(answers):
        coming = asyncio.ensure_future(anext(answers, None))
        try:
            while True:
                if shown and (len(shown) >= READ_BATCH or not await _comes_at_once(coming)):
                    await ask_once(home, "read", messages=shown)
                    shown = []
                answer = await coming
                if not isinstance(answer, Item):
                    break
                coming = asyncio.ensure_future(anext(answers, None))
                message = answer.fields
                output.show(message, *message_lines(message))
                if receipts and message["state"] == "received":
                    shown.append({"peer": message["peer"], "event_id": message["event_id"]})
        finally:
            coming.cancel()
            await asyncio.wait([coming])
            if shown:
                # interrupted, or the reader of our output left: what it was shown is read all the same. When the
                # daemon is gone it stays unread, and what ended us is what the person should hear of.
                with suppress(CommandError):
                    await ask_once(home, "read", messages=shown)


AT_ONCE = 0.05
"""Seconds within which a further message counts as coming in the same go: more than the daemon takes for a page."""


async def _comes_at_once(coming: asyncio.Future[Answer | None]) -> bool:
    await asyncio.wait([coming], timeout=AT_ONCE)
    return coming.done()


def _change_lines(change: JsonObject) -> list[str]:
    match change["change"]:
        case "message":
            return message_lines(change["message"])
        case "contact":
            return table([_contact_row(change["contact"])])
        case "gone":
            return [f"a message with contact {change['contact']} is gone"]
        case what:
            return [f"{what} changed"]


def _received(item: JsonObject, *, many: bool) -> list[str]:
    through = f" through {neutralised(item['label'])}" if item["label"] else ""
    ignored = "  (blocked)" if item["blocked"] else "  (ignored)" if item["ignored"] else ""
    effort = f", effort {item['effort']}" if many else ""
    lines = [f"{_short(item)}  from {neutralised(item['name'])}{through}, {local_time(item['time'])}{effort}{ignored}"]
    if item["note"]:
        lines.append(f"    {neutralised_lines(item['note'])}")
    return lines


def _sent(item: JsonObject) -> list[str]:
    states = {"calling": "not at the door yet", "left": "at the door, waiting for an answer", "failed": "given up"}
    reason = f": {neutralised(item['reason'])}" if item["reason"] else ""
    note = f"  ({neutralised(item['note'])})" if item["note"] else ""
    return [f"{_short(item)}  sent {local_time(item['time'])}: {states[item['state']]}{reason}{note}"]


def _contact_row(item: JsonObject) -> list[str]:
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


def _short(item: JsonObject) -> str:
    return str(item["id"])[:SHORT_ID]


def door_state(item: JsonObject) -> str:
    """What there is to know about a friend code, in words."""
    facts = ["parked" if item["parked"] else "reachable" if item["published"] else "not reachable yet"]
    if item["once"]:
        facts.append("one-time")
    elif item["max_uses"] is not None:
        facts.append(f"{item['uses']} of {item['max_uses']} uses")
    if item["max_uses"] is not None and item["uses"] >= item["max_uses"]:
        facts.append("used up")
    elif item["expires"] is not None:
        facts.append(f"closes {local_time(item['expires'])}")
    return ", ".join(facts)


def _qr_lines(text: str) -> list[str]:
    # upper case is the same code, and a smaller picture
    drawing = io.StringIO()
    segno.make_qr(text.upper()).terminal(out=drawing, compact=True)
    return drawing.getvalue().splitlines()


def take_input(arguments: argparse.Namespace) -> None:
    """Fill in from standard input what the command line left out. Not in the commands themselves, because a
    read cannot be interrupted there. Raises: CommandError when it is too long or no text."""
    if (arguments.command == "add" and not arguments.code) or (arguments.command == "pair" and arguments.code == ["-"]):
        arguments.code = [_standard_input("Friend code: ")]
    elif arguments.command in ("send", "reply", "edit") and not arguments.text:
        arguments.text = [_standard_input("")]


def _standard_input(prompt: str) -> str:
    if prompt and sys.stdin.isatty():
        sys.stderr.write(prompt)
        sys.stderr.flush()
        data = sys.stdin.buffer.readline(MAX_INPUT + 1)
    else:
        data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise CommandError(Exit.REFUSED, f"standard input is longer than {MAX_INPUT // 1024} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CommandError(Exit.REFUSED, "standard input is not UTF-8 text") from error
    # the line end that an editor or echo adds is not part of what is said
    return text.removesuffix("\n").removesuffix("\r")
