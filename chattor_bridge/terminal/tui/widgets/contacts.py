"""The list of contacts."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from chattor_bridge.terminal.tui.records import Contact, Presence
from chattor_bridge.terminal.tui.speech import shortened

SIGNS = {Presence.ONLINE: "●", Presence.AWAY: "◐", Presence.OFFLINE: "○", Presence.BLOCKED: "⊘", Presence.ENDED: "✕"}

MARGIN = 3
"""Columns of a line that no name can have: the borders and a scroll bar."""


class ContactList(OptionList):
    """A line a contact: how it stands, its name, how much of it is unread."""

    def show(self, contacts: Sequence[Contact], opened: int | None) -> None:
        """These contacts, in this order; the highlight stays on whom it was on."""
        highlighted = self.highlighted_number
        width = self.size.width - MARGIN
        self.set_options(
            Option(contact_line(one, width, opened=one.number == opened), str(one.number)) for one in contacts
        )
        places = [place for place, one in enumerate(contacts) if one.number == (highlighted or opened)]
        if contacts:
            self.highlighted = places[0] if places else 0

    @property
    def highlighted_number(self) -> int | None:
        """The contact under the highlight."""
        option = self.highlighted_option
        return None if option is None or option.id is None else int(option.id)


def contact_line(contact: Contact, width: int, *, opened: bool) -> Text:
    """A contact within ``width`` columns."""
    badges = ""
    if contact.verification == "verified":
        badges += " ✓"
    elif contact.verification == "mismatch":
        badges += " ⚠"
    if contact.unread:
        count = "99+" if contact.unread > 99 else str(contact.unread)
        badges += f" ({count})" if contact.muted else f" {count}"
    name = shortened(contact.shown, max(width - 4 - cell_len(badges), 1))
    line = Text.assemble(
        f"{SIGNS[contact.presence]} ", (name, "bold" if opened or (contact.unread and not contact.muted) else "")
    )
    if contact.typing:
        line.append(" …")
    line.append(" " * max(width - line.cell_len - cell_len(badges), 0))
    return line.append(badges, "bold")
