"""A clock that is wrong when the program starts: nothing is given up by it before somebody could put it right."""

from __future__ import annotations

import pytest

from chattor_bridge.node.clock import ABSENCE, JUMP_DOUBTED, Memory, SteadyClock
from chattor_bridge.node.happenings import CodeClosed, EventFailed, EventsExpired, KnockFailed, KnockGone, KnockLeft
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame
from chattor_bridge.protocol.limits import KNOCK_LIFETIME, QUEUED_LIFETIME
from chattor_bridge.protocol.session import Session
from tests.clock import START, FakeClock
from tests.node.puppet import Puppet
from tests.node.test_disappearing import agree
from tests.node.test_onions import both_host, only_contact
from tests.node.world import Person, World

HOUR, DAY = 3_600, 86_400
MONTHS = 60 * DAY
GONE_FOR_GOOD = (CodeClosed, EventFailed, EventsExpired, KnockFailed, KnockGone)


async def _is_left(*people: Person) -> bool:
    return not any(person.of(kind) for person in people for kind in GONE_FOR_GOOD)


class Waiting:
    """Anna's friend Ben is away; what she says waits, and disappears in a week. Cleo's request waits at Anna's code."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def begin(self) -> None:
        world = self.world
        self.anna, self.ben, self.cleo = [await world.person(name) for name in ("Anna", "Ben", "Cleo")]
        self.peer = await self.anna.befriend(self.ben)
        await both_host(self.anna, self.ben)
        await agree(self.anna, self.ben, self.peer, 7 * DAY)
        async with self.anna.house.store.transaction() as tx:
            code = await self.anna.node.create_code(tx, "a month", lifetime=30 * DAY)
        await self.anna.node.code_published(code.door_id)
        await self.cleo.add(code.code)
        await self.cleo.until(lambda: bool(self.cleo.of(KnockLeft)))
        await self.ben.house.stop()
        await self.anna.say(self.peer, "waits")

    async def start_again(self, ahead: int) -> None:
        for person in (self.anna, self.cleo):
            await person.house.stop()
        self.set(ahead)
        for person in (self.anna, self.cleo):
            await person.house.start()

    def set(self, ahead: int) -> None:
        self.world.clock.set_wall(self.world.clock.now() + ahead)

    async def is_all_there(self) -> bool:
        return await _is_left(self.anna, self.cleo) and len(await self.anna.node.requests()) == 1


@pytest.fixture
async def waiting(world: World) -> Waiting:
    waiting = Waiting(world)
    await waiting.begin()
    return waiting


async def test_nothing_is_given_up_by_a_clock_that_is_ahead_at_the_start(waiting: Waiting, world: World) -> None:
    await waiting.start_again(MONTHS)
    await world.clock.pass_slowly(2 * HOUSEKEEPING, step=60)
    assert await waiting.is_all_there()
    await waiting.start_again(0)  # nor at the next one
    await world.clock.pass_slowly(2 * HOUSEKEEPING, step=60)
    assert await waiting.is_all_there()
    waiting.set(-MONTHS)  # somebody puts it right
    await world.clock.pass_slowly(JUMP_DOUBTED + 2 * HOUSEKEEPING, step=3600)
    assert await waiting.is_all_there()
    assert [one.label for one in await waiting.anna.node.codes()] == ["a month"]
    await waiting.ben.house.start()
    await waiting.ben.until(lambda: waiting.ben.texts() == ["waits"], time_passes=True)


async def test_after_a_long_absence_all_of_it_is_given_up_a_day_late(waiting: Waiting, world: World) -> None:
    await waiting.start_again(MONTHS)
    (said,) = await waiting.anna.say(waiting.peer, "said on the first day")
    await world.clock.pass_slowly(JUMP_DOUBTED + 2 * HOUSEKEEPING, step=3600)
    assert await waiting.anna.node.requests() == []
    for kind in (CodeClosed, EventFailed, EventsExpired, KnockGone):
        assert waiting.anna.of(kind), kind
    assert waiting.cleo.of(KnockFailed)
    assert said not in [one.event_id for one in waiting.anna.of(EventFailed)]


async def test_what_is_said_by_a_clock_that_is_behind_at_the_start_is_not_old_when_it_is_right(
    waiting: Waiting, world: World
) -> None:
    await waiting.start_again(-MONTHS)
    await waiting.anna.say(waiting.peer, "said in the past")
    await world.clock.pass_slowly(HOUR, step=3600)
    waiting.set(MONTHS)
    await world.clock.pass_slowly(JUMP_DOUBTED + 2 * HOUSEKEEPING, step=3600)
    assert await waiting.is_all_there()
    assert max(QUEUED_LIFETIME, KNOCK_LIFETIME) < MONTHS


async def test_neither_keys_nor_patience_with_a_gap_age_by_it(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    puppet = await Puppet.of(anna)
    await ben.until(lambda: not ben.online(peer_id))
    await puppet.greet(ben, AckFrame(puppet.session.received.ack()))
    puppet.seal(Text("lost on the way"))
    await puppet.say(EnvelopeFrame(puppet.seal(Text("behind it"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    await puppet.close()
    await ben.house.stop()
    world.clock.set_wall(world.clock.now() + MONTHS)
    await ben.house.start()
    await world.clock.pass_slowly(2 * HOUSEKEEPING, step=60)
    assert Session.deserialize((await only_contact(ben)).session).skipped == 1
    assert ben.texts() == []


def _run(memory: Memory | None, wall: int) -> tuple[FakeClock, SteadyClock]:
    """A program that starts when the machine says ``wall``."""
    clock = FakeClock(wall)
    steady = SteadyClock(clock)
    if memory is not None:
        steady.recall(memory)
    return clock, steady


async def test_a_clock_is_believed_at_the_start_that_says_no_more_than_a_long_weekend() -> None:
    _, steady = _run(None, START)
    for later in (0, HOUR, int(ABSENCE)):
        clock, again = _run(steady.remember(), START + later)
        assert again.at_least() == again.now() == clock.now()


async def test_one_that_is_left_alone_over_short_runs_for_a_day_is_believed() -> None:
    """As that of a machine which is in use for some hours now and then."""
    _, steady = _run(None, START)
    wall = START + MONTHS
    for run in range(3):
        clock, steady = _run(steady.remember(), wall + run * 13 * HOUR)
        assert steady.now() == clock.now()
        assert (steady.at_least() == clock.now()) is (run == 2)
        await clock.advance(HOUR)
    assert steady.remember().at_least == clock.now()


async def test_one_that_is_wrong_at_every_start_and_put_right_each_time_is_never_believed() -> None:
    steady, right = _run(None, START)[1], START
    for _ in range(5):
        clock, steady = _run(steady.remember(), START + MONTHS)
        assert steady.at_least() == right
        await clock.advance(HOUR)
        clock.set_wall(right := right + HOUR)
        assert steady.at_least() == right
        await clock.advance(DAY - HOUR)
        right += DAY - HOUR
        assert steady.at_least() == right


async def test_a_jump_that_is_doubted_is_doubted_after_another_start_too() -> None:
    clock, steady = _run(None, START)
    clock.set_wall(START + MONTHS)
    assert steady.now() == START
    for _ in range(2):
        clock, steady = _run(steady.remember(), clock.now())
        assert steady.at_least() == START
    await clock.advance(JUMP_DOUBTED)
    assert steady.at_least() == clock.now() == START + MONTHS + DAY


async def test_time_goes_on_under_a_clock_that_is_behind_until_it_has_been_left_alone_for_a_day() -> None:
    _, steady = _run(None, START)
    clock, steady = _run(steady.remember(), START - MONTHS)
    await clock.advance(HOUR)
    assert steady.now() == steady.at_least() == START + HOUR
    clock, steady = _run(steady.remember(), clock.now() + DAY)
    assert steady.now() == steady.at_least() == clock.now()
