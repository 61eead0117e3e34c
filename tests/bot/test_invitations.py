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


async def test_who_may_not_use_the_bridge_is_told_so_politely(town: Town) -> None:
    room = town.homeserver.rooms[town.homeserver.person_creates_room(STRANGER, BOT)]
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    assert "may not use" in room.bodies(BOT)[0]
    await town.say(room, "start", STRANGER)
    await town.idle()
    assert town.bridge.host.nodes() == []


async def test_in_an_encrypted_room_it_says_so_and_opens_another(town: Town) -> None:
    encrypted = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, BOT, encrypted=True)]
    await town.deliver()
    await town.homeserver.until(lambda: bool(encrypted.bodies(BOT)))
    assert "cannot read encrypted" in encrypted.bodies(BOT)[0]
    assert len(_invited(town)) == 1
    room = _invited(town)[0]
    town.homeserver.person_sets_membership(ALICE, room.room_id, "join")
    assert "Alice" in await town.ask(room, "start Alice")


async def test_every_encrypted_message_is_answered_in_clear_without_opening_more_rooms(town: Town) -> None:
    encrypted = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, BOT, encrypted=True)]
    await town.deliver()
    await town.homeserver.until(lambda: bool(encrypted.bodies(BOT)))
    for number in (2, 3):
        town.homeserver.person_sends(ALICE, encrypted.room_id, {"ciphertext": "x"}, "m.room.encrypted")
        await town.deliver()
        await town.homeserver.until(lambda number=number: len(encrypted.bodies(BOT)) == number)  # type: ignore[misc]
    await town.idle()
    assert len(_invited(town)) == 1


async def test_when_encryption_is_switched_on_another_room_is_opened(town: Town) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    town.homeserver.person_sends_state(ALICE, room.room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    await town.deliver()
    await town.homeserver.until(lambda: "cannot read encrypted" in room.bodies(BOT)[-1])
    assert len(_invited(town)) == 1


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
    encrypted = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, BOT, encrypted=True)]
    await town.deliver()
    await town.homeserver.until(lambda: bool(encrypted.bodies(BOT)))
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
