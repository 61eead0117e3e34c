"""The full-screen program: what opens when, and what becomes of a change at the daemon."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.worker import Worker, WorkerFailed

from chattor_bridge.errors import ChattorError
from chattor_bridge.terminal.exits import CommandError
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.actions import Actions
from chattor_bridge.terminal.tui.asking import ask_alias, ask_code, ask_file, ask_name
from chattor_bridge.terminal.tui.desk import Desk
from chattor_bridge.terminal.tui.records import Contact
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.screens.carriers import CarriersScreen
from chattor_bridge.terminal.tui.screens.codes import CodesScreen
from chattor_bridge.terminal.tui.screens.help import HelpScreen
from chattor_bridge.terminal.tui.screens.main import MainScreen
from chattor_bridge.terminal.tui.screens.panel import Form, Panel, Question
from chattor_bridge.terminal.tui.screens.requests import RequestsScreen
from chattor_bridge.terminal.tui.screens.status import StatusScreen
from chattor_bridge.terminal.tui.screens.thread import ThreadScreen
from chattor_bridge.terminal.tui.screens.verifying import VerifyScreen

AGAIN = 1.0
"""Seconds until a daemon that does not answer is asked again."""

SETTLED = 0.2
"""Seconds in which changes are gathered before the line on top is asked for anew."""

NO_WAY_BACK = {
    "forget": "It ends the friendship and erases its keys and all that was said. The friend is not told. To be friends "
    "again, one of you needs a friend code of the other.",
    "retire": "It ends the friendship because somebody else may have its keys. The friend is told; what was said "
    "stays.",
}


class ChattorApp(App[None]):
    """``holds_node``: this process is the daemon too. ``logged`` is what that has logged, newest last."""

    CSS_PATH = "chattor.tcss"
    TITLE = "chattor"
    COMMANDS = {Actions}  # noqa: RUF012 - textual's way

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "help", priority=True),
        Binding("f2", "requests", "requests", priority=True),
        Binding("f3", "codes", "codes", priority=True),
        Binding("f4", "add", "add", priority=True),
        Binding("f5", "status", "status", priority=True),
        Binding("f7", "carriers", "carriers", show=False, priority=True),
        Binding("ctrl+q", "leave", "quit", priority=True),
    ]

    def __init__(self, desk: Desk, *, holds_node: bool = False, logged: Sequence[str] = deque(maxlen=0)) -> None:
        super().__init__()
        self.desk = desk
        self.holds_node = holds_node
        self._logged = logged
        self.main = MainScreen(self)
        self._status_asked = False

    async def on_mount(self) -> None:
        await self.push_screen(self.main)
        self.run_worker(self._watch(), exit_on_error=True)

    def _fatal_error(self) -> None:
        """Textual would print the values of variables, what friends say among them, into the terminal; `failure` goes
        through the log instead."""
        self._close_messages_no_wait()

    @property
    def failure(self) -> BaseException | None:
        """What nobody foresaw and ended this."""
        error = self._exception
        return error.error if isinstance(error, WorkerFailed) else error

    def do(self, work: Coroutine[Any, Any, None], *, quietly: bool = False) -> None:
        """Do it beside everything else; a refusal is shown, unless nobody waits for it, and everything stays as it
        was."""
        worker: Worker[None] = self.run_worker(partial(self._done, work, quietly=quietly), exit_on_error=True)
        assert worker._task is not None
        # what the end of the program cancels before its first step would be complained of in the terminal
        worker._task.add_done_callback(lambda _: work.close())

    def on_app_focus(self) -> None:
        self.do(self.desk.presence("online"), quietly=True)

    def on_app_blur(self) -> None:
        self.do(self.desk.presence("away"), quietly=True)

    def talk(self, contact: Contact) -> None:
        """Open the conversation with this contact."""
        self._close_panels()
        self.do(self.main.open(contact))

    def part(self, what: str, contact: Contact) -> None:
        """``what`` is block, unblock, resync, forget or retire; of the last two there is no way back, so it asks."""
        if what not in NO_WAY_BACK:
            self.do(self.desk.part(what, contact.number))
            return

        def answered(answer: bool | None) -> None:
            if answer:
                self.do(self.desk.part(what, contact.number))

        heading = f"{what.capitalize()} {neutralised(contact.shown)}?"
        self.push_screen(Question(heading, f"{NO_WAY_BACK[what]} This cannot be undone."), answered)

    def open_thread(self, contact: Contact, message: Message) -> None:
        """Show the thread in which this message is, or which it begins."""
        self._open(ThreadScreen(contact, message))

    def ask(self, form: Form, then: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Open a form, and do this with what was filled in."""

        def filled(values: list[str] | None) -> None:
            if values is not None:
                self.do(then(*values))

        self._open(form, filled)

    def action_help(self) -> None:
        self._open(HelpScreen())

    def action_requests(self) -> None:
        self._open(RequestsScreen())

    def action_codes(self) -> None:
        self._open(CodesScreen())

    def action_status(self) -> None:
        self._open(StatusScreen(lambda: self._logged))

    def action_carriers(self) -> None:
        self._open(CarriersScreen())

    def action_verify(self) -> None:
        if (contact := self.main.meant) is not None:
            self._open(VerifyScreen(contact))

    def action_add(self) -> None:
        ask_code(self)

    def action_rename(self) -> None:
        if (contact := self.main.meant) is not None:
            ask_alias(self, contact)

    def action_send_file(self) -> None:
        if (contact := self.main.meant) is not None:
            ask_file(self, contact)

    def action_profile(self) -> None:
        self.do(ask_name(self))

    def action_turn_theme(self) -> None:
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_leave(self) -> None:
        self.exit()

    def _open(self, screen: Panel[Any], answered: Any = None) -> None:
        """In place of what is open."""
        self._close_panels()
        self.push_screen(screen, answered)

    def _close_panels(self) -> None:
        while isinstance(self.screen, Panel):
            self.pop_screen()

    async def _done(self, work: Coroutine[Any, Any, None], *, quietly: bool) -> None:
        try:
            await work
        except ChattorError as error:
            if quietly:
                return
            self.notify(neutralised(str(error)), severity="error", markup=False)

    async def _watch(self) -> None:
        """Follow what changes for as long as this runs, whatever becomes of the daemon."""
        while True:
            try:
                async for change in self.desk.watch():
                    self._changed(change)
            except CommandError:
                self.main.show_status(None)
            await asyncio.sleep(AGAIN)

    def _changed(self, change: dict[str, Any]) -> None:
        if change["change"] == "missed" and change["over"]:
            self.notify(change["words"], markup=False)
        for screen in self._screens():
            screen.changed(change)
        if not self._status_asked:
            self._status_asked = True
            self.set_timer(SETTLED, self._ask_status)

    def _ask_status(self) -> None:
        self._status_asked = False
        self.do(self.main.load_status())

    def _screens(self) -> list[MainScreen | Panel[Any]]:
        stack: Sequence[Screen[Any]] = self.screen_stack
        return [one for one in stack if isinstance(one, MainScreen | Panel)]
