"""Typing and presence go both ways, to whom they may be shown, and nothing of them is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.signals import IN_MATRIX, MOST_WAITING
from chattor_bridge.ids import PeerId
from chattor_bridge.node.preferences import Shared
from chattor_bridge.protocol.signals import Here, Presence, Typing
from tests.bridge.fake_homeserver import WAIT, Room
from tests.bridge.town import ALICE, STRANGER, Town
from tests.peer import Peer


def types(room: Room, *users: str) -> JsonObject:
    return {"type": "m.typing", "room_id": room.room_id, "content": {"user_ids": list(users)}}


def is_(user: str, state: str) -> JsonObject:
    return {"type": "m.presence", "sender": user, "content": {"presence": state}}


def signals(town: Town, *ephemeral: JsonObject) -> Awaitable[None]:
    return town.bridge.accept("ephemeral", [], list(ephemeral))


async def open_to(friend: Peer, shared: Shared) -> PeerId:
    """The friend shows this to Alice."""
    peer_id = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.share(tx, peer_id, shared, on=True)
    return peer_id


async def test_a_friend_who_types_is_shown_typing(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await open_to(friend, Shared.TYPING)
    await friend.node.type(peer_id, on=True)
    await town.homeserver.until(lambda: room.typing == {ghost})
    await friend.node.type(peer_id, on=False)
    await town.homeserver.until(lambda: room.typing == set())


async def test_a_friend_who_is_there_is_shown_online(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    await open_to(friend, Shared.PRESENCE)
    for state in (Here.ONLINE, Here.AWAY, Here.OFFLINE):
        await friend.node.be(state)
        await town.homeserver.until(lambda: town.homeserver.presence[-1:] == [(ghost, IN_MATRIX[state])])  # noqa: B023
    assert [shown for _ghost, shown in town.homeserver.presence] == ["online", "unavailable", "offline"]


async def test_an_owner_who_types_is_shown_to_who_may_see_it(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await signals(town, types(room, ALICE))
    assert "that you are typing from now on" in await town.ask(room, "!chattor privacy typing on")
    assert friend.ears.signals == []
    await signals(town, types(room, STRANGER), types(room, STRANGER, ALICE))
    await friend.ears.wait_until(lambda: friend.ears.signals == [Typing(on=True)], WAIT)
    await signals(town, types(room, STRANGER))
    await friend.ears.wait_until(lambda: friend.ears.signals[-1] == Typing(on=False), WAIT)


async def test_an_owner_who_is_there_is_shown_to_who_may_see_it(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await signals(town, is_(ALICE, "online"), is_(STRANGER, "unavailable"))
    await town.ask(room, "!chattor privacy presence on")
    await friend.ears.wait_until(lambda: friend.ears.signals == [Presence(Here.ONLINE)], WAIT)
    await signals(town, is_(ALICE, "unavailable"))
    await friend.ears.wait_until(lambda: friend.ears.signals[-1] == Presence(Here.AWAY), WAIT)
    await town.ask(room, "!chattor privacy presence off")
    await friend.ears.wait_until(lambda: friend.ears.signals[-1] == Presence(Here.UNKNOWN), WAIT)


async def test_who_was_there_before_is_found_out_also_after_a_restart(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver.there[ALICE] = "online"
    await town.ask(room, "!chattor privacy presence on")
    await friend.ears.wait_until(lambda: friend.ears.signals == [Presence(Here.ONLINE)], WAIT)
    town.homeserver.there[ALICE] = "unavailable"
    town.homeserver.down = True
    await town.restart()
    town.homeserver.down = False
    town.bridge.hurry()
    await friend.ears.wait_until(lambda: friend.ears.signals[-1] == Presence(Here.AWAY), WAIT)


async def test_a_homeserver_that_is_down_or_refuses_costs_nothing_but_the_signal(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await open_to(friend, Shared.TYPING)
    asked = asyncio.Event()

    def refuses(method: str, _user: str, _room: str) -> str | None:
        if method != "set_typing":
            return None
        asked.set()
        return "M_FORBIDDEN"

    town.homeserver.refusals.append(refuses)
    await friend.node.type(peer_id, on=True)
    await asyncio.wait_for(asked.wait(), WAIT)
    town.homeserver.refusals.remove(refuses)
    await friend.node.type(peer_id, on=False)
    await friend.node.type(peer_id, on=True)
    await town.homeserver.until(lambda: bool(room.typing))


async def test_a_signal_that_meets_a_bug_stops_nothing(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    peer_id = await open_to(friend, Shared.TYPING)
    met = asyncio.Event()

    async def broken(*_args: object) -> None:
        met.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(town.homeserver, "set_typing", broken)
        await friend.node.type(peer_id, on=True)
        await asyncio.wait_for(met.wait(), WAIT)
    await friend.node.type(peer_id, on=False)
    await friend.node.type(peer_id, on=True)
    await town.homeserver.until(lambda: bool(room.typing))
    await friend.send(peer_id, "and messages go on")
    await town.homeserver.until(lambda: "and messages go on" in room.bodies())


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "m.typing"},
        {"type": "m.typing", "room_id": "!nowhere:example.test", "content": {"user_ids": [ALICE]}},
        {"type": "m.presence", "sender": "@nobody:example.test", "content": {"presence": "online"}},
        {"type": "m.presence", "sender": ALICE, "content": {"presence": "asleep"}},
    ],
)
async def test_what_is_nobodys_is_passed_over(town: Town, event: JsonObject) -> None:
    await signals(town, event)
    assert await town.ask(await town.open_management(), "help")


async def test_a_flood_of_them_is_bounded(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.ask(room, "!chattor privacy typing on")
    flood = [{**types(room, ALICE), "room_id": f"!{number}:example.test"} for number in range(MOST_WAITING + 10)]
    await signals(town, *flood)
    assert len(town.bridge._signals._of_rooms) <= MOST_WAITING
