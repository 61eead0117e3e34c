"""What a portal says of itself is so."""

from __future__ import annotations

import pytest

from chattor_bridge.bridge.features import FEATURES, ROOM_FEATURES
from chattor_bridge.bridge.look import NAMELESS, TOPIC_MISMATCH, TOPIC_VERIFIED
from chattor_bridge.node.happenings import ContactRenamed
from tests.bridge.town import FRIEND_NAME, Town
from tests.peer import Peer


async def test_a_room_says_which_bridge_it_leads_over_and_what_it_carries(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    key = f"chattor_bridge:{ghost}"
    assert room.state[ROOM_FEATURES, key] == FEATURES
    for event_type in ("m.bridge", "uk.half-shot.bridge"):
        assert room.state[event_type, key]["protocol"]["id"] == "chattor"
        await town.homeserver.until(lambda: room.state[event_type, key]["channel"]["displayname"] == FRIEND_NAME)  # noqa: B023


async def test_rooms_made_by_another_version_say_what_this_one_carries(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    await town.idle()
    key = f"chattor_bridge:{(await town.portal(room)).ghost}"
    before = len(room.timeline)
    await town.restart()
    await town.idle()
    assert len(room.timeline) == before
    monkeypatch.setitem(FEATURES, "org.example.holograms", 2)
    await town.restart()
    await town.homeserver.until(lambda: room.state[ROOM_FEATURES, key].get("org.example.holograms") == 2)


async def test_a_friends_name_is_said_in_the_portal_alone(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    await town.homeserver.until(lambda: room.state["m.room.member", ghost]["displayname"] == FRIEND_NAME)
    assert town.homeserver.profiles[ghost] == NAMELESS


async def test_the_topic_says_whether_a_friend_was_verified(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    assert "verified" not in room.state["m.room.topic", ""]["topic"]
    assert "is verified" in await town.ask(room, "!chattor verify match")
    await town.homeserver.until(lambda: room.state["m.room.topic", ""] == {"topic": TOPIC_VERIFIED})
    assert "Noted" in await town.ask(room, "!chattor verify mismatch")
    await town.homeserver.until(lambda: room.state["m.room.topic", ""] == {"topic": TOPIC_MISMATCH})


async def test_a_room_that_looks_right_is_left_alone(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.homeserver.until(lambda: room.state["m.room.name", ""] == {"name": FRIEND_NAME})
    await town.idle()
    portal, before = await town.portal(room), len(room.timeline)
    async with town.store.transaction() as tx:
        await town.bridge.observer.record(tx, portal.node_id, ContactRenamed(portal.peer_id, FRIEND_NAME))
    await town.idle()
    assert len(room.timeline) == before
