"""The contacts in the order in which the list shows them."""

from __future__ import annotations

from collections.abc import Iterable

from chattor_bridge.terminal.tui.records import Contact


class Roster:
    """Contacts by number. Those with whom something was said last come first, as in every chat."""

    def __init__(self) -> None:
        self._contacts: dict[int, Contact] = {}

    def fill(self, contacts: Iterable[Contact]) -> None:
        """These and no others."""
        self._contacts = {contact.number: contact for contact in contacts}

    def put(self, contact: Contact) -> None:
        """Add it, or put it in the place of what was known of it."""
        self._contacts[contact.number] = contact

    def get(self, number: int) -> Contact | None:
        return self._contacts.get(number)

    def shown(self) -> list[Contact]:
        """All of them, first to last."""
        return sorted(self._contacts.values(), key=lambda one: (-(one.last or 0), -one.number))

    def beside(self, number: int | None, step: int) -> Contact | None:
        """The one ``step`` places further down, round and round; the first when ``number`` is not there."""
        shown = self.shown()
        places = [place for place, one in enumerate(shown) if one.number == number]
        if not shown:
            return None
        return shown[(places[0] + step) % len(shown)] if places else shown[0]
