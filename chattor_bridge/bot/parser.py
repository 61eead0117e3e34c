"""From a line of chat to a command: one or two words, then whatever the command makes of the rest.

People type commands on telephones, so case does not matter, a leading ``!``, ``/`` or ``!chattor`` is overlooked, and
a misspelt word is answered with the one that was probably meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.errors import UsageError
from chattor_bridge.typed_code import split_code

Handler = Callable[[Request], Awaitable[Deed]]

MOST_WORDS = 2
"""Words in the longest command name."""

PORTAL_LEAD = "!chattor "
"""What has to stand before a command in the room of a conversation: without it, it is said to the friend."""

_CODE = re.compile(r"(?<!\\)`([^`]+)`")
_NUMBER = re.compile(r" (?:1|…)(?= |\Z)")
"""What stands for a contact in what we say."""
_WORD_OF_COMMAND = re.compile(r"[a-z-]+")

_TALKING = frozenset({"send", "say", "tell", "message", "msg", "write"})
"""What people type to the bot who want to say something to a contact, as in `chattor send`."""

_LEAD = re.compile(r"\A\s*(?:!chattor\b|[!/](?=\w))?\s*", re.IGNORECASE)
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Command:
    """``name`` is its words; ``arguments`` how its usage goes on; ``about`` one line for the list; ``details`` and
    ``examples`` for its own help. ``group`` is the heading it stands under. It is there for users of ``level`` and
    above, and with ``everybody_with_a_node`` also for who has a node and may not use the bridge any more. ``there`` is
    how its usage goes on in the room of a conversation, whose friend it is about; None when it is about none."""

    name: str
    arguments: str
    group: str
    about: str
    run: Handler
    details: str = ""
    examples: Sequence[str] = ()
    aliases: Sequence[str] = ()
    level: Level = Level.USER
    everybody_with_a_node: bool = False
    there: str | None = None

    @property
    def usage(self) -> str:
        return f"{self.name} {self.arguments}".strip()

    @property
    def usage_there(self) -> str:
        """In the room of a conversation."""
        return self.usage if self.there is None else f"{self.name} {self.there}".strip()

    @property
    def counts_contacts(self) -> bool:
        """Whether it begins with the number of a contact, which it does not in the room of a conversation."""
        return self.there is not None and "NUMBER" in self.arguments and "NUMBER" not in self.there


class Commands:
    """All commands, by their names."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.all = tuple(commands)
        self._by_name = {name: command for command in commands for name in (command.name, *command.aliases)}

    def parse(self, text: str, lead: str = "") -> tuple[Command, str]:
        """The command that was typed, and what follows its name. ``lead`` is what has to stand before a command where
        this was said.

        Raises: UsageError, with the command that was probably meant.
        """
        typed = text[_LEAD.match(text).end() :].rstrip()  # type: ignore[union-attr]  # it matches the empty string
        words = list(_WORD.finditer(typed))
        for count in range(min(MOST_WORDS, len(words)), 0, -1):
            name = " ".join(word[0] for word in words[:count]).lower()
            if name in self._by_name:
                return self._by_name[name], typed[words[count - 1].end() :].strip()
        raise UsageError(self._advice(typed, [word[0].lower() for word in words], lead))

    def led(self, text: str) -> str:
        """``text``, CommonMark of ours, as it is said in the room of a conversation: each command that stands in it as
        code is as it is typed there."""
        return _CODE.sub(self._led, text)

    def _led(self, code: re.Match[str]) -> str:
        words = code[1].split(" ")
        for count in range(min(MOST_WORDS, len(words)), 0, -1):
            command = self._by_name.get(" ".join(words[:count]))
            if command is not None:
                typed = _NUMBER.sub("", code[1], count=1) if command.counts_contacts else code[1]
                return f"`{PORTAL_LEAD}{typed}`"
        return code[0]

    def names_one(self, text: str) -> bool:
        """Whether a word of this text could be meant as a command."""
        names = {command.name.split()[0] for command in self.all}
        return any(word in names for word in _WORD_OF_COMMAND.findall(text))

    def find(self, name: str) -> Command:
        """The command of this name. Raises: UsageError."""
        command, rest = self.parse(name)
        if rest:
            raise UsageError(self._advice(name, name.lower().split()))
        return command

    def related(self, name: str) -> list[Command]:
        """The commands whose name begins with this word, such as all of ``code``."""
        return [command for command in self.all if command.name.split()[0] == name.split()[0]]

    def suggestion(self, words: Sequence[str]) -> str | None:
        """The name these words probably mean."""
        known = [name for name in self._by_name if name.isascii()]
        for count in (MOST_WORDS, 1):
            close = difflib.get_close_matches(" ".join(words[:count]), known, n=1, cutoff=0.7)
            if close:
                return close[0]
        return None

    def _advice(self, typed: str, words: Sequence[str], lead: str = "") -> str:
        if not words:
            return f"There was nothing in this message. Write {lead}help to see what I can do."
        code = split_code(typed)
        if code is not None and not code[1]:
            return f"This looks like a friend code. To send a contact request there, write {lead}add and the code."
        if words[0] in _TALKING:
            return (
                f"To say something to your friend, write it here without {lead.strip()}."
                if lead
                else "To talk with a contact, write in the room of your conversation. Write chat 1 to go there."
            )
        suggestion = self.suggestion(words)
        if suggestion is not None:
            return f"I do not know that command. Did you mean {lead}{suggestion}?"
        return f"I do not know that command. Write {lead}help to see what I can do."
