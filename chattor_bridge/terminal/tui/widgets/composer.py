"""Where a message is written."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding
from textual.message import Message as Notice
from textual.widgets import TextArea


class Composer(TextArea):
    """Enter sends, because that is what chats do; further lines by keys that some terminals know and others do not,
    and by pasting."""

    BINDINGS = [  # noqa: RUF012 - textual's way
        Binding("enter", "submit", "send", priority=True),
        Binding("ctrl+j,alt+enter,shift+enter", "newline", "new line", key_display="^j", priority=True),
        Binding("escape", "leave", "messages", priority=True),
        Binding("tab", "app.focus_next", show=False),
    ]

    @dataclass
    class Submitted(Notice):
        """This is to be sent."""

        text: str

    class Left(Notice):
        """Whoever writes wants to go elsewhere."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(
            id=id, soft_wrap=True, show_line_numbers=False, tab_behavior="focus", highlight_cursor_line=False
        )
        self.may_be_empty = False
        """Whether it means something to send nothing: that the caption of a file is taken away."""

    def action_submit(self) -> None:
        if self.text.strip() or self.may_be_empty:
            self.post_message(self.Submitted(self.text))

    def action_newline(self) -> None:
        self.insert("\n")

    def action_leave(self) -> None:
        self.post_message(self.Left())
