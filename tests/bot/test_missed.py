"""How far catching up is, said in the management room in one message."""

from __future__ import annotations

import re

from chattor_bridge.bridge.records import Topic
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.node.catching_up import MANY
from chattor_bridge.node.happenings import Missed
from tests.bridge.fake_homeserver import BOT, Room
from tests.bridge.town import Town
from tests.peer import Peer


async def _happen(town: Town, *happenings: Missed) -> None:
    [node] = town.bridge.host.nodes()
    async with town.store.transaction() as tx:
        for missed in happenings:
            await town.bridge.observer.record(tx, node.node_id, missed)
    await town.idle()


def _told(room: Room) -> list[list[str]]:
    """What each message of the bot about it has said, one after the other."""
    told: dict[str, list[str]] = {}
    for event in room.timeline:
        content, relation = event["content"], event["content"].get("m.relates_to", {})
        if event["sender"] == BOT and "missed" in content.get("body", ""):
            said = content.get("m.new_content", content)["body"]
            told.setdefault(relation.get("event_id", event["event_id"]), []).append(said)
    return list(told.values())


async def test_it_is_one_message_until_it_is_over_also_after_a_restart(town: Town) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    await _happen(town, Missed(1200, 1, over=False), Missed(1300, 3, over=False))
    await town.restart()
    await _happen(town, Missed(2310, 3, over=True))
    await _happen(town, Missed(25, 1, over=True))
    assert _told(room) == [
        [
            "📬 Catching up: 1,200 missed messages so far, from a friend.",
            "📬 Catching up: 1,300 missed messages so far, from 3 friends.",
            "📬 2,310 missed messages have come, from 3 friends.",
        ],
        ["📬 25 missed messages have come, from a friend."],
    ]


async def test_a_room_that_is_lost_is_replaced_and_nothing_stays_behind(town: Town) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    await _happen(town, Missed(20, 1, over=False))
    room.state["m.room.member", BOT] = {"membership": "leave"}
    await _happen(town, Missed(40, 1, over=False))
    other = next(one for one in town.homeserver.rooms.values() if one is not room)
    assert _told(other) == [["📬 Catching up: 40 missed messages so far, from a friend."]]
    assert [await _notices(town, one) for one in (room, other)] == [0, 1]
    question = await town.ask(other, "delete-everything")
    await town.ask(other, re.findall(r"delete-everything \d{4}", question)[0])
    assert await _notices(town, other) == 0


async def _notices(town: Town, room: Room) -> int:
    async with town.store.transaction() as tx:
        return len(await town.store.portal_notices.of_room(tx, MatrixRoomId(room.room_id), Topic.MISSED))


async def test_status_says_how_far_it_is(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    room = await town.open_management()
    [node] = town.bridge.host.nodes()
    [contact] = await node.contacts()
    async with town.store.transaction() as tx:
        for _ in range(MANY - 1):
            await town.store.missed.add(tx, node.node_id, contact.peer_id)
    assert "missed" not in await town.ask(room, "status")
    async with town.store.transaction() as tx:
        await town.store.missed.add(tx, node.node_id, contact.peer_id)
    assert f"Catching up: {MANY} missed messages so far, from a friend." in await town.ask(room, "status")
