"""How much a carrier holds for all its friends together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.errors import UsageError
from chattor_bridge.node.carrying.quota import MEGABYTE
from chattor_bridge.node.carrying.records import HeldInAll
from chattor_bridge.protocol.limits import BLOCK_SIZE
from tests.carrying.circle_of_three import Three, until_many
from tests.node.world import Person, World

MOST = 96 * 128
"""Blocks that a process holds unless its configuration says less."""


async def _in_all(person: Person) -> HeldInAll:
    async with person.house.store.transaction() as tx:
        return await person.node.carrying.quota.overview(tx)


async def _hold(person: Person, blocks: int) -> None:
    """Have the node hold so many blocks at most."""
    nodes = person.house.store.nodes
    async with person.house.store.transaction() as tx:
        record = await nodes.get(tx, person.node_id)
        assert record is not None
        await nodes.save(tx, replace(record, holds=blocks))


async def test_nothing_is_taken_beyond_and_nothing_is_lost(world: World) -> None:
    """Whatever each shelf has room for."""
    three = await Three.meet(world)
    olga = await world.person("Olga")
    with_olga = await three.rita.befriend(olga)
    await three.agree()

    async def olgas() -> list[object]:
        async with olga.house.store.transaction() as tx:
            return list(await olga.house.store.deposits.targets(tx, olga.node_id, with_olga))

    await until_many(olgas, 1)
    await _hold(three.carl, 2)
    await three.rita.house.stop()
    texts = [f"word {number}" for number in range(40)]  # three blocks
    await three.sam.say(three.with_sam, *texts)
    await three.until_held(2)
    await olga.say(with_olga, "from Olga")
    await world.clock.pass_slowly(900)
    assert await _in_all(three.carl) == HeldInAll(2, 2, MOST)
    for person in (three.sam, olga):
        assert any("no room" in one.reason for one in person.node.work.work_status())
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.texts()) == 41, time_passes=True)
    assert [text for text in three.rita.texts() if text != "from Olga"] == texts


async def test_all_nodes_of_a_process_share_what_it_may_hold(world: World) -> None:
    three = await Three.meet(world)
    await three.agree()
    three.carl.node.carrying.quota._most = 1  # as its configuration says
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, *[f"word {number}" for number in range(40)])
    await three.until_held(1)
    other = await three.carl.house.person("other", "Other")
    other.node.carrying.quota._most = 1
    async with three.carl.house.store.transaction() as tx:
        assert await other.node.carrying.quota.room(tx) == 0
    assert await _in_all(other) == HeldInAll(0, 1, 1)


async def test_what_is_held_stays_when_less_is_wanted(world: World) -> None:
    three = await Three.meet(world)
    await three.agree()
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, *[f"word {number}" for number in range(40)])
    await three.until_held(3)
    await _hold(three.carl, 1)
    await three.carl.house.stop()
    await three.carl.house.start()
    assert await _in_all(three.carl) == HeldInAll(3, 1, MOST)
    async with three.carl.house.store.transaction() as tx:
        assert await three.carl.node.carrying.quota.room(tx) == 0
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.texts()) == 40, time_passes=True)


async def test_an_owner_sets_it_within_what_the_process_allows(world: World) -> None:
    carl = await world.person("Carl")
    async with carl.house.store.transaction() as tx:
        await carl.node.carrying.quota.change(tx, 10)
    assert await _in_all(carl) == HeldInAll(0, 10 * MEGABYTE // BLOCK_SIZE, MOST)
    with pytest.raises(UsageError, match="201 MB at most"):
        async with carl.house.store.transaction() as tx:
            await carl.node.carrying.quota.change(tx, 202)
    async with carl.house.store.transaction() as tx:
        await carl.node.carrying.quota.change(tx, None)
    assert await _in_all(carl) == HeldInAll(0, MOST, MOST)
