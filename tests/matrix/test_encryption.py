"""What is never sent in clear."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import Answer, FakeHomeserver, Request
from tests.matrix.key_server import KeyServer
from tests.synapse import WAIT, Homestead, Intake

ROOM = MatrixRoomId("!room:example.test")
KINDS = ("m.room.message", "m.room.encrypted")

STRANGER = "@mallory:elsewhere.test"


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
    server.behave = key_server = KeyServer()
    service = MatrixService(server.settings(encrypt_rooms=True), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        await server.until(lambda: len(key_server.syncs) > 1)
        ((device_id, device),) = key_server.devices[service.homeserver.bot].items()
        key = device["keys"][f"curve25519:{device_id}"]
        broken = {"algorithm": olm, "sender_key": "A" * 43, "ciphertext": {key: {"type": 1, "body": "AwoA"}}}
        contents: list[object] = [{}, {"algorithm": olm, "ciphertext": 7}, [], None, "x", broken]
        nonsense = [{"type": "m.room.encrypted", "sender": STRANGER, "content": each} for each in contents]
        key_server.to_bring.append({"to_device": {"events": nonsense}})
        await server.until(lambda: not key_server.to_bring)
        brought = str(len(key_server.syncs))
        await server.until(lambda: key_server.syncs[-1] == brought)
    finally:
        await service.stop()
    assert not [each.path for each in server.requests if STRANGER.encode() in each.body]  # nothing is done for them


@pytest.mark.synapse
async def test_a_room_stays_as_it_was_opened_whatever_is_configured_later(homestead: Homestead, keys: Store) -> None:
    person = await homestead.person()
    rooms: list[MatrixRoomId] = []
    said: dict[str, list[str]] = {}
    for number, encrypt in enumerate((True, False, True)):
        service = MatrixService(
            replace(homestead.settings(), encrypt_rooms=encrypt), Intake().accept, SystemClock(), keys
        )
        await service.start()
        try:
            async with asyncio.timeout(WAIT):
                await service.reachable()
                await service._encryption.ears.caught_up.wait()
            bot = service.homeserver.bot
            if number < 2:
                rooms.append(
                    await service.homeserver.create_room(
                        bot, name=None, topic=None, invite=[person.user_id], is_direct=True
                    )
                )
                await person.join(rooms[-1])
            for room_id in rooms:
                content = {"msgtype": "m.text", "body": str(number)}
                await service.homeserver.send(bot, room_id, "m.room.message", content, str(number))
        finally:
            await service.stop()
    for room_id in rooms:
        answer = await person.ask("GET", f"/rooms/{room_id}/messages?dir=f&limit=100")
        said[room_id] = [event["type"] for event in answer["chunk"] if event["type"] in KINDS]
    assert said == {rooms[0]: ["m.room.encrypted"] * 3, rooms[1]: ["m.room.message"] * 2}
