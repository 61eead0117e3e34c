"""More knocks than a door can hold or check: who makes room for whom, and what checking them costs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from chattor_bridge.errors import LimitReached
from chattor_bridge.ids import KnockId, PeerId
from chattor_bridge.node import knocking
from chattor_bridge.node.happenings import KnockLeft, KnockReceived
from chattor_bridge.node.labour import Labour
from chattor_bridge.node.proving import Proving
from chattor_bridge.node.records import KnockState, PendingKnock
from chattor_bridge.protocol.effort import Proof
from chattor_bridge.protocol.knock import KnockingSide
from chattor_bridge.protocol.limits import (
    EFFORT_BITS,
    MAX_EFFORT_BITS,
    MAX_PENDING_KNOCKS,
    MAX_PROOFS_PER_SECOND,
    MAX_PROOFS_WAITING,
)
from tests.clock import FakeClock
from tests.node.world import Person, World

MOST_EFFORT = 256
"""More than any knock shows."""


async def crowd(person: Person, waiting: Sequence[tuple[int, bool, bool]]) -> list[KnockId]:
    """Requests of strangers besides the one there is: their effort, whether seen, whether ignored."""
    knocks = person.house.store.knocks
    ids = []
    async with person.house.store.transaction() as tx:
        (real,) = await knocks.pending(tx, person.node_id)
        for effort, seen, ignored in waiting:
            stranger = replace(
                real,
                knock_id=KnockId(secrets.token_bytes(16)),
                peer_id=PeerId(secrets.token_bytes(16)),
                peer_static=secrets.token_bytes(32),
                effort=effort,
                seen=seen,
                ignored=ignored,
            )
            ids.append(await knocks.put_pending(tx, stranger))
    return ids


async def waiting_at(person: Person) -> dict[KnockId, PendingKnock]:
    async with person.house.store.transaction() as tx:
        return {one.knock_id: one for one in await person.house.store.knocks.pending(tx, person.node_id)}


async def first_knock(world: World) -> tuple[Person, str]:
    """Ben, his code, and one request that he has seen."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    await anna.add(code, "the first of many")
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    (request,) = await ben.node.requests()
    async with ben.house.store.transaction() as tx:
        await ben.node.see_requests(tx, [request.knock_id])
    return ben, code


async def test_the_least_effort_makes_room_for_more(world: World) -> None:
    ben, code = await first_knock(world)
    efforts = [EFFORT_BITS + 2] * (MAX_PENDING_KNOCKS - 3) + [EFFORT_BITS, EFFORT_BITS]
    ids = await crowd(ben, [(effort, False, False) for effort in efforts])
    cleo = await world.person("Cleo")
    await cleo.add(code)
    # With no effort at all she is told that it is full, and comes again with more than is asked of anybody.
    await cleo.until(lambda: bool(cleo.of(KnockLeft)), time_passes=True)
    there = await waiting_at(ben)
    assert len(there) == MAX_PENDING_KNOCKS
    assert set(ids) - set(there) == {ids[-1]}, "the newest of those with the least effort goes"
    (hers,) = [one for one in there.values() if one.name == "Cleo"]
    assert hers.effort > EFFORT_BITS
    requests = await ben.node.requests()
    assert [request.effort for request in requests] == sorted((one.effort for one in there.values()), reverse=True)


async def test_what_was_ignored_goes_before_everything(world: World) -> None:
    ben, code = await first_knock(world)
    ids = await crowd(ben, [(0, False, False)] * (MAX_PENDING_KNOCKS - 2) + [(MOST_EFFORT, True, True)])
    cleo = await world.person("Cleo")
    await cleo.add(code)
    await cleo.until(lambda: bool(cleo.of(KnockLeft)))
    assert set(ids) - set(await waiting_at(ben)) == {ids[-1]}


async def test_what_its_owner_has_seen_stays_and_a_full_door_says_so(world: World) -> None:
    ben, code = await first_knock(world)
    ids = await crowd(ben, [(0, True, False)] * (MAX_PENDING_KNOCKS - 1))
    cleo = await world.person("Cleo")
    await cleo.add(code)
    await world.clock.pass_slowly(60)
    (waiting,) = await cleo.node.outgoing()
    assert waiting.state is KnockState.CALLING
    assert "too many requests" in waiting.reason
    assert set(ids) <= set(await waiting_at(ben))
    async with ben.house.store.transaction() as tx:
        await ben.house.store.knocks.remove_pending(tx, ids[0])
    await cleo.until(lambda: bool(cleo.of(KnockLeft)), time_passes=True)
    assert len(await ben.node.requests()) == MAX_PENDING_KNOCKS


async def test_who_is_told_that_it_is_full_shows_one_bit_more_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    enough = asyncio.Event()

    class Counting(KnockingSide):
        """Says what it would show, and spares the machine the work."""

        def __init__(self, *args: Any, effort_bits: int, **more: Any) -> None:
            shown.append(effort_bits)
            if shown.count(MAX_EFFORT_BITS) == 3:
                enough.set()
            super().__init__(*args, **more)

    ben, code = await first_knock(world)
    await crowd(ben, [(0, True, False)] * (MAX_PENDING_KNOCKS - 1))
    monkeypatch.setattr(knocking, "KnockingSide", Counting)
    cleo = await world.person("Cleo")
    await cleo.add(code)
    await world.clock.pass_until(enough.wait(), step=100)
    # A stream that time cut off before it was told anything shows the same again.
    assert [bits for bits, _ in groupby(shown)] == [0, *range(EFFORT_BITS + 1, MAX_EFFORT_BITS + 1)]


async def test_equal_effort_pushes_nobody_out(world: World) -> None:
    ben, code = await first_knock(world)
    ids = await crowd(ben, [(MOST_EFFORT, False, False)] * (MAX_PENDING_KNOCKS - 1))
    cleo = await world.person("Cleo")
    await cleo.add(code)
    await world.clock.pass_slowly(60)
    assert set(ids) <= set(await waiting_at(ben))
    assert not cleo.of(KnockLeft)


# --- checking proofs -------------------------------------------------------------------------------------------------


class Watched(Proof):
    """A proof that counts how many are checked, and how many at once."""

    checked = 0
    at_once = 0
    most_at_once = 0

    def effort(self) -> int:
        cls = type(self)
        cls.at_once += 1
        cls.most_at_once = max(cls.most_at_once, cls.at_once)
        effort = Proof.effort(self)
        cls.at_once -= 1
        cls.checked += 1
        return effort


@pytest.fixture
def watched() -> type[Watched]:
    class Fresh(Watched):
        pass

    return Fresh


async def test_proofs_are_checked_one_at_a_time_and_four_a_second(watched: type[Watched]) -> None:
    clock = FakeClock()
    proving = Proving(clock, Labour())
    proofs = [watched(bytes([n]) * 32, bytes(32), bytes(8)) for n in range(2 * MAX_PROOFS_PER_SECOND + 1)]
    tasks = [asyncio.create_task(proving.effort(proof)) for proof in proofs]
    await asyncio.wait_for(asyncio.gather(*tasks[:MAX_PROOFS_PER_SECOND]), 20)
    await clock.advance(0.9)
    assert watched.checked == MAX_PROOFS_PER_SECOND
    await clock.advance(0.2)
    await asyncio.wait_for(asyncio.gather(*tasks[:-1]), 20)
    assert not tasks[-1].done()
    await clock.advance(1.0)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == [Proof.effort(proof) for proof in proofs]
    assert watched.most_at_once == 1


async def test_more_than_can_wait_for_their_check_are_sent_away(watched: type[Watched]) -> None:
    clock = FakeClock()
    proving = Proving(clock, Labour())
    proof = watched(bytes(32), bytes(32), bytes(8))
    waiting = [asyncio.create_task(proving.effort(proof)) for _ in range(MAX_PROOFS_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(LimitReached):
        await proving.effort(proof)
    waiting.pop().cancel()  # whoever hangs up makes room
    await clock.pass_until(asyncio.gather(*waiting), step=1.0)
    assert await proving.effort(proof) == proof.effort()
