"""Rooms of conversations at the real homeserver: given up, opened again, called for, and replaced by their owner."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from chattor_bridge.ops.person import JsonObject, Person
from tests.bridge.test_privacy import space_of
from tests.bridge.test_road_synapse import asked, befriended, hear, left, road_to
from tests.bridge.town import FRIEND_NAME, until_idle
from tests.nio_person import NioPerson
from tests.postgres import Databases
from tests.synapse import WAIT, Homestead, Somebody

pytestmark = pytest.mark.synapse


def _is_state(kind: str, key: str, room_id: str, wanted: Callable[[JsonObject], bool]) -> Callable[[JsonObject], bool]:
    return lambda event: (
        (event["type"], event.get("state_key"), event["room_id"]) == (kind, key, room_id) and wanted(event["content"])
    )


async def _opens_direct_chat(owner: Somebody, *invitees: str, encrypted: bool = False) -> str:
    """As a client does for who wants to write to somebody."""
    content: JsonObject = {"preset": "trusted_private_chat", "is_direct": True, "invite": list(invitees)}
    if encrypted:
        algorithm = {"algorithm": "m.megolm.v1.aes-sha2"}
        content["initial_state"] = [{"type": "m.room.encryption", "state_key": "", "content": algorithm}]
    return str((await owner.ask("POST", "/createRoom", content))["room_id"])


@pytest.mark.engines("sqlite", "postgres")
async def test_a_room_is_given_up_and_the_ghost_called_into_another(
    homestead: Homestead, tmp_path: Path, databases: Databases
) -> None:
    async with road_to(homestead, tmp_path, databases=databases) as (road, friend):
        alice, first, ghost = await befriended(road, friend)
        owner, peer_id = road.somebody(alice), await friend.friend(WAIT)
        space = await space_of(alice)
        await alice.say(first, "!chattor unbridge")
        await alice.wait_for(left(ghost, first), WAIT)
        await alice.wait_for(_is_state("m.space.child", first, space, lambda content: not content), WAIT)
        await until_idle(road.bridge)

        called = await _opens_direct_chat(owner, ghost)
        early = [await alice.say(called, f"before anybody came {number}") for number in range(3)]
        await friend.ears.wait_until(lambda: len(friend.ears.texts()) == len(early), WAIT)
        assert friend.ears.texts() == [f"before anybody came {number}" for number in range(3)]
        await friend.send(peer_id, "there you are")
        await hear(alice, called, ghost, ["there you are"])
        await alice.wait_for(_is_state("m.room.name", "", called, lambda content: content["name"] == FRIEND_NAME), WAIT)
        await alice.wait_for(_is_state("m.space.child", called, space, lambda content: bool(content)), WAIT)

        again = await _opens_direct_chat(owner, ghost)
        refused = await alice.wait_for(left(ghost, again), WAIT)
        assert "room of its own" in refused["content"]["reason"]

        await alice.say(called, "!chattor delete yes")
        await alice.wait_for(lambda event: "made that room yourself" in str(event["content"].get("body", "")), WAIT)
        await friend.send(peer_id, "a new room for this")
        shown = await alice.wait_for(lambda event: event["content"].get("body") == "a new room for this", WAIT)
        assert shown["room_id"] not in (first, called, again)
        await alice.say(shown["room_id"], "!chattor delete yes")
        await alice.wait_for(_is_state("m.space.child", shown["room_id"], space, lambda content: not content), WAIT)
        await until_idle(road.bridge)
        assert shown["room_id"] not in (await owner.ask("GET", "/joined_rooms"))["joined_rooms"]
        assert (await road.bridge.status()).parked == 0


@pytest.mark.engines("postgres")
async def test_who_gives_an_access_token_need_accept_no_invitation(
    homestead: Homestead, tmp_path: Path, databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with road_to(homestead, tmp_path, databases=databases) as (road, friend):
        alice, first, ghost = await befriended(road, friend)
        owner = road.somebody(alice)
        space = await space_of(alice)
        login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id}}
        token = str((await owner.ask("POST", "/login", {**login, "password": owner.password}))["access_token"])
        mine = {"@somebody:example.test": ["!mine:example.test"]}
        direct = f"/user/{alice.user_id}/account_data/m.direct"
        await owner.ask("PUT", direct, mine)
        said = await alice.say(first, f"!chattor login-matrix {token}")
        await alice.wait_for(lambda event: "I join your conversations" in str(event["content"].get("body", "")), WAIT)
        assert (await owner.ask("GET", f"/rooms/{first}/event/{said}"))["content"] == {}
        await until_idle(road.bridge)
        assert await owner.ask("GET", direct) == {**mine, ghost: [first]}

        await alice.say(first, "!chattor unbridge")
        await alice.wait_for(left(ghost, first), WAIT)
        await until_idle(road.bridge)
        # from here on no client of Alice's is at work
        await friend.send(await friend.friend(WAIT), "in another room")
        async with asyncio.timeout(WAIT):
            while not (new := set((await owner.ask("GET", "/joined_rooms"))["joined_rooms"]) - _known(alice)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await until_idle(road.bridge)
        assert await owner.ask("GET", direct) == {**mine, ghost: list(new)}
        assert "in another room" in [event["content"].get("body") for event in await owner.messages(new.pop())]
        await owner.ask("POST", f"/rooms/{space}/leave", {})
        await until_idle(road.bridge)

        other = Somebody(owner.address, owner.user_id, token, owner.password)
        await other.ask("POST", "/logout", {})
        management = next(iter(_known(alice) - {first, space}))
        await alice.say(management, "space")
        await alice.wait_for(lambda event: "does not know your access token" in str(event["content"].get("body")), WAIT)
        assert (await road.bridge.status()).parked == 0
    assert token not in caplog.text


def _known(person: Person) -> set[str]:
    """The rooms that somebody's client has seen."""
    return {event["room_id"] for event in person.timeline}


@pytest.mark.parametrize("kind", [Person, NioPerson], ids=["clear", "encrypted"])
async def test_a_room_that_its_owner_replaces_is_followed(
    homestead: Homestead, tmp_path: Path, kind: type[Person]
) -> None:
    async with road_to(homestead, tmp_path, kind) as (road, friend):
        alice, old, ghost = await befriended(road, friend)
        owner, peer_id = road.somebody(alice), await friend.friend(WAIT)
        space = await space_of(alice)
        await until_idle(road.bridge)
        version = {"new_version": "11"}
        new = str((await owner.ask("POST", f"/rooms/{old}/upgrade", version))["replacement_room"])
        await alice.wait_for(lambda event: "You have replaced" in str(event["content"].get("body", "")), WAIT)
        for user in (road.bot, ghost):
            await owner.ask("POST", f"/rooms/{new}/invite", {"user_id": user})
        await alice.wait_for(left(ghost, old), WAIT)
        await alice.wait_for(_is_state("m.space.child", new, space, lambda content: bool(content)), WAIT)
        await alice.wait_for(_is_state("m.space.child", old, space, lambda content: not content), WAIT)
        await until_idle(road.bridge)
        await alice.say(new, "still you?")
        await friend.ears.wait_until(lambda: friend.ears.texts() == ["still you?"], WAIT)
        await friend.send(peer_id, "still I")
        await hear(alice, new, ghost, ["still I"])
        assert "Your contacts" in await asked(road, alice, new, "!chattor contacts")


async def test_a_ghost_called_into_an_encrypted_room_says_what_it_could_not_read(
    homestead: Homestead, tmp_path: Path
) -> None:
    """The bot has no key of what was said before it came; what comes then is read."""
    async with road_to(homestead, tmp_path, NioPerson) as (road, friend):
        alice, first, ghost = await befriended(road, friend)
        owner = road.somebody(alice)
        await alice.say(first, "!chattor unbridge")
        await alice.wait_for(left(ghost, first), WAIT)
        await until_idle(road.bridge)
        called = await _opens_direct_chat(owner, ghost, encrypted=True)
        await alice.wait_for(
            _is_state("m.room.member", road.bot, called, lambda content: content["membership"] == "join"), WAIT
        )
        await alice.say(called, "now you can")
        await friend.ears.wait_until(lambda: friend.ears.texts() == ["now you can"], WAIT)
        await friend.send(await friend.friend(WAIT), f"so I can {(token := secrets.token_hex(4))}")
        await hear(alice, called, ghost, [f"so I can {token}"])
