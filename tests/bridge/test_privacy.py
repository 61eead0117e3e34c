"""What somebody else at the homeserver, or beside it, finds out about an owner's friends: nothing.

The attacker knows all that can be known from outside, the ids of ghost and rooms included, which nobody can guess: a
ghost's name is 160 bits of a keyed hash.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio

from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.ops.person import JsonObject, Person
from chattor_bridge.ops.synapse import Synapse
from tests.bridge.test_road_synapse import Road, befriended, road_to
from tests.bridge.town import FRIEND_NAME, until_idle
from tests.federation import FederatingSynapse, two_homesteads
from tests.peer import Peer
from tests.synapse import WAIT, Homestead, Somebody

pytestmark = pytest.mark.synapse

SECRET_NAME = f"Xaver{secrets.token_hex(4)}"
"""What Alice calls her friend, and nobody else should hear."""

NO_ACCESS = {"M_FORBIDDEN", "M_NOT_FOUND", "M_GUEST_ACCESS_FORBIDDEN", "M_UNKNOWN"}


class Scene:
    """Alice talks with a friend; what Mallory sees of it."""

    def __init__(self, road: Road, alice: Person, portal: str, ghost: str, space: str, mallory: Somebody) -> None:
        self.road = road
        self.alice = alice
        self.portal = portal
        self.ghost = ghost
        self.space = space
        self.mallory = mallory

    @property
    def owner(self) -> Somebody:
        return self.road.somebody(self.alice)

    @property
    def hidden(self) -> list[str]:
        """Rooms in which Mallory has no business."""
        return [self.portal, self.space]

    async def refused(self, method: str, path: str, content: JsonObject | None = None) -> None:
        assert await self.mallory.refused(method, path, content) in NO_ACCESS, path

    async def found_by_search(self, term: str) -> list[str]:
        answer = await self.mallory.ask("POST", "/user_directory/search", {"search_term": term, "limit": 50})
        return [found["user_id"] for found in answer["results"]]

    async def finds_nobody_in_the_directory(self) -> None:
        localpart = self.ghost[1:].partition(":")[0]
        for term in (SECRET_NAME, FRIEND_NAME, NAMELESS, "chattor", "chattor_", localpart, self.ghost):
            assert self.ghost not in await self.found_by_search(term), term

    async def is_let_in_nowhere(self) -> None:
        for room in self.hidden:
            await self.refused("POST", f"/v3/rooms/{room}/join", {})
            await self.refused("POST", f"/v3/join/{quote(room)}", {})
            await self.refused("POST", f"/v3/knock/{quote(room)}", {"reason": "let me in"})
            await self.refused("POST", f"/v3/rooms/{room}/invite", {"user_id": self.mallory.user_id})
            await self.refused("PUT", f"/v3/rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "x"})
            alias = quote(f"#{secrets.token_hex(8)}:{_domain(self.mallory)}")
            await self.refused("PUT", f"/v3/directory/room/{alias}", {"room_id": room})

    async def sees_no_room_from_outside(self) -> None:
        for room in self.hidden:
            for path in (
                f"/v3/rooms/{room}/state",
                f"/v3/rooms/{room}/state/m.room.name",
                f"/v3/rooms/{room}/state/m.room.create",
                f"/v3/rooms/{room}/members",
                f"/v3/rooms/{room}/joined_members",
                f"/v3/rooms/{room}/messages?dir=b",
                f"/v3/rooms/{room}/initialSync",
                f"/v3/rooms/{room}/aliases",
                f"/v1/rooms/{room}/hierarchy",
                f"/v1/room_summary/{quote(room)}",
            ):
                await self.refused("GET", path)


async def space_of(alice: Person) -> str:
    """The room of Alice's space, once she is in it."""
    made = await alice.wait_for(lambda event: event["content"].get("type") == "m.space", WAIT)
    return str(made["room_id"])


def _domain(somebody: Somebody) -> str:
    return somebody.user_id.partition(":")[2]


def _everybody(_user: MatrixUserId) -> Level:
    return Level.USER


async def _until(somebody: Somebody, room: str, user: str, membership: str) -> None:
    """Wait until ``user`` has this membership, as far as ``somebody`` sees."""
    async with asyncio.timeout(WAIT):
        while True:
            member = await somebody.ask("GET", f"/rooms/{room}/state/m.room.member/{user}")
            if member["membership"] == membership:
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def scene_at(
    home: Homestead, directory: Path, mallory_at: Synapse, **options: Any
) -> AsyncIterator[tuple[Scene, Peer]]:
    async with road_to(home, directory, **options) as (road, friend):
        alice, portal, ghost = await befriended(road, friend)
        await alice.say(portal, f"!chattor rename {SECRET_NAME}")
        await alice.wait_for(
            lambda event: event.get("state_key") == ghost and event["content"].get("displayname") == SECRET_NAME, WAIT
        )
        await until_idle(road.bridge)
        account = await mallory_at.register(f"mallory-{secrets.token_hex(4)}")
        mallory = Somebody(mallory_at.address, MatrixUserId(account.user_id), account.access_token, account.password)
        yield Scene(road, alice, portal, ghost, await space_of(alice), mallory), friend


@pytest_asyncio.fixture
async def scene(homestead: Homestead, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_at(homestead, tmp_path, homestead.synapse) as (scene, _):
        yield scene


async def test_another_local_user_finds_no_ghost_and_no_room(scene: Scene) -> None:
    mallory = scene.mallory
    await scene.finds_nobody_in_the_directory()
    await scene.sees_no_room_from_outside()
    await scene.is_let_in_nowhere()
    public = json.dumps(await mallory.ask("POST", "/publicRooms", {"limit": 1000}))
    assert not any(room in public for room in scene.hidden)
    domain = _domain(mallory)
    for alias in ("chattor", scene.ghost[1:].partition(":")[0], FRIEND_NAME, SECRET_NAME, "chattorbot"):
        assert await mallory.refused("GET", f"/v3/directory/room/{quote(f'#{alias}:{domain}')}") == "M_NOT_FOUND"


async def test_the_owner_sees_the_conversations_in_the_space(scene: Scene) -> None:
    address = f"{scene.owner.address}/_matrix/client/v1/rooms/{scene.space}/hierarchy"
    headers = {"Authorization": f"Bearer {scene.owner.access_token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(address) as answer:
        rooms = {room["room_id"]: room for room in (await answer.json())["rooms"]}
    assert rooms[scene.space]["room_type"] == "m.space"
    assert rooms[scene.portal]["name"] == SECRET_NAME
    assert len(rooms) == 3  # and the room with the bot
    parent = await scene.owner.ask("GET", f"/rooms/{scene.portal}/state/m.space.parent/{scene.space}")
    assert parent == {"via": [_domain(scene.owner)], "canonical": True}
    for what, content in (
        ("send/m.room.message/1", {"msgtype": "m.text", "body": "x"}),
        ("state/m.room.topic", {"topic": "x"}),
    ):
        assert await scene.owner.refused("PUT", f"/v3/rooms/{scene.space}/{what}", content) == "M_FORBIDDEN"
    invitation = {"user_id": scene.mallory.user_id}
    assert await scene.owner.refused("POST", f"/v3/rooms/{scene.space}/invite", invitation) == "M_FORBIDDEN"


async def test_the_profile_of_a_known_ghost_says_nothing_and_that_of_a_guess_is_not_there(scene: Scene) -> None:
    assert await scene.mallory.ask("GET", f"/profile/{scene.ghost}") == {"displayname": NAMELESS}
    guess = f"@chattor_{'a' * 32}:{_domain(scene.mallory)}"
    await scene.refused("GET", f"/v3/profile/{guess}")
    assert await scene.mallory.refused("GET", f"/v3/presence/{scene.ghost}/status") == "M_FORBIDDEN"


async def test_inviting_ghost_and_bot_tells_nothing(scene: Scene) -> None:
    mallory, road = scene.mallory, scene.road
    room = await mallory.create_room(scene.ghost, road.bot)
    await _until(mallory, room, scene.ghost, "leave")
    await _until(mallory, room, road.bot, "join")  # Mallory may use the bridge; nobody says anything of Alice there
    await until_idle(road.bridge)
    seen = json.dumps(await mallory.ask("GET", f"/rooms/{room}/state"))
    seen += json.dumps(await mallory.ask("GET", f"/rooms/{room}/messages?dir=b&limit=1000"))
    for word in (SECRET_NAME, scene.alice.user_id, scene.portal):
        assert word not in seen


async def test_who_was_a_guest_of_a_portal_saw_nothing_of_before_and_learns_nothing_after(scene: Scene) -> None:
    alice, owner, mallory = scene.alice, scene.owner, scene.mallory
    await alice.say(scene.portal, "before the guest came")
    await owner.ask("POST", f"/rooms/{scene.portal}/invite", {"user_id": mallory.user_id})
    await mallory.join(scene.portal)
    said = [event["content"].get("body") for event in await mallory.messages(scene.portal)]
    assert "before the guest came" not in said
    for method, path, content in (
        ("POST", "invite", {"user_id": f"@carol:{_domain(mallory)}"}),
        ("PUT", "state/m.room.join_rules", {"join_rule": "public"}),
        ("PUT", "state/m.room.history_visibility", {"history_visibility": "world_readable"}),
        ("PUT", "state/m.room.guest_access", {"guest_access": "can_join"}),
        ("PUT", "state/m.room.name", {"name": "mine"}),
        ("PUT", "state/m.room.tombstone", {"body": "", "replacement_room": "!x:y"}),
        ("PUT", "state/m.bridge/x", {}),
        ("PUT", "state/m.room.power_levels", {"users": {mallory.user_id: 100}}),
        ("POST", "kick", {"user_id": scene.ghost}),
    ):
        await scene.refused(method, f"/v3/rooms/{scene.portal}/{path}", content)
    # nor can the owner let strangers in by mistake
    for path, content in (
        ("state/m.room.join_rules", {"join_rule": "public"}),
        ("state/m.room.history_visibility", {"history_visibility": "world_readable"}),
        ("state/m.room.guest_access", {"guest_access": "can_join"}),
    ):
        assert await owner.refused("PUT", f"/v3/rooms/{scene.portal}/{path}", content) == "M_FORBIDDEN"

    # which other conversations there are, the space does not tell, though its id stands in the room
    await scene.refused("GET", f"/v1/rooms/{scene.space}/hierarchy")
    await scene.refused("GET", f"/v3/rooms/{scene.space}/state")

    await owner.ask("POST", f"/rooms/{scene.portal}/kick", {"user_id": mallory.user_id})
    await _until(mallory, scene.portal, mallory.user_id, "leave")
    await alice.say(scene.portal, "!chattor rename Known to Alice alone")
    await alice.wait_for(lambda event: event["content"].get("displayname") == "Known to Alice alone", WAIT)
    await scene.is_let_in_nowhere()
    assert await mallory.ask("GET", f"/profile/{scene.ghost}") == {"displayname": NAMELESS}
    now = json.dumps(await mallory.ask("GET", f"/rooms/{scene.portal}/state"))  # as it was when Mallory left
    assert "Known to Alice alone" not in now


async def test_over_federation_and_with_directories_of_everybody_there_is_no_more_to_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both homeservers let everybody search all users they know."""
    configured: Callable[[FederatingSynapse], dict[str, object]] = FederatingSynapse._configuration

    def searching(synapse: FederatingSynapse) -> dict[str, object]:
        everybody = {"enabled": True, "search_all_users": True, "show_locked_users": True}
        return configured(synapse) | {"user_directory": everybody, "allow_public_rooms_over_federation": True}

    monkeypatch.setattr(FederatingSynapse, "_configuration", searching)
    async with (
        two_homesteads(tmp_path) as (home, far),
        scene_at(home, tmp_path, far, allowed=_everybody) as (scene, _),
    ):
        near = await home.person("mallory")
        carol = await home.person("carol")
        there = Scene(scene.road, scene.alice, scene.portal, scene.ghost, scene.space, near)
        assert carol.user_id in await there.found_by_search("carol")  # it does search everybody
        await there.finds_nobody_in_the_directory()

        mallory = scene.mallory
        await scene.finds_nobody_in_the_directory()
        await scene.sees_no_room_from_outside()
        await scene.is_let_in_nowhere()
        via = quote(home.synapse.domain)
        for room in scene.hidden:
            for verb in ("join", "knock"):
                await scene.refused("POST", f"/v3/{verb}/{quote(room)}?server_name={via}&via={via}", {})
            await scene.refused("GET", f"/v1/room_summary/{quote(room)}?via={via}")
        public = json.dumps(await mallory.ask("POST", f"/publicRooms?server={via}", {"limit": 100}))
        assert not any(room in public for room in scene.hidden)
        assert await mallory.ask("GET", f"/profile/{scene.ghost}") == {"displayname": NAMELESS}
        guess = f"@chattor_{'a' * 32}:{home.synapse.domain}"
        assert await mallory.refused("GET", f"/v3/profile/{guess}") == "M_NOT_FOUND"
        assert await mallory.refused("GET", f"/v3/directory/room/{quote(f'#chattor:{home.synapse.domain}')}")

        room = await mallory.create_room(scene.ghost)
        await _until(mallory, room, scene.ghost, "leave")
        seen = json.dumps(await mallory.ask("GET", f"/rooms/{room}/state"))
        assert not any(word in seen for word in (SECRET_NAME, scene.alice.user_id))
        await scene.finds_nobody_in_the_directory()
