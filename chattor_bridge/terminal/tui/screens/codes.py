"""Our friend codes: to hand out as text or as a picture, and to take back."""

from __future__ import annotations

from typing import ClassVar

import segno
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from chattor_bridge.durations import read_duration
from chattor_bridge.errors import UsageError
from chattor_bridge.terminal.code_commands import door_state
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.screens.panel import Field, Form, ListPanel, Panel, Question

GRACE = 86_400
"""Seconds that a code stays open beside the one that was put in its place: `chattor code rotate` has the same."""

BLACK_ON_WHITE = "#000000 on #ffffff"
"""A picture that cameras read, whatever the colours of the terminal."""

HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


class CodesScreen(ListPanel):
    """The list, and what can be done with a code."""

    HEADING = "Friend codes: hand one out, and whoever has it can ask to be your friend"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "show", "show", priority=True),
        Binding("n", "new", "new"),
        Binding("y", "copy", "copy"),
        Binding("p", "park", "park"),
        Binding("r", "rotate", "replace"),
        Binding("x", "retire", "retire"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._codes: list[JsonObject] = []

    def on_mount(self) -> None:
        self.do(self._load())

    def changed(self, change: JsonObject) -> None:
        if change["change"] in ("codes", "everything"):
            self.do(self._load())

    @property
    def _code(self) -> JsonObject | None:
        place = self.place
        return None if place is None or place >= len(self._codes) else self._codes[place]

    def action_show(self) -> None:
        if (code := self._code) is not None:
            self.chattor.push_screen(CodeScreen(code))

    def action_copy(self) -> None:
        if (code := self._code) is not None:
            copy(self, code)

    def action_new(self) -> None:
        self.chattor.push_screen(
            Form(
                "A new friend code",
                Field("What you call it (nobody else sees that)", most=64),
                Field("For one person only? y or n", "n", most=1),
                Field("Closes after a time (12h, 7d), or never", hint="never", most=8),
                Field("Closes after so many requests, or never", hint="never", most=5),
            ),
            self._made,
        )

    def action_park(self) -> None:
        if (code := self._code) is not None:
            self.do(self._change("park", code, parked=not code["parked"]))

    def action_rotate(self) -> None:
        if (code := self._code) is not None:
            self.do(self._change("rotate", code, grace=GRACE))

    def action_retire(self) -> None:
        if (code := self._code) is None:
            return

        def answered(answer: bool | None) -> None:
            if answer:
                self.do(self._change("retire", code))

        words = "Nobody can ask through it any more. Friends you made through it stay. This cannot be undone."
        self.chattor.push_screen(Question(f"Retire the code {neutralised(code['label'])}?", words), answered)

    def _made(self, values: list[str] | None) -> None:
        if values is not None:
            self.do(self._make(*values))

    async def _make(self, label: str, once: str, lifetime: str, uses: str) -> None:
        if uses.strip() and not uses.strip().isdecimal():
            raise CommandError(Exit.REFUSED, "how many requests: a number, or nothing")
        try:
            seconds = read_duration(lifetime.strip()) if lifetime.strip() else None
        except UsageError as error:
            raise CommandError(Exit.REFUSED, str(error)) from error
        code = await self.chattor.desk.new_code(
            label, once=once.lower() == "y", lifetime=seconds, uses=int(uses) if uses.strip() else None
        )
        await self._load()
        await self.chattor.push_screen(CodeScreen(code))

    async def _change(self, what: str, code: JsonObject, **arguments: object) -> None:
        await self.chattor.desk.change_code(what, code, **arguments)
        await self._load()

    async def _load(self) -> None:
        self._codes = await self.chattor.desk.codes()
        if self.is_running:
            self.fill({code["id"]: _line(code) for code in self._codes}, "No friend code yet: n makes one.")


class CodeScreen(Panel[None]):
    """One code, as text and as a picture."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy", "copy")]

    def __init__(self, code: JsonObject) -> None:
        super().__init__()
        self.add_class("picture")
        self.HEADING = f"{neutralised(code['label'])}: {door_state(code)}"
        self._code = code

    def compose_body(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Text(neutralised(self._code["code"])), id="code")
            yield Static(picture(self._code["code"]), id="qr")

    def action_copy(self) -> None:
        copy(self, self._code)


def copy(screen: Panel[None], code: JsonObject) -> None:
    """Into the clipboard, where the terminal lets programs do that."""
    screen.app.copy_to_clipboard(code["code"])
    screen.notify("Copied, if your terminal lets programs do that.", markup=False)


def picture(code: str) -> Text:
    """A QR code, two rows of it a line."""
    # upper case is the same code, and a smaller picture
    rows = [list(row) for row in segno.make_qr(code.upper()).matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        lines.append("".join(HALVES[bool(top), bool(bottom)] for top, bottom in zip(upper, lower, strict=True)))
    return Text("\n".join(lines), BLACK_ON_WHITE, no_wrap=True)


def _line(code: JsonObject) -> Text:
    return Text.assemble((neutralised(code["label"]), "bold"), f"  {door_state(code)}\n  {neutralised(code['code'])}")
