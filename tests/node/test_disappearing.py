"""Messages that disappear, after docs/protocol/events.md, "timer"."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import UsageError
from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.expiry import agreed
from chattor_bridge.node.happenings import TIMER_SET, EventArrived, EventsExpired
from chattor_bridge.node.preferences import Preferences, Shared
from chattor_bridge.protocol.events import Edit, Text, Timer, Unknown
from chattor_bridge.protocol.limits import MAX_TIMER, MAX_TIMER_ROUND, MAX_TIMER_STEP
from tests.node.world import Person, World

HOUR = 240


async def set_timer(person: Person, peer: PeerId, seconds: int) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.set_timer(tx, peer, seconds)


async def timer_of(person: Person) -> int:
    (contact,) = await person.node.contacts()
    return contact.preferences.timer


async def read(person: Person, peer: PeerId, *event_ids: EventId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.read(tx, peer, event_ids)


def expired(person: Person) -> list[EventId]:
    return [event_id for one in person.of(EventsExpired) for event_id in one.event_ids]


def told(person: Person) -> list[object]:
    """What the person was told of timers, in order."""
    bodies = [one.event.body for one in person.of(EventArrived)]
    return [dict(body.fields) for body in bodies if isinstance(body, Unknown) and body.type == TIMER_SET]


async def agree(anna: Person, ben: Person, peer: PeerId, seconds: int = HOUR) -> None:
    await set_timer(anna, peer, seconds)
    await ben.until(lambda: len(told(ben)) == len(told(anna)))


async def test_both_are_told_and_both_keep_to_it(anna: Person, ben: Person, peer: PeerId) -> None:
    await agree(anna, ben, peer)
    assert told(anna) == [{"seconds": HOUR, "ours": True}]
    assert told(ben) == [{"seconds": HOUR, "ours": False, "wanted": HOUR}]
    assert (await timer_of(anna), await timer_of(ben)) == (HOUR, HOUR)
    await set_timer(ben, peer, 0)
    await anna.until(lambda: len(told(anna)) == 2)
    assert (await timer_of(anna), await timer_of(ben)) == (0, 0)


async def test_it_counts_from_saying_at_one_end_and_from_reading_at_the_other(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await agree(anna, ben, peer)
    (said,) = await ben.say(peer, "not for long")
    await anna.until(lambda: anna.texts() == ["not for long"])
    await world.clock.pass_slowly(HOUR - 2)
    assert expired(ben) == []
    await world.clock.advance(4)
    await ben.until(lambda: expired(ben) == [said])
    assert expired(anna) == []
    await read(anna, peer, said)
    await world.clock.pass_slowly(HOUR - 2)
    await read(anna, peer, said)  # reading again begins nothing anew
    assert expired(anna) == []
    await world.clock.advance(4)
    await anna.until(lambda: expired(anna) == [said])
    await world.clock.pass_slowly(2 * HOUR)
    assert (expired(anna), expired(ben)) == ([said], [said])


async def test_what_was_said_before_stays_and_what_was_said_under_it_goes(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    (before,) = await anna.say(peer, "before")
    await agree(anna, ben, peer)
    (under,) = await anna.say(peer, "under it")
    await agree(anna, ben, peer, 0)
    (after,) = await anna.say(peer, "after it")
    async with anna.house.store.transaction() as tx:
        await anna.node.send(tx, peer, Edit(under, "an edit has no time of its own"))
    await ben.until(lambda: len(ben.texts()) == 3)
    await read(ben, peer, before, under, after)
    await world.clock.pass_slowly(2 * HOUR)
    assert (expired(anna), expired(ben)) == ([under], [under])


async def test_what_became_due_while_nobody_ran_goes_at_the_start(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await agree(anna, ben, peer)
    (said,) = await anna.say(peer, "not for long")
    await ben.until(lambda: ben.texts() == ["not for long"])
    await read(ben, peer, said)
    for person in (anna, ben):
        await person.house.stop()
    await world.clock.advance(10 * HOUR)
    for person in (anna, ben):
        await person.house.start()
        await person.until(lambda: expired(person) == [said])  # noqa: B023


async def test_an_observer_that_fails_is_told_again_and_once(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await agree(anna, ben, peer)
    (said,) = await anna.say(peer, "not for long")
    anna.house.diary.refuses = lambda happening: isinstance(happening, EventsExpired) and anna.house.diary.refused < 3
    await world.clock.pass_slowly(HOUR)
    await anna.until(lambda: expired(anna) == [said], time_passes=True)
    assert anna.house.diary.refused == 3


async def test_a_message_to_somebody_who_is_away_still_arrives(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await agree(anna, ben, peer)
    await ben.house.stop()
    (said,) = await anna.say(peer, "patience")
    await world.clock.pass_slowly(2 * HOUR)
    await anna.until(lambda: expired(anna) == [said])
    await ben.house.start()
    await ben.until(lambda: ben.texts() == ["patience"], time_passes=True)
    (arrived,) = [one.event for one in ben.of(EventArrived) if isinstance(one.event.body, Text)]
    assert arrived.expires == HOUR


async def test_receipts_that_are_off_keep_nothing_from_disappearing(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await agree(anna, ben, peer)
    async with ben.house.store.transaction() as tx:
        await ben.node.share(tx, peer, Shared.RECEIPTS, on=False)
    (said,) = await anna.say(peer, "read in secret")
    await ben.until(lambda: ben.texts() == ["read in secret"])
    await read(ben, peer, said)
    await world.clock.pass_slowly(HOUR)
    await ben.until(lambda: expired(ben) == [said], time_passes=True)


async def test_what_was_said_with_a_friend_who_is_forgotten_disappears_all_the_same(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await agree(anna, ben, peer)
    (own,) = await anna.say(peer, "mine")
    (theirs,) = await ben.say(peer, "yours, never read")
    await anna.until(lambda: anna.texts() == ["yours, never read"])
    async with anna.house.store.transaction() as tx:
        await anna.node.forget(tx, peer)
    await anna.until(lambda: sorted(expired(anna)) == sorted([own, theirs]), time_passes=True)


async def test_two_who_set_it_at_once_agree_on_the_shorter(anna: Person, ben: Person, peer: PeerId) -> None:
    await anna.house.stop()
    await set_timer(ben, peer, 60)
    await anna.house.start()
    await set_timer(anna, peer, 0)
    await ben.until(lambda: len(told(ben)) == 2, time_passes=True)
    await anna.until(lambda: len(told(anna)) == 2, time_passes=True)
    assert (await timer_of(anna), await timer_of(ben)) == (60, 60)


async def test_a_friend_whose_program_knows_no_timer_is_not_promised_one(
    anna: Person, ben: Person, peer: PeerId
) -> None:
    async with anna.house.store.transaction() as tx:
        contact = await anna.house.store.contacts.get(tx, anna.node_id, peer)
        assert contact is not None
        await anna.house.store.contacts.save(tx, replace(contact, capabilities=("text",)))
    with pytest.raises(UsageError, match="newer version"):
        await set_timer(anna, peer, HOUR)
    with pytest.raises(UsageError, match="366 days"):
        await set_timer(anna, peer, MAX_TIMER + 1)


def test_a_round_out_of_reach_changes_nothing() -> None:
    now = Preferences(timer=60, timer_round=5)
    assert agreed(now, Timer(1, 5 + MAX_TIMER_STEP)) == replace(now, timer=1, timer_round=5 + MAX_TIMER_STEP)
    assert agreed(now, Timer(1, 6 + MAX_TIMER_STEP)) == now
    assert agreed(now, Timer(1, MAX_TIMER_ROUND)) == now


MOVES = st.lists(st.tuples(st.booleans(), st.one_of(st.none(), st.integers(0, 3))), max_size=40)


@given(MOVES)
def test_whatever_crosses_both_come_to_the_same(moves: list[tuple[bool, int | None]]) -> None:
    """Each side sets the timer or hears the next thing the other said; in the end all was heard."""
    sides = [Preferences(), Preferences()]
    ways: list[deque[Timer]] = [deque(), deque()]  # to each side

    def hear(side: int) -> None:
        if ways[side]:
            sides[side] = agreed(sides[side], ways[side].popleft())

    for which, seconds in moves:
        side = int(which)
        if seconds is None:
            hear(side)
            continue
        timer = Timer(seconds, sides[side].timer_round + 1)
        sides[side] = replace(sides[side], timer=timer.seconds, timer_round=timer.round)
        ways[1 - side].append(timer)
    for side in (0, 1):
        while ways[side]:
            hear(side)
    assert sides[0] == sides[1]
