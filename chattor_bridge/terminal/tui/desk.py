"""What the screens ask the daemon, in their own terms."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from chattor_bridge.terminal.carry_parser import PAIR_WAIT
from chattor_bridge.terminal.client import ask, ask_once
from chattor_bridge.terminal.control import Item, JsonObject
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.reading_commands import READ_BATCH
from chattor_bridge.terminal.tui.records import Contact, Request
from chattor_bridge.terminal.tui.said import File, Message

EMOTE = "/me "
"""What a text begins with that says what its writer does, as in every chat."""


class Desk:
    """Asks the daemon of this home. Every method raises CommandError when that refuses, or is not there."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def watch(self) -> AsyncGenerator[JsonObject, None]:
        """What changes, for ever; an object of `watch` each."""
        async with aclosing(ask(self._home, "watch")) as answers:
            async for answer in answers:
                if isinstance(answer, Item):
                    yield answer.fields

    async def contacts(self) -> list[Contact]:
        return [Contact.of(item) for item in await self._items("contacts")]

    async def requests(self) -> list[Request]:
        return [Request.of(item) for item in await self._items("requests")]

    async def codes(self) -> list[JsonObject]:
        return await self._items("codes")

    async def status(self) -> JsonObject:
        return (await self._items("status"))[0]

    async def last(self, contact: int, count: int, before: int | None = None) -> list[Message]:
        """The newest messages, or the newest of those before this order."""
        items = await self._items("history", contact=str(contact), limit=count, before=before)
        return [Message.of(item) for item in items]

    async def thread(self, message: Message, count: int, before: int | None = None) -> list[Message]:
        """As `last`, of the thread in which this message is, or which it begins."""
        contact, order = str(message.contact), message.order
        items = await self._items("history", contact=contact, limit=count, before=before, thread=order)
        return [Message.of(item) for item in items]

    async def after(self, contact: int, order: int, count: int) -> list[Message]:
        """The messages that follow this order."""
        items = await self._items("history", contact=str(contact), limit=count, after=order)
        return [Message.of(item) for item in items]

    async def mark_read(self, messages: Sequence[Message]) -> None:
        """These were on the screen."""
        for start in range(0, len(messages), READ_BATCH):
            named = [{"peer": one.peer, "event_id": one.event_id} for one in messages[start : start + READ_BATCH]]
            await ask_once(self._home, "read", messages=named)

    async def send(self, contact: int, text: str) -> None:
        await self._say(text, contact=str(contact))

    async def answer_message(self, message: Message, text: str, *, thread: bool) -> None:
        """Reply to it, in its thread if it is in one; with ``thread`` begin a thread with it, or go on in its own."""
        if thread:
            await self._say(text, thread=message.order)
        else:
            await self._say(text, reply=message.order, thread=message.thread and message.order)

    async def answer_in_thread(self, begun: Message, message: Message, text: str) -> None:
        """Reply to ``message`` in the thread in which ``begun`` is, or which it begins."""
        await self._say(text, reply=message.order, thread=begun.order)

    async def edit(self, message: Message, text: str) -> None:
        """Nothing takes the caption of a file away."""
        await self._items("edit", order=message.order, text=text if text.strip() else None)

    async def delete(self, message: Message) -> None:
        await self._items("delete", order=message.order)

    async def react(self, message: Message, emoji: str, *, remove: bool) -> None:
        await self._items("react", order=message.order, emoji=emoji, remove=remove)

    async def poll(self, contact: int, question: str, answers: Sequence[str], choices: int, *, hidden: bool) -> None:
        await self._items(
            "poll", contact=str(contact), question=question, answers=list(answers), choices=choices, hidden=hidden
        )

    async def vote(self, message: Message, choices: Sequence[int]) -> None:
        await self._items("vote", order=message.order, choices=list(choices))

    async def end_poll(self, message: Message) -> None:
        await self._items("end_poll", order=message.order)

    async def place(self, contact: int, latitude: int, longitude: int, name: str) -> None:
        """Degrees times 1,000,000."""
        await self._items(
            "place", contact=str(contact), latitude=latitude, longitude=longitude, name=name, accuracy=None
        )

    async def files(self, contact: int) -> dict[str, File]:
        """How far files with this contact are, by their ids."""
        found = (File.of(item) for item in await self._items("files", contact=str(contact)))
        return {file.ident: file for file in found if file is not None}

    async def send_file(self, contact: int, path: str, caption: str) -> None:
        await self._items("file_send", contact=str(contact), path=path, caption=caption)

    async def save_file(self, message: Message, directory: str) -> str:
        """Fetch it if that is to be done yet, and save it; where it is then."""
        assert message.file is not None
        items = await self._items("file_save", file=message.file.ident, directory=directory)
        return str(items[-1]["saved"])

    async def cancel_file(self, message: Message) -> None:
        assert message.file is not None
        await self._items("file_cancel", file=message.file.ident)

    async def disappear(self, contact: int, seconds: int) -> None:
        """What is said from now on goes after so long, 0 for never."""
        await self._items("disappearing", contact=str(contact), seconds=seconds)

    async def typing(self, contact: int, *, on: bool) -> None:
        await self._items("typing", contact=str(contact), on=on)

    async def presence(self, state: str) -> None:
        """``state`` is online, away or offline."""
        await self._items("presence", state=state)

    async def share(self, contact: int, what: str, *, on: bool) -> None:
        """``what`` is receipts, typing or presence."""
        await self._items("privacy", who=str(contact), what=what, on=on)

    async def mute(self, contact: int, *, muted: bool) -> None:
        await self._items("mute", contact=str(contact), muted=muted)

    async def note(self, contact: int, text: str) -> None:
        await self._items("note", contact=str(contact), text=text)

    async def add(self, code: str, note: str) -> None:
        await self._items("add", code=code, note=note)

    async def answer(self, what: str, request: Request) -> None:
        """``what`` is accept, ignore, block or unblock."""
        if what in ("block", "unblock"):
            await self._items(what, who=request.ident, request=True)
        else:
            await self._items(what, request=request.ident)

    async def new_code(self, label: str, *, once: bool, lifetime: int | None, uses: int | None) -> JsonObject:
        items = await self._items("new_code", label=label, once=once, lifetime=lifetime, uses=uses)
        return items[0]

    async def change_code(self, what: str, code: JsonObject, **arguments: object) -> None:
        """``what`` is park, rotate or retire."""
        await self._items(f"{what}_code", code=code["id"], **arguments)

    async def carrying(self) -> tuple[list[JsonObject], JsonObject]:
        """What is agreed with friends about holding mail, and how much is held in all."""
        return await ask_once(self._home, "carry")

    async def carry(self, what: str, contact: int, **much: int) -> None:
        """``what`` is ask, leave, offer or stop."""
        await self._items("carry", what=what, contact=str(contact), **much)

    async def pair(self, code: str) -> AsyncGenerator[JsonObject, None]:
        """Have the mailbox that made this code hold our mail; each step as it comes."""
        async with aclosing(ask(self._home, "pair", code=code, wait=PAIR_WAIT)) as answers:
            async for answer in answers:
                if isinstance(answer, Item):
                    yield answer.fields

    async def limit_carrying(self, megabytes: int) -> None:
        """How much to hold for all friends together, 0 for as much as can be."""
        await self._items("carry", what="limit", megabytes=megabytes)

    async def verify(self, contact: int, what: str) -> JsonObject:
        """The state of comparing with a friend, after ``what`` (empty, emoji, match or mismatch)."""
        return (await self._items("verify", contact=str(contact), what=what))[0]

    async def rename(self, contact: int, alias: str) -> None:
        await self._items("rename", contact=str(contact), alias=alias)

    async def merge(self, contact: int, other: str | None) -> None:
        """This contact is the same person as ``other``, a number or name, or as the friend has said."""
        await self._items("merge", contact=str(contact), other=other)

    async def profile(self, name: str | None) -> str:
        """The name friends see, after changing it unless ``None``."""
        return str((await self._items("profile", name=name))[0]["name"])

    async def picture(self, data: bytes) -> None:
        """Show friends this picture, or none."""
        await self._items("profile", name=None, avatar=b64encode(data).decode())

    async def part(self, what: str, contact: int) -> None:
        """``what`` is block, unblock, forget, retire or resync."""
        key = "who" if what in ("block", "unblock") else "contact"
        await self._items(what, **{key: str(contact)})

    async def _say(self, text: str, **where: object) -> None:
        kind = "emote" if text.startswith(EMOTE) else None
        await self._items("send", text=text.removeprefix(EMOTE), kind=kind, **where)

    async def _items(self, operation: str, **arguments: object) -> list[JsonObject]:
        items, _ = await ask_once(self._home, operation, **arguments)
        return items
