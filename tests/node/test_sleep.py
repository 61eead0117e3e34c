"""Laptops sleep and clocks are set: links and back-offs begin anew, and what expires does so in its time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chattor_bridge.node import clock as node_clock
from chattor_bridge.node.clock import CLOCK_JUMP, JUMP_DOUBTED, PLAUSIBLE, SteadyClock
from chattor_bridge.node.happenings import KnockLeft
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.node.waking import LOOK, OVERSLEPT
from chattor_bridge.node.watching import AWAKE_PATIENCE, WATCH_INTERVAL
from chattor_bridge.protocol.frames import Onions
from chattor_bridge.protocol.limits import LINK_TIMEOUT
from chattor_bridge.transport.memory import MemoryTransport
from tests.clock import START, FakeClock
from tests.node.puppet import Puppet
from tests.node.test_onions import both_host, cannot_dial, only_contact
from tests.node.world import Person, World

HOUR, DAY, YEAR = 3_600, 86_400, 365 * 86_400

AWAKE_AGAIN = 60.0
"""Seconds after a sleep in which everything is to be up again: a look at the clocks, the random pause, a dial."""


async def _seconds_until(world: World, person: Person, *, online: bool) -> float:
    """How long it takes until the person's only friend is there, or gone."""
    (contact,) = await person.node.contacts()
    began = world.clock.monotonic()
    waiting = person.house.diary.until(lambda: person.online(contact.peer_id) is online)
    await world.clock.pass_until(waiting, step=5.0)
    return world.clock.monotonic() - began


async def test_after_a_sleep_a_friend_is_dialled_at_once_however_long_the_back_off_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.befriend(ben)
    await both_host(anna, ben)
    await anna.house.stop()
    await _seconds_until(world, ben, online=False)
    await world.clock.pass_slowly(2_400, step=60)
    (line,) = [line for line in (await ben.node.status()).work if line.what == "friend"]
    assert line.failures > 4  # the next pause is among the longest
    cannot_dial(anna, monkeypatch)
    await anna.house.start()
    cannot_dial(anna, monkeypatch)
    world.clock.suspend(8 * HOUR)
    assert await _seconds_until(world, ben, online=True) < AWAKE_AGAIN


async def test_a_link_outlives_a_nap_when_the_friend_is_there(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    went = asyncio.create_task(ben.house.diary.until(lambda: not ben.online(peer_id)))
    world.clock.suspend(LOOK + OVERSLEPT)
    await world.clock.pass_slowly(2 * AWAKE_PATIENCE, step=5)
    assert not went.done()
    went.cancel()


@pytest.mark.parametrize(
    ("slept", "within"),
    [
        pytest.param(LOOK + OVERSLEPT, AWAKE_PATIENCE + 3 * WATCH_INTERVAL, id="nap"),
        pytest.param(8 * HOUR, AWAKE_AGAIN, id="night"),
    ],
)
async def test_a_friend_who_went_during_a_sleep_is_given_up_sooner_than_one_who_falls_silent(
    world: World, slept: float, within: float
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    puppet = await Puppet.of(anna)
    await ben.until(lambda: not ben.online(peer_id))
    await puppet.dial(ben)
    await puppet.say(puppet.hello())
    await puppet.hear(Onions)
    assert ben.online(peer_id)
    world.clock.suspend(slept)
    assert await _seconds_until(world, ben, online=False) < within < LINK_TIMEOUT - LOOK
    await puppet.close()


async def test_the_transport_is_told_of_sleeps_and_jumps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    async def woken(_: MemoryTransport, slept: float) -> None:
        told.append(slept)

    monkeypatch.setattr(MemoryTransport, "woken", woken)
    await world.person("Anna")
    await world.clock.pass_slowly(10 * LOOK, step=LOOK)
    assert told == []
    world.clock.suspend(HOUR)
    await world.clock.pass_slowly(2 * LOOK, step=LOOK)
    assert told == [pytest.approx(HOUR)]
    for jump in (-YEAR, YEAR):
        world.clock.set_wall(world.clock.now() + jump)
        await world.clock.pass_slowly(2 * LOOK, step=LOOK)
    assert told[1:] == [0.0, 0.0]


async def test_ages_are_judged_by_a_time_that_goes_on_over_jumps_and_follows_what_lasts() -> None:
    clock = FakeClock()
    steady = SteadyClock(clock)
    for jump in (-YEAR, YEAR):
        clock.set_wall(clock.now() + jump)
        assert steady.now() == clock.now() - jump
        await clock.advance(JUMP_DOUBTED / 2)
        assert steady.now() == clock.now() - jump
        clock.set_wall(clock.now() - jump)  # somebody put it right
        assert steady.now() == clock.now()
        assert abs(steady.wall() - clock.now()) <= 1
    clock.set_wall(clock.now() + YEAR)
    assert steady.now() == clock.now() - YEAR
    await clock.advance(JUMP_DOUBTED)
    assert steady.now() == clock.now()
    clock.suspend(YEAR)  # which is no jump
    assert steady.now() == clock.now()
    assert steady.is_sure
    for _ in range(10):  # nor is a clock that is slewed
        clock.set_wall(clock.now() + int(CLOCK_JUMP) - 2)
        assert abs(steady.now() - clock.now()) <= 1
        await clock.advance(600)


async def test_a_clock_that_has_not_been_set_yet_is_left_at_once() -> None:
    clock = FakeClock(1_000)
    steady = SteadyClock(clock)
    assert steady.now() == 1_000 < PLAUSIBLE
    clock.set_wall(START)
    assert steady.now() == START


async def test_it_is_sure_of_a_time_that_nobody_has_put_right_for_a_day() -> None:
    clock = FakeClock()
    steady = SteadyClock(clock)
    sure = [steady.is_sure]
    await clock.advance(JUMP_DOUBTED)
    sure.append(steady.is_sure)
    clock.set_wall(clock.now() + YEAR)
    sure.append(steady.is_sure)
    await clock.advance(JUMP_DOUBTED)
    assert steady.now() == clock.now()
    sure.append(steady.is_sure)  # of the new one
    await clock.advance(JUMP_DOUBTED)
    sure.append(steady.is_sure)
    assert sure == [False, True, False, False, True]


async def test_what_expires_survives_a_wrong_clock_and_yields_to_one_that_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_clock, "JUMP_DOUBTED", doubted := 3 * HOUSEKEEPING)
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    async with ben.house.store.transaction() as tx:
        code = (await ben.node.create_code(tx, "a month", lifetime=30 * DAY)).code
    await cleo.add(code)
    await cleo.until(lambda: bool(cleo.of(KnockLeft)))
    before = await only_contact(ben)
    for jump in (YEAR, -YEAR):
        world.clock.set_wall(world.clock.now() + jump)
        await world.clock.pass_slowly(2 * HOUSEKEEPING, step=60)  # over a look at what has expired
        await anna.say(peer_id, f"{jump}")
        await ben.until(lambda jump=jump: ben.texts()[-1:] == [f"{jump}"], time_passes=True)  # type: ignore[misc]
        world.clock.set_wall(world.clock.now() - jump)
        await world.clock.pass_slowly(HOUSEKEEPING, step=60)
    assert len(await ben.node.requests()) == 1
    assert "a month" in [one.label for one in await ben.node.codes()]
    assert (await only_contact(ben)).hosted_seed == before.hosted_seed

    world.clock.set_wall(world.clock.now() + YEAR)
    await world.clock.pass_slowly(doubted + 2 * HOUSEKEEPING, step=60)
    assert await ben.node.requests() == []
    assert "a month" not in [one.label for one in await ben.node.codes()]
    assert (await only_contact(ben)).hosted_seed != before.hosted_seed


async def test_what_a_clock_dated_that_was_years_ahead_expires_all_the_same(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    await anna.befriend(ben)
    await both_host(anna, ben)
    await cleo.add(await ben.code())
    await cleo.until(lambda: bool(cleo.of(KnockLeft)))
    async with ben.house.store.transaction() as tx:
        (contact,) = await ben.house.store.contacts.of_node(tx, ben.node_id)
        await ben.house.store.contacts.save(tx, replace(contact, hosted_since=world.clock.now() + 50 * YEAR))
    for person in (cleo, ben):  # they start again, and their clocks are right now
        await person.house.stop()
    world.clock.set_wall(world.clock.now() - 20 * YEAR)
    for person in (cleo, ben):
        await person.house.start()
    await world.clock.pass_slowly(JUMP_DOUBTED + 2 * HOUSEKEEPING, step=600)
    assert (await only_contact(ben)).hosted_since <= world.clock.now()
    (request,) = await ben.node.requests()
    assert request.received_at <= world.clock.now()
    (outgoing,) = await cleo.node.outgoing()
    assert outgoing.created_at <= world.clock.now()
