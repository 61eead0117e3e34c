"""Two people talk: what is said on one side is heard on the other, once and in order."""

from __future__ import annotations

from chattor_bridge.protocol.limits import MAX_TEXT
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.town import ALICE, FRIEND_NAME, STRANGER, Town, marks_all_read, receipts
from tests.peer import Peer


async def test_an_accepted_request_opens_a_direct_chat_that_says_whose_it_is(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    portal = await town.portal(room)
    await town.homeserver.until(lambda: room.state["m.room.name", ""] == {"name": FRIEND_NAME})
    await town.homeserver.until(lambda: town.homeserver.names[portal.ghost] == FRIEND_NAME)
    assert room.state["io.element.functional_members", ""] == {"service_members": [BOT]}
    assert ("m.bridge", f"chattor_bridge:{portal.ghost}") in room.state
    assert "yours alone" in room.bodies(BOT)[0]
    invitation = next(
        event for event in room.timeline if event.get("state_key") == ALICE and event["sender"] == portal.ghost
    )
    assert invitation["content"]["is_direct"] is True


async def test_what_the_friend_says_is_shown_by_the_ghost_in_order(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await friend.friend(WAIT)
    said = [f"message {number} ÄÖÜ 漢字 🎉" for number in range(12)]
    for text in said:
        await friend.send(peer_id, text)
    await town.homeserver.until(lambda: len(room.bodies(ghost)) == len(said))
    assert room.bodies(ghost) == said


async def test_what_the_owner_says_reaches_the_friend_once_and_in_order(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    said = [f"message {number} ÄÖÜ 漢字 🎉" for number in range(12)]
    for text in said:
        town.homeserver.person_says(ALICE, room.room_id, text)
    await town.deliver(twice=True)
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) >= len(said), WAIT)
    await town.idle()
    assert friend.ears.texts() == said


async def test_formatting_travels_both_ways(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    content = {
        "msgtype": "m.text",
        "body": "very **bold**",
        "format": "org.matrix.custom.html",
        "formatted_body": "very <strong>bold</strong>",
    }
    await town.send(room, content)
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["very **bold**"], WAIT)
    await friend.send(await friend.friend(WAIT), "**bold** too")
    await town.homeserver.until(lambda: bool(room.bodies(ghost)))
    shown = next(event for event in room.timeline if event["sender"] == ghost and event["type"] == "m.room.message")
    assert "<strong>bold</strong> too" in shown["content"]["formatted_body"]


async def test_plain_text_that_looks_like_formatting_stays_what_it_is(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    text = "2 * 3 * 4 = snake_case_name\n# not a heading, <b>not bold</b> &amp; \\*"
    await town.say(room, text)
    await friend.ears.wait_until(lambda: bool(friend.ears.texts()), WAIT)
    await friend.send(await friend.friend(WAIT), friend.ears.texts()[0])
    await town.homeserver.until(lambda: bool(room.bodies(ghost)))
    assert room.bodies(ghost) == [text]


async def test_the_bot_marks_what_was_delivered_and_the_ghost_what_was_read(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    event_id = await town.say(room, "hello")
    await town.homeserver.until(lambda: room.receipts.get(BOT) == event_id)
    assert ghost not in room.receipts
    await marks_all_read(friend)
    await town.homeserver.until(lambda: room.receipts.get(ghost) == event_id)


async def test_the_friend_is_told_what_was_read_up_to_the_receipt(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await friend.friend(WAIT)
    sent = [await friend.send(peer_id, text) for text in ("one", "two", "three")]
    await town.homeserver.until(lambda: len(room.bodies(ghost)) == 3)
    await town.idle()
    shown = [event["event_id"] for event in room.timeline if event["sender"] == ghost and "body" in event["content"]]
    town.homeserver.person_reads(ALICE, room.room_id, shown[1])
    await town.deliver(twice=True)
    await friend.ears.wait_until(lambda: receipts(friend) == sent[:2], WAIT)
    town.homeserver.person_reads(ALICE, room.room_id, shown[2])
    await town.deliver()
    await friend.ears.wait_until(lambda: receipts(friend) == sent, WAIT)


async def test_a_receipt_of_somebody_else_tells_the_friend_nothing(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    await friend.send(await friend.friend(WAIT), "one")
    await town.homeserver.until(lambda: bool(room.bodies(ghost)))
    await town.idle()
    shown = next(
        event["event_id"] for event in room.timeline if event["sender"] == ghost and "body" in event["content"]
    )
    town.homeserver.person_reads(STRANGER, room.room_id, shown)
    await town.deliver()
    await town.say(room, "after")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["after"], WAIT)
    assert receipts(friend) == []


async def test_a_long_text_arrives_in_parts_and_is_delivered_when_the_last_is(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    text = "A long story. " * (2 * MAX_TEXT // 14 + 10)
    event_id = await town.say(room, text.strip())
    await town.homeserver.until(lambda: room.receipts.get(BOT) == event_id)
    assert "".join(friend.ears.texts()) == text.strip()
    assert len(friend.ears.texts()) == 3


async def test_what_was_said_offline_arrives_when_the_friend_comes_back(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.restart()
    await town.say(room, "after the restart")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["after the restart"], WAIT)
