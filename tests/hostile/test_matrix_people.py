"""What people in Matrix try who are no owners, or whose homeserver lies: strangers, guests in a portal, odd events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from chattor_bridge.bridge.actions import Say, to_json
from chattor_bridge.bridge.lane_names import owner_lane
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.rooms import MANAGEMENT_STATE
from chattor_bridge.ids import MatrixUserId
from tests.bot.test_merging import second_portal
from tests.bridge.fake_homeserver import BOT, DOMAIN, WAIT, Room
from tests.bridge.town import ALICE, STRANGER, Town
from tests.hostile.test_bridge import INJECTION, Tags
from tests.matrix.test_listener import Caller, make_listener
from tests.peer import Peer

CAROL = MatrixUserId(f"@carol:{DOMAIN}")

WRONG: list[Any] = [None, True, -7, 2**70, 1.5, "", "x" * 20_000, [], {}, [[]], [{}], {"": {}}, {"event_id": {}}]
"""What may stand where something else belongs."""

MESSAGE: JsonObject = {
    "msgtype": "m.text",
    "body": "> <@a:b> quoted\n\nwords",
    "format": "org.matrix.custom.html",
    "formatted_body": "<b>words</b>",
    "m.mentions": {"user_ids": ["@a:b"]},
    "m.new_content": {"msgtype": "m.text", "body": "new"},
    "m.relates_to": {
        "rel_type": "m.thread",
        "event_id": "$1",
        "key": "\N{WHITE HEAVY CHECK MARK}",
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$1"},
    },
}

KINDS: dict[str, JsonObject] = {
    "m.room.message": MESSAGE,
    "m.reaction": {"m.relates_to": MESSAGE["m.relates_to"]},
    "m.room.redaction": {"redacts": "$1", "reason": "why"},
    "m.room.encrypted": {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y", "sender_key": "z"},
    "m.sticker": {"body": "sticker", "url": "mxc://a/b", "info": {}},
    "m.poll.start": {"m.poll": {"question": {}}},
}


def _wronged(value: JsonObject) -> Iterator[JsonObject]:
    """The same with each part of it replaced by everything it should not be, or left out."""
    for key, part in value.items():
        yield {other: one for other, one in value.items() if other != key}
        yield from ({**value, key: wrong} for wrong in WRONG)
        if isinstance(part, dict):
            yield from ({**value, key: inner} for inner in _wronged(part))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_event_of_the_wrong_shape_is_more_than_an_event(town: Town, friend: Peer, kind: str) -> None:
    """Of the owner, a guest and a stranger, in the portal and beside it: nothing fails, nothing waits for ever."""
    portal = await town.befriend(friend)
    management = next(room for room in town.homeserver.rooms.values() if room is not portal)
    town.homeserver.person_sets_membership(CAROL, portal.room_id, "join")
    for content in _wronged(KINDS[kind]):
        for person, room in ((ALICE, portal), (ALICE, management), (CAROL, portal), (STRANGER, management)):
            town.homeserver.person_sends(person, room.room_id, content, kind)
    await town.deliver()
    await town.idle()
    parked = 0 if kind != "m.room.encrypted" else None  # what cannot be opened is kept for its owner
    assert parked is None or (await town.bridge.status()).parked == parked
    await town.say(portal, "and it goes on")
    await friend.ears.wait_until(lambda: "and it goes on" in friend.ears.texts(), WAIT)


async def test_no_membership_or_receipt_of_the_wrong_shape_is_more_than_that(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    for content in _wronged({"membership": "invite", "is_direct": True, "displayname": "x"}):
        for state_key in (BOT, CAROL, f"@chattor_nobody:{DOMAIN}", "", "@", "\0", "x" * 300):
            if content.get("membership") == "leave":
                continue
            event = _event(portal, {"type": "m.room.member", "state_key": state_key, "content": content})
            await town.bridge.accept("1", [{**event, "event_id": f"${_new()}"}], [])
    receipt = {"type": "m.receipt", "room_id": portal.room_id, "content": {"$1": {"m.read": {ALICE: {"ts": 1}}}}}
    for wrong in _wronged(receipt):
        await town.bridge.accept("1", [], [wrong])
    await town.idle()
    assert (await town.bridge.status()).parked == 0
    await town.say(portal, "and it goes on")
    await friend.ears.wait_until(lambda: "and it goes on" in friend.ears.texts(), WAIT)


@pytest.mark.parametrize("key", ["event_id", "room_id", "sender"])
@pytest.mark.parametrize("wrong", ["\0", "x" * 300], ids=["null", "long"])
async def test_an_id_no_database_takes_holds_nothing_up(town: Town, friend: Peer, key: str, wrong: str) -> None:
    portal = await town.befriend(friend)
    odd = _event(portal, {"type": "m.room.message", "content": {"body": "odd", "msgtype": "m.text"}})
    good = _event(portal, {"type": "m.room.message", "content": {"body": "good", "msgtype": "m.text"}})
    await town.bridge.accept("1", [{**odd, key: odd[key] + wrong}, good], [])
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["good"], WAIT)


async def test_no_nesting_that_can_be_read_stops_what_comes_after_it(town: Town) -> None:
    room = await town.open_management()
    listener = make_listener(town.bridge.accept)
    await listener.start()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT)) as session:
            caller, answers = Caller(listener.port, session), set()
            for depth in (100, *range(900, 1_000)):  # around what json reads, and a bit less than which it writes
                event = json.dumps(_event(room, {"type": "m.room.message", "content": {"body": "DEEP"}}))
                body = f'{{"events": [{event}]}}'.replace('"DEEP"', '{"a":' * depth + "1" + "}" * depth)
                answers.add((await caller.call("PUT", "/_matrix/app/v1/transactions/1", body.encode()))[0])
            assert 200 in answers
            assert answers <= {200, 400}
    finally:
        await listener.stop()


async def test_no_invitation_makes_a_ghost(town: Town, friend: Peer) -> None:
    """Anybody can invite any name of ours; to decline, it would have to be registered first."""
    portal = await town.befriend(friend)
    await town.idle()
    asked: list[str] = []

    def note(method: str, user: MatrixUserId, room_id: str) -> str | None:
        asked.append(user)
        return None

    town.homeserver.refusals.append(note)
    for number in range(20):
        town.homeserver.person_creates_room(STRANGER, f"@chattor_{number}:{DOMAIN}")
    ghost = (await town.portal(portal)).ghost
    room = town.homeserver.rooms[town.homeserver.person_creates_room(STRANGER, ghost)]
    await town.deliver()
    await town.homeserver.until(lambda: room.membership(ghost) == "leave")
    await town.idle()
    assert set(asked) == {ghost}


async def test_nobody_else_makes_a_room_of_an_owner_his_own(town: Town) -> None:
    room = await town.open_management()
    event = {"type": "m.room.member", "state_key": BOT, "sender": CAROL, "content": {"membership": "invite"}}
    await town.bridge.accept("1", [_event(room, event)], [])
    await town.idle()
    async with town.store.transaction() as tx:
        assert await town.store.management_rooms.owner_of(tx, room.room_id) == ALICE
    assert room.membership(BOT) == "join"


async def test_no_room_of_another_passes_for_one_the_bot_has_opened(town: Town) -> None:
    """Whoever has a room with the bot can write there what the bot looks for after a crash."""
    own, other = await town.open_management(), await town.open_management(CAROL)
    async with town.store.transaction() as tx:
        await town.store.management_rooms.remove(tx, own.room_id)
    town.homeserver.person_sends_state(CAROL, other.room_id, MANAGEMENT_STATE, {"owner": ALICE})
    await town.deliver()
    town.homeserver.down = True
    lane = owner_lane(ALICE)
    async with town.store.transaction() as tx:
        await town.store.actions.add(tx, lane, to_json(Say(ALICE, None, "for Alice alone")), town.clock.now())
    await town.restart()
    async with asyncio.timeout(WAIT):
        while not await _begun(town, lane):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    town.homeserver.down = False
    town.bridge.hurry()
    rooms = town.homeserver.rooms
    await town.homeserver.until(lambda: any("for Alice alone" in room.bodies(BOT) for room in rooms.values()))
    assert "for Alice alone" not in other.bodies(BOT)


async def _begun(town: Town, lane: str) -> bool:
    async with town.store.transaction() as tx:
        pending = await town.store.actions.next(tx, lane)
    return pending is not None and pending.attempts > 0


async def test_guests_of_a_portal_invite_nobody_and_its_owner_can_send_them_away(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    levels = portal.state["m.room.power_levels", ""]
    assert levels["users"][ALICE] == levels["invite"] == 50
    assert set(levels["users"]) == {(await town.portal(portal)).ghost, BOT, ALICE}


async def test_a_name_in_what_a_node_says_is_no_formatting(town: Town, friend: Peer) -> None:
    """A friend has two friendships, and the name of one of them in mind for what the bot says in the other."""
    name = INJECTION.encode()[:60].decode(errors="ignore")
    first = await town.befriend(friend)
    _, second = await second_portal(town, friend)
    async with friend.store.transaction() as tx:
        await friend.node.set_profile_name(tx, name)
    ghosts = [(await town.portal(room)).ghost for room in (first, second)]
    await town.homeserver.until(lambda: all("evil" in town.homeserver.names[ghost] for ghost in ghosts))
    contacts = [(await town.portal(room)).peer_id for room in (first, second)]
    async with friend.store.transaction() as tx:
        await friend.node.merge(tx, *contacts)
    await town.homeserver.until(lambda: any("the same person" in body for body in first.bodies(BOT)))
    said = [event["content"] for event in first.timeline if "the same person" in event["content"].get("body", "")]
    for content in said:
        tags = Tags()
        tags.feed(content.get("formatted_body", ""))
        assert tags.found <= {"strong", "p", "code", "br"}
        assert "\u202e" not in content["body"]


def _event(room: Room, given: JsonObject) -> JsonObject:
    common = {"event_id": f"${_new()}", "room_id": room.room_id, "sender": ALICE, "origin_server_ts": 1}
    return {**common, **given}


_made = 0


def _new() -> str:
    global _made
    _made += 1
    return f"made{_made}"
