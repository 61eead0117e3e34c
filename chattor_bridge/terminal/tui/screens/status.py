"""How things stand: tor, friends, what waits, what is amiss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.identity_commands import status_lines
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.screens.panel import TextPanel


class StatusScreen(TextPanel):
    """What `chattor status` shows, kept up to date; below it what the node in this process has logged."""

    HEADING = "Status"

    def __init__(self, logged: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._logged = logged

    def on_mount(self) -> None:
        self.do(self._load())

    def changed(self, change: JsonObject) -> None:
        self.do(self._load())

    async def _load(self) -> None:
        lines = status_lines(await self.chattor.desk.status())
        if logged := self._logged():
            lines += ["", "Logged:", *(neutralised(line) for line in logged)]
        self.show(Text("\n".join(lines)))
