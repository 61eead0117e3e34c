"""Friends who hold our mail while we are offline, and those whose mail we hold."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from chattor_bridge.protocol.limits import MAX_SHELF_BLOCKS, MAX_SHELVES
from chattor_bridge.terminal.carry_commands import DONE
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.asking import ask_mailbox
from chattor_bridge.terminal.tui.records import Contact, Presence
from chattor_bridge.terminal.tui.screens.panel import Field, Form, ListPanel

LOOKED_AT_EVERY = 5.0
"""Seconds between two looks at what is held: nobody tells when that changes."""


class CarriersScreen(ListPanel):
    """Every friend, what is agreed with it, and what can be done about that."""

    HEADING = "Carriers: friends who hold your mail while you are offline, and whose you hold"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "do('ask')", "ask"),
        Binding("l", "do('leave')", "leave"),
        Binding("o", "offer", "offer"),
        Binding("s", "do('stop')", "stop"),
        Binding("m", "limit", "most in all"),
        Binding("p", "pair", "pair with a mailbox"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._friends: list[Contact] = []
        self._agreed: dict[int, JsonObject] = {}

    def on_mount(self) -> None:
        self.do(self._load())
        self.set_interval(LOOKED_AT_EVERY, self._look)

    def changed(self, change: JsonObject) -> None:
        if change["change"] in ("contacts", "everything"):
            self._look()

    def _look(self) -> None:
        self.chattor.do(self._load(), quietly=True)

    @property
    def _friend(self) -> Contact | None:
        place = self.place
        return None if place is None or place >= len(self._friends) else self._friends[place]

    def action_do(self, what: str) -> None:
        if (friend := self._friend) is not None:
            self.do(self._carry(what, friend))

    def action_offer(self) -> None:
        if (friend := self._friend) is None:
            return
        agreed = self._agreed.get(friend.number, {})

        def filled(values: list[str] | None) -> None:
            if values is not None:
                self.do(self._offer(friend, *values))

        form = Form(
            f"Hold the mail of {neutralised(friend.shown)}: you can neither read it nor tell whom it is from",
            Field(f"Shelves, one for each of its friends, 1 to {MAX_SHELVES}", _or(agreed, "shelves", MAX_SHELVES)),
            Field(f"Blocks of 16 KiB on each, 1 to {MAX_SHELF_BLOCKS}", _or(agreed, "blocks", MAX_SHELF_BLOCKS)),
        )
        self.chattor.push_screen(form, filled)

    def action_limit(self) -> None:
        def filled(values: list[str] | None) -> None:
            if values is not None:
                self.do(self._limit(values[0]))

        heading = "How much to hold for all friends together; what is held already stays"
        field = Field("Megabytes; nothing for as much as the configuration allows", most=6)
        self.chattor.push_screen(Form(heading, field), filled)

    def action_pair(self) -> None:
        ask_mailbox(self.chattor)

    async def _offer(self, friend: Contact, shelves: str, blocks: str) -> None:
        await self._carry("offer", friend, shelves=_number(shelves), blocks=_number(blocks))

    async def _carry(self, what: str, friend: Contact, **much: int) -> None:
        await self.chattor.desk.carry(what, friend.number, **much)
        self.notify(DONE[what].format(list="this list"), markup=False)
        await self._load()

    async def _limit(self, megabytes: str) -> None:
        await self.chattor.desk.limit_carrying(_number(megabytes) if megabytes.strip() else 0)
        await self._load()

    async def _load(self) -> None:
        contacts, (agreed, in_all) = await self.chattor.desk.contacts(), await self.chattor.desk.carrying()
        self._agreed = {item["contact"]: item for item in agreed}
        self._friends = [
            one
            for one in contacts
            if one.number in self._agreed or one.presence not in (Presence.BLOCKED, Presence.ENDED)
        ]
        if self.is_running:
            lines = {str(one.number): _lines(one, self._agreed.get(one.number)) for one in self._friends}
            self.fill(lines, "No friends yet. p pairs with a mailbox of your own.", below=in_all["words"])


def _lines(friend: Contact, agreed: JsonObject | None) -> Text:
    words = ["nothing is agreed"] if agreed is None else agreed["words"]
    return Text.assemble((neutralised(friend.shown), "bold"), *(f"\n  {line}" for line in words))


def _or(agreed: JsonObject, what: str, most: int) -> str:
    return str(agreed.get(what) or most)


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise CommandError(Exit.REFUSED, "how much: a number")
    return int(text)
