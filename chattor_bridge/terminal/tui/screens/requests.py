"""Who asks to be a friend, and whom we have asked."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.output import local_time, neutralised, neutralised_lines
from chattor_bridge.terminal.tui.records import Request
from chattor_bridge.terminal.tui.screens.panel import ListPanel

STATES = {"calling": "not at the door yet", "left": "at the door, waiting for an answer", "failed": "given up"}


class RequestsScreen(ListPanel):
    """The list, and an answer to the one that is highlighted."""

    HEADING = "Requests"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,enter", "answer('accept')", "accept", priority=True),
        Binding("i", "answer('ignore')", "ignore"),
        Binding("b", "answer('block')", "block"),
        Binding("u", "answer('unblock')", "unblock"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._requests: list[Request] = []

    def on_mount(self) -> None:
        self.do(self._load())

    def changed(self, change: JsonObject) -> None:
        if change["change"] in ("requests", "everything"):
            self.do(self._load())

    def action_answer(self, what: str) -> None:
        place = self.place
        if place is None or place >= len(self._requests):
            return
        request = self._requests[place]
        if request.received:
            self.do(self._answer(what, request))
        else:
            self.notify("This one waits for somebody else's answer.", markup=False)

    async def _answer(self, what: str, request: Request) -> None:
        await self.chattor.desk.answer(what, request)
        said = {
            "accept": f"{neutralised(request.name)} is your friend now.",
            "ignore": "Ignored. Its sender is not told; you can still accept it.",
            "block": "Blocked. Its sender is not told, and it does not come again.",
            "unblock": "Not blocked any more; you can still accept it.",
        }
        self.notify(said[what], markup=False)
        await self._load()

    async def _load(self) -> None:
        self._requests = await self.chattor.desk.requests()
        if self.is_running:
            lines = {one.ident: request_lines(one) for one in self._requests}
            self.fill(lines, "Nobody asks, and nobody was asked.")


def request_lines(request: Request) -> Text:
    """A request in words."""
    note = f"\n  {neutralised_lines(request.note)}" if request.note else ""
    if request.received:
        through = f" through {neutralised(request.label)}" if request.label else ""
        answered = " (blocked)" if request.blocked else " (ignored)" if request.ignored else ""
        return Text.assemble(
            "◂ ", (neutralised(request.name), "bold"), f"{through}, {local_time(request.time)}{answered}", note
        )
    reason = f": {neutralised(request.reason)}" if request.reason else ""
    return Text.assemble(f"▸ you asked, {local_time(request.time)}: {STATES[request.state]}{reason}", note)
