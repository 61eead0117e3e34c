"""The commands about one's own identity, and the program's state."""

from __future__ import annotations

import argparse
import asyncio
import base64

from chattor_bridge.terminal import carry_commands
from chattor_bridge.terminal.client import ask_once
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised
from chattor_bridge.terminal.portrait import portrait


async def profile(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    picture: str | None
    if arguments.avatar is not None:
        picture = base64.b64encode(await asyncio.to_thread(portrait, arguments.avatar)).decode()
    else:
        picture = "" if arguments.no_avatar else None
    items, _ = await ask_once(home, "profile", name=arguments.name, avatar=picture)
    picture_too = "with a picture" if items[0]["avatar"] else "without a picture"
    output.show(items[0], f"Friends see you as {neutralised(items[0]['name'])}, {picture_too}.")


async def avatar(arguments: argparse.Namespace, home: Home, output: Output) -> None:
    items, _ = await ask_once(home, "avatar", contact=arguments.contact)
    if arguments.file is not None:
        try:
            with arguments.file.open("xb") as file:
                file.write(base64.b64decode(items[0]["data"]))
        except OSError as error:
            raise CommandError(Exit.REFUSED, f"this file cannot be written: {error.strerror}") from error
    output.show(items[0], items[0]["type"])


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
    if "dropped" in state:
        lines.append(f"{'dropped':<10}{state['dropped']['words']}")
    if "mailbox" in state:
        lines += carry_commands.mailbox_lines(state["mailbox"])
    for trouble in state["trouble"]:
        again = "" if trouble["next_try_in"] is None else f"; next try in {trouble['next_try_in']} s"
        label = "retrying" if trouble["failures"] else "note"
        whose = trouble["name"] and f"{' of' * (trouble['what'] == 'carrier')} {neutralised(trouble['name'])}"
        lines.append(f"{label:<10}{neutralised(trouble['what'])}{whose}: {neutralised(trouble['reason'])}{again}")
    return lines
