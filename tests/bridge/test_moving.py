"""A conversation goes on in the room its owner wants it in, and nobody else leads it anywhere."""

from __future__ import annotations

import asyncio

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixUserId
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, STRANGER, Town
from tests.peer import Peer

GUEST = MatrixUserId(f"@carol:{ALICE.partition(':')[2]}")


def _management(town: Town) -> Room:
    return next(iter(town.homeserver.rooms.values()))


async def _without_room(town: Town, friend: Peer) -> MatrixUserId:
    """Alice and the friend are friends, and their room was given up; the ghost."""
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    await town.say(room, "!chattor unbridge")
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    await town.idle()
    return ghost


def _makes(town: Town, *invitees: str, **more: str) -> Room:
    return town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, *invitees, **more)]  # type: ignore[arg-type]


async def _heard(friend: Peer, *texts: str) -> None:
    await friend.ears.wait_until(lambda: friend.ears.texts() == list(texts), WAIT)


async def test_a_room_to_which_the_owner_invites_the_ghost_becomes_the_conversations(town: Town, friend: Peer) -> None:
    ghost = await _without_room(town, friend)
    room = _makes(town, ghost)
    for number in range(3):  # nobody of ours is there to be told of it
        event_id = town.homeserver.person_says(ALICE, room.room_id, f"early {number}")
        town.homeserver.pending_events = [
            event for event in town.homeserver.pending_events if event["event_id"] != event_id
        ]
    await town.deliver()
    await _heard(friend, "early 0", "early 1", "early 2")
    assert (await town.portal(room)).ghost == ghost
    assert room.membership(ghost) == room.membership(BOT) == "join"
    assert ("m.bridge", f"chattor_bridge:{ghost}") in room.state
    assert room.state["m.room.history_visibility", ""] == {"history_visibility": "invited"}
    await friend.send(await friend.friend(WAIT), "at last")
    await town.homeserver.until(lambda: room.bodies(ghost) == ["at last"])


async def test_what_is_said_while_the_room_is_looked_at_waits_and_keeps_its_place(town: Town, friend: Peer) -> None:
    ghost = await _without_room(town, friend)
    room = _makes(town, ghost)
    await town.deliver()
    await town.idle()
    await town.say(room, "!chattor unbridge")
    await town.idle()
    again = _makes(town, ghost)
    await town.bridge.stop()  # the invitation, and one message of two, come before anything is done about either
    early = town.homeserver.person_says(ALICE, again.room_id, "first")
    town.homeserver.pending_events = [e for e in town.homeserver.pending_events if e["event_id"] != early]
    town.homeserver.person_says(ALICE, again.room_id, "second")
    await town.deliver()
    await town.restart()
    await _heard(friend, "first", "second")


async def test_a_failure_after_moving_loses_nothing_that_was_said_before(town: Town, friend: Peer) -> None:
    ghost = await _without_room(town, friend)
    failed: list[str] = []

    def fail_once(method: str, user: MatrixUserId, room_id: str) -> None:
        if (method, user) == ("joined_rooms", ghost) and not failed:  # after it was noted where the room is
            failed.append(user)
            raise ConnectionError("the bridge has no luck")

    town.homeserver.refusals.append(fail_once)
    room = _makes(town, ghost)
    event_id = town.homeserver.person_says(ALICE, room.room_id, "early")
    town.homeserver.pending_events = [e for e in town.homeserver.pending_events if e["event_id"] != event_id]
    await town.deliver()
    await _heard(friend, "early")
    await town.idle()
    assert failed == [ghost]
    assert ("m.bridge", f"chattor_bridge:{ghost}") in room.state


async def test_who_has_a_room_is_shown_the_way_there(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    other = _makes(town, ghost)
    await town.deliver()
    await town.homeserver.until(lambda: other.membership(ghost) == "leave")
    await town.homeserver.until(lambda: "has one already" in _management(town).bodies(BOT)[-1])
    assert (await town.portal(room)).ghost == ghost
    left = other.state["m.room.member", ghost]
    assert "room of its own" in left["reason"]


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (("m.room.join_rules", {"join_rule": "public"}), "who is invited"),
        (("m.room.create", {"type": "m.space"}), "room you made for it"),
        (None, "others in it"),
    ],
    ids=["public", "space", "crowd"],
)
async def test_a_room_that_will_not_do_is_left_and_a_better_one_opened(
    town: Town, friend: Peer, odd: tuple[str, JsonObject] | None, why: str
) -> None:
    ghost = await _without_room(town, friend)
    room = _makes(town, ghost)
    invited = town.homeserver.pending_events
    town.homeserver.pending_events = []
    if odd is None:
        town.homeserver.person_sets_membership(STRANGER, room.room_id, "join")
    else:
        town.homeserver.person_sends_state(ALICE, room.room_id, *odd)
    town.homeserver.pending_events = invited
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(ghost) == "leave")
    another = await town.joined_portal()
    assert another is not room
    await town.homeserver.until(lambda: why in _management(town).bodies(BOT)[-1])
    await town.say(another, "so here")
    await _heard(friend, "so here")


async def test_somebody_forgotten_comes_nowhere_and_that_is_said(town: Town, friend: Peer) -> None:
    ghost = await _without_room(town, friend)
    await town.ask(_management(town), "forget 1 yes")
    room = _makes(town, ghost)
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(ghost) == "leave")
    await town.homeserver.until(lambda: "not there any more" in _management(town).bodies(BOT)[-1])


async def test_a_replaced_room_is_followed_once_ghost_and_bot_are_invited(town: Town, friend: Peer) -> None:
    old = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(old)).ghost
    new = _makes(town, replaces=old.room_id)
    town.homeserver.person_sends_state(ALICE, old.room_id, "m.room.tombstone", {"replacement_room": new.room_id})
    await town.deliver()
    await town.homeserver.until(lambda: "You have replaced this room" in old.bodies(BOT)[-1])
    await town.say(old, "still here")
    await _heard(friend, "still here")
    for user in (ghost, BOT):
        town.homeserver.person_invites(ALICE, new.room_id, user)
    await town.deliver()
    await town.homeserver.until(lambda: old.membership(ghost) == old.membership(BOT) == "leave")
    await town.idle()
    assert (await town.portal(new)).ghost == ghost
    await town.say(new, "and there")
    await _heard(friend, "still here", "and there")
    await friend.send(await friend.friend(WAIT), "so am I")
    await town.homeserver.until(lambda: new.bodies(ghost) == ["so am I"])


async def test_the_bot_alone_invited_to_a_replacement_does_not_take_it_for_a_room_with_it(
    town: Town, friend: Peer
) -> None:
    """Clients invite everybody of the old room, in any order."""
    old = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(old)).ghost
    new = _makes(town, BOT, ghost, replaces=old.room_id)
    create = {"type": "m.room.create", "state_key": "", "sender": ALICE}
    stripped = {**create, "content": {"predecessor": {"room_id": old.room_id}}}
    for event in town.homeserver.pending_events:
        event["unsigned"] = {"invite_room_state": [stripped]}
    town.homeserver.person_sends_state(ALICE, old.room_id, "m.room.tombstone", {"replacement_room": new.room_id})
    await town.deliver()
    await town.homeserver.until(lambda: old.membership(BOT) == "leave")
    assert (await town.portal(new)).ghost == ghost
    async with town.store.transaction() as tx:
        assert await town.store.management_rooms.owner_of(tx, new.room_id) is None


async def test_nobody_else_leads_a_conversation_away(town: Town, friend: Peer) -> None:
    old = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(old)).ghost
    town.homeserver.person_sets_membership(GUEST, old.room_id, "join")
    new = town.homeserver.rooms[town.homeserver.person_creates_room(GUEST, ghost, BOT, replaces=old.room_id)]
    town.homeserver.person_sends_state(GUEST, old.room_id, "m.room.tombstone", {"replacement_room": new.room_id})
    await town.deliver()
    await town.homeserver.until(lambda: "Somebody else than you" in old.bodies(BOT)[-1])
    await town.homeserver.until(lambda: new.membership(ghost) == "leave")
    await town.say(old, "we stay")
    await _heard(friend, "we stay")
    await town.idle()
    assert (await town.portal(old)).ghost == ghost


@pytest.mark.parametrize("liar", ["creator", "predecessor"])
async def test_a_replacement_that_does_not_say_so_itself_is_not_followed(town: Town, friend: Peer, liar: str) -> None:
    old = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(old)).ghost
    maker, replaced = (GUEST, old.room_id) if liar == "creator" else (ALICE, "!another:example.test")
    new = town.homeserver.rooms[town.homeserver.person_creates_room(maker, replaces=replaced)]
    town.homeserver.person_invites(ALICE, new.room_id, ghost)
    town.homeserver.person_sends_state(ALICE, old.room_id, "m.room.tombstone", {"replacement_room": new.room_id})
    await town.deliver()
    await town.homeserver.until(lambda: new.membership(ghost) == "leave")
    await town.idle()
    assert (await town.portal(old)).ghost == ghost


async def test_a_room_that_can_not_be_looked_at_holds_nothing_up_for_ever(town: Town, friend: Peer) -> None:
    ghost = await _without_room(town, friend)
    town.homeserver.refusals.append(lambda method, _user, _room: "M_TOO_LARGE" if method == "said_by" else None)
    room = _makes(town, ghost)
    await town.deliver()
    async with asyncio.timeout(WAIT):
        while not (await town.bridge.status()).parked:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await town.say(room, "is anybody there?")
    await town.idle()
    assert any("goes nowhere until" in body for body in _management(town).bodies(BOT))
    town.homeserver.refusals.clear()
    assert "I try again: 1" in await town.ask(_management(town), "parked retry")
    await town.homeserver.until(lambda: room.membership(BOT) == "join")
    await town.idle()
    assert (await town.portal(room)).ghost == ghost
