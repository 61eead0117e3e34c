"""What the daemon answers about files: send, list, accept, cancel and save."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from chattor_bridge.errors import FileChanged, NotFound, UsageError
from chattor_bridge.ids import EventId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.node.records import TransferState
from chattor_bridge.node.views import ContactInfo, TransferInfo
from chattor_bridge.protocol.limits import MAX_FILE_NAME
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import find_contact, find_file, numbered, shown_name
from chattor_bridge.terminal.bell import Bell, ContactChanged, MessageChanged, first_of
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.forms import file_detail
from chattor_bridge.terminal.paths import PathSources, save
from chattor_bridge.terminal.ports import Direction, TerminalStore

PROGRESS_INTERVAL: Final = 0.5
"""Seconds between two looks at how far a file is: as often as a person notices."""

KINDS: Final = {"image": "image", "video": "video", "audio": "audio"}
"""What a file is meant as, by the first half of its media type."""


class Filing:
    """Answers over one node's files."""

    def __init__(self, node: Node, store: TerminalStore, clock: Clock, bell: Bell) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._bell = bell
        self._sources = PathSources()

    async def send(self, args: JsonObject, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        """Offer a file; with ``wait``, until it has gone over or failed."""
        _number, contact = find_contact(await self._node.contacts(), arguments.text(args, "contact"))
        path = Path(arguments.text(args, "path"))
        caption, voice = arguments.optional_text(args, "caption") or "", arguments.flag(args, "voice")
        if not path.is_absolute():
            raise UsageError("the path of a file must be absolute")
        try:
            source = await self._sources.open(self._node.node_id, str(path))
        except FileChanged as error:
            raise UsageError(f"cannot send {path}: {error}") from error
        try:
            prepared = await prepare(source)
        finally:
            await source.close()
        mime = mimetypes.guess_type(path.name, strict=False)[0] or ""
        kind = "voice" if voice else KINDS.get(mime.partition("/")[0], "")
        name = path.name.encode(errors="replace")[:MAX_FILE_NAME].decode(errors="ignore")
        name = "".join(character if character.isprintable() else "_" for character in name)
        now = self._clock.now()
        async with self._store.transaction() as tx:
            event_id, file_id = await self._node.files.offer(
                tx, contact.peer_id, prepared, str(path), name=name, mime=mime, kind=kind, caption=caption, time=now
            )
            detail = file_detail(file_id, name, mime, kind, prepared.size)
            await self._store.history.add(
                tx,
                self._node.node_id,
                contact.peer_id,
                event_id,
                Direction.OUT,
                caption,
                sent_at=now,
                stored_at=now,
                kind="file",
                detail=detail,
            )
            changes = MessageChanged(contact.peer_id, event_id), ContactChanged(contact.peer_id)
            tx.after_commit(lambda: self._bell.ring(*changes))
        yield Item(await self._described(event_id))
        if arguments.flag(args, "wait"):
            async for item in self._until_over(event_id, gone):
                yield item
        yield Done({})

    async def files(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        contacts = await self._node.contacts()
        word = arguments.optional_text(args, "contact")
        chosen = None if word is None else find_contact(contacts, word)[1].peer_id
        for info in await self._node.files.list(chosen):
            yield Item(_item(info, contacts))
        yield Done({})

    async def accept(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        info = await self._find(args)
        async with self._store.transaction() as tx:
            await self._node.files.accept(tx, info.peer_id, info.file_id)
            self._tell(tx, info)
        yield Item(await self._described(info.event_id))
        yield Done({})

    async def cancel(self, args: JsonObject) -> AsyncGenerator[Answer, None]:
        info = await self._find(args)
        async with self._store.transaction() as tx:
            await self._node.files.cancel(tx, info.peer_id, info.file_id)
            self._tell(tx, info)
        yield Item(await self._described(info.event_id))
        yield Done({})

    async def save(self, args: JsonObject, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        """Fetch a file if that is to be done yet, and write it into a directory."""
        directory, info = Path(arguments.text(args, "directory")), await self._find(args)
        if info.outgoing:
            raise UsageError("this is a file of your own")
        if info.state is TransferState.DONE:
            raise UsageError("this file was saved already; it can be offered again")
        if info.state is TransferState.OFFERED:
            async with self._store.transaction() as tx:
                await self._node.files.accept(tx, info.peer_id, info.file_id)
                self._tell(tx, info)
        if info.state is not TransferState.ARRIVED:
            async for item in self._until_over(info.event_id, gone):
                yield item
            if gone.is_set():
                return
        pieces = self._node.files.read(info.peer_id, info.file_id)
        path = await save(directory, info.name, pieces)
        async with self._store.transaction() as tx:
            await self._node.files.release(tx, info.peer_id, info.file_id)
            self._tell(tx, info)
        yield Item({**await self._described(info.event_id), "saved": str(path)})
        yield Done({})

    async def _until_over(self, event_id: EventId, gone: asyncio.Event) -> AsyncGenerator[Item, None]:
        """How far it is, whenever that has changed, until it has gone over. Raises: CommandError when it failed."""
        shown: JsonObject = {}
        while not gone.is_set():
            news = self._bell.next()
            described = await self._described(event_id)
            if described != shown:
                shown = described
                yield Item(described)
            if described["state"] == "failed":
                raise CommandError(Exit.REFUSED, f"the file {described['reason']}")
            if described["state"] in ("arrived", "done"):
                return
            await first_of(news, gone, timeout=PROGRESS_INTERVAL)

    def _tell(self, tx: Transaction, info: TransferInfo) -> None:
        """Its message shows another state."""
        tx.after_commit(lambda: self._bell.ring(MessageChanged(info.peer_id, info.event_id)))

    async def _find(self, args: JsonObject) -> TransferInfo:
        return find_file(await self._node.files.list(), arguments.text(args, "file"))

    async def _described(self, event_id: EventId) -> JsonObject:
        found = [info for info in await self._node.files.list() if info.event_id == event_id]
        if not found:
            raise NotFound("this file is not there any more")
        return _item(found[0], await self._node.contacts())


def _item(info: TransferInfo, contacts: list[ContactInfo]) -> JsonObject:
    names = {contact.peer_id: (number, shown_name(number, contact)) for number, contact in numbered(contacts)}
    number, name = names.get(info.peer_id, (0, ""))
    return {
        "file": info.file_id.hex(),
        "contact": number,
        "name": name,
        "event_id": info.event_id.hex(),
        "sent": info.outgoing,
        "state": info.state.value,
        "reason": info.reason,
        "file_name": info.name,
        "mime": info.mime,
        "size": info.size,
        "done": info.done,
        "streams": info.streams,
        "carried": info.carried,
        "time": info.created_at,
    }
