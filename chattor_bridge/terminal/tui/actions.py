"""The command palette: everything that can be done, by its name, and every conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.tui.asking import (
    ask_alias,
    ask_file,
    ask_mailbox,
    ask_merge,
    ask_note,
    ask_picture,
    ask_place,
    ask_poll,
    ask_privacy,
    ask_timer,
)
from chattor_bridge.terminal.tui.screens.main import MainScreen

if TYPE_CHECKING:
    from chattor_bridge.terminal.tui.app import ChattorApp


class Action(NamedTuple):
    """Something to do; ``explained`` is our own words, ``name`` may hold a friend's."""

    name: str
    explained: str
    do: Callable[[], object]


class Actions(Provider):
    """Finds actions by what is typed."""

    async def discover(self) -> Hits:
        for action in self._actions():
            yield DiscoveryHit(Content(action.name), action.do, action.name, action.explained)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._actions():
            if (score := matcher.match(action.name)) > 0:
                yield Hit(score, matcher.highlight(action.name), action.do, action.name, action.explained)

    def _actions(self) -> Iterator[Action]:
        app = cast("ChattorApp", self.app)
        yield Action("Requests", "who asks to be your friend, and whom you asked", app.action_requests)
        yield Action("Friend codes", "to hand out, as text and as picture", app.action_codes)
        yield Action("Add a friend", "ask somebody whose friend code you have", app.action_add)
        yield Action("Status", "tor, friends, what waits", app.action_status)
        yield Action("Carriers", "friends who hold your mail, and whose you hold", app.action_carriers)
        yield Action("Pair with a mailbox", "a node of yours that holds your mail", partial(ask_mailbox, app))
        yield Action("Your name", "what friends see", app.action_profile)
        yield Action("Picture of yourself", "what friends see", partial(ask_picture, app))
        yield Action("Light or dark", "turn the colours", app.action_turn_theme)
        yield Action("Help", "every key", app.action_help)
        yield Action("Quit", "close this", app.action_leave)
        screen = next((one for one in app.screen_stack if isinstance(one, MainScreen)), None)
        contact = None if screen is None else screen.meant
        if contact is not None:
            name = neutralised(contact.shown)
            yield Action(f"Verify {name}", "safety number, emoji", app.action_verify)
            for title, explained, ask in (
                (f"Send a file to {name}", "offered from where it lies", ask_file),
                (f"Disappearing messages with {name}", "after a while, at both ends", ask_timer),
                (f"Poll with {name}", "a question with answers to choose from", ask_poll),
                (f"Place for {name}", "tell of a place on earth", ask_place),
                (f"Rename {name}", "a name of your own for this contact", ask_alias),
                (f"Privacy with {name}", "what this friend sees of you: receipts, typing, presence", ask_privacy),
                (f"Note about {name}", "for you alone", ask_note),
                (f"Merge {name}", "with another contact who is the same person", ask_merge),
            ):
                yield Action(title, explained, partial(ask, app, contact))
            mute = partial(app.desk.mute, contact.number, muted=not contact.muted)
            yield Action(
                f"{'Unmute' if contact.muted else 'Mute'} {name}",
                "whether this friend may disturb you; nobody is told",
                lambda: app.do(mute()),
            )
            for what, explained in (
                ("block", "be unreachable; the friend sees you offline"),
                ("unblock", "be there again"),
                ("resync", "begin the encryption anew"),
                ("forget", "end the friendship and erase what was said"),
                ("retire", "end the friendship because somebody else may have its keys"),
            ):
                yield Action(f"{what.capitalize()} {name}", explained, partial(app.part, what, contact))
        for one in screen.roster.shown() if screen is not None else ():
            yield Action(f"Talk to {neutralised(one.shown)}", "open the conversation", partial(app.talk, one))
