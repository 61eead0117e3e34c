"""What is never sent in clear."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.encryption.identity import UPLOADS
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import Answer, FakeHomeserver, Request
from tests.synapse import Intake

ROOM = MatrixRoomId("!room:example.test")
STRANGER = "@mallory:elsewhere.test"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    server = FakeHomeserver()
    await server.start()
    yield server
    await server.stop()


async def _refuses_to_speak(server: FakeHomeserver, keys: Store) -> None:
    """A bridge over these keys."""
    service = MatrixService(server.settings(), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        bot = service.homeserver.bot
        with pytest.raises((HomeserverRefused, HomeserverUnavailable)):
            await service.homeserver.send(bot, ROOM, "m.room.message", {"body": "secret"}, "1")
    finally:
        await service.stop()


async def test_a_room_that_was_encrypted_stays_so_whatever_the_homeserver_says(
    server: FakeHomeserver, keys: Store
) -> None:
    said: Answer

    def behave(request: Request) -> Answer:
        return said if request.path.endswith("/m.room.encryption") else Answer()

    server.behave = behave
    said = Answer(body={"algorithm": "m.megolm.v1.aes-sha2"})
    await _refuses_to_speak(server, keys)  # which knows nobody's devices yet
    said = Answer(404, {"errcode": "M_NOT_FOUND"})
    await _refuses_to_speak(server, keys)
    assert not [request for request in server.requests if b"secret" in request.body]


async def test_a_room_encrypted_in_a_way_we_do_not_know_is_not_spoken_in(server: FakeHomeserver, keys: Store) -> None:
    server.behave = lambda _request: Answer(body={"algorithm": "org.example.rot13"})
    await _refuses_to_speak(server, keys)
    assert not [request for request in server.requests if b"secret" in request.body]


async def test_what_cannot_be_read_does_not_hold_up_the_keys_that_follow(server: FakeHomeserver, keys: Store) -> None:
    """Anybody may send anything to the bot's device."""
    olm = "m.olm.v1.curve25519-aes-sha2"
    syncs: list[str | None] = []

    def behave(request: Request) -> Answer:
        if not request.path.endswith("/sync"):
            return _keys(request)
        syncs.append(request.query.get("since"))
        key = _uploaded["keys"][f"curve25519:{_uploaded['device_id']}"]
        broken = {"algorithm": olm, "sender_key": "A" * 43, "ciphertext": {key: {"type": 1, "body": "AwoA"}}}
        contents: list[object] = [{}, {"algorithm": olm, "ciphertext": 7}, [], None, "x", broken]
        nonsense = [{"type": "m.room.encrypted", "sender": STRANGER, "content": each} for each in contents]
        return Answer(
            body={"next_batch": str(len(syncs)), "to_device": {"events": nonsense if len(syncs) == 1 else []}}
        )

    server.behave = behave
    service = MatrixService(server.settings(), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        await server.until(lambda: len(syncs) > 1)
    finally:
        await service.stop()
    assert syncs[:2] == [None, "1"]
    assert not [each.path for each in server.requests if STRANGER.encode() in each.body]  # nothing is done for them


def _keys(request: Request) -> Answer:
    """A homeserver that takes the bot's keys and gives them back."""
    bot = "@chattorbot:example.test"
    if request.path.endswith("/keys/upload"):
        _uploaded.update(json.loads(request.body).get("device_keys", {}))
        return Answer(body={"one_time_key_counts": {"signed_curve25519": 50}})
    if request.path.endswith(f"/account_data/{UPLOADS}"):
        if request.method == "PUT":
            _marked.update(json.loads(request.body))
        return Answer(body=_marked)
    if request.path.endswith("/keys/query"):
        return Answer(body={"failures": {}, "device_keys": {bot: {_uploaded["device_id"]: _uploaded}}})
    return Answer()


_uploaded: JsonObject = {}
_marked: JsonObject = {}
