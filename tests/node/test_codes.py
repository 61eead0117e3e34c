"""Friend codes with bounds: one-time, expiring, counted, parked, rotated; and what a door does about each."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chattor_bridge.errors import LimitReached, NotFound, OnionNotAuthorised, UsageError
from chattor_bridge.node.codes import MAX_CODES
from chattor_bridge.node.door import Door
from chattor_bridge.node.happenings import KnockFailed, KnockLeft, KnockReceived
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.node.records import KnockState
from chattor_bridge.node.views import CodeInfo
from chattor_bridge.protocol.answered_knock import KnockArrived
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.limits import (
    MAX_CODE_LIFETIME,
    MAX_CODE_USES,
    MAX_PENDING_KNOCKS,
    MAX_ROTATION_GRACE,
    USED_UP_GRACE,
)
from tests.node.test_crowded_doors import crowd, waiting_at
from tests.node.world import Person, World, until_gone

HOUR = 3_600


async def make(
    person: Person, *, one_time: bool = False, lifetime: int | None = None, max_uses: int | None = None
) -> CodeInfo:
    """A friend code whose door is open."""
    async with person.house.store.transaction() as tx:
        code = await person.node.create_code(tx, "test", one_time=one_time, lifetime=lifetime, max_uses=max_uses)
    await person.node.code_published(code.door_id)
    return code


async def dial(world: World, code: str, client_key: bytes | None = None) -> None:
    stream = await world.network.transport().dial(
        FriendCode.parse(code).door, client_key=client_key, isolation="test", timeout=5
    )
    await stream.close()


async def closed(world: World, code: str) -> None:
    """Wait until nobody answers behind this code."""
    await until_gone(world, FriendCode.parse(code).door)


async def test_a_one_time_code_lets_one_in_and_hides_its_door(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    code = await make(ben, one_time=True)
    parsed = FriendCode.parse(code.code)
    for key in (None, bytes(32), FriendCode.of_door(parsed.door, bytes(16)).auth_key):
        with pytest.raises(OnionNotAuthorised):
            await dial(world, code.code, key)
    await dial(world, code.code, parsed.auth_key)

    await anna.add(code.code)
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    (used,) = await ben.node.codes()
    assert used.is_used_up
    await cleo.add(code.code)
    await cleo.until(lambda: bool(cleo.of(KnockFailed)))
    assert "used up" in cleo.of(KnockFailed)[0].reason
    assert [one.state for one in await cleo.node.outgoing()] == [KnockState.FAILED]
    assert len(await ben.node.requests()) == 1
    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id))

    await world.clock.pass_slowly(HOUSEKEEPING + 60, step=HOUSEKEEPING / 4)
    assert [one.is_used_up for one in await ben.node.codes()] == [True]
    world.clock.suspend(USED_UP_GRACE)
    await world.clock.pass_slowly(2 * HOUSEKEEPING + 60, step=HOUSEKEEPING / 4)
    assert await ben.node.codes() == []
    async with ben.house.store.transaction() as tx:
        assert await ben.house.store.doors.of_node(tx, ben.node_id) == []


async def test_without_the_right_secret_nothing_is_left_at_the_door(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = FriendCode.parse((await make(ben, one_time=True)).code)
    await anna.add(FriendCode.of_door(code.door, bytes(16)).encode())
    await world.clock.pass_slowly(60)
    assert await ben.node.requests() == []
    (waiting,) = await anna.node.outgoing()
    assert waiting.state is KnockState.CALLING


async def test_a_code_is_good_for_so_many_requests_and_a_retry_is_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    code = await make(ben, max_uses=1)
    stored, lost = Door._store, 0

    async def store_and_die(self: Door, arrived: KnockArrived) -> str:
        nonlocal lost
        status = await stored(self, arrived)
        if lost < 2:
            lost += 1
            raise ConnectionError("the receipt gets lost")
        return status

    monkeypatch.setattr(Door, "_store", store_and_die)
    await anna.add(code.code)
    await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)
    assert lost == 2
    (used,) = await ben.node.codes()
    assert used.uses == 1
    await cleo.add(code.code)
    await cleo.until(lambda: bool(cleo.of(KnockFailed)), time_passes=True)


async def test_a_request_left_with_another_code_opens_no_used_up_one(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    once, often = await make(ben, one_time=True), await make(ben)
    await anna.add(once.code)
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    await cleo.add(often.code)
    await cleo.until(lambda: bool(cleo.of(KnockLeft)))
    knocks = cleo.house.store.knocks
    async with cleo.house.store.transaction() as tx:
        (first,) = await knocks.outgoing(tx, cleo.node_id)
        await knocks.remove_outgoing(tx, first.knock_id)
        await cleo.node.add(tx, once.code, "with the same key")
        (second,) = await knocks.outgoing(tx, cleo.node_id)
        await knocks.remove_outgoing(tx, second.knock_id)
        await knocks.add_outgoing(tx, replace(second, static_key=first.static_key))
    await cleo.until(lambda: bool(cleo.of(KnockFailed)))
    assert "used up" in cleo.of(KnockFailed)[0].reason
    async with ben.house.store.transaction() as tx:
        waiting = await ben.house.store.knocks.pending(tx, ben.node_id)
    assert sorted(one.exempt for one in waiting) == [False, True]


async def test_an_expired_code_serves_nobody_at_once_and_is_retired_soon(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    code = await make(ben, lifetime=HOUR)
    await anna.add(code.code)
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    await world.clock.advance(HOUR)
    assert await ben.node.codes() == []
    with pytest.raises(NotFound):
        async with ben.house.store.transaction() as tx:
            await ben.node.park_code(tx, code.door_id, parked=True)
    await cleo.add(code.code)
    await world.clock.pass_slowly(2 * HOUSEKEEPING, step=HOUSEKEEPING / 4)
    await closed(world, code.code)
    assert not cleo.of(KnockLeft)
    assert len(await ben.node.requests()) == 1  # what was left before stays
    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)


async def test_an_open_stream_does_not_outlive_the_code(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The knock is on its way through the door when the code expires."""
    cleo, ben = await world.person("Cleo"), await world.person("Ben")
    code = await make(ben, lifetime=HOUR)
    stored = Door._store

    async def expire_and_store(self: Door, arrived: KnockArrived) -> str:
        world.clock.suspend(HOUR)
        return await stored(self, arrived)

    monkeypatch.setattr(Door, "_store", expire_and_store)
    await cleo.add(code.code)
    await cleo.until(lambda: bool(cleo.of(KnockFailed)))
    assert await ben.node.requests() == []


async def test_a_parked_door_is_gone_until_it_is_wanted_again(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await make(ben)
    async with ben.house.store.transaction() as tx:
        assert (await ben.node.park_code(tx, code.door_id, parked=True)).parked
    await closed(world, code.code)
    await ben.house.stop()
    await ben.house.start()  # and it stays parked
    await anna.add(code.code)
    await world.clock.pass_slowly(120)
    assert not anna.of(KnockLeft)
    assert [one.parked for one in await ben.node.codes()] == [True]
    async with ben.house.store.transaction() as tx:
        await ben.node.park_code(tx, code.door_id, parked=False)
    await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)


@pytest.mark.parametrize("grace", [0, HOUR])
async def test_rotation_makes_a_new_door_and_keeps_friends(world: World, grace: int) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    peer_id = await anna.befriend(ben)
    (old,) = await ben.node.codes()
    async with ben.house.store.transaction() as tx:
        new = await ben.node.rotate_code(tx, old.door_id, grace=grace)
    assert new.code != old.code
    assert new.label == old.label
    await ben.node.code_published(new.door_id)
    await dial(world, new.code)
    if grace:
        await dial(world, old.code)
        assert len(await ben.node.codes()) == 2
        world.clock.suspend(grace)
        await world.clock.pass_slowly(2 * HOUSEKEEPING + 60, step=HOUSEKEEPING / 4)
    await closed(world, old.code)
    assert [one.door_id for one in await ben.node.codes()] == [new.door_id]
    await cleo.add(new.code)
    await cleo.until(lambda: bool(cleo.of(KnockLeft)), time_passes=True)
    await anna.say(peer_id, "still friends")
    await ben.until(lambda: ben.texts() == ["still friends"], time_passes=True)


@pytest.mark.parametrize("lifetime", [None, 30 * 24 * HOUR])
@pytest.mark.parametrize("closing", ["used up", "rotated"])
async def test_what_is_rotated_while_it_closes_has_its_bounds_and_not_its_end(
    world: World, closing: str, lifetime: int | None
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    old = await make(ben, lifetime=lifetime, max_uses=1)
    if closing == "used up":
        await anna.add(old.code)
        await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)
        ends = world.clock.now() + USED_UP_GRACE
    else:
        async with ben.house.store.transaction() as tx:
            await ben.node.rotate_code(tx, old.door_id, grace=HOUR)
        ends = world.clock.now() + HOUR
    (again, *_) = await ben.node.codes()
    assert again.door_id == old.door_id
    assert again.expires_at is not None
    assert again.expires_at <= ends
    async with ben.house.store.transaction() as tx:
        new = await ben.node.rotate_code(tx, old.door_id)
    assert (new.expires_at, new.max_uses, new.uses) == (old.expires_at, 1, 0)


async def test_rotating_a_one_time_code_changes_its_secret(world: World) -> None:
    ben = await world.person("Ben")
    old = await make(ben, one_time=True)
    async with ben.house.store.transaction() as tx:
        new = await ben.node.rotate_code(tx, old.door_id)
    before, after = FriendCode.parse(old.code), FriendCode.parse(new.code)
    assert new.one_time
    assert before.secret != after.secret
    assert before.door != after.door


async def _knocked(person: Person, times: int) -> None:
    """Somebody has knocked so often in vain."""
    while True:
        async with person.house.store.transaction() as tx:
            (knock,) = await person.house.store.knocks.outgoing(tx, person.node_id)
        if knock.attempts >= times:
            return
        await asyncio.sleep(0.01)


async def test_what_was_left_with_a_one_time_code_is_not_pushed_out_and_always_fits(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await make(ben, one_time=True)
    other = await make(ben)
    await anna.add(code.code)
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    (hers,) = (await waiting_at(ben)).values()
    assert hers.exempt
    async with ben.house.store.transaction() as tx:
        await ben.house.store.knocks.put_pending(tx, replace(hers, effort=0))
    ids = await crowd(ben, [(3, True, False)] * (MAX_PENDING_KNOCKS - 1))
    async with ben.house.store.transaction() as tx:
        for knock_id in ids:
            knock = await ben.house.store.knocks.get_pending(tx, knock_id)
            assert knock is not None
            await ben.house.store.knocks.put_pending(tx, replace(knock, exempt=False))
    cleo, dora = await world.person("Cleo"), await world.person("Dora")
    await cleo.add(other.code)
    await world.clock.pass_until(_knocked(cleo, 3))  # with more effort than is in Anna's from the second time on
    assert not cleo.of(KnockLeft)  # all but Anna's were seen, and hers is exempt
    assert hers.knock_id in await waiting_at(ben)
    await dora.add((await make(ben, one_time=True)).code)
    await dora.until(lambda: bool(dora.of(KnockLeft)), time_passes=True)
    assert len(await waiting_at(ben)) == MAX_PENDING_KNOCKS + 1


async def test_bounds_that_cannot_be_are_refused(world: World) -> None:
    ben = await world.person("Ben")
    for lifetime, max_uses, one_time in (
        (0, None, False),
        (MAX_CODE_LIFETIME + 1, None, False),
        (None, 0, False),
        (None, MAX_CODE_USES + 1, False),
        (None, 2, True),
    ):
        with pytest.raises(UsageError):
            await make(ben, lifetime=lifetime, max_uses=max_uses, one_time=one_time)
    codes = [await make(ben) for _ in range(MAX_CODES)]
    for grace in (-1, MAX_ROTATION_GRACE + 1):
        with pytest.raises(LimitReached):
            async with ben.house.store.transaction() as tx:
                await ben.node.rotate_code(tx, codes[0].door_id, grace=grace)
    with pytest.raises(LimitReached):  # the old one would be the ninth
        async with ben.house.store.transaction() as tx:
            await ben.node.rotate_code(tx, codes[0].door_id, grace=HOUR)
    async with ben.house.store.transaction() as tx:
        await ben.node.rotate_code(tx, codes[0].door_id)
    other = await world.person("Other")
    with pytest.raises(NotFound):
        async with other.house.store.transaction() as tx:
            await other.node.retire_code(tx, codes[1].door_id)
