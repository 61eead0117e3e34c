"""What opens on top of the conversations: a box with a title, closed by Escape; questions with fields; yes or no."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from chattor_bridge.terminal.control import JsonObject

if TYPE_CHECKING:
    from chattor_bridge.terminal.tui.app import ChattorApp

T = TypeVar("T")


class Panel(ModalScreen[T]):
    """A box over the conversations."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "close")]

    HEADING = ""

    @property
    def chattor(self) -> ChattorApp:
        return cast("ChattorApp", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel"):
            yield Label(self.HEADING, classes="heading", markup=False)
            yield from self.compose_body()
        yield Footer(compact=True)

    def compose_body(self) -> ComposeResult:
        """What is in the box."""
        yield from ()

    def action_close(self) -> None:
        self.dismiss(None)

    def changed(self, change: JsonObject) -> None:
        """Something changed at the daemon: an object of `watch`."""

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the screen; a refusal is shown."""
        self.chattor.do(work)


class TextPanel(Panel[None]):
    """A box with a text that scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll('up')", "up", show=False),
        Binding("down", "scroll('down')", "down", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._text = Static(markup=False)
        self._scroll = VerticalScroll(self._text)

    def compose_body(self) -> ComposeResult:
        yield self._scroll

    def show(self, text: Text) -> None:
        """Show this in place of what stands there."""
        self._text.update(text)

    def action_scroll(self, way: str) -> None:
        if way == "up":
            self._scroll.scroll_up(animate=False)
        else:
            self._scroll.scroll_down(animate=False)


class ListPanel(Panel[None]):
    """A box with a list to choose from."""

    def __init__(self) -> None:
        super().__init__()
        self._options = OptionList()
        self._below = Static(markup=False)

    def compose_body(self) -> ComposeResult:
        yield self._options
        yield self._below

    def fill(self, lines: Mapping[str, Text], empty: str, *, below: str = "") -> None:
        """Show these, each by the id of what it is about, with ``below`` under them; ``empty`` when there are none. The
        highlight stays on what it was on: somebody may be about to press a key."""
        options = self._options
        place, chosen = options.highlighted or 0, options.highlighted_option
        options.set_options(Option(line, ident) for ident, line in lines.items())
        options.display = bool(lines)
        if lines:
            if chosen is not None and chosen.id is not None and chosen.id in lines:
                place = options.get_option_index(chosen.id)
            options.highlighted = min(place, len(lines) - 1)
            self.set_focus(options)
        self._below.update(below if lines else empty)

    @property
    def place(self) -> int | None:
        """Which one is highlighted."""
        return self._options.highlighted


@dataclass(frozen=True, slots=True)
class Field:
    """One line to fill in. ``most`` bounds its characters."""

    label: str
    value: str = ""
    hint: str = ""
    most: int = 4_000
    suggester: Suggester | None = None


class Form(Panel[list[str]]):
    """Asks for some lines of text; gives them, or ``None``."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "done", "next, and at last done", priority=True)]

    def __init__(self, heading: str, *fields: Field) -> None:
        super().__init__()
        self.HEADING = heading
        self._fields = fields

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            for field in self._fields:
                yield Label(field.label, markup=False)
                yield Input(
                    field.value,
                    placeholder=field.hint,
                    max_length=field.most,
                    suggester=field.suggester,
                    classes="field",
                )

    def action_done(self) -> None:
        inputs = list(self.query(Input))
        place = next((at for at, one in enumerate(inputs) if one is self.focused), len(inputs) - 1)
        if place + 1 < len(inputs):
            self.set_focus(inputs[place + 1])
        else:
            self.dismiss([one.value for one in inputs])


class Question(Panel[bool]):
    """Asks for a yes before something that cannot be undone."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "answer(True)", "yes"), Binding("n", "answer(False)", "no")]

    def __init__(self, heading: str, text: str) -> None:
        super().__init__()
        self.HEADING = heading
        self._text = text

    def compose_body(self) -> ComposeResult:
        yield Static(self._text, markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)
