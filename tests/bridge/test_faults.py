"""What goes wrong on the way to the homeserver loses nothing and doubles nothing."""

from __future__ import annotations

import asyncio

import pytest

from chattor_bridge.bridge import sender, worker
from chattor_bridge.bridge.actions import Say, to_json
from chattor_bridge.bridge.lane_names import owner_lane
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.ports import Transaction
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, Town
from tests.peer import Peer


async def test_what_arrives_while_the_homeserver_is_down_is_shown_when_it_is_back(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await friend.friend(WAIT)
    town.homeserver.down = True
    for text in ("one", "two", "three"):
        await friend.delivered(await friend.send(peer_id, text), WAIT)
    assert (await town.bridge.status()).actions >= 3
    town.homeserver.down = False
    town.bridge.hurry()
    await town.homeserver.until(lambda: len(room.bodies(ghost)) == 3)
    assert room.bodies(ghost) == ["one", "two", "three"]


async def test_it_survives_a_restart_while_the_homeserver_is_down(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    town.homeserver.down = True
    await friend.delivered(await friend.send(await friend.friend(WAIT), "still here"), WAIT)
    await town.restart()
    town.homeserver.down = False
    town.bridge.hurry()
    await town.homeserver.until(lambda: room.bodies(ghost) == ["still here"])


async def _lose_an_answer(town: Town, friend: Peer) -> None:
    """The first of two texts is sent by a request whose answer is lost; each is there once."""
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    town.homeserver.lose_answers = 1
    await friend.send(await friend.friend(WAIT), "once")
    await friend.send(await friend.friend(WAIT), "and then")
    await town.homeserver.until(lambda: "and then" in room.bodies(ghost))
    assert room.bodies(ghost) == ["once", "and then"]


async def test_an_answer_that_is_lost_after_sending_posts_nothing_twice(town: Town, friend: Peer) -> None:
    await _lose_an_answer(town, friend)


async def test_a_homeserver_that_forgot_the_transaction_is_searched_before_sending_again(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TRUSTED_MEMORY", -1)
    town.homeserver.forgets_transactions = True
    await _lose_an_answer(town, friend)


async def test_it_is_searched_too_when_the_process_died_before_it_could_count_its_try(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    monkeypatch.setattr(sender, "TRUSTED_MEMORY", -1)
    town.homeserver.forgets_transactions = True

    def die(name: str) -> None:
        if name == "matrix-sent":
            raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(worker, "failpoint", die)
        await friend.send(await friend.friend(WAIT), "once")
        await town.homeserver.until(lambda: room.bodies(ghost) == ["once"])
        await town.bridge.stop()
    await town.restart()
    await friend.send(await friend.friend(WAIT), "and then")
    await town.homeserver.until(lambda: "and then" in room.bodies(ghost))
    assert room.bodies(ghost) == ["once", "and then"]


async def test_a_room_whose_creation_was_not_saved_is_found_again(town: Town, friend: Peer) -> None:
    management = await town.open_management()
    await town.ask(management, "start Alice")
    await town.ask(management, f"add {await friend.new_code()}")
    await town.idle()
    lost: list[MatrixUserId] = []

    def lose_the_first_room(method: str, user: MatrixUserId, room_id: str) -> None:
        if method == "create_room" and not lost:
            lost.append(user)
            town.homeserver.lose_answers = 1

    town.homeserver.refusals.append(lose_the_first_room)
    await friend.accept_next(WAIT)
    room = await town.joined_portal()
    ghost = (await town.portal(room)).ghost
    assert lost == [ghost]
    assert len(await town.homeserver.joined_rooms(ghost)) == 1


async def test_an_owner_who_left_is_invited_again_when_the_friend_says_something(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave")
    await town.deliver()
    await town.idle()
    await friend.send(await friend.friend(WAIT), "come back")
    await town.homeserver.until(lambda: room.bodies(ghost) == ["come back"])
    assert room.membership(ALICE) == "invite"
    assert (await town.portal(room)).room_id == room.room_id


async def test_a_room_that_was_purged_is_replaced(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    town.homeserver.homeserver_loses_room(room.room_id)
    await friend.send(await friend.friend(WAIT), "where are you")
    another = await town.joined_portal()
    await town.homeserver.until(lambda: another.bodies(ghost) == ["where are you"])


async def test_a_message_the_homeserver_never_takes_is_told_and_blocks_nobody(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    refused: list[str] = []

    def refuse_the_first(method: str, user: MatrixUserId, room_id: str) -> str | None:
        if method == "send" and user == ghost and not refused:
            refused.append(room_id)
            return "M_TOO_LARGE"
        return None

    town.homeserver.refusals.append(refuse_the_first)
    peer_id = await friend.friend(WAIT)
    await friend.send(peer_id, "not this")
    await friend.send(peer_id, "but this")
    await town.homeserver.until(lambda: room.bodies(ghost) == ["but this"])
    management = _management(town)
    await town.homeserver.until(lambda: any("could not be shown" in body for body in management.bodies(BOT)))


async def test_an_event_that_breaks_us_is_set_aside_with_a_notice(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    node = town.bridge.host.nodes()[0]
    send = node.send

    async def broken_once(*arguments: object, **more: object) -> object:
        monkeypatch.setattr(node, "send", send)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(node, "send", broken_once)
    town.homeserver.person_says(ALICE, room.room_id, "poison")
    town.homeserver.person_says(ALICE, room.room_id, "wholesome")
    await town.deliver()
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["wholesome"], WAIT)
    await town.homeserver.until(lambda: any("could not be processed" in body for body in room.bodies(BOT)))
    assert (await town.bridge.status()).inbox == 0


async def test_a_command_is_carried_out_once_although_its_transaction_comes_twice(town: Town) -> None:
    management = await town.open_management()
    await town.ask(management, "start")
    town.homeserver.person_says(ALICE, management.room_id, "code new first")
    await town.deliver(twice=True)
    await town.homeserver.until(lambda: any(event["type"] == "m.room.message" for event in management.timeline[-1:]))
    await town.idle()
    assert len(await town.bridge.host.nodes()[0].codes()) == 1


async def test_the_answer_to_a_command_survives_a_restart(town: Town) -> None:
    management = await town.open_management()
    await town.ask(management, "start")
    town.homeserver.down = True
    town.homeserver.person_says(ALICE, management.room_id, "code new first")
    await town.deliver()
    await _until_inbox_is_empty(town)
    await town.restart()
    town.homeserver.down = False
    town.bridge.hurry()
    await town.homeserver.until(lambda: any("new friend code" in body for body in management.bodies(BOT)))
    await town.idle()
    assert len(await town.bridge.host.nodes()[0].codes()) == 1


async def test_an_action_of_a_newer_version_is_set_aside(town: Town) -> None:
    management = await town.open_management()
    lane = owner_lane(ALICE)
    async with town.store.transaction() as tx:
        await town.store.actions.add(tx, lane, {"kind": "teleport"}, 0)
        await town.store.actions.add(tx, lane, to_json(Say(ALICE, management.room_id, "next")), 0)
    await town.restart()
    await town.homeserver.until(lambda: "next" in management.bodies(BOT))


async def test_nothing_is_taken_from_friends_while_too_much_waits(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    peer_id = await friend.friend(WAIT)
    await friend.delivered(await friend.send(peer_id, "before"), WAIT)  # and with it the friend's profile
    await town.idle()
    refused = asyncio.Event()
    check = Voice.check_room_for_more

    async def noticed(voice: Voice, tx: Transaction, lane: str) -> None:
        try:
            await check(voice, tx, lane)
        except HomeserverUnavailable:
            refused.set()
            raise

    monkeypatch.setattr(Voice, "check_room_for_more", noticed)
    monkeypatch.setattr("chattor_bridge.bridge.voice.ACTIONS_LIMIT", 1)
    town.homeserver.down = True
    await friend.delivered(await friend.send(peer_id, "first"), WAIT)
    await friend.send(peer_id, "second")
    async with asyncio.timeout(WAIT):
        await refused.wait()
    assert (await town.bridge.status()).actions == 1
    town.homeserver.down = False
    town.bridge.hurry()
    await town.homeserver.until(lambda: room.bodies(ghost) == ["before", "first", "second"])


async def test_events_are_not_accepted_while_too_many_wait(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    management = await town.open_management()
    monkeypatch.setattr("chattor_bridge.bridge.intake.INBOX_LIMIT", 1)
    town.homeserver.person_says(ALICE, management.room_id, "one")
    town.homeserver.person_says(ALICE, management.room_id, "two")
    with pytest.raises(HomeserverUnavailable):
        await town.deliver()
    assert (await town.bridge.status()).inbox == 0


async def test_malformed_events_are_left_out_and_the_rest_is_taken(town: Town) -> None:
    management = await town.open_management()
    town.homeserver.person_says(ALICE, management.room_id, "help")
    good = town.homeserver.pending_events.pop()
    bad = [{}, {**good, "event_id": None}, {**good, "event_id": "$other", "content": "text"}, {**good, "event_id": "x"}]
    bad += [{**good, "event_id": "$own", "sender": BOT}]
    before = len(management.bodies(BOT))
    await town.bridge.accept("txn", [*bad, good], [{"type": "m.receipt"}, {"type": "m.typing"}])
    await town.homeserver.until(lambda: len(management.bodies(BOT)) > before)
    await town.idle()
    assert len(management.bodies(BOT)) == before + 1


def _management(town: Town) -> Room:
    return next(room for room in town.homeserver.rooms.values() if ("m.bridge", "") not in room.state)


async def _until_inbox_is_empty(town: Town) -> None:
    async with asyncio.timeout(WAIT):
        while (await town.bridge.status()).inbox:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)
