"""Contact requests are told, and answered by command, reaction or reply."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from chattor_bridge.bridge.permissions import Level
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import KnockId
from chattor_bridge.wording import MANY_REQUESTS
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, FRIEND_NAME, STRANGER, Town, chattor_friend, code_in
from tests.peer import Peer


async def _knocked(town: Town, friend: Peer, note: str = "hello") -> tuple[Room, JsonObject]:
    """The management room, and the notice of the friend's request in it."""
    room = await town.open_management()
    await town.ask(room, "start Alice")
    answer = await town.ask(room, "code new friends")
    await town.idle()
    await friend.add(code_in(answer), note)
    return room, await _notice(town, room)


async def _notice(town: Town, room: Room) -> JsonObject:
    def notices() -> list[JsonObject]:
        return [event for event in room.timeline if "asks to be your contact" in event["content"].get("body", "")]

    await town.homeserver.until(lambda: bool(notices()))
    await town.idle()
    return notices()[-1]


async def _react(town: Town, room: Room, target: JsonObject, key: str, person: str = ALICE) -> None:
    relation = {"rel_type": "m.annotation", "event_id": target["event_id"], "key": key}
    town.homeserver.person_sends(person, room.room_id, {"m.relates_to": relation}, "m.reaction")
    await town.deliver()


def _edits_of(room: Room, notice: JsonObject) -> list[str]:
    return [
        event["content"]["m.new_content"]["body"]
        for event in room.timeline
        if event["content"].get("m.relates_to", {}).get("rel_type") == "m.replace"
        and event["content"]["m.relates_to"]["event_id"] == notice["event_id"]
    ]


async def test_a_request_is_told_with_name_note_and_both_marks_to_touch(town: Town, friend: Peer) -> None:
    room, notice = await _knocked(town, friend, "hello\n**I am** Bob")
    body = notice["content"]["body"]
    assert FRIEND_NAME in body
    assert "> **I am** Bob" in body
    assert "“friends”" in body
    marks = [event["content"]["m.relates_to"]["key"] for event in room.timeline if event["type"] == "m.reaction"]
    assert marks == ["✅", "❌"]


@pytest.mark.parametrize("mark", ["✅", "✔️", "✔", "☑️"])
async def test_a_check_mark_accepts_and_the_notice_says_so(town: Town, friend: Peer, mark: str) -> None:
    room, notice = await _knocked(town, friend)
    await _react(town, room, notice, mark)
    await friend.friend(WAIT)
    portal = await town.joined_portal()
    await town.idle()
    assert len(_edits_of(room, notice)) == 1
    assert "is your contact now" in _edits_of(room, notice)[0]
    await town.say(portal, "welcome")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["welcome"], WAIT)


@pytest.mark.parametrize("mark", ["❌", "✖️", "❎"])
async def test_a_cross_ignores_and_the_notice_says_so(town: Town, friend: Peer, mark: str) -> None:
    room, notice = await _knocked(town, friend)
    await _react(town, room, notice, mark)
    await town.homeserver.until(lambda: bool(_edits_of(room, notice)))
    assert "ignored" in _edits_of(room, notice)[0]
    assert [request.ignored for request in await town.bridge.host.nodes()[0].requests()] == [True]


async def test_a_check_mark_of_somebody_who_may_not_use_the_bridge_any_more_accepts_nobody(
    town: Town, friend: Peer
) -> None:
    room, notice = await _knocked(town, friend)
    town.levels[ALICE] = Level.NONE
    await _react(town, room, notice, "✅")
    await town.idle()
    assert _edits_of(room, notice) == []
    (node,) = town.bridge.host.nodes()
    async with town.store.transaction() as tx:
        assert await town.store.contacts.of_node(tx, node.node_id) == []
        assert len(await town.store.knocks.pending(tx, node.node_id)) == 1


async def test_only_the_owners_reaction_counts_and_only_those_marks(town: Town, friend: Peer) -> None:
    room, notice = await _knocked(town, friend)
    await _react(town, room, notice, "✅", STRANGER)
    await _react(town, room, notice, "👍")
    await town.ask(room, "status")
    await town.idle()
    assert len(await town.bridge.host.nodes()[0].requests()) == 1


async def test_a_used_notice_does_nothing_any_more(town: Town, friend: Peer) -> None:
    room, notice = await _knocked(town, friend)
    await _react(town, room, notice, "❌")
    await town.homeserver.until(lambda: bool(_edits_of(room, notice)))
    await _react(town, room, notice, "✅")
    await town.ask(room, "status")
    assert await town.bridge.host.nodes()[0].contacts() == []


@pytest.mark.parametrize("word", ["accept", "✅", "Accept"])
async def test_a_reply_to_the_notice_accepts(town: Town, friend: Peer, word: str) -> None:
    room, notice = await _knocked(town, friend)
    content = {
        "msgtype": "m.text",
        "body": word,
        "m.relates_to": {"m.in_reply_to": {"event_id": notice["event_id"]}},
    }
    town.homeserver.person_sends(ALICE, room.room_id, content)
    await town.deliver()
    await friend.friend(WAIT)
    await town.joined_portal()


@pytest.mark.parametrize("command", ["accept", "accept 1", "accept bob", "accept #1"])
async def test_a_command_accepts_by_number_name_or_alone(town: Town, friend: Peer, command: str) -> None:
    room, _notice = await _knocked(town, friend)
    await town.ask(room, command)
    await friend.friend(WAIT)
    await town.joined_portal()


async def test_ignoring_by_command_can_be_changed_later(town: Town, friend: Peer) -> None:
    room, notice = await _knocked(town, friend)
    await town.ask(room, "ignore 1")
    await town.homeserver.until(lambda: bool(_edits_of(room, notice)))
    await town.idle()
    assert "(ignored)" in await town.ask(room, "requests")
    await town.ask(room, "accept 1")
    await friend.friend(WAIT)


async def test_among_several_requests_one_has_to_be_named(town: Town, friend: Peer) -> None:
    room, _notice_of_bob = await _knocked(town, friend)
    code = (await town.bridge.host.nodes()[0].codes())[0].code
    async with chattor_friend(town.directory, town.network, "Zoe") as zoe:
        await zoe.add(code)
        await town.homeserver.until(lambda: any("Zoe" in body for body in room.bodies(BOT)))
        await town.idle()
        assert "Say which request" in await town.ask(room, "accept")
        assert "Zoe" in await town.ask(room, "ignore 2")
        await town.idle()
        await town.ask(room, "accept 1")
        await friend.friend(WAIT)


async def test_a_blocked_request_takes_no_number_away(town: Town, friend: Peer) -> None:
    room, _notice_of_bob = await _knocked(town, friend)
    node = town.bridge.host.nodes()[0]
    async with chattor_friend(town.directory, town.network, "Zoe") as zoe:
        await zoe.add((await node.codes())[0].code)
        await town.homeserver.until(lambda: any("Zoe" in body for body in room.bodies(BOT)))
        assert "of **Zoe**" in await town.ask(room, "block request Zoe")
        listed = await town.ask(room, "requests")
        assert re.findall(r"^- \*\*(\d)\*\* \*\*(\w+)", listed, re.MULTILINE) == [("1", "Bob"), ("2", "Zoe")]
        assert await town.ask(room, "requests") == listed
        assert "of **Zoe**" in await town.ask(room, "unblock request 2")
        await town.ask(room, "accept 1")
        await friend.friend(WAIT)


async def test_what_was_listed_is_seen_and_many_show_their_effort(town: Town, friend: Peer) -> None:
    room, _ = await _knocked(town, friend)
    node, store = town.bridge.host.nodes()[0], town.store
    assert "effort" not in await town.ask(room, "requests")
    async with store.transaction() as tx:
        (real,) = await store.knocks.pending(tx, node.node_id)
        assert real.seen
        for number in range(1, MANY_REQUESTS):
            ident = bytes([number]) * 16
            other = replace(real, knock_id=KnockId(ident), peer_static=ident * 2, name=f"N{number}", effort=number + 9)
            await store.knocks.put_pending(tx, replace(other, seen=False))
    listed = await town.ask(room, "requests")
    order = [int(found) for found in re.findall(r"effort (\d+)", listed)]
    assert len(order) == MANY_REQUESTS
    assert order == sorted(order, reverse=True)
    async with store.transaction() as tx:
        assert all(one.seen for one in await store.knocks.pending(tx, node.node_id))


async def test_a_request_is_told_although_nobody_has_a_management_room(town: Town, friend: Peer) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    answer = await town.ask(room, "code new friends")
    await town.idle()
    code = code_in(answer)
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave")
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(BOT) == "leave")
    await friend.add(code, "are you there?")

    def invited() -> list[Room]:
        return [room for room in town.homeserver.rooms.values() if room.membership(ALICE) == "invite"]

    await town.homeserver.until(lambda: bool(invited()))
    await town.homeserver.until(lambda: any("are you there?" in body for body in invited()[0].bodies(BOT)))


async def test_an_unanswered_request_of_ours_is_told_when_it_fails_or_stands_at_the_door(
    town: Town, friend: Peer
) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    await town.ask(room, f"add {await friend.new_code()}")
    await town.homeserver.until(lambda: any("left at the door" in body for body in room.bodies(BOT)))
    await friend.accept_next(WAIT)
    await town.homeserver.until(lambda: any("was accepted" in body for body in room.bodies(BOT)))
