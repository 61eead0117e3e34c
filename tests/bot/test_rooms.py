"""Going to the room of a conversation, giving it up, and having another."""

from __future__ import annotations

from urllib.parse import quote

from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, FRIEND_NAME, STRANGER, Town
from tests.peer import Peer


def _management(town: Town) -> Room:
    return next(iter(town.homeserver.rooms.values()))


async def test_chat_invites_who_has_left_and_says_nothing_twice(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    assert quote(room.room_id) in await town.ask(_management(town), f"chat {FRIEND_NAME}")
    await town.idle()
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave")
    await town.deliver()
    assert "I invite you" in await town.ask(_management(town), "chat 1")
    await town.homeserver.until(lambda: room.membership(ALICE) == "invite")
    await town.idle()
    assert sum("yours alone" in body for body in room.bodies(BOT)) <= 2
    town.homeserver.person_sets_membership(ALICE, room.room_id, "join")
    before = len(room.bodies(BOT))
    await town.ask(_management(town), "chat 1")
    await town.idle()
    assert len(room.bodies(BOT)) == before


async def test_a_room_that_is_given_up_leads_nowhere_and_the_friend_stays(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    await town.say(room, "!chattor unbridge")
    await town.homeserver.until(lambda: room.membership(BOT) == room.membership(ghost) == "leave")
    assert "leads nowhere" in room.bodies(BOT)[-1]
    assert room.membership(ALICE) == "join"
    state = {kind for (kind, key), content in room.state.items() if key and content and kind != "m.room.member"}
    assert state == set()  # neither bridge nor features nor space
    await town.homeserver.until(lambda: "still friends" in _management(town).bodies(BOT)[-1])
    await town.idle()
    assert "no room now" in await town.ask(_management(town), "unbridge 1")

    await friend.send(await friend.friend(WAIT), "a new beginning")
    another = await town.joined_portal()
    assert another is not room
    await town.homeserver.until(lambda: another.bodies(ghost) == ["a new beginning"])
    await town.say(another, "indeed")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["indeed"], WAIT)


async def test_what_was_to_be_shown_in_a_room_that_is_given_up_is_shown(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    town.homeserver.down = True
    sent = await friend.send(await friend.friend(WAIT), "on the way")
    await friend.delivered(sent, WAIT)
    await town.say(room, "!chattor unbridge")
    await town.restart()
    town.homeserver.down = False
    town.bridge.hurry()
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    assert room.bodies(ghost) == ["on the way"]
    await friend.send(await friend.friend(WAIT), "and after that")
    another = await town.joined_portal()
    await town.homeserver.until(lambda: another.bodies(ghost) == ["and after that"])


async def test_a_room_that_is_deleted_is_empty_once_its_owner_is_sure(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    town.homeserver.person_sets_membership(STRANGER, room.room_id, "join")
    assert "If you are sure" in await town.ask(room, "!chattor delete")
    assert room.membership(ALICE) == "join"
    await town.say(room, "!chattor delete yes")
    everybody = (ALICE, STRANGER, BOT, ghost)
    await town.homeserver.until(lambda: {room.membership(user) for user in everybody} == {"leave"})
    await town.homeserver.until(lambda: "is deleted" in _management(town).bodies(BOT)[-1])
    await town.ask(_management(town), "chat 1")
    another = await town.joined_portal()
    await town.say(another, "here I am")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["here I am"], WAIT)


async def test_a_crash_on_the_way_out_leaves_the_room_all_the_same(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    town.homeserver.lose_answers = 1  # of the last words
    await town.say(room, "!chattor unbridge")
    await town.homeserver.until(lambda: room.membership(BOT) == room.membership(ghost) == "leave")
    assert sum("leads nowhere" in body for body in room.bodies(BOT)) == 1


async def test_the_room_of_somebody_forgotten_can_be_given_up_where_it_is(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    await town.ask(_management(town), "forget 1 yes")
    await town.say(room, "!chattor unbridge")
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")


async def test_words_too_many_are_answered(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    for command in ("chat 1 now", "unbridge 1 now", "space please"):
        assert "After space" in (said := await town.ask(_management(town), command)) or "nothing more" in said
