"""What people ask the bot, and what it answers."""

from __future__ import annotations

import asyncio
import logging
import struct

import pytest

from chattor_bridge.protocol.friendcode import FriendCode
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, FRIEND_NAME, Town, chattor_friend, code_in
from tests.peer import Peer

PNG = b"\x89PNG\r\n\x1a\n"


async def _started(town: Town) -> Room:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    return room


async def test_start_makes_a_node_once_and_says_what_comes_next(town: Town) -> None:
    room = await town.open_management()
    answer = await town.ask(room, "start Alice")
    assert "Alice" in answer
    assert "code new" in answer
    assert "already" in await town.ask(room, "start")
    assert [node.owner for node in town.bridge.host.nodes()] == [ALICE]


async def test_start_without_a_name_takes_the_first_part_of_the_id(town: Town) -> None:
    room = await town.open_management()
    assert "alice" in await town.ask(room, "start")


@pytest.mark.parametrize("command", ["code", "add x", "requests", "accept 1", "contacts", "status", "profile"])
async def test_without_a_node_everything_says_start(town: Town, command: str) -> None:
    room = await town.open_management()
    assert "Write start" in await town.ask(room, command)


async def test_help_lists_every_command_and_explains_one(town: Town) -> None:
    room = await town.open_management()
    text = await town.ask(room, "help")
    for command in ("start", "code new", "add", "requests", "accept", "ignore", "contacts", "status", "profile"):
        assert f"`{command}" in text
    explained = await town.ask(room, "help code")
    assert "code retire" in explained
    assert "For example" in explained
    assert "Did you mean" in await town.ask(room, "help cod")


async def test_codes_are_made_listed_shown_and_retired(town: Town) -> None:
    room = await _started(town)
    assert "no friend code" in await town.ask(room, "code")
    answer = await town.ask(room, "code new business *card*")
    code = code_in(answer)
    listed = await town.ask(room, "code list")
    assert code in listed
    assert "business *card*" in listed
    assert code in await town.ask(room, "code show 1")
    assert "retired" in await town.ask(room, "code retire business *card*")
    assert "no friend code" in await town.ask(room, "code")


async def test_a_code_comes_as_a_picture_too(town: Town) -> None:
    room = await _started(town)
    await town.ask(room, "code new friends")
    await town.idle()
    picture = next(event["content"] for event in room.timeline if event["content"].get("msgtype") == "m.image")
    data = town.homeserver.media[picture["url"]]
    assert data.startswith(PNG)
    assert struct.unpack(">II", data[16:24]) == (picture["info"]["w"], picture["info"]["h"])
    assert picture["info"]["size"] == len(data)


async def test_numbers_stay_with_what_they_were_given_to(town: Town) -> None:
    room = await _started(town)
    for label in ("one", "two", "three"):
        await town.ask(room, f"code new {label}")
        await town.idle()
    await town.ask(room, "code retire 1")
    assert "three" in await town.ask(room, "code retire 3")
    listed = await town.ask(room, "code")
    assert "2 “two”" in listed.replace("*", "")


async def test_what_cannot_be_is_one_line_that_says_why(town: Town) -> None:
    room = await _started(town)
    for command, reason in (
        ("add", "friend code"),
        ("add nonsense", "friend code"),
        ("code retire 7", "no such code"),
        ("accept 3", "no such request"),
        ("accept", "no request"),
        ("rename 5 Ada", "no such contact"),
        ("profile " + "x" * 100, "64"),
        ("status now", "status"),
        ("frobnicate", "help"),
    ):
        answer = await town.ask(room, command)
        assert answer.startswith("⚠")
        assert reason in answer
        assert "\n" not in answer


async def test_a_code_may_be_broken_up_and_followed_by_a_note(town: Town, friend: Peer) -> None:
    room = await _started(town)
    code = await friend.new_code()
    broken = f"{code[:20].upper()} {code[20:40]}\n{code[40:]}"
    await town.ask(room, f"add {broken} hello, it is me")
    await friend.ears.wait_until(lambda: bool(friend.ears.happenings), WAIT)
    assert [request.note for request in await friend.node.requests()] == ["hello, it is me"]


async def test_requests_lists_ours_and_theirs(town: Town, friend: Peer) -> None:
    room = await _started(town)
    assert "no contact requests" in await town.ask(room, "requests")
    await town.ask(room, f"add {await friend.new_code()} hi")
    await town.homeserver.until(lambda: any("left at the door" in body for body in room.bodies(BOT)))
    assert "with your note “hi”" in await town.ask(room, "requests")


async def test_contacts_and_rename(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = next(room for room in town.homeserver.rooms.values() if room is not portal)
    await town.homeserver.until(lambda: portal.state["m.room.name", ""] == {"name": FRIEND_NAME})
    await town.idle()
    assert FRIEND_NAME in await town.ask(room, "contacts")
    assert "Ada the First" in await town.ask(room, f"rename {FRIEND_NAME} Ada the First")
    await town.homeserver.until(lambda: portal.state["m.room.name", ""] == {"name": "Ada the First"})
    listed = await town.ask(room, "contacts")
    assert "Ada the First" in listed
    assert FRIEND_NAME in listed


async def test_a_number_in_a_conversation_is_no_part_of_a_new_name(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = next(room for room in town.homeserver.rooms.values() if room is not portal)
    for typed in ("1 Ada", "#1 Ada", "1"):
        answer = await town.ask(portal, f"!chattor rename {typed}")
        assert answer == (
            "⚠ 1 is the number of a contact, and here rename is about the friend of this conversation. Write "
            "!chattor rename and the name alone, or rename 1 and the name in the chat with me."
        )
    assert "called **7 of 9** now" in await town.ask(portal, "!chattor rename 7 of 9")
    assert "called **1 Ada** now" in await town.ask(room, "rename 1 1 Ada")


async def test_a_name_of_several_words_means_its_contact(town: Town) -> None:
    async with chattor_friend(town.directory, town.network, "Bob 🐟") as bob:
        await town.befriend(bob)
        room = next(iter(town.homeserver.rooms.values()))
        await town.idle()
        assert "**Bob 🐟** cannot reach you" in await town.ask(room, "block Bob 🐟")
        assert "**Bob 🐟** can reach you" in await town.ask(room, "unblock bob")
        assert "called **Carl** now" in await town.ask(room, "rename Bob 🐟 Carl")
        assert "called **Bob 🐟** now" in await town.ask(room, "rename Carl")
        assert "If you are sure" in await town.ask(room, "forget Bob 🐟")
        assert "is forgotten" in await town.ask(room, "forget Bob 🐟 yes")


async def test_a_contact_cannot_take_a_number_for_its_name(town: Town) -> None:
    async with chattor_friend(town.directory, town.network, "2 yes") as liar:
        await town.befriend(liar)
        room = next(iter(town.homeserver.rooms.values()))
        await town.idle()
        assert "no such contact" in await town.ask(room, "forget 2 yes")
        assert "no such contact" in await town.ask(room, "block 2")
        assert len(await town.bridge.host.nodes()[0].contacts()) == 1


async def test_profile_shows_and_changes_the_name(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = next(room for room in town.homeserver.rooms.values() if room is not portal)
    await town.idle()
    assert "Alice" in await town.ask(room, "profile")
    assert "Alicia" in await town.ask(room, "profile Alicia")
    assert "Alicia" in await town.ask(room, "status")


async def test_status_says_what_was_dropped(town: Town) -> None:
    room = await _started(town)
    code = code_in(await town.ask(room, "code new friends"))
    assert "Dropped" not in await town.ask(room, "status")
    door = FriendCode.parse(code).door
    stream = await town.network.transport().dial(door, client_key=None, isolation="stranger", timeout=WAIT)
    await stream.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await stream.read() == b""
    await stream.close()
    assert "Dropped since your node started: 1 caller at friend codes" in await town.ask(room, "status")


async def test_the_log_tells_of_nodes_and_not_whose_they_are(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        room = await _started(town)
        await town.ask(room, "logout")
        await town.ask(room, "start")
        asked = await town.ask(room, "delete-everything")
        await town.ask(room, asked.partition("write `")[2].partition("`")[0])
    said = [record.getMessage() for record in caplog.records if record.name == "chattor_bridge.node.host"]
    assert said == [
        "a node was made; there are 1",
        "a node was stopped by its owner",
        "a node was resumed by its owner",
        "a node was removed with all that belonged to it; there are 0",
    ]


async def test_notices_and_what_is_no_text_start_nothing(town: Town) -> None:
    room = await _started(town)
    town.homeserver.person_sends(ALICE, room.room_id, {"msgtype": "m.notice", "body": "code new"})
    await town.deliver()
    await town.idle()
    assert await town.bridge.host.nodes()[0].codes() == []
    before = len(room.bodies(BOT))
    town.homeserver.person_sends(ALICE, room.room_id, {"msgtype": "m.image", "body": "code new", "url": "mxc://x/y"})
    await town.deliver()
    await town.homeserver.until(lambda: len(room.bodies(BOT)) > before)
    assert "only understand text" in room.bodies(BOT)[-1]
    assert "set it in your Matrix profile, and write profile avatar" in room.bodies(BOT)[-1]


async def test_a_contact_is_verified_by_number_and_by_emoji(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    peer_id = await friend.friend(WAIT)
    number = (await friend.node.verification(peer_id)).number
    answer = await town.ask(room, "!chattor verify")
    assert number in "".join(answer.split())
    assert "not compared anything" in answer
    assert "verify 1 emoji" in await town.ask(room, "!chattor verify perhaps")

    await town.ask(room, "!chattor verify emoji")
    async with friend.store.transaction() as tx:
        await friend.node.compare_emoji(tx, peer_id)
    await town.homeserver.until(lambda: any("Compare these with" in body for body in room.bodies(BOT)))
    async with asyncio.timeout(WAIT):
        while True:
            if (emoji := (await friend.node.verification(peer_id)).emoji) is not None:
                break
            await asyncio.sleep(0.05)  # each look is a transaction, and the node needs some of its own
    shown = next(body for body in room.bodies(BOT) if "Compare these with" in body)
    assert ", ".join(" ".join(pair) for pair in emoji) in shown
    # "verify match" alone would go to the friend here
    assert "Say what you find with `!chattor verify match` or `!chattor verify mismatch`." in shown
    assert "verified" in await town.ask(room, "!chattor verify match")
    management = await town.open_management()
    assert "verified" in await town.ask(management, "contacts")

    async with friend.store.transaction() as tx:
        await friend.node.confirm(tx, peer_id, match=False)
    await town.homeserver.until(lambda: any("comparing with this friend failed" in body for body in room.bodies(BOT)))
    assert "failed" in await town.ask(management, "contacts")
    assert "stand between" in await town.ask(management, "verify 1 mismatch")


async def test_a_refusal_is_a_sentence_that_says_what_to_do_next(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    management = await town.open_management()
    assert await town.ask(management, f"profile {'x' * 65}") == "⚠ A profile name is 65 bytes long; it may have 64."
    assert await town.ask(management, "note 9 x") == "⚠ There is no such contact: contacts shows what there is."
    assert await town.ask(management, "code show 9") == "⚠ There is no such code: code shows what there is."
    assert "Write chat 1 to go there" in await town.ask(management, "send Bob hello")
    assert "write it here without !chattor" in await town.ask(room, "!chattor send hello")
    assert await town.ask(management, "hlep") == "⚠ I do not know that command. Did you mean help?"
    assert await town.ask(room, "!chattor hlep") == "⚠ I do not know that command. Did you mean !chattor help?"
    assert "Write !chattor help" in await town.ask(room, "!chattor")


async def test_help_in_a_conversation_lists_what_is_about_it_as_it_is_typed_there(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    text = await town.ask(room, "!chattor help")
    typed = [line.partition("`")[2].partition("`")[0] for line in text.splitlines() if line.startswith("- ")]
    assert {"!chattor rename NAME", "!chattor forget", "!chattor verify [emoji|match|mismatch]"} <= set(typed)
    assert all(each.startswith("!chattor ") for each in typed)
    assert "delete-everything" not in text
    explained = await town.ask(room, "!chattor help disappearing")
    assert "`!chattor disappearing [TIME|off]`" in explained
    assert explained.endswith("For example: `!chattor disappearing 30m`")
    assert "`!chattor code new Ada --once`" in await town.ask(room, "!chattor help code new")


async def test_answers_in_a_conversation_name_commands_as_they_are_typed_there(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    management = await town.open_management()
    assert "`!chattor unblock` ends it" in await town.ask(room, "!chattor block")
    assert "`unblock` ends it" in await town.ask(management, "block 1")
    await town.ask(room, "!chattor unblock")
    assert "`!chattor disappearing 1d` or `!chattor disappearing off`" in await town.ask(room, "!chattor disappearing")
    assert "`!chattor verify match`" in await town.ask(room, "!chattor verify")
    for typed, answer in (
        ("mute 1", "⚠ Here mute is about the friend of this conversation. Write just !chattor mute."),
        ("code show 9", "⚠ There is no such code: code shows what there is. Here commands begin with !chattor."),
        ("accept", "⚠ There is no request waiting for your answer."),
    ):
        assert await town.ask(room, f"!chattor {typed}") == answer
    assert (await town.ask(room, "!chattor carry ask 1")).endswith("Here it is !chattor carry [ask|leave|offer|stop].")
    assert (await town.ask(room, "!chattor privacy typing")).endswith(
        "Here it is !chattor privacy [receipts|typing|presence on|off]."
    )


async def test_a_code_is_not_guessed_at_among_several(town: Town) -> None:
    room = await _started(town)
    for label in ("one", "two"):
        await town.ask(room, f"code new {label}")
        await town.idle()
    assert await town.ask(room, "code park") == "⚠ Say which code, by its number or label. code list shows them."
