"""What becomes of the text that is written: a message of its own, an answer to one, or another form of one."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from chattor_bridge.terminal.tui.desk import Desk
from chattor_bridge.terminal.tui.said import Message, Quote
from chattor_bridge.terminal.tui.speech import quoted, shortened
from chattor_bridge.terminal.tui.widgets.composer import Composer

HOW_TO_LEAVE = "  (Esc: not)"

_WORDS = {"reply": "↪ answering", "thread": "⌥ in the thread of", "edit": "~ changing"}


@dataclass(frozen=True, slots=True)
class Aim:
    """``what`` is reply, thread or edit."""

    what: str
    message: Message

    def words(self, name: str) -> str:
        """For the line above the text. ``name`` is what the friend is called."""
        quote = Quote(self.message.order, self.message.sent, self.message.text, deleted=False)
        return f"{_WORDS[self.what]} {quoted(quote, name)}"


class AimLine(Static):
    """Above where a message is written: what becomes of it, when that is something special."""

    def __init__(self) -> None:
        super().__init__(classes="aim", markup=False)
        self.aim: Aim | None = None
        self.display = False

    def take(self, aim: Aim | None, composer: Composer, name: str) -> None:
        """From now on the text is meant so. What was written stays, but for a message that is changed: that stands
        there as it is. ``name`` is what the friend is called."""
        if aim is not None and aim.what == "edit":
            composer.text = aim.message.text
        elif self.aim is not None and self.aim.what == "edit":
            composer.text = ""
        composer.may_be_empty = aim is not None and aim.what == "edit" and aim.message.file is not None
        composer.move_cursor(composer.document.end)
        self.aim = aim
        self.display = aim is not None
        if aim is not None:
            room = composer.size.width - len(HOW_TO_LEAVE)
            self.update(Text(shortened(aim.words(name), max(room, 10)) + HOW_TO_LEAVE))


async def deliver(desk: Desk, contact: int, text: str, aim: Aim | None) -> None:
    """Say it. Raises: CommandError when the daemon refuses."""
    match aim:
        case None:
            await desk.send(contact, text)
        case Aim("edit", message):
            await desk.edit(message, text)
        case Aim(what, message):
            await desk.answer_message(message, text, thread=what == "thread")
