"""How much disk one friend can have used: bounded, with something to see, and nothing lost without a word."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.ids import EventId, MatrixUserId
from chattor_bridge.node.happenings import ContactRenamed, EventsForgotten
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.protocol.events import Profile, Text
from chattor_bridge.protocol.frames import EnvelopeFrame
from chattor_bridge.storage.transaction import sql
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.town import Town
from tests.node.puppet import Puppet
from tests.node.world import PATIENCE, Person, World
from tests.peer import Peer

LIMIT = 20
"""`LANE_LIMIT` in these tests."""


@pytest.fixture
async def puppet(puppet: Puppet, anna: Person) -> Puppet:
    """Ben, moved by hand, greeted by Anna."""
    await puppet.greet(anna)
    return puppet


async def _meet(anna: Person, puppet: Puppet) -> None:
    await anna.until(lambda: not anna.online(puppet.contact.peer_id))
    await puppet.greet(anna)


async def test_of_all_that_a_friend_says_the_newest_ids_are_remembered(
    world: World, anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.node.housekeeping.MAX_REMEMBERED", 5)
    monkeypatch.setattr("chattor_bridge.node.housekeeping.FORGOTTEN_AT_ONCE", 4)
    ids = [EventId(secrets.token_bytes(16)) for _ in range(20)]
    for number, event_id in enumerate(ids):
        await puppet.say(EnvelopeFrame(puppet.seal(Text(f"{number}"), event_id)))
        await anna.until(lambda number=number: len(anna.texts()) == number + 1)  # type: ignore[misc]
        await world.clock.advance(1)  # which one is older is known by the second
    forgotten = len(ids) + 1 - 5  # the friend's profile among them
    await world.clock.advance(HOUSEKEEPING)
    await anna.until(lambda: sum(len(one.event_ids) for one in anna.of(EventsForgotten)) == forgotten)
    async with anna.house.store.transaction() as tx:
        assert await sql(tx).fetch_value("SELECT COUNT(*) AS value FROM received_events") == 5
    await _meet(anna, puppet)  # that was a long silence
    again = puppet.seal(Text("the last one again"), ids[-1])
    await puppet.say(EnvelopeFrame(again), EnvelopeFrame(puppet.seal(Text("another"))))
    await anna.until(lambda: anna.texts()[-1] == "another")
    assert "the last one again" not in anna.texts()


async def test_who_changes_its_name_all_the_time_is_read_slowly(
    world: World, anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handful of bytes that cost a homeserver four requests and the room as much state."""
    monkeypatch.setattr("chattor_bridge.node.allowance.DAY", 100.0)
    anna.allow(puppet.contact.peer_id, 1_600_000)  # ten names
    await puppet.close()
    await _meet(anna, puppet)
    for number in range(30):
        await puppet.say(EnvelopeFrame(puppet.seal(Profile(f"Ben {number}"))))
    async with asyncio.timeout(PATIENCE):
        while not any("read slowly" in line.reason for line in (await anna.node.status()).work):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # nobody tells of a changed status
    began = world.clock.monotonic()
    await puppet.say(EnvelopeFrame(puppet.seal(Text("done"))))
    await anna.until(lambda: anna.texts() == ["done"], time_passes=True)
    assert world.clock.monotonic() - began >= 100
    assert anna.of(ContactRenamed)[-1].name == "Ben 29"


async def test_renames_that_wait_are_one(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    portal = await town.portal(room)
    town.homeserver.down = True
    for number in range(30):
        async with friend.store.transaction() as tx:
            await friend.node.set_profile_name(tx, f"Bob {number}")
    last = await friend.send(await friend.friend(WAIT), "that was I")
    await friend.delivered(last, WAIT)
    async with town.store.transaction() as tx:
        assert await town.store.actions.count(tx, portal_lane(portal)) <= 4  # one under way, one more, the text
    town.homeserver.down = False
    town.bridge.hurry()
    await town.homeserver.until(lambda: room.bodies(portal.ghost) == ["that was I"])
    assert town.homeserver.names[portal.ghost] == "Bob 29"


async def test_what_the_homeserver_will_not_take_does_not_pile_up_for_ever(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set aside, and the friend keeps the rest until the owner has looked."""
    room = await town.befriend(friend)
    await town.idle()
    portal = await town.portal(room)
    management = next(one for one in town.homeserver.rooms.values() if one is not room)
    monkeypatch.setattr("chattor_bridge.bridge.voice.LANE_LIMIT", LIMIT)
    refuses = True

    def refuse(method: str, user: MatrixUserId, room_id: str) -> str | None:
        return "M_TOO_LARGE" if refuses and method == "send" and user == portal.ghost else None

    town.homeserver.refusals.append(refuse)
    peer_id = await friend.friend(WAIT)
    sent = [await friend.send(peer_id, f"message {number}") for number in range(2 * LIMIT)]
    await friend.delivered(sent[LIMIT // 2], WAIT)

    async def aside() -> int:
        async with town.store.transaction() as tx:
            return await town.store.actions.count_parked(tx, portal_lane(portal))

    await town.homeserver.until(lambda: sum("could not be shown" in body for body in management.bodies(BOT)) >= 5)
    async with asyncio.timeout(WAIT):
        while "set aside" not in await town.ask(management, "status"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await town.idle()
    assert LIMIT // 2 < await aside() <= LIMIT
    refuses = False
    await town.ask(management, "parked drop all")
    await town.homeserver.until(lambda: f"message {2 * LIMIT - 1}" in room.bodies(portal.ghost))
