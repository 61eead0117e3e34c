"""The port `Homeserver`, over the real Synapse."""

from __future__ import annotations

import asyncio
import secrets
import time

import pytest

from chattor_bridge.bridge.attachment import Upload
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.client import DEVICE_ID
from chattor_bridge.matrix.homeserver import MatrixHomeserver
from chattor_bridge.matrix.service import MatrixService
from tests.synapse import WAIT, Homestead, Intake, Somebody, new_ghost

pytestmark = pytest.mark.synapse


@pytest.fixture
def homeserver(service: MatrixService) -> MatrixHomeserver:
    return service.homeserver


@pytest.fixture
async def person(homestead: Homestead) -> Somebody:
    return await homestead.person()


async def shared_room(homeserver: MatrixHomeserver, user: MatrixUserId, person: Somebody) -> MatrixRoomId:
    """A room made by ``user`` in which ``person`` is too."""
    room_id = await homeserver.create_room(user, name=None, topic=None, invite=[person.user_id], is_direct=True)
    await person.join(room_id)
    return room_id


def text(body: str, **more: str) -> JsonObject:
    return {"msgtype": "m.text", "body": body, **more}


async def test_ghost_is_registered_with_its_device_and_named(homeserver: MatrixHomeserver, person: Somebody) -> None:
    ghost = new_ghost()
    await homeserver.ensure_user(ghost, "Ada ♥")
    await homeserver.ensure_user(ghost, "Ada ♥")
    assert await person.ask("GET", f"/profile/{ghost}/displayname") == {"displayname": "Ada ♥"}
    await homeserver.ensure_user(ghost, "Ada Lovelace")
    assert await person.ask("GET", f"/profile/{ghost}/displayname") == {"displayname": "Ada Lovelace"}
    keys = await person.ask("POST", "/keys/query", {"device_keys": {ghost: []}})
    assert ghost in keys["device_keys"]


async def test_bot_is_a_registered_user_that_can_sync(homestead: Homestead, homeserver: MatrixHomeserver) -> None:
    await homeserver.ensure_user(homeserver.bot, "Chattor bridge")
    assert homeserver.bot == f"@chattorbot:{homestead.synapse.domain}"
    bot = Somebody(homestead.synapse.address, homeserver.bot, homestead.registration.as_token, "")
    answer = await bot.ask("GET", f"/sync?timeout=0&user_id={homeserver.bot}&device_id={DEVICE_ID}")
    assert "next_batch" in answer


async def test_users_outside_our_namespace_are_refused(homeserver: MatrixHomeserver, person: Somebody) -> None:
    with pytest.raises(HomeserverRefused):
        await homeserver.ensure_user(person.user_id, "not mine")


async def test_nobody_else_can_take_a_name_of_ours(homestead: Homestead) -> None:
    with pytest.raises(Exception, match="reserved"):
        await homestead.synapse.register(new_ghost()[1:].partition(":")[0])


async def test_room_is_private_and_direct_with_its_initial_state(
    homeserver: MatrixHomeserver, person: Somebody
) -> None:
    ghost = new_ghost()
    await homeserver.ensure_user(ghost, "Ada")
    await homeserver.ensure_user(homeserver.bot, "Chattor bridge")
    room_id = await homeserver.create_room(
        ghost,
        name="Ada",
        topic="via Chattor",
        invite=[person.user_id, homeserver.bot],
        is_direct=True,
        initial_state=[{"type": "m.bridge", "state_key": "chattor", "content": {"bridgebot": homeserver.bot}}],
        power={"users": {homeserver.bot: 100, person.user_id: 50}, "invite": 50},
    )
    await homeserver.join(homeserver.bot, room_id)
    await person.join(room_id)
    assert await homeserver.get_state(ghost, room_id, "m.room.name") == {"name": "Ada"}
    assert await homeserver.get_state(ghost, room_id, "m.room.topic") is not None
    assert await homeserver.get_state(ghost, room_id, "m.room.join_rules") == {"join_rule": "invite"}
    assert await homeserver.get_state(ghost, room_id, "m.bridge", "chattor") == {"bridgebot": homeserver.bot}
    assert await homeserver.get_state(ghost, room_id, "m.bridge", "other") is None
    levels = await homeserver.get_state(homeserver.bot, room_id, "m.room.power_levels")
    assert levels is not None
    assert levels["users"][homeserver.bot] == 100
    assert levels["users"][person.user_id] == 50
    assert levels["invite"] == 50
    assert room_id in await homeserver.joined_rooms(ghost)
    assert set(await homeserver.joined_members(ghost, room_id)) == {ghost, homeserver.bot, person.user_id}


@pytest.mark.parametrize("version", ["11", "12"])
async def test_power_levels_fit_rooms_with_and_without_creators(
    homeserver: MatrixHomeserver, person: Somebody, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeserver, "_room_version", version)
    ghost = new_ghost()
    room_id = await homeserver.create_room(
        ghost, name=None, topic=None, invite=[], is_direct=False, power={"users": {person.user_id: 50, ghost: 100}}
    )
    created = await homeserver.get_state(ghost, room_id, "m.room.create")
    assert created is not None
    assert created["room_version"] == version
    # whoever made the room rules it
    await homeserver.set_state(
        ghost, room_id, "m.room.power_levels", {"users": {ghost: 100}} if version == "11" else {}
    )


async def test_inviting_joining_and_leaving(homeserver: MatrixHomeserver, person: Somebody) -> None:
    ghost = new_ghost()
    room_id = await shared_room(homeserver, ghost, person)
    await homeserver.invite(ghost, room_id, person.user_id)  # is there already
    await homeserver.invite(ghost, room_id, homeserver.bot)
    await homeserver.invite(ghost, room_id, homeserver.bot)
    await homeserver.join(homeserver.bot, room_id)
    await homeserver.join(homeserver.bot, room_id)
    await homeserver.leave(homeserver.bot, room_id)
    assert set(await homeserver.joined_members(ghost, room_id)) == {ghost, person.user_id}
    with pytest.raises(HomeserverRefused):
        await homeserver.join(new_ghost(), room_id)


async def test_state_is_set_and_read(homeserver: MatrixHomeserver, person: Somebody) -> None:
    ghost = new_ghost()
    room_id = await shared_room(homeserver, ghost, person)
    event_id = await homeserver.set_state(ghost, room_id, "m.room.name", {"name": "New"})
    assert event_id.startswith("$")
    assert await homeserver.get_state(ghost, room_id, "m.room.name") == {"name": "New"}
    assert await homeserver.get_state(ghost, room_id, "m.room.avatar") is None


async def test_same_transaction_id_is_one_message(homeserver: MatrixHomeserver, person: Somebody) -> None:
    ghost = new_ghost()
    room_id = await shared_room(homeserver, ghost, person)
    first = await homeserver.send(ghost, room_id, "m.room.message", text("once"), "txn/1 ü")
    again = await homeserver.send(ghost, room_id, "m.room.message", text("once"), "txn/1 ü")
    other = await homeserver.send(ghost, room_id, "m.room.message", text("twice"), "txn/2")
    assert first == again != other
    assert [event["content"]["body"] for event in await person.messages(room_id)] == ["once", "twice"]


async def test_device_that_was_signed_out_comes_back(homeserver: MatrixHomeserver, homestead: Homestead) -> None:
    ghost = new_ghost()
    room_id = await homeserver.create_room(ghost, name=None, topic=None, invite=[], is_direct=False)
    as_ghost = Somebody(homestead.synapse.address, ghost, homestead.registration.as_token, "")
    await as_ghost.ask("DELETE", f"/devices/{DEVICE_ID}?user_id={ghost}", {})
    assert await homeserver.send(ghost, room_id, "m.room.message", text("still here"), "txn")


async def test_sent_message_is_found_by_its_mark(homeserver: MatrixHomeserver, person: Somebody) -> None:
    ghost = new_ghost()
    room_id = await shared_room(homeserver, ghost, person)
    began = int(time.time())
    wanted = await homeserver.send(ghost, room_id, "m.room.message", text("wanted", mark="a"), "0")
    for number in range(1, 120):  # more than a page
        await homeserver.send(ghost, room_id, "m.room.message", text("other", mark="b"), str(number))
    await person.ask("PUT", f"/rooms/{room_id}/send/m.room.message/x", text("forged", mark="c"))
    assert await homeserver.find_sent(ghost, room_id, "mark", "a", began - 60) == wanted
    assert await homeserver.find_sent(ghost, room_id, "mark", "c", began - 60) is None
    assert await homeserver.find_sent(ghost, room_id, "mark", "none", began - 60) is None
    assert await homeserver.find_sent(ghost, room_id, "mark", "a", began + 3600) is None


async def test_redaction_empties_the_message(homeserver: MatrixHomeserver, person: Somebody) -> None:
    ghost = new_ghost()
    room_id = await shared_room(homeserver, ghost, person)
    event_id = await homeserver.send(ghost, room_id, "m.room.message", text("oops"), "1")
    await homeserver.redact(ghost, room_id, event_id, "2")
    await homeserver.redact(ghost, room_id, event_id, "2")
    assert [event["content"] for event in await person.messages(room_id)] == [{}]


async def test_uploaded_picture_can_be_fetched(homeserver: MatrixHomeserver, person: Somebody) -> None:
    room_id = await shared_room(homeserver, homeserver.bot, person)
    for size in (1_000, 2_000_000):
        picture = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(size)
        attachment = await homeserver.attach(homeserver.bot, room_id, Upload.of(picture, "image/png", "code ü.png"))
        assert attachment.server == homeserver.domain
        assert await person.fetch(attachment.address) == picture


async def test_messages_and_receipts_come_in_and_our_own_receipts_do_not(
    homeserver: MatrixHomeserver, person: Somebody, intake: Intake
) -> None:
    ghost = new_ghost()
    room_id = await shared_room(homeserver, ghost, person)
    said = await person.say(room_id, "hello")
    await homeserver.mark_read(ghost, room_id, MatrixEventId(said))
    answer = await homeserver.send(ghost, room_id, "m.room.message", text("hi"), "1")
    await intake.until(lambda: intake.bodies(room_id) == ["hello", "hi"])
    await person.ask("POST", f"/rooms/{room_id}/receipt/m.read/{answer}", {})

    def receipts_here() -> list[JsonObject]:
        here = [event for event in intake.ephemeral if event.get("room_id") == room_id]
        return [event["content"] for event in here if event["type"] == "m.receipt"]

    await intake.until(lambda: bool(receipts_here()))
    receipts = receipts_here()
    assert [list(receipt) for receipt in receipts] == [[answer]]
    assert list(receipts[0][answer]["m.read"]) == [person.user_id]
    seen = await person.ask("GET", "/sync?timeout=0")
    events = seen["rooms"]["join"][room_id]["ephemeral"]["events"]
    assert any(ghost in content.get("m.read", {}) for event in events for content in event["content"].values())


async def test_transaction_that_was_not_stored_comes_again(
    service: MatrixService, person: Somebody, intake: Intake
) -> None:
    room_id = await shared_room(service.homeserver, new_ghost(), person)
    intake.failures.append(RuntimeError("the disk is full"))
    await person.say(room_id, "important")
    await intake.until(lambda: not intake.failures)
    await person.say(room_id, "also important")
    await intake.until(lambda: len(intake.bodies(room_id)) == 2)
    assert intake.bodies(room_id) == ["important", "also important"]


async def test_large_transaction_is_accepted_whole(
    service: MatrixService, homestead: Homestead, person: Somebody, intake: Intake
) -> None:
    """100 events of 60 kB, as Synapse sends them after it could not reach us."""
    room_id = await shared_room(service.homeserver, new_ghost(), person)
    await service.stop()
    big = "ä" * 30_000
    async with asyncio.timeout(WAIT):
        for number in range(100):
            await person.say(room_id, f"{number:03} {big}")
    before = len(intake.transactions)
    await service.start()
    await intake.until(lambda: len(intake.bodies(room_id)) >= 100)
    assert [body[:3] for body in intake.bodies(room_id)] == [f"{number:03}" for number in range(100)]
    assert all(len(body) == 30_004 for body in intake.bodies(room_id))
    assert len(intake.transactions) > before
