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
from chattor_bridge.bot.typed_code import split_code
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.errors import UsageError

Handler = Callable[[Request], Awaitable[Deed]]

MOST_WORDS = 2
"""Words in the longest command name."""

_LEAD = re.compile(r"\A\s*(?:!chattor\b|[!/](?=\w))?\s*", re.IGNORECASE)
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Command:
    """``name`` is its words; ``arguments`` how its usage goes on; ``about`` one line for the list; ``details`` and
    ``examples`` for its own help. ``group`` is the heading it stands under. It is there for users of ``level`` and
    above, and with ``everybody_with_a_node`` also for who has a node and may not use the bridge any more."""

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

    @property
    def usage(self) -> str:
        return f"{self.name} {self.arguments}".strip()


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
        suggestion = self.suggestion(words)
        if suggestion is not None:
            return f"I do not know that command. Did you mean {lead}{suggestion}?"
        return f"I do not know that command. Write {lead}help to see what I can do."
