"""The messages of a conversation, line by line: as many as there are cost what is on the screen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message as Notice
from textual.scroll_view import ScrollView
from textual.strip import Strip

from chattor_bridge.terminal.tui.ink import DARK, LIGHT
from chattor_bridge.terminal.tui.painting import paint
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.timeline import Row, Said, Timeline, Unread

BAR = "┃"
"""Stands left of the lines of the chosen message: seen without colours too."""


_Way = tuple[int, str, bool]
"""How a row was painted: the width, the friend's name, and whether what is hidden is shown."""


@dataclass(frozen=True, slots=True)
class _Line:
    strip: Strip
    event_id: str | None
    is_unread_mark: bool


class TimelineView(ScrollView, can_focus=True):
    """Shows a `Timeline`, tells what of it was on the screen, and asks for more at either end."""

    COMPONENT_CLASSES = {"timeline--chosen"}  # noqa: RUF012 - textual's way

    BINDINGS = [  # noqa: RUF012 - textual's way
        Binding("up,k", "choose(-1)", "older", show=False),
        Binding("down,j", "choose(1)", "newer", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "scroll_home", "oldest", show=False),
        Binding("end", "newest", "newest", show=False),
        Binding("r", "wish('reply')", "reply"),
        Binding("t", "wish('thread')", "thread"),
        Binding("e", "wish('edit')", "edit"),
        Binding("d", "wish('delete')", "take back"),
        Binding("plus,a", "wish('react')", "react", key_display="+"),
        Binding("minus", "wish('unreact')", "react no more", key_display="-"),
        Binding("1", "vote(0)", "vote", key_display="1-9"),
        *(Binding(str(number), f"vote({number - 1})", show=False) for number in range(2, 10)),
        Binding("0", "wish('vote')", show=False),
        Binding("x", "wish('end')", "end poll"),
        Binding("s", "wish('save')", "save"),
        Binding("c", "wish('cancel')", "cancel"),
        Binding("g", "wish('go')", "go to"),
        Binding("o", "wish('open')", "its thread"),
        Binding("y", "copy", "copy"),
        Binding("enter", "write", "write"),
    ]

    @dataclass
    class Wanted(Notice):
        """More is wanted: what was before, or what came after."""

        older: bool

    class NewestWanted(Notice):
        """The newest are wanted, which are not held."""

    @dataclass
    class Looked(Notice):
        """These unread messages are on the screen."""

        messages: list[Message]

    @dataclass
    class Wished(Notice):
        """Something is to be done about a message: reply, thread, edit, delete, react, unreact, end, save, cancel
        or go."""

        what: str
        message: Message

    @dataclass
    class Voted(Notice):
        """This answer of a poll was chosen, counted from 0."""

        message: Message
        answer: int

    class Done(Notice):
        """Whoever looked wants to write."""

    def __init__(self, id: str | None = None, *, without: Collection[str] = ()) -> None:  # noqa: A002 - textual's name
        """``without``: what cannot be wished for here."""
        super().__init__(id=id)
        self._without = without
        self.timeline = Timeline()
        self._friend = ""
        self._lines: list[_Line] = []
        self._painted: dict[Row, tuple[_Way, list[Strip]]] = {}
        self._chosen: str | None = None
        self._following = True
        """Whether the newest stays on the screen when something is added."""
        self._unplaced = False
        """Whether a conversation was opened before there was room to show it."""

    def show(self, timeline: Timeline, name: str) -> None:
        """Show this conversation from its end, or, when there is something unread, from there."""
        self.timeline, self._friend, self._chosen = timeline, name, None
        self._painted.clear()
        self._unplaced = True
        self.refresh_rows()

    def refresh_rows(self, name: str | None = None) -> None:
        """The timeline has changed: keep what is on the screen where it is, or stay at the end."""
        self._friend = self._friend if name is None else name
        anchor, offset = self._anchor()
        if not self._lay_out():
            return
        if self._unplaced:
            self._unplaced = False
            self._begin()
        elif self._following and not self.timeline.has_newer:
            self.to_end()
        elif anchor is not None:
            self.scroll_to(y=max(self._first_line(anchor) + offset, 0), animate=False, immediate=True, force=True)
        self._look()

    @property
    def at_end(self) -> bool:
        """Whether the last line is on the screen."""
        return self.scroll_offset.y >= self.max_scroll_y

    @property
    def chosen(self) -> Message | None:
        """The marked message."""
        return None if self._chosen is None else self.timeline.find(self._chosen)

    def to_end(self) -> None:
        """Scroll to the newest, and stay there."""
        self._following = True
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        self._look()

    def choose(self, event_id: str | None) -> None:
        """Mark a message and bring it onto the screen."""
        self._chosen = event_id
        self._lay_out()  # what is hidden is shown while it is chosen
        if event_id is not None and any(line.event_id == event_id for line in self._lines):
            first = self._first_line(event_id)
            last = first + sum(line.event_id == event_id for line in self._lines) - 1
            top, height = self.scroll_offset.y, self.size.height
            if first < top:
                self.scroll_to(y=first, animate=False, immediate=True, force=True)
            elif last >= top + height:
                self.scroll_to(y=min(last - height + 1, first), animate=False, immediate=True, force=True)
        self.refresh()
        self.refresh_bindings()

    def action_choose(self, step: int) -> None:
        ids = [message.event_id for message in self.timeline.messages]
        if not ids:
            return
        if self._chosen not in ids:
            self.choose(ids[-1])
            return
        place = ids.index(self._chosen) + step
        if place < 0:
            self.scroll_to(y=0, animate=False, immediate=True, force=True)
            if self.timeline.has_older:
                self.post_message(self.Wanted(older=True))
        elif place < len(ids):
            self.choose(ids[place])

    def action_page(self, step: int) -> None:
        self.scroll_to(
            y=self.scroll_offset.y + step * max(self.size.height - 1, 1), animate=False, immediate=True, force=True
        )

    def action_scroll_home(self) -> None:
        self.scroll_to(y=0, animate=False, immediate=True, force=True)

    def action_newest(self) -> None:
        self.choose(None)
        if self.timeline.has_newer:
            self.post_message(self.NewestWanted())
        else:
            self.to_end()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done about the chosen message is offered."""
        if action not in ("wish", "vote", "copy"):
            return True
        message = self.chosen
        if message is None:
            return False
        if action == "copy":
            return not message.deleted
        wish = "vote" if action == "vote" else str(parameters[0])
        return wish not in self._without and message.allows(wish)

    def action_wish(self, what: str) -> None:
        if (message := self.chosen) is not None:
            self.post_message(self.Wished(what, message))

    def action_write(self) -> None:
        self.post_message(self.Done())

    def action_vote(self, answer: int) -> None:
        message = self.chosen
        if message is not None and message.poll is not None and answer < len(message.poll.answers):
            self.post_message(self.Voted(message, answer))

    def action_copy(self) -> None:
        if (message := self.chosen) is not None:
            self.app.copy_to_clipboard(message.text)
            self.notify("Copied, if your terminal lets programs do that.", markup=False)

    def on_click(self, event: events.Click) -> None:
        place = self.scroll_offset.y + event.y
        if place < len(self._lines):
            self.choose(self._lines[place].event_id)

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self.refresh_rows()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painted.clear()
        self.refresh_rows()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = self.at_end
        if new_value < old_value and round(new_value) == 0 and self.timeline.has_older:
            self.post_message(self.Wanted(older=True))
        if new_value > old_value and self.at_end and self.timeline.has_newer:
            self.post_message(self.Wanted(older=False))
        self._look()

    def render_line(self, y: int) -> Strip:
        place = self.scroll_offset.y + y
        width = self.size.width
        if place >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = self._lines[place]
        strip = line.strip
        if line.event_id is not None and line.event_id == self._chosen:
            if strip.text.startswith(" "):
                strip = Strip([Segment(BAR), *strip.crop(1)])
            chosen: Style = self.get_component_rich_style("timeline--chosen")
            return strip.adjust_cell_length(width).apply_style(chosen)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    def _begin(self) -> None:
        """At the end, or where the unread begins when that is further up."""
        unread = next((place for place, line in enumerate(self._lines) if line.is_unread_mark), None)
        self.to_end()
        if unread is not None and unread < self.scroll_offset.y:
            self.scroll_to(y=unread, animate=False, immediate=True, force=True)

    def _lay_out(self) -> bool:
        """Paint what is not painted yet. False when there is no room to show anything."""
        width = self.scrollable_content_region.width
        if width <= 0:
            return False
        ink = DARK if self.app.current_theme.dark else LIGHT
        painted = {}
        lines = []
        for row in self.timeline.rows():
            event_id = row.message.event_id if isinstance(row, Said) else None
            way = (width, self._friend, event_id is not None and event_id == self._chosen)
            kept = self._painted.get(row)
            if kept is None or kept[0] != way:
                texts = paint(row, self._friend, width, ink, revealed=way[2])
                kept = (way, [Strip(line.render(self.app.console)) for line in texts])
            painted[row] = kept
            lines += [_Line(strip, event_id, isinstance(row, Unread)) for strip in kept[1]]
        self._painted, self._lines = painted, lines
        self.virtual_size = Size(width, len(lines))
        self.refresh()
        return True

    def _anchor(self) -> tuple[str | None, int]:
        """The first message on the screen, and how many of its lines are above."""
        top = self.scroll_offset.y
        for line in self._lines[top:]:
            if line.event_id is not None:
                return line.event_id, top - self._first_line(line.event_id)
        return None, 0

    def _first_line(self, event_id: str) -> int:
        return next((place for place, line in enumerate(self._lines) if line.event_id == event_id), 0)

    def _look(self) -> None:
        """Who sits in front of this has seen what is on the screen; a window in the background shows nothing."""
        if not self.app.app_focus or self.app.screen is not self.screen:
            return
        top = self.scroll_offset.y
        shown = {line.event_id for line in self._lines[top : top + self.size.height]}
        unread = [one for one in self.timeline.messages if one.is_unread and one.event_id in shown]
        if unread:
            self.post_message(self.Looked(unread))
