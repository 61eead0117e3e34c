"""A person at a real Synapse and a Chattor friend talk, both ways, while parts of the bridge come and go."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from chattor_bridge.bridge.bridge import Bridge
from chattor_bridge.bridge.permissions import LevelOf
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix.encryption.encryption import Encryption
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.ops.person import Condition, Person
from chattor_bridge.storage.key import StoreKey
from chattor_bridge.storage.store import Store, open_store
from chattor_bridge.transport.memory import MemoryNetwork
from tests.bridge.town import (
    FRIEND_NAME,
    chattor_friend,
    code_in,
    level_of,
    make_bridge,
    marks_all_read,
    receipts,
    until_idle,
)
from tests.peer import Peer
from tests.postgres import Databases, sqlite_databases
from tests.synapse import WAIT, Homestead, Somebody

pytestmark = pytest.mark.synapse

SAID = [f"message {number}: žluťoučký 漢字 👩‍👩‍👧 {'x' * number}" for number in range(12)]


class Road:
    """The Matrix side and the bridge, which can be stopped and started again over the same database."""

    def __init__(
        self,
        homestead: Homestead,
        store: Store,
        directory: Path,
        kind: type[Person],
        only_cross_signed: bool,
        allowed: LevelOf,
    ) -> None:
        self._allowed = allowed
        self._kind = kind
        self._only_cross_signed = only_cross_signed
        self._homestead = homestead
        self._store = store
        self._network = MemoryNetwork(directory / "net")
        self._parts = directory / "parts"
        self.bot = f"@{homestead.registration.bot_localpart}:{homestead.registration.domain}"
        self.persons: list[Person] = []
        self._somebodies: dict[str, Somebody] = {}
        self.bridge: Bridge
        self._service: MatrixService

    async def start(self) -> None:
        clock = SystemClock()

        async def accept(txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
            await self.bridge.accept(txn_id, events, ephemeral)

        self._service = MatrixService(
            replace(
                self._homestead.settings(),
                encrypt_rooms=self._kind is not Person,
                only_cross_signed=self._only_cross_signed,
            ),
            accept,
            clock,
            self._store,
        )
        self.bridge = make_bridge(
            self._store, self._network, self._service.homeserver, clock, self._parts, self._allowed
        )
        self._service.on_change(lambda _: self.bridge.hurry())
        self._service.on_keys(lambda: self.bridge.keys_came())
        await self._service.start()
        await self.bridge.start()

    @property
    def encryption(self) -> Encryption:
        return self._service._encryption

    async def stop(self) -> None:
        await self.bridge.stop()
        await self._service.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def person(self) -> Person:
        """A new Matrix user, logged in until the end of the road."""
        return await self.login(await self._homestead.person("alice"))

    async def login_again(self, person: Person) -> Person:
        """Another device of the same user."""
        return await self.login(self._somebodies[person.user_id])

    def somebody(self, person: Person) -> Somebody:
        """The same user, who can be told to do anything that the client API allows."""
        return self._somebodies[person.user_id]

    async def login(self, somebody: Somebody) -> Person:
        """This user, logged in until the end of the road."""
        self._somebodies[somebody.user_id] = somebody
        person = await self._kind.login(somebody.address, somebody.user_id, somebody.password)
        self.persons.append(person)
        return person


@asynccontextmanager
async def road_to(
    homestead: Homestead,
    directory: Path,
    kind: type[Person] = Person,
    *,
    only_cross_signed: bool = False,
    allowed: LevelOf = level_of,
    databases: Databases = sqlite_databases,
) -> AsyncIterator[tuple[Road, Peer]]:
    async with (
        open_store(databases(f"{directory / 'bridge.db'}"), StoreKey(secrets.token_bytes(32))) as store,
        chattor_friend(directory, MemoryNetwork(directory / "net")) as friend,
    ):
        road = Road(homestead, store, directory, kind, only_cross_signed, allowed)
        await road.start()
        try:
            yield road, friend
        finally:
            await road.stop()
            for person in road.persons:
                await person.close()


@pytest_asyncio.fixture
async def travelled(homestead: Homestead, tmp_path: Path, databases: Databases) -> AsyncIterator[tuple[Road, Peer]]:
    async with road_to(homestead, tmp_path, databases=databases) as road_and_friend:
        yield road_and_friend


async def accepted(road: Road, friend: Peer, alice: Person) -> str:
    """Alice, who is new to the bot, accepts the friend; her room with the bot."""
    management = await alice.open_chat(road.bot)
    await alice.next_from(road.bot, management, WAIT)
    await alice.say(management, "start Alice")
    await alice.next_from(road.bot, management, WAIT)
    await alice.say(management, "code new friends")
    answer = await alice.next_from(road.bot, management, WAIT)
    code = code_in(answer["content"]["body"])
    await alice.wait_for(lambda event: event["content"].get("msgtype") == "m.image", WAIT)
    await friend.add(code, "it is me")
    notice = await alice.wait_for(lambda event: "it is me" in event["content"].get("body", ""), WAIT)
    await alice.react(management, notice["event_id"], "✅")
    return management


async def befriended(road: Road, friend: Peer) -> tuple[Person, str, str]:
    """A person who became the friend's friend: themselves, the portal and its ghost."""
    alice = await road.person()
    await accepted(road, friend, alice)
    welcome = await alice.wait_for(lambda event: "yours alone" in event["content"].get("body", ""), WAIT)
    ghost = next(
        event["state_key"]
        for event in alice.timeline
        if event["type"] == "m.room.member"
        and event["room_id"] == welcome["room_id"]
        and event["state_key"] not in (alice.user_id, road.bot)
    )
    return alice, welcome["room_id"], ghost


async def hear(alice: Person, room_id: str, ghost: str, said: list[str]) -> None:
    """Wait until Alice has heard this, and exactly this."""
    await alice.wait_for(lambda event: event["sender"] == ghost and event["content"].get("body") == said[-1], WAIT)
    assert alice.messages(room_id, ghost) == said


async def test_two_people_become_friends_and_talk(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    peer_id = await friend.friend(WAIT)
    for number, text in enumerate(SAID):
        await friend.send(peer_id, text)
        await alice.say(room_id, text, html=f"<b>{text}</b>" if number % 2 else None)
    await hear(alice, room_id, ghost, SAID)
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) == len(SAID), WAIT)
    assert friend.ears.texts() == [f"**{text}**" if number % 2 else text for number, text in enumerate(SAID)]


async def test_the_chat_is_a_direct_one_named_after_the_friend(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    invitation = alice.invites[room_id]["invite_state"]["events"]
    mine = next(event for event in invitation if event.get("state_key") == alice.user_id)
    assert mine["content"]["is_direct"] is True
    assert mine["sender"] == ghost
    name = next(event["content"]["name"] for event in invitation if event["type"] == "m.room.name")
    assert name == FRIEND_NAME


async def test_receipts_tell_what_was_delivered_and_what_was_read_on_both_sides(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    event_id = await alice.say(room_id, "hello")

    def read_by(user: str) -> object:
        return lambda event: user in event["content"].get(event_id, {}).get("m.read", {})

    await alice.wait_for(read_by(road.bot), WAIT, ephemeral=True)  # type: ignore[arg-type]
    await marks_all_read(friend)
    await alice.wait_for(read_by(ghost), WAIT, ephemeral=True)  # type: ignore[arg-type]

    sent = await friend.send(await friend.friend(WAIT), "hello yourself")
    shown = await alice.wait_for(lambda event: event["content"].get("body") == "hello yourself", WAIT)
    await alice.mark_read(room_id, shown["event_id"])
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)


async def test_what_is_said_while_the_bridge_is_away_arrives_when_it_is_back(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    await until_idle(road.bridge)
    await road.stop()
    peer_id = await friend.friend(WAIT)
    for text in SAID:
        await friend.send(peer_id, text)
        await alice.say(room_id, text)
    await road.start()
    await hear(alice, room_id, ghost, SAID)
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) == len(SAID), WAIT)
    assert friend.ears.texts() == SAID


async def test_stopping_in_the_middle_of_it_all_loses_and_doubles_nothing(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    peer_id = await friend.friend(WAIT)
    for number, text in enumerate(SAID):
        await friend.send(peer_id, text)
        await alice.say(room_id, text)
        if number % 3 == 2:
            await road.stop()
            await road.start()
    await hear(alice, room_id, ghost, SAID)
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) >= len(SAID), WAIT)
    assert friend.ears.texts() == SAID


async def test_somebody_stops_comes_back_and_has_everything_removed(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    await until_idle(road.bridge)
    management = await alice.open_chat(road.bot)
    ask = partial(asked, road, alice, management)
    await alice.wait_for(lambda event: "Hello again" in event["content"].get("body", ""), WAIT)
    assert "is stopped" in await ask("logout")
    await friend.send(await friend.friend(WAIT), "are you there?")
    assert "running again" in await ask("start")
    await hear(alice, room_id, ghost, ["are you there?"])
    found = re.search(r"delete-everything \d{4}", await ask("delete-everything"))
    assert found is not None
    assert "Everything is removed" in await ask(found[0])
    for user in (ghost, road.bot):
        await alice.wait_for(left(user, room_id), WAIT)
    await until_idle(road.bridge)
    assert road.bridge.host.nodes() == []
    assert (await road.bridge.status()).parked == 0


async def asked(road: Road, person: Person, room_id: str, command: str) -> str:
    """What the bot answers in this room: the next thing it says there."""
    seen = {event.get("event_id") for event in person.timeline}
    await person.say(room_id, command)
    answer = await person.wait_for(
        lambda event: (
            (event["room_id"], event["sender"], event["type"]) == (room_id, road.bot, "m.room.message")
            and event["event_id"] not in seen
        ),
        WAIT,
    )
    return str(answer["content"]["body"])


def left(user: str, room_id: str) -> Condition:
    return lambda event: (
        (event["type"], event["room_id"], event.get("state_key")) == ("m.room.member", room_id, user)
        and event["content"]["membership"] == "leave"
    )


async def test_a_homeserver_that_goes_away_and_comes_back(private_homestead: Homestead, tmp_path: Path) -> None:
    await private_homestead.synapse.start()
    async with road_to(private_homestead, tmp_path) as (road, friend):
        alice, room_id, ghost = await befriended(road, friend)
        peer_id = await friend.friend(WAIT)
        await friend.send(peer_id, SAID[0])
        await private_homestead.synapse.kill()
        for text in SAID[1:]:
            await friend.delivered(await friend.send(peer_id, text), WAIT)
        await private_homestead.synapse.start()
        await hear(alice, room_id, ghost, SAID)
        await alice.say(room_id, "still there?")
        await friend.ears.wait_until(lambda: friend.ears.texts() == ["still there?"], WAIT)
