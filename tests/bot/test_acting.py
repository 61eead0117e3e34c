"""An owner lets the bridge act for them, and may take that back."""

from __future__ import annotations

import re

import pytest

from tests.bot.test_rooms import _management
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, STRANGER, Town
from tests.peer import Peer

TOKEN = "syt_alices_token_that_nobody_may_see"


async def _logs_in(town: Town, room: Room, token: str = TOKEN) -> str:
    """The owner gives this token; the id of the message with it."""
    await town.idle()
    event_id = await town.say(room, f"login-matrix {token}")
    await town.idle()
    return event_id


def _content(room: Room, event_id: str) -> dict[str, object]:
    return next(dict(event["content"]) for event in room.timeline if event["event_id"] == event_id)


async def test_rooms_are_joined_and_listed_and_the_message_with_the_token_is_gone(town: Town, friend: Peer) -> None:
    town.homeserver.tokens[TOKEN] = ALICE
    management = await town.open_management()
    await town.ask(management, "start Alice")
    event_id = await _logs_in(town, management)
    assert _content(management, event_id) == {}
    assert "I join your conversations" in management.bodies(BOT)[-1]
    await town.ask(management, f"add {await friend.new_code()}")
    await friend.accept_next(WAIT)
    await town.homeserver.until(lambda: (ALICE, "m.direct") in town.homeserver.account_data)
    await town.idle()
    ours = [room for room in town.homeserver.rooms.values() if room is not management]
    assert len(ours) == 2  # the conversation and the space
    assert {room.membership(ALICE) for room in ours} == {"join"}
    (portal,) = [room for room in ours if not room.is_space]
    ghost = (await town.portal(portal)).ghost
    assert town.homeserver.account_data[ALICE, "m.direct"] == {ghost: [portal.room_id]}
    await town.say(portal, "!chattor unbridge")
    await town.homeserver.until(lambda: town.homeserver.account_data[ALICE, "m.direct"] == {})


async def test_it_is_off_unless_asked_for(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    assert room.membership(ALICE) == "join"  # by herself
    assert town.homeserver.account_data == {}
    assert "Whoever has the token" in await town.ask(_management(town), "login-matrix")
    assert "no access token of yours" in await town.ask(_management(town), "logout-matrix")


@pytest.mark.parametrize("whose", [STRANGER, None], ids=["another's", "nobody's"])
async def test_a_token_that_is_not_the_owners_is_forgotten(town: Town, friend: Peer, whose: str | None) -> None:
    if whose is not None:
        town.homeserver.tokens[TOKEN] = whose
    await town.befriend(friend)
    event_id = await _logs_in(town, _management(town))
    assert _content(_management(town), event_id) == {}
    assert "belongs to somebody else" in _management(town).bodies(BOT)[-1]
    assert "no access token of yours" in await town.ask(_management(town), "logout-matrix")
    assert town.homeserver.account_data == {}


async def test_where_the_message_cannot_be_removed_that_is_said(town: Town, friend: Peer) -> None:
    town.homeserver.tokens[TOKEN] = ALICE
    await town.befriend(friend)
    town.homeserver.refusals.append(lambda method, _user, _room: "M_FORBIDDEN" if method == "redact" else None)
    await _logs_in(town, _management(town))
    assert any("could not remove your message" in body for body in _management(town).bodies(BOT))


async def test_a_token_that_expired_is_forgotten_and_that_is_said(town: Town, friend: Peer) -> None:
    town.homeserver.tokens[TOKEN] = ALICE
    room = await town.befriend(friend)
    await _logs_in(town, _management(town))
    del town.homeserver.tokens[TOKEN]
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave")
    await town.deliver()
    await town.homeserver.until(lambda: "does not know your access token" in _management(town).bodies(BOT)[-1])
    assert "no access token of yours" in await town.ask(_management(town), "logout-matrix")


async def test_who_takes_it_back_accepts_invitations_again(town: Town, friend: Peer) -> None:
    town.homeserver.tokens[TOKEN] = ALICE
    room = await town.befriend(friend)
    await _logs_in(town, _management(town))
    assert "sign out the session" in await town.ask(_management(town), "logout-matrix")
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave")
    await town.deliver()
    await friend.send(await friend.friend(WAIT), "come back")
    await town.homeserver.until(lambda: room.membership(ALICE) == "invite")
    await town.idle()
    assert room.membership(ALICE) == "invite"


async def test_with_everything_else_the_token_is_removed(town: Town, friend: Peer) -> None:
    town.homeserver.tokens[TOKEN] = ALICE
    await town.befriend(friend)
    management = _management(town)
    await _logs_in(town, management)
    found = re.search(r"delete-everything \d{4}", await town.ask(management, "delete-everything"))
    assert found is not None
    await town.ask(management, found[0])
    await town.idle()
    async with town.store.transaction() as tx:
        assert await town.store.get_setting(tx, f"puppet:{ALICE} ") is None


async def test_what_is_no_token_is_answered(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    assert "no access token" in await town.ask(_management(town), "login-matrix short")
