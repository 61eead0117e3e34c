"""What becomes of the text that is written: a message of its own, an answer to one, or another form of one."""

from __future__ import annotations

from dataclasses import dataclass

from chattor_bridge.terminal.tui.desk import Desk
from chattor_bridge.terminal.tui.said import Message, Quote
from chattor_bridge.terminal.tui.speech import quoted

EMOTE = "/me "
"""What a text begins with that says what its writer does, as in every chat."""

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


async def deliver(desk: Desk, contact: int, text: str, aim: Aim | None) -> None:
    """Say it. Raises: CommandError when the daemon refuses."""
    match aim:
        case None if text.startswith(EMOTE):
            await desk.send(contact, text.removeprefix(EMOTE), "emote")
        case None:
            await desk.send(contact, text)
        case Aim("edit", message):
            await desk.edit(message, text)
        case Aim(what, message):
            await desk.answer_message(message, text, thread=what == "thread")
