"""Encrypted messages wait for their keys, in order, and hold up nobody else."""

from __future__ import annotations

import asyncio

import pytest

from chattor_bridge.bridge.speech.portal import PortalSpeech
from chattor_bridge.bridge.store_ports import NEVER_CAME
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, HOME, Town, chattor_friend
from tests.peer import Peer

CAROL, DAN = f"@carol:{HOME}", f"@dan:{HOME}"


async def _heard(friend: Peer, *texts: str) -> None:
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) >= len(texts), WAIT)
    assert friend.ears.texts() == list(texts)


def _say(town: Town, room: Room, text: str, person: str = ALICE) -> None:
    """Under a key of its own, named like the text."""
    town.homeserver.person_says_encrypted(person, room.room_id, text, text)


async def test_what_came_before_its_key_is_sent_when_that_comes_in_order(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    async with chattor_friend(town.directory, town.network, "Dave") as dave:
        other = await town.befriend(dave, DAN)
        _say(town, room, "first")
        town.homeserver.keys.add("second")
        _say(town, room, "second")
        await town.say(other, "meanwhile", DAN)
        await _heard(dave, "meanwhile")  # nobody else waits
    assert friend.ears.texts() == []
    town.homeserver.keys.add("first")
    town.bridge.keys_came()
    await _heard(friend, "first", "second")


async def test_a_key_that_will_never_come_is_told_and_what_follows_goes_on(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver.lost_keys.add("lost")
    town.homeserver.keys.add("after")
    _say(town, room, "lost")
    _say(town, room, "after")
    await town.deliver()
    await _heard(friend, "after")
    await town.homeserver.until(lambda: "its key never came to me" in room.bodies(BOT)[-1])
    assert (await town.bridge.status()).parked == 1


async def _set_aside(town: Town, room: Room, *texts: str) -> None:
    town.homeserver.lost_keys.update(texts)
    for number, text in enumerate(texts):
        told = len(room.bodies(BOT)) + 1
        _say(town, room, text)
        await town.deliver()
        await town.homeserver.until(lambda told=told: len(room.bodies(BOT)) == told)  # type: ignore[misc]
        assert NEVER_CAME in room.bodies(BOT)[-1], number


async def test_keys_that_turn_up_late_open_what_was_set_aside_by_themselves_and_in_order(
    town: Town, friend: Peer
) -> None:
    room = await town.befriend(friend)
    await _set_aside(town, room, "first", "second", "third")
    await town.say(room, "meanwhile")
    await _heard(friend, "meanwhile")
    town.homeserver.lost_keys.clear()
    town.homeserver.keys.update(["second", "first"])
    town.bridge.keys_came()
    await _heard(friend, "meanwhile", "first", "second")
    assert (await town.bridge.status()).parked == 1


async def test_keys_that_came_just_before_the_end_are_seen_at_the_next_start(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await _set_aside(town, room, "late")
    town.homeserver.lost_keys.clear()
    town.homeserver.keys.add("late")
    await town.restart()
    await _heard(friend, "late")


async def test_what_cannot_be_opened_with_its_key_is_told_once_and_stays_aside(town: Town, friend: Peer) -> None:
    """Keys that come do not bring it back again and again."""
    room = await town.befriend(friend)
    town.homeserver.person_sends(ALICE, room.room_id, {"key": "broken"}, "m.room.encrypted")
    town.homeserver.keys.add("broken")
    await town.deliver()
    await town.homeserver.until(lambda: "could not read this" in room.bodies(BOT)[-1])
    told = len(room.bodies(BOT))
    town.bridge.keys_came()
    await _set_aside(town, room, "another")  # after which that would have been told too
    assert len(room.bodies(BOT)) == told + 1


async def test_a_key_that_is_good_for_one_use_opens_a_message_across_a_restart(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge goes down between opening a message and sending it."""
    room = await town.befriend(friend)
    with monkeypatch.context() as patched:
        patched.setattr(PortalSpeech, "said", _cut_off)
        town.homeserver.keys.add("once")
        _say(town, room, "once")
        await town.deliver()
        while "once" in town.homeserver.keys:
            await town.clock.sleep(0.01)
        await town.bridge.stop()
    await town.restart()
    await _heard(friend, "once")


async def _cut_off(*_: object) -> None:
    await asyncio.Event().wait()


async def test_nobody_elses_missing_key_holds_up_the_owner(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver.person_invites(ALICE, room.room_id, CAROL)
    town.homeserver.person_sets_membership(CAROL, room.room_id, "join")
    _say(town, room, "from Carol", CAROL)
    await town.deliver()
    await town.say(room, "from Alice")
    await _heard(friend, "from Alice")
    await town.homeserver.until(lambda: any("Only what" in body for body in room.bodies(BOT)))


async def test_a_message_put_inside_a_message_of_another_kind_changes_nothing(town: Town, friend: Peer) -> None:
    """What is inside an encrypted event is never state."""
    room = await town.befriend(friend)
    town.homeserver.keys.add("state")
    inner = {"type": "m.room.member", "content": {"membership": "leave"}}
    town.homeserver.person_sends(ALICE, room.room_id, {"key": "state", "inner": inner}, "m.room.encrypted")
    await town.deliver()
    await town.say(room, "still here")
    await _heard(friend, "still here")
