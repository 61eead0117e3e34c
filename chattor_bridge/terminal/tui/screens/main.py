"""The contacts on the left, a conversation on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static

from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.tui.records import Contact
from chattor_bridge.terminal.tui.roster import Roster
from chattor_bridge.terminal.tui.widgets.contacts import ContactList
from chattor_bridge.terminal.tui.widgets.conversation import Conversation
from chattor_bridge.terminal.tui.widgets.standing import Standing

if TYPE_CHECKING:
    from chattor_bridge.terminal.tui.app import ChattorApp

NARROW = 60
"""Columns below which the list and the conversation take turns: neither can be read beside the other."""

WELCOME = """\
No friends yet.

F3  make a friend code and hand it to somebody
F4  ask somebody whose friend code you have
F2  see who asks to be your friend
F1  everything else
"""


class MainScreen(Screen[None]):
    """Keeps the list up to date, and what is open open."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+up", "beside(-1)", "previous", show=False, priority=True),
        Binding("ctrl+down", "beside(1)", "next", show=False, priority=True),
        Binding("v", "app.verify", "verify", show=False),
        Binding("n", "app.rename", "rename", show=False),
        Binding("f6", "app.send_file", "file", show=False, priority=True),
    ]

    def __init__(self, chattor: ChattorApp) -> None:
        super().__init__()
        self._chattor = chattor
        self.roster = Roster()
        self._standing = Standing(id="standing", markup=False)
        self._contacts = ContactList(id="contacts")
        self._conversation = Conversation(chattor)
        self._welcome = Static(WELCOME, id="welcome", markup=False)
        self._conversation.display = self._welcome.display = False

    def compose(self) -> ComposeResult:
        yield self._standing
        with Horizontal():
            yield self._contacts
            yield self._conversation
            yield self._welcome
        yield Footer(compact=True)

    def on_resize(self) -> None:
        self.set_class(self.size.width < NARROW, "narrow")
        self.call_after_refresh(self._show_contacts)

    @property
    def opened(self) -> Contact | None:
        """Whose conversation is open."""
        return self._conversation.contact

    @property
    def meant(self) -> Contact | None:
        """The contact that a command is about: the highlighted one in the list, else whose conversation is open."""
        number = self._contacts.highlighted_number
        if self._contacts.has_focus and number is not None:
            return self.roster.get(number)
        return self.opened

    async def load(self) -> None:
        """Look at everything anew. Raises: CommandError."""
        self.roster.fill(await self._chattor.desk.contacts())
        self._show_contacts()
        await self.load_status()
        opened = self.opened
        contact = self.roster.get(opened.number) if opened is not None else None
        if contact is None and opened is not None:
            self._conversation.close()
        if contact is None:
            contact = self.roster.beside(None, 0)
        if contact is not None:
            await self.open(contact)
        else:
            self._show_sides()

    async def load_contacts(self) -> None:
        """The list alone. Raises: CommandError."""
        self.roster.fill(await self._chattor.desk.contacts())
        opened = self.opened
        if opened is not None and self.roster.get(opened.number) is None:
            self._conversation.close()
        for contact in self.roster.shown():
            self._conversation.contact_changed(contact)
        if self.opened is None and (first := self.roster.beside(None, 0)) is not None:
            await self.open(first)
        self._show_contacts()
        self._show_sides()

    async def load_status(self) -> None:
        """The line on top. Raises: CommandError."""
        self.show_status(await self._chattor.desk.status())

    def show_status(self, status: JsonObject | None) -> None:
        """``None``: no daemon answers."""
        self._standing.show(status, here=self._chattor.holds_node)

    async def open(self, contact: Contact) -> None:
        """Show the conversation with this contact, ready to write. Raises: CommandError."""
        await self._conversation.open(contact)
        if (newest := self.roster.get(contact.number)) is not None:  # it may have come or gone while this was read
            self._conversation.contact_changed(newest)
        self._show_sides()
        self._show_contacts()
        self._conversation.composer.focus()

    def changed(self, change: JsonObject) -> None:
        """An object of `watch`."""
        match change:
            case {"change": "everything"}:
                self._chattor.do(self.load())
            case {"change": "contacts"}:
                self._chattor.do(self.load_contacts())
            case {"change": "contact", "contact": item}:
                contact = Contact.of(item)
                self.roster.put(contact)
                self._conversation.contact_changed(contact)
                self._show_contacts()
            case _:
                self._conversation.changed(change)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        number = self._contacts.highlighted_number
        if number is not None and (contact := self.roster.get(number)) is not None:
            self._chattor.do(self.open(contact))

    def action_beside(self, step: int) -> None:
        opened = self.opened
        contact = self.roster.beside(None if opened is None else opened.number, step)
        if contact is not None:
            self._chattor.do(self.open(contact))

    def _show_contacts(self) -> None:
        opened = self.opened
        self._contacts.show(self.roster.shown(), None if opened is None else opened.number)

    def _show_sides(self) -> None:
        there = self.opened is not None
        self._conversation.display = there
        self._welcome.display = not there
