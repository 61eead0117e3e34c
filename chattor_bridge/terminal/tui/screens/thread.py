"""One thread by itself, and where to go on with it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input

from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.tui.records import Contact
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.screens.panel import Panel
from chattor_bridge.terminal.tui.timeline import PAGE, Timeline
from chattor_bridge.terminal.tui.widgets.acting import act_on
from chattor_bridge.terminal.tui.widgets.timeline import TimelineView

MOST_TYPED = 4_000
"""Characters of one line; the conversation takes long texts."""


class ThreadScreen(Panel[None]):
    """The thread in which ``message`` is, or which it begins."""

    HEADING = "One thread; what you write below goes on with it"

    def __init__(self, contact: Contact, message: Message) -> None:
        super().__init__()
        self._contact = contact
        self._message = message
        self._timeline = Timeline()
        self._view = TimelineView(without=("reply", "thread", "edit", "go", "open"))
        self._input = Input(placeholder="Go on with this thread", max_length=MOST_TYPED, classes="field")
        self.add_class("thread")

    def compose_body(self) -> ComposeResult:
        yield self._view
        yield self._input

    def on_mount(self) -> None:
        self.set_focus(self._input)
        self.do(self._load())

    def changed(self, change: JsonObject) -> None:
        match change:
            case {"change": "message", "message": {"contact": number}} if number == self._contact.number:
                self.chattor.do(self._refresh(), quietly=True)
            case {"change": "gone", "event_id": event_id}:
                self._timeline.remove(event_id)
                self._view.refresh_rows()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self.do(self._say(event.value))

    def on_timeline_view_wanted(self, notice: TimelineView.Wanted) -> None:
        notice.stop()
        if notice.older and self._timeline.messages:
            self.do(self._load_older(self._timeline.messages[0].order))

    def on_timeline_view_looked(self, notice: TimelineView.Looked) -> None:
        notice.stop()
        self.do(self.chattor.desk.mark_read(notice.messages))

    def on_timeline_view_done(self, notice: TimelineView.Done) -> None:
        notice.stop()
        self.set_focus(self._input)

    def on_timeline_view_voted(self, notice: TimelineView.Voted) -> None:
        notice.stop()
        if notice.message.poll is not None:
            self.do(self.chattor.desk.vote(notice.message, notice.message.poll.chosen(notice.answer)))

    def on_timeline_view_wished(self, notice: TimelineView.Wished) -> None:
        notice.stop()
        act_on(self.chattor, notice.what, notice.message)

    async def _say(self, text: str) -> None:
        await self.chattor.desk.answer_message(self._message, text, thread=True)
        if self._input.value == text:
            self._input.value = ""

    async def _load(self) -> None:
        page = await self.chattor.desk.thread(self._message, PAGE)
        self._timeline.open(page, has_older=len(page) == PAGE)
        if self.is_running:
            self._view.show(self._timeline, self._contact.shown)

    async def _refresh(self) -> None:
        """Something was said or is otherwise than before: the newest are looked at anew."""
        for message in await self.chattor.desk.thread(self._message, PAGE):
            self._timeline.put(message)
        if self.is_running:
            self._view.refresh_rows()

    async def _load_older(self, before: int) -> None:
        page = await self.chattor.desk.thread(self._message, PAGE, before)
        self._timeline.extend_back(page, has_older=len(page) == PAGE)
        if self.is_running:
            self._view.refresh_rows()
