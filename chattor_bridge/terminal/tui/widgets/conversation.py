"""One conversation: its title, its messages, and where to write."""

from __future__ import annotations

import math
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from chattor_bridge.durations import timer_in_words
from chattor_bridge.protocol.limits import TYPING_REPEAT
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.tui.records import Contact, Presence
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.speech import shortened
from chattor_bridge.terminal.tui.timeline import PAGE, Timeline
from chattor_bridge.terminal.tui.widgets.acting import act_on
from chattor_bridge.terminal.tui.widgets.aim import Aim, AimLine, deliver
from chattor_bridge.terminal.tui.widgets.composer import Composer
from chattor_bridge.terminal.tui.widgets.timeline import TimelineView

if TYPE_CHECKING:
    from chattor_bridge.terminal.tui.app import ChattorApp

WORDS = {
    Presence.ONLINE: "● online",
    Presence.AWAY: "◐ away",
    Presence.OFFLINE: "○ offline: what you write waits, and goes out when both of you are online",
    Presence.BLOCKED: "⊘ blocked",
    Presence.ENDED: "✕ this friendship is ended",
}

PROGRESS_INTERVAL = 0.5
"""Seconds between two looks at how far files are: as often as a person notices."""

COMPARED = {"verified": " · ✓ verified", "mismatch": " · ⚠ A COMPARISON FAILED: somebody may stand between you"}


class Conversation(Vertical):
    """Loads, pages, sends and marks as read; what it shows is a `Timeline`."""

    def __init__(self, app: ChattorApp) -> None:
        super().__init__(id="conversation")
        self._app = app
        self._contact: Contact | None = None
        self._timeline = Timeline()
        self._drafts: dict[int, str] = {}
        self._marking: set[str] = set()
        self._paging = False
        self._typing_told = -math.inf
        self._title = Static(id="title", markup=False)
        self._aim = AimLine()
        self._view = TimelineView(id="timeline")
        self.composer = Composer(id="composer")

    def compose(self) -> ComposeResult:
        yield self._title
        yield self._view
        yield self._aim
        yield self.composer

    def on_mount(self) -> None:
        self.set_interval(PROGRESS_INTERVAL, self._look_at_files)

    @property
    def contact(self) -> Contact | None:
        """Whose conversation is open."""
        return self._contact

    async def open(self, contact: Contact) -> None:
        """Show the conversation with this contact. Raises: CommandError."""
        count = PAGE + contact.unread
        page = await self._app.desk.last(contact.number, count)
        if not self._is_here(contact.number):
            self._change_drafts(contact.number)
        self._contact, self._timeline = contact, Timeline()
        self._timeline.open(page, has_older=len(page) == count)
        self._show_title()
        self._view.show(self._timeline, contact.shown)
        if any(message.file is not None for message in page):
            await self._show_files()

    def close(self) -> None:
        """Its contact is gone."""
        self._contact, self._timeline = None, Timeline()
        self._title.update("")
        self._view.show(self._timeline, "")

    def contact_changed(self, contact: Contact) -> None:
        """What is known of the contact is otherwise than before."""
        if self._contact is not None and contact.number == self._contact.number:
            renamed = contact.shown != self._contact.shown
            self._contact = contact
            self._show_title()
            if renamed:
                self._view.refresh_rows(contact.shown)

    def changed(self, change: JsonObject) -> None:
        """Something happened to messages, perhaps of this conversation."""
        match change:
            case {"change": "message", "message": item} if self._is_here(item["contact"]):
                message = Message.of(item)
                if self._timeline.put(message):
                    self._view.refresh_rows()
                if message.file is not None:
                    self._do(self._show_files())
            case {"change": "gone", "contact": number, "event_id": event_id} if self._is_here(number):
                self._timeline.remove(event_id)
                self._view.refresh_rows()

    def on_timeline_view_wanted(self, notice: TimelineView.Wanted) -> None:
        notice.stop()
        if not self._paging:
            self._paging = True
            self._do(self._page(older=notice.older))

    def on_timeline_view_newest_wanted(self, notice: TimelineView.NewestWanted) -> None:
        notice.stop()
        if self._contact is not None:
            self._do(self.open(self._contact))

    def on_timeline_view_looked(self, notice: TimelineView.Looked) -> None:
        notice.stop()
        news = [message for message in notice.messages if message.event_id not in self._marking]
        if news:
            self._marking.update(message.event_id for message in news)
            self._do(self._mark(news))

    def on_composer_submitted(self, notice: Composer.Submitted) -> None:
        notice.stop()
        if self._contact is not None:
            self._do(self._send(self._contact.number, notice.text, self._aim.aim))

    def on_composer_left(self, notice: Composer.Left) -> None:
        notice.stop()
        if self._aim.aim is not None:
            self._take_aim(None)
            return
        self._view.focus()
        if self._view.chosen is None:
            self._view.action_choose(-1)

    def on_text_area_changed(self, event: Composer.Changed) -> None:
        """Tell the friend that something is being written, when it may see that."""
        event.stop()
        contact = self._contact
        if contact is None or "typing" not in contact.shares:
            return
        now, writes = time.monotonic(), bool(self.composer.text)
        if not writes and self._typing_told == -math.inf:
            return
        if not writes or now - self._typing_told >= TYPING_REPEAT:
            self._tell_typing(contact, now if writes else -math.inf)

    def _tell_typing(self, contact: Contact, at: float) -> None:
        self._typing_told = at
        self._app.do(self._app.desk.typing(contact.number, on=at != -math.inf), quietly=True)

    def on_timeline_view_done(self, notice: TimelineView.Done) -> None:
        notice.stop()
        self._view.choose(None)
        self.composer.focus()

    def on_timeline_view_voted(self, notice: TimelineView.Voted) -> None:
        notice.stop()
        if notice.message.poll is not None:
            self._do(self._app.desk.vote(notice.message, notice.message.poll.chosen(notice.answer)))

    def on_timeline_view_wished(self, notice: TimelineView.Wished) -> None:
        notice.stop()
        message = notice.message
        match notice.what:
            case "reply" | "thread" | "edit":
                self._take_aim(Aim(notice.what, message))
                self.composer.focus()
            case "open" if self._contact is not None:
                self._app.open_thread(self._contact, message)
            case "go":
                target = message.reply or message.thread
                if target is not None and target.order is not None:
                    self._do(self._go_to(target.order))
            case what:
                act_on(self._app, what, message)

    def _change_drafts(self, number: int) -> None:
        """Put what is half written here away, and go on with what is half written there."""
        self._take_aim(None)
        if self._contact is not None:
            self._drafts[self._contact.number] = self.composer.text
            if self._typing_told != -math.inf:
                self._tell_typing(self._contact, -math.inf)
        with self.composer.prevent(Composer.Changed):  # nobody writes
            self.composer.text = self._drafts.pop(number, "")
        self.composer.move_cursor(self.composer.document.end)

    def _take_aim(self, aim: Aim | None) -> None:
        self._aim.take(aim, self.composer, "" if self._contact is None else self._contact.shown)

    async def _go_to(self, order: int) -> None:
        """Show the message with this order, fetched if it is not held."""
        contact, timeline = self._contact, self._timeline
        if contact is None:
            return
        if all(one.order != order for one in timeline.messages):
            page = await self._app.desk.last(contact.number, PAGE, order + 1)
            after = await self._app.desk.after(contact.number, order, PAGE)
            timeline.open([*page, *after], has_older=len(page) == PAGE, has_newer=len(after) == PAGE)
            self._view.refresh_rows()
        found = next((one.event_id for one in timeline.messages if one.order == order), None)
        self._view.choose(found)

    async def _send(self, number: int, text: str, aim: Aim | None) -> None:
        await deliver(self._app.desk, number, text, aim)
        # not before it is on disk, and only what was sent: a quick writer may have gone on
        if self._is_here(number) and self.composer.text == text:
            self._take_aim(None)
            self.composer.text = ""
        if self._is_here(number):
            self._timeline.read_up()
            self._view.action_newest()

    def _look_at_files(self) -> None:
        if self._timeline.has_files_under_way:
            self._app.do(self._show_files(), quietly=True)

    async def _show_files(self) -> None:
        """How far the files are."""
        contact, timeline = self._contact, self._timeline
        if contact is None:
            return
        changed = timeline.show_files(await self._app.desk.files(contact.number))
        if changed and timeline is self._timeline:
            self._view.refresh_rows()

    async def _page(self, *, older: bool) -> None:
        try:
            contact, timeline = self._contact, self._timeline
            if contact is None or not timeline.messages:
                return
            if older:
                page = await self._app.desk.last(contact.number, PAGE, timeline.messages[0].order)
                timeline.extend_back(page, has_older=len(page) == PAGE)
            else:
                page = await self._app.desk.after(contact.number, timeline.messages[-1].order, PAGE)
                timeline.extend_forward(page, has_newer=len(page) == PAGE)
            if timeline is self._timeline:
                self._view.refresh_rows()
        finally:
            self._paging = False

    async def _mark(self, messages: list[Message]) -> None:
        try:
            await self._app.desk.mark_read(messages)
        finally:
            self._marking.difference_update(message.event_id for message in messages)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._app.do(work)

    def _is_here(self, number: int) -> bool:
        return self._contact is not None and self._contact.number == number

    def _show_title(self) -> None:
        contact = self._contact
        assert contact is not None
        title = Text.assemble(
            (shortened(contact.shown, 40), "bold"),
            "  is writing…" if contact.typing else f"  {WORDS[contact.presence]}",
            COMPARED.get(contact.verification, ""),
            f" · ⏲ {timer_in_words(contact.timer)}" if contact.timer else "",
            " · muted" if contact.muted else "",
        )
        self._title.update(title)
