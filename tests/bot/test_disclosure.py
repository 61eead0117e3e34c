"""What contacts see of a person, silence and notes, by command."""

from __future__ import annotations

import pytest

from chattor_bridge.protocol.events import Text
from tests.bridge.fake_homeserver import WAIT, Room
from tests.bridge.town import ALICE, Town, receipts
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")


async def test_privacy_is_asked_and_changed_for_one_and_for_all(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    management = await town.open_management()
    seen = await town.ask(management, "privacy")
    assert "can see: what you have read\n\n`privacy all typing on` changes it for everybody" in seen
    assert "sees that you are typing" in await town.ask(management, "privacy all typing on")
    assert "does not see what you have read" in await town.ask(management, "privacy 1 receipts off")
    assert "can see: that you are typing." in await town.ask(portal, "!chattor privacy")
    assert "No contact sees that you are typing" in await town.ask(management, "privacy all typing off")
    assert "sees whether you are there" in await town.ask(portal, "!chattor privacy presence on")
    for wrong in ("privacy 1 typing perhaps", "privacy 1 thoughts on", "privacy all", "privacy 1 typing on please"):
        assert "Say whom, what and whether" in await town.ask(management, wrong)


async def test_receipts_that_are_off_are_not_sent(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await friend.friend(WAIT)
    await town.ask(room, "!chattor privacy receipts off")
    first = await friend.send(peer_id, "unseen")
    await read_all(town, ghost, room, 1)
    await town.ask(room, "!chattor privacy receipts on")
    second = await friend.send(peer_id, "seen")
    await read_all(town, ghost, room, 2)
    await friend.ears.wait_until(lambda: bool(receipts(friend)), WAIT)
    assert receipts(friend) == [second] != [first]


async def read_all(town: Town, ghost: str, room: Room, count: int) -> None:
    await town.homeserver.until(lambda: len(room.bodies(ghost)) == count)
    await town.idle()
    last = next(event for event in reversed(room.timeline) if event["type"] == "m.room.message")
    town.homeserver.person_reads(ALICE, room.room_id, last["event_id"])
    await town.deliver()
    await town.idle()


async def test_a_muted_friend_rings_no_bell(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await friend.friend(WAIT)
    assert "does not disturb you" in await town.ask(room, "!chattor mute")
    assert "muted" in await town.ask(room, "!chattor contacts")
    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Text("quiet"))
    await town.homeserver.until(lambda: room.bodies(ghost) == ["quiet"])
    assert "disturbs you again" in await town.ask(room, "!chattor unmute")
    await friend.send(peer_id, "loud")
    await town.homeserver.until(lambda: room.bodies(ghost) == ["quiet", "loud"])
    said = [event["content"] for event in room.timeline if event["sender"] == ghost]
    assert [content["msgtype"] for content in said if "msgtype" in content] == ["m.notice", "m.text"]


async def test_a_note_is_kept_shown_and_taken_away(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    assert "There is no note" in await town.ask(room, "!chattor note")
    assert "Nobody but you" in await town.ask(room, "!chattor note met at the choir")
    assert await town.ask(room, "!chattor note") == "met at the choir"
    assert "met at the choir" in await town.ask(room, "!chattor contacts")
    assert "is gone" in await town.ask(room, "!chattor note -")
    assert "There is no note" in await town.ask(room, "!chattor note")
    assert "it may have 4000" in await town.ask(room, "!chattor note " + "x" * 4_001)
