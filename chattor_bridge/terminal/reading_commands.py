"""The commands that show messages, and mark them as read."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import Answer, Item, JsonObject
from chattor_bridge.terminal.exits import CommandError
from chattor_bridge.terminal.friend_commands import contact_row
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, table
from chattor_bridge.terminal.talk_commands import message_lines

READ_BATCH = 100
"""Messages marked as read with one request; the daemon's own bound."""

AT_ONCE = 0.05
"""Seconds within which a further message counts as coming in the same go: more than the daemon takes for a page."""


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
            output.show(answer.fields, *_change_lines(answer.fields, home))


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
                output.show(message, *message_lines(message, home))
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


async def _comes_at_once(coming: asyncio.Future[Answer | None]) -> bool:
    await asyncio.wait([coming], timeout=AT_ONCE)
    return coming.done()


def _change_lines(change: JsonObject, home: Home) -> list[str]:
    match change["change"]:
        case "message":
            return message_lines(change["message"], home)
        case "contact":
            return table([contact_row(change["contact"])])
        case "gone":
            return [f"a message with contact {change['contact']} is gone"]
        case what:
            return [f"{what} changed"]
