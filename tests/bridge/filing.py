"""Files of owners and friends, for tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from chattor_bridge.bridge.attachment import Attachment, Upload
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import EventId, FileId, PeerId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.happenings import EventArrived, FileArrived, Happening
from chattor_bridge.node.records import TransferState
from chattor_bridge.protocol.events import Body, FileOffer
from chattor_bridge.storage.transaction import sql
from tests.bridge.fake_homeserver import WAIT, Room
from tests.bridge.town import Town
from tests.peer import Peer

ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2"}


def of_kind(friend: Peer, kind: type[Happening]) -> list[Happening]:
    return [one for one in friend.ears.happenings if isinstance(one, kind)]


def offers(friend: Peer) -> list[FileOffer]:
    return [body for body in said_by_owner(friend) if isinstance(body, FileOffer)]


def said_by_owner(friend: Peer) -> list[Body]:
    return [one.event.body for one in friend.ears.happenings if isinstance(one, EventArrived)]


async def until(friend: Peer, kind: type[Happening], count: int = 1) -> None:
    await friend.ears.wait_until(lambda: len(of_kind(friend, kind)) >= count, WAIT)


async def upload(town: Town, room: Room, data: bytes) -> Attachment:
    """As the owner's client does, encrypted where the room is."""
    ghost = (await town.portal(room)).ghost
    return await town.homeserver.attach(ghost, room.room_id, Upload.of(data, "image/png", "a"))


async def send_file(town: Town, room: Room, data: bytes, **content: object) -> str:
    attachment = await upload(town, room, data)
    event = {"msgtype": "m.file", "body": "a file.bin", **attachment.to_content(), **content}
    return await town.send(room, event)


async def fetched(friend: Peer, number: int = 0) -> bytes:
    """What the friend gets when it accepts what was offered."""
    peer_id = await friend.friend(WAIT)
    await friend.ears.wait_until(lambda: len(offers(friend)) > number, WAIT)
    file_id = offers(friend)[number].content.file_id
    async with friend.store.transaction() as tx:
        await friend.node.files.accept(tx, peer_id, file_id)
    await friend.ears.wait_until(
        lambda: any(isinstance(one, FileArrived) and one.file_id == file_id for one in friend.ears.happenings), WAIT
    )
    return b"".join([piece async for piece in friend.node.files.read(peer_id, file_id)])


async def offer(
    friend: Peer, data: bytes, name: str = "a file.bin", *, to: PeerId | None = None, **said: Any
) -> tuple[EventId, FileId]:
    """The friend offers a file."""
    peer_id = to or await friend.friend(WAIT)
    friend.shelf.files[name] = data
    prepared = await prepare(await friend.shelf.open(friend.node.node_id, name))
    async with friend.store.transaction() as tx:
        return await friend.node.files.offer(tx, peer_id, prepared, name, name=name, **said)


async def shown(town: Town, room: Room, count: int = 1) -> JsonObject:
    """The newest thing the friend's ghost has said, once there are ``count``."""
    ghost = (await town.portal(room)).ghost

    def said() -> list[JsonObject]:
        return [
            event
            for event in room.timeline
            if event["sender"] == ghost and event["type"] in ("m.room.message", "m.sticker")
        ]

    await town.homeserver.until(lambda: len(said()) >= count)
    return said()[-1]


async def content_of(town: Town, event: JsonObject) -> bytes:
    attachment = Attachment.read(event["content"])
    assert attachment is not None
    async with town.homeserver.download(attachment, at_most=10**9) as download:
        return b"".join([piece async for piece in download.pieces])


async def states(peer: Peer) -> list[TransferState]:
    return [one.state for one in await peer.node.files.list()]


def parts(town: Town) -> list[Path]:
    return list((town.directory / "parts").glob("*"))


async def all_erased(town: Town) -> None:
    """Wait until nothing is kept here of any file. Raises: TimeoutError."""
    async with asyncio.timeout(WAIT):
        while parts(town):  # noqa: ASYNC110 - the disk tells nobody
            await asyncio.sleep(0.02)


async def settings(town: Town) -> list[str]:
    async with town.store.transaction() as tx:
        rows = await sql(tx).fetch("SELECT name FROM settings")
    return [row["name"] for row in rows]
