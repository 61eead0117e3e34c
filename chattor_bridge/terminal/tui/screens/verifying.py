"""Making sure that nobody stands between us and a friend."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.friend_commands import FOUND
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.records import Contact
from chattor_bridge.terminal.tui.screens.panel import TextPanel
from chattor_bridge.wording import in_groups

EXPLAINED = """\
Compare this number with what your friend sees, by voice or in person. It is the same on both sides when nobody stands \
between you."""

EMOJI_EXPLAINED = """\
Or compare seven pictures while both of you are there: e starts, and your friend takes part in the same way."""


class VerifyScreen(TextPanel):
    """The safety number, the emoji while they are compared, and what was found."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "verify('emoji')", "compare emoji"),
        Binding("m", "verify('match')", "they match"),
        Binding("x", "verify('mismatch')", "they differ"),
    ]

    def __init__(self, contact: Contact) -> None:
        super().__init__()
        self._contact = contact
        self.HEADING = f"Is it really {neutralised(contact.shown)}?"

    def on_mount(self) -> None:
        self.do(self._verify(""))

    def changed(self, change: JsonObject) -> None:
        # the emoji come as a message in the conversation
        if change["change"] in ("message", "contact", "contacts", "everything"):
            self.do(self._verify(""))

    def action_verify(self, what: str) -> None:
        self.do(self._verify(what))

    async def _verify(self, what: str) -> None:
        found = await self.chattor.desk.verify(self._contact.number, what)
        self.show(verification(found))


def verification(found: JsonObject) -> Text:
    """What there is to compare, and what was found."""
    text = Text()
    if found["emoji"] is not None:  # on top, because both look at them now
        text.append("Compare these with what your friend sees:\n\n")
        for sign, word in found["emoji"]:
            text.append(f"  {neutralised(sign)}  {neutralised(word)}\n")
        text.append("\n")
    text.append("So far: ")
    text.append(FOUND[found["verification"]], "bold")
    text.append(f"\n\n{EXPLAINED}\n\n")
    text.append(in_groups(found["number"]), "bold")
    if found["emoji"] is None:
        text.append(f"\n\n{EMOJI_EXPLAINED}")
    return text
