"""What the command palette does that takes some lines to fill in: about a contact, a code, a mailbox, oneself."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from chattor_bridge.durations import read_timer, timer_in_words
from chattor_bridge.errors import UsageError
from chattor_bridge.terminal import talk_parser
from chattor_bridge.terminal.carry_commands import pairing_step
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import absolute
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.portrait import portrait
from chattor_bridge.terminal.tui.paths import path_field
from chattor_bridge.terminal.tui.records import Contact
from chattor_bridge.terminal.tui.screens.panel import Field, Form

if TYPE_CHECKING:
    from chattor_bridge.terminal.tui.app import ChattorApp

ANSWERS = 6
"""Answers that the form for a poll has lines for: as many as most polls have."""

SHARED = {
    "receipts": "what you have read",
    "typing": "that you are writing",
    "presence": "whether you are there",
}


def ask_poll(app: ChattorApp, contact: Contact) -> None:
    """A question with answers."""
    answers = (Field(f"Answer {number}", most=200) for number in range(1, ANSWERS + 1))
    form = Form(
        f"A poll with {neutralised(contact.shown)}",
        Field("Question", most=1_000),
        *answers,
        Field("More answers, with ; between them"),
        Field("How many may be chosen", "1", most=2),
        Field("Hide the votes until it is over? y or n", "n", most=1),
    )

    async def make(question: str, *rest: str) -> None:
        more, choices, hidden = rest[ANSWERS:]
        if not choices.isdecimal():
            raise CommandError(Exit.REFUSED, "how many may be chosen: a number")
        given = [answer.strip() for answer in (*rest[:ANSWERS], *more.split(";")) if answer.strip()]
        await app.desk.poll(contact.number, question, given, int(choices), hidden=hidden.lower() == "y")

    app.ask(form, make)


def ask_place(app: ChattorApp, contact: Contact) -> None:
    """A place on earth."""
    form = Form(
        f"Tell {neutralised(contact.shown)} of a place",
        Field("Latitude in degrees, north positive", hint="51.5007", most=24),
        Field("Longitude in degrees, east positive", hint="-0.1246", most=24),
        Field("What it is called", most=200),
    )

    async def tell(latitude: str, longitude: str, name: str) -> None:
        try:
            north, east = talk_parser.latitude(latitude.strip()), talk_parser.longitude(longitude.strip())
            await app.desk.place(contact.number, north, east, name)
        except argparse.ArgumentTypeError as error:
            raise CommandError(Exit.REFUSED, str(error)) from error

    app.ask(form, tell)


def ask_file(app: ChattorApp, contact: Contact) -> None:
    """A file for a friend."""
    form = Form(
        f"Send a file to {neutralised(contact.shown)}: keep it where it is, unchanged, until it has gone over",
        path_field("Which file"),
        Field("What to say with it", most=4_000),
    )

    async def send(path: str, caption: str) -> None:
        if not path.strip():
            raise CommandError(Exit.REFUSED, "which file: its path")
        await app.desk.send_file(contact.number, str(absolute(Path(path))), caption)

    app.ask(form, send)


def ask_timer(app: ChattorApp, contact: Contact) -> None:
    """After how long what is said disappears."""
    now = timer_in_words(contact.timer) if contact.timer else "never"
    form = Form(
        f"Messages with {neutralised(contact.shown)} disappear after a while: now {now}",
        Field("After 30s, 5m, 12h, 7d or 2w; or off", most=16),
    )

    async def change(after: str) -> None:
        try:
            seconds = read_timer(after)
        except UsageError as error:
            raise CommandError(Exit.REFUSED, str(error)) from error
        await app.desk.disappear(contact.number, seconds)

    app.ask(form, change)


def ask_privacy(app: ChattorApp, contact: Contact) -> None:
    """What this friend may see of us."""
    fields = (
        Field(f"{words[0].upper()}{words[1:]}: y or n", "y" if what in contact.shares else "n", most=1)
        for what, words in SHARED.items()
    )

    async def share(*answers: str) -> None:
        for what, answer in zip(SHARED, answers, strict=True):
            if (on := answer.lower() == "y") != (what in contact.shares):
                await app.desk.share(contact.number, what, on=on)

    app.ask(Form(f"What {neutralised(contact.shown)} sees of you", *fields), share)


def ask_note(app: ChattorApp, contact: Contact) -> None:
    """A note about this friend, for our owner alone."""
    heading = f"Your note about {neutralised(contact.shown)}; nobody else sees it"

    async def keep(text: str) -> None:
        await app.desk.note(contact.number, text)

    app.ask(Form(heading, Field("Note", contact.note, most=4_000)), keep)


def ask_merge(app: ChattorApp, contact: Contact) -> None:
    """Another contact that is the same person."""
    form = Form(
        f"{neutralised(contact.shown)} is the same person as another contact: the two become one when your friend says "
        "it too",
        Field("The other contact, by number or name; nothing if your friend was first to say so"),
    )

    async def merge(other: str) -> None:
        await app.desk.merge(contact.number, other.strip() or None)
        app.notify("Your friend is told.", markup=False)

    app.ask(form, merge)


def ask_alias(app: ChattorApp, contact: Contact) -> None:
    """A name of our own for this friend."""
    name = neutralised(contact.name) or f"contact {contact.number}"

    async def rename(alias: str) -> None:
        await app.desk.rename(contact.number, alias)

    app.ask(Form(f"Your own name for {name}; empty for none", Field("Name", contact.alias, most=64)), rename)


def ask_code(app: ChattorApp) -> None:
    """Somebody's friend code, and what to say with it."""
    form = Form(
        "Ask somebody to be your friend",
        Field("The friend code", hint="chattor:…"),
        Field("Who you are and why; the owner of the code reads it", most=1_000),
    )

    async def add(code: str, note: str) -> None:
        await app.desk.add(code, note)
        app.notify("Asked. F2 shows where it stands.", markup=False)

    app.ask(form, add)


def ask_mailbox(app: ChattorApp) -> None:
    """The code of a mailbox that is to hold our mail."""
    form = Form(
        "Have a mailbox of your own hold your mail while you are offline: a chattor run --headless that is always on",
        Field("The code that chattor pair shows there", hint="chattor:…"),
    )

    async def pair(code: str) -> None:
        async with aclosing(app.desk.pair(code)) as steps:
            async for step in steps:
                app.notify(pairing_step(step), markup=False)

    app.ask(form, pair)


async def ask_name(app: ChattorApp) -> None:
    """Our own name. Raises: CommandError when the one there is cannot be asked for."""

    async def change(name: str) -> None:
        await app.desk.profile(name)

    app.ask(Form("The name that friends see", Field("Name", await app.desk.profile(None), most=64)), change)


def ask_picture(app: ChattorApp) -> None:
    """Our own picture."""

    async def change(path: str) -> None:
        await app.desk.picture(await asyncio.to_thread(portrait, absolute(Path(path))) if path.strip() else b"")
        app.notify("Your friends are told." if path.strip() else "Your friends see none any more.", markup=False)

    app.ask(
        Form("The picture that friends see: a file, made smaller; empty for none", path_field("Which file")), change
    )
