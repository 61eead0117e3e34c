"""Read receipts that the homeserver could not bring, and events that it left behind, are had, and told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chattor_bridge.bridge import missed as missed_module
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.missed import COMES_WITHIN, FIRST_RETRY, LAST_RETRY, LOOK_INTERVAL, SETTLED, MissedTraffic
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverUnavailable, Unavailable
from chattor_bridge.ids import EventId
from chattor_bridge.node.clock import SteadyClock
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
    _reads_in_vain(town, room, event_id)
    town.bridge.lookout.look()
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)


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


class Watch:
    """A lookout of its own beside a bridge at rest, and the times at which it looked."""

    def __init__(self, town: Town, room: Room) -> None:
        self.clock = FakeClock()
        self.looked_at: list[float] = []
        self.asked_for: list[str] = []
        self._town = town
        self._room = room
        self._intake = Intake(town.store, SteadyClock(self.clock), Household(BOT, HOME), lambda _room_id: None)
        town.homeserver.refusals.append(self._note)
        self.missed = MissedTraffic(town.store, town.homeserver, self._intake, self.clock)

    def _note(self, method: str, _user: str, _room_id: str) -> None:
        if method == "missed":
            self.looked_at.append(self.clock.monotonic())
        elif method == "bring_again":
            self.asked_for += [event["event_id"] for event in self._town.homeserver.left_behind]

    def said(self, body: str, at: int) -> JsonObject:
        """What Alice says, and nobody brings yet."""
        self._town.homeserver.person_says(ALICE, self._room.room_id, body)
        event = self._town.homeserver.pending_events.pop()
        event["origin_server_ts"] = at
        return event

    async def bring(self, *events: JsonObject) -> None:
        await self._intake.accept("1", events, [])

    async def sleeps(self, pause: float) -> None:
        """Until it does, for so long."""
        async with asyncio.timeout(WAIT):
            while self.clock.sleeping(at_least=pause) != 1:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def watch(town: Town, friend: Peer) -> AsyncIterator[Watch]:
    """It has looked once, as at a start."""
    room = await town.befriend(friend)
    await town.bridge.stop()
    watch = Watch(town, room)
    running = asyncio.create_task(watch.missed.run())
    await watch.sleeps(LOOK_INTERVAL)
    yield watch
    running.cancel()


async def test_what_does_not_come_while_things_settle_is_asked_for_once(town: Town, watch: Watch) -> None:
    watch.missed.look()
    left = watch.said("left behind", 1000)
    town.homeserver.left_behind.append(left)
    await watch.sleeps(SETTLED)
    assert watch.asked_for == []
    await watch.clock.advance(SETTLED)
    await watch.sleeps(SETTLED)
    assert watch.asked_for == [left["event_id"]]
    town.homeserver.left_behind.append(left)  # it does not come at all
    for _ in range(int(COMES_WITHIN / SETTLED)):
        await watch.sleeps(SETTLED)
        await watch.clock.advance(SETTLED)
    await watch.sleeps(LOOK_INTERVAL)
    assert watch.asked_for == [left["event_id"]]


async def test_what_comes_while_things_settle_is_not_asked_for(town: Town, watch: Watch) -> None:
    watch.missed.look()
    slow = watch.said("slow", 1000)
    town.homeserver.left_behind.append(slow)
    await watch.sleeps(SETTLED)
    await watch.bring(slow)
    await watch.clock.advance(SETTLED)
    await watch.sleeps(LOOK_INTERVAL)
    assert watch.asked_for == []


async def test_an_event_is_overtaken_by_what_is_younger_and_only_until_it_was_asked_for(watch: Watch) -> None:
    older, younger = watch.said("older", 1000), watch.said("younger", 1001)
    assert not await watch.missed.is_overtaken([older, younger])
    assert not await watch.missed.is_overtaken([older])
    assert await watch.missed.is_overtaken([younger])
    assert not await watch.missed.is_overtaken([younger])  # the homeserver has it no more
    await watch.bring(younger)
    assert not await watch.missed.is_overtaken([watch.said("the next", 1002)])


async def test_a_look_that_takes_too_long_holds_nobody_up(
    town: Town, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_since: str | None) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(missed_module, "LOOK_WITHIN", 0.05)
    monkeypatch.setattr(town.homeserver, "missed", hang)
    watch.said("older", 1000)
    assert await watch.missed.is_overtaken([watch.said("younger", 1001)]) is None


async def test_in_a_room_its_order_counts_and_no_clock(watch: Watch) -> None:
    watch.said("older", 5000)
    younger = watch.said("younger", 1000)
    watch.said("still younger", 2000)
    assert await watch.missed.is_overtaken([younger])
    assert not await watch.missed.is_overtaken([younger])


async def test_what_could_not_be_asked_for_is_asked_for_again(town: Town, watch: Watch) -> None:
    watch.missed.look()
    town.homeserver.left_behind.append(watch.said("left behind", 1000))
    await watch.sleeps(SETTLED)
    bring_again = town.homeserver.bring_again
    failing: list[str] = []

    async def fail(_room_id: str, event_id: str) -> None:
        failing.append(event_id)
        town.homeserver.bring_again = bring_again  # type: ignore[method-assign]
        raise HomeserverUnavailable("away")

    town.homeserver.bring_again = fail  # type: ignore[assignment,method-assign]
    await watch.clock.advance(SETTLED)
    await watch.sleeps(FIRST_RETRY / 2)
    await watch.clock.advance(LAST_RETRY)
    await watch.sleeps(SETTLED)
    assert watch.asked_for == failing


async def test_a_look_that_failed_is_made_again_as_soon_as_there_is_reason_to(town: Town, watch: Watch) -> None:
    """As when the homeserver is back: however soon after the last reason."""
    town.homeserver.down = True
    watch.missed.look()
    await watch.sleeps(FIRST_RETRY / 2)
    await watch.clock.advance(FIRST_RETRY)
    await watch.sleeps(FIRST_RETRY / 4)
    town.homeserver.down = False
    watch.missed.look()
    async with asyncio.timeout(WAIT):
        while len(watch.looked_at) < 2:  # noqa: ASYNC110 - and no time passes
            await asyncio.sleep(0.01)


async def test_what_was_still_on_its_way_when_we_ended_is_looked_for_at_the_next_start(
    town: Town, watch: Watch
) -> None:
    left = watch.said("left behind", 1000)
    watch.missed.look()
    await watch.sleeps(SETTLED)
    again = MissedTraffic(town.store, town.homeserver, watch._intake, watch.clock)
    assert await again.is_overtaken([watch.said("younger", 1001)])
    assert left["event_id"] in again._asked_for
