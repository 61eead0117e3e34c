"""Files through the kill matrix: SIGKILL at each step of a file's way, in both directions, in encrypted rooms.

After each death the bridge is started again, without help, and the file must be there whole, once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import nio
import pytest
from nio.crypto import decrypt_attachment

from chattor_bridge.bridge.files.offering import SMALL
from chattor_bridge.ids import FileId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.happenings import EventArrived, FileArrived, FileSent
from chattor_bridge.ops.person import JsonObject
from chattor_bridge.protocol.events import FileOffer
from tests.kill.stage import PATIENCE, Conversation
from tests.nio_person import NioPerson

pytestmark = pytest.mark.synapse

SIZE = 300_001

T = TypeVar("T")

FROM_MATRIX = (
    ("event-opened", SIZE),  # decrypted, not read at the homeserver yet
    ("chunk-sent:2", SIZE),  # in the middle of it
    ("matrix-sent", SMALL + 1),  # read through in a lane of its own, not offered
)
TO_MATRIX = (
    "chunks-noted",  # some of it is on disk
    "file-uploaded",  # where it lies is on disk, nobody was told
    "matrix-sent:2",  # in the room, not yet known to be
)
"""Offers are committed as every event is, which `test_matrix.py` kills."""


@pytest.mark.parametrize(("failpoint", "size"), FROM_MATRIX)
async def test_a_file_of_alices_survives_a_death(conversation: Conversation, failpoint: str, size: int) -> None:
    name, data = f"{failpoint} {size} from Matrix", Random(size).randbytes(size)
    peer = conversation.peer
    await conversation.settled()
    await conversation.bridge.restart(failpoint)
    event_id = await _send(conversation, name, data)
    if failpoint.startswith("chunk"):
        await _accept(conversation, name)
    await conversation.bridge.dies()
    await conversation.bridge.start()
    offer = await _accept(conversation, name)
    file_id = offer.content.file_id
    await peer.ears.wait_until(lambda: _is_among(file_id, _of(conversation, FileArrived)), PATIENCE)
    assert b"".join([piece async for piece in peer.node.files.read(conversation.friend, file_id)]) == data
    await conversation.receipted(event_id)
    assert len(_offers(conversation, name)) == 1
    async with peer.store.transaction() as tx:
        await peer.node.files.release(tx, conversation.friend, file_id)


@pytest.mark.parametrize("failpoint", TO_MATRIX)
async def test_a_file_of_the_friends_survives_a_death(conversation: Conversation, failpoint: str) -> None:
    name, data = f"{failpoint} from Chattor", Random(failpoint).randbytes(SIZE)
    peer = conversation.peer
    await conversation.settled()
    await conversation.bridge.restart(failpoint)
    peer.shelf.files[name] = data
    prepared = await prepare(await peer.shelf.open(peer.node.node_id, name))
    async with peer.store.transaction() as tx:
        _, file_id = await peer.node.files.offer(tx, conversation.friend, prepared, name, name=name)
    await conversation.bridge.dies()
    await conversation.bridge.start()

    def is_it(event: JsonObject) -> bool:
        return bool(event["sender"] == conversation.ghost and event["content"].get("filename") == name)

    event = await conversation.alice.wait_for(is_it, PATIENCE)
    assert await _fetch(conversation, event) == data
    await peer.ears.wait_until(lambda: _is_among(file_id, _of(conversation, FileSent)), PATIENCE)
    await conversation.say(f"{failpoint}: have it")  # by then a second one would be there
    conversation.told([name])  # as the ghost said it
    await conversation.settled()
    assert sum(is_it(event) for event in conversation.alice.timeline) == 1


async def _send(conversation: Conversation, name: str, data: bytes) -> str:
    client = _client(conversation)
    answer, keys = await client.upload(io.BytesIO(data), "image/png", encrypt=True, filesize=len(data))
    assert isinstance(answer, nio.UploadResponse), answer
    content = {"msgtype": "m.file", "body": name, "file": {**keys, "url": answer.content_uri}}
    return await conversation.alice.send(conversation.room, "m.room.message", content)


async def _fetch(conversation: Conversation, event: JsonObject) -> bytes:
    file = event["content"]["file"]
    answer = await _client(conversation).download(file["url"])
    assert isinstance(answer, nio.DownloadResponse), answer
    assert isinstance(answer.body, bytes)
    return bytes(decrypt_attachment(answer.body, file["key"]["k"], file["hashes"]["sha256"], file["iv"]))


def _client(conversation: Conversation) -> nio.AsyncClient:
    assert isinstance(conversation.alice, NioPerson)
    return conversation.alice.nio


async def _accept(conversation: Conversation, name: str) -> FileOffer:
    peer = conversation.peer
    await peer.ears.wait_until(lambda: bool(_offers(conversation, name)), PATIENCE)
    [offer] = _offers(conversation, name)
    async with peer.store.transaction() as tx:
        await peer.node.files.accept(tx, conversation.friend, offer.content.file_id)
    return offer


def _offers(conversation: Conversation, name: str) -> list[FileOffer]:
    bodies = [one.event.body for one in _of(conversation, EventArrived)]
    return [body for body in bodies if isinstance(body, FileOffer) and body.name == name]


def _of(conversation: Conversation, kind: type[T]) -> list[T]:
    return [one for one in conversation.peer.ears.happenings if isinstance(one, kind)]


def _is_among(file_id: FileId, happenings: Sequence[FileArrived | FileSent]) -> bool:
    return any(one.file_id == file_id for one in happenings)
