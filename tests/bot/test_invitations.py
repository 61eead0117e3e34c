"""The bot comes when it is called, and says where it cannot help."""

from __future__ import annotations

from chattor_bridge.ids import MatrixUserId
from tests.bridge.fake_homeserver import BOT, Room
from tests.bridge.town import ALICE, STRANGER, Town


def _invited(town: Town) -> list[Room]:
    return [room for room in town.homeserver.rooms.values() if room.membership(ALICE) == "invite"]


async def test_the_bot_joins_greets_and_says_the_next_command(town: Town) -> None:
    room = await town.open_management()
    assert room.membership(BOT) == "join"
    assert "start" in room.bodies(BOT)[0]


async def test_who_may_not_use_the_bridge_is_told_so_politely_and_gets_no_visit(town: Town) -> None:
    room = town.homeserver.rooms[town.homeserver.person_creates_room(STRANGER, BOT)]
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    memberships = [e["content"] for e in room.timeline if e["type"] == "m.room.member" and e["state_key"] == BOT]
    assert [each["membership"] for each in memberships] == ["invite", "leave"]
    assert "may not use" in memberships[-1]["reason"]
    await town.say(room, "start", STRANGER)
    await town.idle()
    assert town.bridge.host.nodes() == []


async def test_an_encrypted_room_is_as_good_as_any(town: Town) -> None:
    room = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, BOT, encrypted=True)]
    await town.deliver()
    await town.homeserver.until(lambda: bool(room.bodies(BOT)))
    town.homeserver.keys.add("the key")
    town.homeserver.person_says_encrypted(ALICE, room.room_id, "start Alice", "the key")
    await town.deliver()
    await town.homeserver.until(lambda: len(room.bodies(BOT)) == 2)
    assert "Alice" in room.bodies(BOT)[1]
    assert _invited(town) == []


async def test_a_room_with_others_in_it_is_left_for_a_private_one(town: Town) -> None:
    carol = f"@carol:{town.homeserver.domain}"
    room = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, carol)]
    town.homeserver.person_sets_membership(carol, room.room_id, "join")
    town.homeserver.person_invites(ALICE, room.room_id, BOT)
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    assert "others in this room" in room.bodies(BOT)[0]
    assert len(_invited(town)) == 1


async def test_when_somebody_else_comes_in_the_bot_goes(town: Town) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    town.homeserver.person_sets_membership(f"@carol:{town.homeserver.domain}", room.room_id, "join")
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    assert len(_invited(town)) == 1


async def test_a_crash_while_a_management_room_is_made_leaves_one(town: Town) -> None:
    lost: list[MatrixUserId] = []

    def lose_the_first_room(method: str, user: MatrixUserId, room_id: str) -> None:
        if method == "create_room" and not lost:
            lost.append(user)
            town.homeserver.lose_answers = 1

    town.homeserver.refusals.append(lose_the_first_room)
    carol = f"@carol:{town.homeserver.domain}"
    crowded = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, carol)]
    town.homeserver.person_sets_membership(carol, crowded.room_id, "join")
    town.homeserver.person_invites(ALICE, crowded.room_id, BOT)
    await town.deliver()
    await town.homeserver.until(lambda: crowded.membership(BOT) == "leave")
    assert lost
    assert len(town.homeserver.rooms) == 2
    assert len(_invited(town)) == 1


async def test_an_answer_finds_another_room_when_the_bot_was_sent_away(town: Town) -> None:
    room = await town.open_management()
    town.homeserver.person_says(ALICE, room.room_id, "start Alice")
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave", of=BOT)
    await town.deliver()
    await town.homeserver.until(lambda: bool(_invited(town)))
    await town.homeserver.until(lambda: any("is running" in body for body in _invited(town)[0].bodies(BOT)))


async def test_what_is_said_where_the_bot_may_not_answer_is_heard_and_answered_elsewhere(town: Town) -> None:
    def muted(method: str, _user: MatrixUserId, room_id: str) -> str | None:
        return "M_FORBIDDEN" if method == "send" and room_id in silent else None

    def rooms() -> list[Room]:
        return list(town.homeserver.rooms.values())

    first = await town.open_management()
    silent = {first.room_id}
    town.homeserver.refusals.append(muted)
    await town.say(first, "help")
    await town.homeserver.until(lambda: len(rooms()) == 2 and bool(rooms()[1].bodies(BOT)))
    await town.say(first, "start Alice")
    await town.homeserver.until(lambda: len(rooms()[1].bodies(BOT)) == 2)
    assert "Alice" in rooms()[1].bodies(BOT)[1]

    silent.add(rooms()[1].room_id)  # one that the bot has opened itself
    town.homeserver.lose_answers = 1
    await town.say(first, "status")
    await town.homeserver.until(lambda: len(rooms()) == 3 and bool(rooms()[2].bodies(BOT)))
    assert "running" in rooms()[2].bodies(BOT)[0]
    await town.idle()
    assert len(rooms()) == 3
