"""One thread by itself, and where to go on with it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding

from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.tui.records import Contact
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.screens.panel import Panel
from chattor_bridge.terminal.tui.timeline import PAGE, Timeline
from chattor_bridge.terminal.tui.widgets.acting import act_on
from chattor_bridge.terminal.tui.widgets.aim import Aim, AimLine
from chattor_bridge.terminal.tui.widgets.composer import Composer
from chattor_bridge.terminal.tui.widgets.timeline import TimelineView


class ThreadComposer(Composer):
    """Where one goes on with it."""

    BINDINGS = [Binding("escape", "leave", "close", priority=True)]  # noqa: RUF012 - textual's way


class ThreadScreen(Panel[None]):
    """The thread in which ``message`` is, or which it begins."""

    HEADING = "One thread; what you write below goes on with it"

    def __init__(self, contact: Contact, message: Message) -> None:
        super().__init__()
        self._contact = contact
        self._message = message
        self._timeline = Timeline()
        self._view = TimelineView(without=("thread", "go", "open"))
        self._aim = AimLine()
        self._composer = ThreadComposer()
        self.add_class("thread")

    def compose_body(self) -> ComposeResult:
        yield self._view
        yield self._aim
        yield self._composer

    def on_mount(self) -> None:
        self.set_focus(self._composer)
        self.do(self._load())

    def changed(self, change: JsonObject) -> None:
        match change:
            case {"change": "message", "message": {"contact": number}} if number == self._contact.number:
                self.chattor.do(self._refresh(), quietly=True)
            case {"change": "gone", "event_id": event_id}:
                self._timeline.remove(event_id)
                self._view.refresh_rows()

    def on_composer_submitted(self, notice: Composer.Submitted) -> None:
        notice.stop()
        self.do(self._say(notice.text, self._aim.aim))

    def on_composer_left(self, notice: Composer.Left) -> None:
        notice.stop()
        if self._aim.aim is None:
            self.action_close()
        else:
            self._take_aim(None)

    def on_timeline_view_wanted(self, notice: TimelineView.Wanted) -> None:
        notice.stop()
        if notice.older and self._timeline.messages:
            self.do(self._load_older(self._timeline.messages[0].order))

    def on_timeline_view_newest_wanted(self, notice: TimelineView.NewestWanted) -> None:
        notice.stop()
        self.do(self._load())

    def on_timeline_view_looked(self, notice: TimelineView.Looked) -> None:
        notice.stop()
        self.do(self.chattor.desk.mark_read(notice.messages))

    def on_timeline_view_done(self, notice: TimelineView.Done) -> None:
        notice.stop()
        self.set_focus(self._composer)

    def on_timeline_view_voted(self, notice: TimelineView.Voted) -> None:
        notice.stop()
        if notice.message.poll is not None:
            self.do(self.chattor.desk.vote(notice.message, notice.message.poll.chosen(notice.answer)))

    def on_timeline_view_wished(self, notice: TimelineView.Wished) -> None:
        notice.stop()
        if notice.what in ("reply", "edit"):
            self._take_aim(Aim(notice.what, notice.message))
            self.set_focus(self._composer)
        else:
            act_on(self.chattor, notice.what, notice.message)

    def _take_aim(self, aim: Aim | None) -> None:
        self._aim.take(aim, self._composer, self._contact.shown)

    async def _say(self, text: str, aim: Aim | None) -> None:
        desk = self.chattor.desk
        match aim:
            case Aim("edit", message):
                await desk.edit(message, text)
            case Aim(_, message):
                await desk.answer_in_thread(self._message, message, text)
            case None:
                await desk.answer_message(self._message, text, thread=True)
        if self.is_running and self._composer.text == text:  # a quick writer may have gone on
            self._take_aim(None)
            self._composer.text = ""

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
