"""What was said and is to disappear is removed from the room, on both sides, once, whatever happens in between."""

from __future__ import annotations

import asyncio

import pytest

from chattor_bridge.bridge.disappearing import STAYS
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.happenings import EventsExpired
from chattor_bridge.protocol.events import Edit, Reaction, Text
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, Town
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")


async def befriended(town: Town, friend: Peer, timer: str = "1s") -> tuple[Room, MatrixUserId]:
    """The portal of Alice and the friend, in which messages disappear, and its ghost."""
    room = await town.befriend(friend)
    assert "You have set messages to disappear after" in await town.ask(room, f"!chattor disappearing {timer}")
    return room, (await town.portal(room)).ghost


def said(room: Room, body: str) -> str:
    """The id of what was said so."""
    return str(next(event["event_id"] for event in room.timeline if event["content"].get("body") == body))


async def reads(town: Town, room: Room) -> None:
    """Alice reads everything."""
    await town.idle()
    last = next(event for event in reversed(room.timeline) if event["type"] == "m.room.message")
    town.homeserver.person_reads(ALICE, room.room_id, last["event_id"])
    await town.deliver()


async def removed(town: Town, room: Room, *event_ids: str) -> None:
    """Wait until these and nothing else were removed, each once and by the bot."""
    await town.homeserver.until(lambda: len(room.redactions) >= len(event_ids))
    await town.idle()
    assert sorted(room.redactions) == sorted((BOT, event_id) for event_id in event_ids)


async def test_what_both_said_is_removed_with_what_was_put_under_it(town: Town, friend: Peer) -> None:
    room, ghost = await befriended(town, friend)
    peer_id = await friend.friend(WAIT)
    await town.homeserver.until(lambda: any("You have set" in body for body in room.bodies(BOT)))
    own = await town.say(room, "from Matrix")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["from Matrix"], WAIT)
    own_edit = await town.send(
        room,
        {
            "msgtype": "m.text",
            "body": "* from Matrix!",
            "m.new_content": {"msgtype": "m.text", "body": "from Matrix!"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": own},
        },
    )
    theirs = await friend.send(peer_id, "from Chattor")
    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Edit(theirs, "from Chattor!"))
        await friend.node.send(tx, peer_id, Reaction(theirs, "👍"))
    await town.homeserver.until(lambda: any(event["type"] == "m.reaction" for event in room.timeline))
    shown = said(room, "from Chattor")
    annotation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": shown, "key": "🎉"}}
    own_reaction = await town.send(room, annotation, "m.reaction")
    ghosts = [str(event["event_id"]) for event in room.timeline if event["sender"] == ghost and event["content"]]
    changes = [event_id for event_id in ghosts if event_id in _talk(room)]
    await removed(town, room, own, own_edit)  # nobody has read what the friend said
    await reads(town, room)
    await removed(town, room, own, own_edit, own_reaction, *changes)
    assert not any(event["content"] for event in room.timeline if event["event_id"] in changes)


def _talk(room: Room) -> set[str]:
    return {event["event_id"] for event in room.timeline if event["type"] in ("m.room.message", "m.reaction")}


async def test_what_became_due_while_the_bridge_was_down_goes_at_its_start(town: Town, friend: Peer) -> None:
    room, _ghost = await befriended(town, friend, "2s")
    own = await town.say(room, "not for long")
    await friend.ears.wait_until(lambda: bool(friend.ears.texts()), WAIT)
    await town.bridge.stop()
    await asyncio.sleep(2.5)  # real time: the timer is of the real clock here
    assert room.redactions == []
    await town.restart()
    await removed(town, room, own)


async def test_a_homeserver_that_loses_its_answer_removes_once(town: Town, friend: Peer) -> None:
    room, _ghost = await befriended(town, friend, "4s")
    own = await town.say(room, "not for long")
    await friend.ears.wait_until(lambda: bool(friend.ears.texts()), WAIT)
    await town.idle()
    town.homeserver.lose_answers = 1
    await removed(town, room, own)
    assert town.homeserver.lose_answers == 0


async def test_a_bot_without_the_power_says_that_something_stays(town: Town, friend: Peer) -> None:
    room, _ghost = await befriended(town, friend)
    town.homeserver.refusals.append(lambda method, _user, _room: "M_FORBIDDEN" if method == "redact" else None)
    await town.say(room, "for ever, then")
    await town.homeserver.until(lambda: STAYS in room.bodies(BOT))


async def test_the_friend_is_told_and_does_the_same(town: Town, friend: Peer) -> None:
    room, _ghost = await befriended(town, friend)
    await town.say(room, "not for long")
    await friend.ears.wait_until(lambda: bool(friend.ears.texts()), WAIT)
    event_id = next(one.event_id for one in friend.ears.arrived() if isinstance(one.body, Text))
    peer_id = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.read(tx, peer_id, [event_id])
    gone = EventsExpired(peer_id, (event_id,))
    await friend.ears.wait_until(lambda: gone in friend.ears.happenings, WAIT)


async def test_the_timer_is_shown_and_taken_back(town: Town, friend: Peer) -> None:
    await befriended(town, friend, "1d")
    management = await town.open_management()
    assert "⏳ 1 day" in await town.ask(management, "contacts")
    assert "disappears after 1 day" in await town.ask(management, "disappearing 1")
    assert "I have told" in await town.ask(management, "disappearing 1 off")
    assert "stays" in await town.ask(management, "disappearing 1")
    for wrong in ("disappearing 1 soon", "disappearing 1 0s", "disappearing 1 999d"):
        answer = await town.ask(management, wrong)
        assert "30s" in answer or "366 days" in answer
    assert "stays" in await town.ask(management, "disappearing 1")
