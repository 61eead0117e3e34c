"""What is done about a message that takes a question first, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import absolute
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.paths import path_field
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.screens.panel import Field, Form, Question

if TYPE_CHECKING:
    from chattor_bridge.terminal.tui.app import ChattorApp

AT_HAND = ("👍", "❤️", "😂", "🎉", "😮", "😢")
"""Reactions by their number, because few terminals let anybody type them."""

MAX_REACTION = 64
"""Characters; the daemon bounds it in bytes."""


def act_on(app: ChattorApp, what: str, message: Message) -> None:
    """``what`` is delete, react, unreact, vote, end, save or cancel."""
    match what:
        case "delete":
            words = "It is erased here, and at your friend's as soon as your friend is reached. What was read was read."
            app.push_screen(Question("Take this back?", words), _if_yes(lambda: app.do(app.desk.delete(message))))
        case "end":
            words = "Votes that come later do not count."
            app.push_screen(Question("End this poll?", words), _if_yes(lambda: app.do(app.desk.end_poll(message))))
        case "react":
            choice = "  ".join(f"{number} {emoji}" for number, emoji in enumerate(AT_HAND, 1))
            app.push_screen(
                Form("React", Field(f"{choice}  or any emoji or short word", most=MAX_REACTION)),
                lambda values: _react(app, message, values),
            )
        case "vote":
            field = Field("The numbers of the answers, with spaces between; nothing takes your vote back", most=60)
            app.ask(Form("Vote", field), partial(_vote, app, message))
        case "cancel":
            words = "Your friend is told. What has come of it is dropped; it can be offered again."
            app.push_screen(
                Question("Give this file up?", words), _if_yes(lambda: app.do(app.desk.cancel_file(message)))
            )
        case "save":
            app.ask(
                Form("Save this file", path_field("Into which directory", str(Path.cwd()))),
                partial(_save, app, message),
            )
        case "unreact":
            for emoji in message.our_reactions:
                app.do(app.desk.react(message, emoji, remove=True))


async def _save(app: ChattorApp, message: Message, directory: str) -> None:
    path = await app.desk.save_file(message, str(absolute(Path(directory))))
    app.notify(neutralised(f"Saved: {path}"), markup=False)


async def _vote(app: ChattorApp, message: Message, numbers: str) -> None:
    words = numbers.split()
    if not all(word.isdecimal() and int(word) for word in words):
        raise CommandError(Exit.REFUSED, "which answers: numbers, from 1 on")
    await app.desk.vote(message, [int(word) - 1 for word in words])


def _react(app: ChattorApp, message: Message, values: list[str] | None) -> None:
    word = "" if values is None else values[0].strip()
    if word.isdecimal() and 1 <= int(word) <= len(AT_HAND):
        word = AT_HAND[int(word) - 1]
    if word:
        app.do(app.desk.react(message, word, remove=False))


def _if_yes(do: Callable[[], None]) -> Callable[[bool | None], None]:
    return lambda answer: do() if answer else None
