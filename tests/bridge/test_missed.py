"""Read receipts that the homeserver could not bring, and events that it left behind, are fetched and told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.missed import LOOK_INTERVAL, SETTLED, MissedTraffic
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import EventId
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, HOME, Town, receipts
from tests.clock import FakeClock
from tests.peer import Peer


async def _shown(town: Town, friend: Peer, room: Room, text: str) -> tuple[EventId, str]:
    """The friend said this and Alice sees it: its Chattor and its Matrix event id."""
    ghost = (await town.portal(room)).ghost
    sent = await friend.send(await friend.friend(WAIT), text)
    await town.homeserver.until(lambda: text in room.bodies(ghost))
    await town.idle()
    event = next(event for event in room.timeline if event["content"].get("body") == text)
    return sent, event["event_id"]


def _reads_in_vain(town: Town, room: Room, event_id: str) -> None:
    """Alice reads, and nobody is there to be told."""
    town.homeserver.person_reads(ALICE, room.room_id, event_id)
    town.homeserver.pending_receipts.clear()


async def test_a_receipt_made_while_the_bridge_was_away_is_told_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    first, event_id = await _shown(town, friend, room, "first")
    await town.bridge.stop()
    _reads_in_vain(town, room, event_id)
    await town.restart()
    await friend.ears.wait_until(lambda: receipts(friend) == [first], WAIT)
    await town.restart()
    second, event_id = await _shown(town, friend, room, "second")
    town.homeserver.person_reads(ALICE, room.room_id, event_id)
    await town.deliver()
    await friend.ears.wait_until(lambda: receipts(friend) == [first, second], WAIT)


async def test_receipts_are_asked_for_when_the_homeserver_called_in_vain(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    sent, event_id = await _shown(town, friend, room, "read me")
    with monkeypatch.context() as patched:
        patched.setattr("chattor_bridge.bridge.intake.INBOX_LIMIT", 0)
        town.homeserver.person_reads(ALICE, room.room_id, event_id)
        with pytest.raises(Unavailable):
            await town.deliver()
    await town.say(room, "as a homeserver does, I come again, without the receipt")
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)


async def test_receipts_are_asked_for_when_a_transaction_had_to_come_again(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    sent, event_id = await _shown(town, friend, room, "read me")
    town.bridge.called_in_vain()
    _reads_in_vain(town, room, event_id)
    await town.say(room, "I come again")
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 - whoever is waited for tells nobody
            await asyncio.sleep(0.01)


class Looks:
    """Counts how often the bridge looked for what it missed."""

    def __init__(self, town: Town) -> None:
        self._count = 0
        town.homeserver.refusals.append(self._asked)

    def _asked(self, method: str, _user: str, _room_id: str) -> None:
        self._count += method == "missed"

    async def become(self, count: int) -> None:
        await _until(lambda: self._count >= count)
        assert self._count == count


async def test_what_was_left_behind_is_found_once_and_not_what_was_said_before_the_start(
    town: Town, friend: Peer
) -> None:
    room = await town.befriend(friend)
    await town.bridge.stop()
    town.homeserver.person_says(ALICE, room.room_id, "a backup does not know that this was said")
    town.homeserver.pending_events.clear()
    looks = Looks(town)
    await town.restart()
    await looks.become(1)
    town.homeserver.person_says(ALICE, room.room_id, "left behind")
    left = town.homeserver.pending_events.pop()
    town.bridge.called_in_vain()
    await town.say(room, "after it")
    await friend.ears.wait_until(lambda: "left behind" in friend.ears.texts(), WAIT)
    town.homeserver.pending_events.append(left)  # after the next outage
    await town.deliver()
    await town.say(room, "the end")
    await friend.ears.wait_until(lambda: "the end" in friend.ears.texts(), WAIT)
    assert sorted(friend.ears.texts()) == ["after it", "left behind", "the end"]


async def test_it_is_looked_twice_and_then_seldom(town: Town) -> None:
    """Once more when things have settled: what was left behind was so at the end of the repeating."""
    await town.bridge.stop()
    clock, looks = FakeClock(), Looks(town)
    intake = Intake(town.store, clock, Household(BOT, HOME), lambda _room_id: None)
    missed = MissedTraffic(town.store, town.homeserver, intake, clock)
    running = asyncio.create_task(missed.run())
    await looks.become(1)
    await _until(lambda: clock.sleeping(at_least=LOOK_INTERVAL) == 1)
    missed.look()
    await looks.become(2)
    await _until(lambda: clock.sleeping(at_least=SETTLED) == 1)
    await clock.advance(SETTLED)
    await looks.become(3)
    await _until(lambda: clock.sleeping(at_least=LOOK_INTERVAL) == 1)
    running.cancel()


async def test_a_homeserver_that_does_not_answer_is_asked_again(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    sent, event_id = await _shown(town, friend, room, "read me")
    await town.bridge.stop()
    _reads_in_vain(town, room, event_id)
    asked = asyncio.Event()

    def refuse(method: str, _user: str, _room_id: str) -> str | None:
        if method != "missed":
            return None
        asked.set()
        return "M_UNKNOWN"

    town.homeserver.refusals.append(refuse)
    await town.restart()
    async with asyncio.timeout(WAIT):
        await asked.wait()
    town.homeserver.refusals.clear()
    town.bridge.hurry()
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)
