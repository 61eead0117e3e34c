"""The commands about what was said, and how messages look in a terminal."""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import aclosing

from chattor_bridge.counting import sized
from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import SHORT_ID, Item, JsonObject
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, local_time, neutralised, neutralised_lines

SHOWN_QUOTE = 60
"""Characters of a message that a line shows of what it refers to."""


async def send(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    text = " ".join(arguments.text)
    wait = arguments.timeout if arguments.wait else None
    kind = "emote" if arguments.emote else None
    async with aclosing(ask(home, "send", contact=arguments.contact, text=text, kind=kind, wait=wait)) as answers:
        async for answer in answers:
            if isinstance(answer, Item):
                output.show(answer.fields, _sent(answer.fields))


async def reply(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    answered = arguments.to if arguments.thread else arguments.order
    thread = arguments.order if arguments.thread else None
    answers = ask(home, "send", text=" ".join(arguments.text), reply=answered, thread=thread)
    async with aclosing(answers):
        async for answer in answers:
            if isinstance(answer, Item):
                output.show(answer.fields, _sent(answer.fields))


def _sent(item: JsonObject) -> str:
    """What became of a message, by the number that other commands take."""
    became = {"queued": "is on its way", "delivered": "is delivered", "read": "was read", "failed": "has failed"}
    return f"#{item['order']} {became[item['state']]}."


async def edit(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    text = None if arguments.remove else " ".join(arguments.text)
    items, _ = await ask_once(home, "edit", order=arguments.order, text=text)
    output.show(items[0], "The caption is gone." if arguments.remove else "Changed.")


async def delete(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "delete", order=arguments.order)
    output.show(items[0], "Taken back.")


async def react(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "react", order=arguments.order, emoji=arguments.emoji, remove=arguments.remove)
    output.show(items[0], "Taken back." if arguments.remove else "Said so.")


async def poll(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(
        home,
        "poll",
        contact=arguments.contact,
        question=arguments.question,
        answers=arguments.answers,
        choices=arguments.choices,
        hidden=arguments.hidden,
    )
    output.show(items[0], "Asked.")


async def vote(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    choices = [number - 1 for number in arguments.answers]
    items, _ = await ask_once(home, "vote", order=arguments.order, choices=choices)
    output.show(items[0], "Voted." if choices else "Your vote is taken back.")


async def end_poll(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "end_poll", order=arguments.order)
    output.show(items[0], "The poll is over.")


async def place(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(
        home,
        "place",
        contact=arguments.contact,
        latitude=arguments.latitude,
        longitude=arguments.longitude,
        name=arguments.name,
        accuracy=arguments.accuracy,
    )
    output.show(items[0], "Sent.")


def message_lines(message: JsonObject, home: Home) -> list[str]:
    """A message for a person, who types commands for this home."""
    # a friend's line begins with its number, which it cannot choose: its name may be "you to Anna [delivered]", and it
    # may say what looks like a note of ours
    name = neutralised(message["name"])
    note = "about " if message["kind"] == "note" else ""
    who = f"you to {name}" if message["sent"] else f"{note}{message['contact']} {name}"
    by = f" by {message['carriers']}" if message["state"] == "carried" else ""
    state = f" [{message['state']}{by}]" if message["sent"] else ""
    marks = _marks(message)
    lines = [f"{local_time(message['time'])} #{message['order']}  {who}{state}{marks}: {_said(message, home)}"]
    if "poll" in message:
        lines += _poll_lines(message["poll"], name)
    if "reactions" in message:
        signs = [f"{neutralised(one['emoji'])} {'you' if one['sent'] else name}" for one in message["reactions"]]
        lines.append(f"    + {', '.join(signs)}")
    if "reason" in message:
        lines.append(f"    not delivered: {neutralised(message['reason'])}")
    lines += [f"    {one['kind']} not delivered: {neutralised(one['reason'])}" for one in message.get("failed", [])]
    return lines


def _marks(message: JsonObject) -> str:
    """What a message is beside its text."""
    marks = []
    if "reply" in message:
        marks.append(f"to {_quoted(message['reply'])}")
    if "thread" in message:
        marks.append(f"in the thread of {_quoted(message['thread'])}")
    if "edited" in message:
        marks.append("changed")
    return f" ({'; '.join(marks)})" if marks else ""


def _quoted(message: JsonObject) -> str:
    if "order" not in message:
        return "something that is not here"
    text = neutralised(message["text"])
    text = text if len(text) <= SHOWN_QUOTE else f"{text[:SHOWN_QUOTE]}…"
    return f"#{message['order']}" + (" (taken back)" if message["deleted"] else f" “{text}”")


def _said(message: JsonObject, home: Home) -> str:
    if "deleted" in message:
        return "[taken back]"
    text = neutralised_lines(message["text"])
    match message["kind"]:
        case "note":
            return neutralised_lines(home.named(message["text"]))
        case "emote":
            return f"* {text}"
        case "edit":
            return f"[changes {_quoted(message['target'])}] {text}"
        case "delete":
            return f"[takes back {_quoted(message['target'])}]"
        case "reaction":
            return f"[{text} under {_quoted(message['target'])}]"
        case "vote":
            numbers = ", ".join(str(choice + 1) for choice in message["choices"]) or "nothing"
            return f"[chooses {numbers} in {_quoted(message['target'])}]"
        case "poll_end":
            return f"[ends {_quoted(message['target'])}]"
        case "location":
            return f"[place] {text}"
        case "poll":
            return f"[poll] {text}"
        case "file":
            offered = message["file"]
            what = f"[file {offered['file'][:SHORT_ID]}: {neutralised(offered['file_name'])}, "
            return f"{what}{sized(offered['size'])}, {offered['state']}] {text}".rstrip()
        case _:
            return text


def _poll_lines(poll: JsonObject, name: str) -> list[str]:
    """The answers with the votes for each."""
    counts = Counter([*poll["mine"], *(poll["theirs"] or [])])
    lines = []
    for number, answer in enumerate(poll["answers"]):
        voters = ["you"] * (number in poll["mine"]) + [name] * (number in (poll["theirs"] or []))
        votes = f"  [{counts[number]}: {', '.join(voters)}]" if voters else ""
        lines.append(f"    {number + 1}. {neutralised(answer)}{votes}")
    how = "over" if poll["ended"] else f"choose up to {poll['choices']}" if poll["choices"] > 1 else "choose one"
    hidden = "" if poll["disclosed"] or poll["ended"] else "; votes are shown when it is over"
    return [*lines, f"    ({how}{hidden})"]
