"""How fast what carriers hold is taken: nobody who says or makes up too much holds up anybody else."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from dataclasses import replace

import pytest

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import PeerId, ShelfId
from chattor_bridge.node.carrying import pacing
from chattor_bridge.node.carrying.collecting import Collecting
from chattor_bridge.node.carrying.records import Target
from chattor_bridge.node.happenings import EventArrived
from chattor_bridge.protocol.frames import Block, Collected, Holding
from chattor_bridge.protocol.limits import BLOCK_SIZE, MAX_SHELF_BLOCKS
from chattor_bridge.storage import Store
from tests.carrying.circle_of_three import Three, until_many, until_true
from tests.node.world import Person, World


def _collecting(three: Three, store: object | None = None) -> tuple[Collecting, list[Collected]]:
    """Rita's end of some link with Carl."""
    said: list[Collected] = []
    carrying = three.rita.node.work.carrying
    _, collecting = carrying.on_link(three.with_carl, said.append)
    if store is not None:
        collecting._around = replace(carrying._around, store=store)  # type: ignore[arg-type]
    return collecting, said


def _made_up(shelf_id: ShelfId, number: int) -> Block:
    return Block(shelf_id, number, secrets.token_bytes(BLOCK_SIZE))


async def test_a_carrier_keeps_gaps_open_for_an_hour_a_day_whatever_it_does(three: Three) -> None:
    """It makes a block up every minute, and then comes back to begin anew."""
    mailbox, clock = three.rita.node.work.mailbox, three.rita.house.world.clock
    for minutes, most in ((70, 66), (6, 3)):  # while it is waited for, a little comes back
        collecting, _said = _collecting(three)
        await collecting.holding(Holding(4096))
        running = asyncio.create_task(collecting.run())
        waited = 0
        for minute in range(minutes):
            waited += mailbox.collecting > 0
            collecting.put(_made_up(ShelfId(secrets.token_bytes(16)), minute))
            await clock.advance(60)
        assert mailbox.collecting == 0
        assert 0 < waited <= most
        running.cancel()
        await asyncio.wait({running})


class _Counting:
    """A store that counts transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.transactions = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def transaction(self) -> object:
        self.transactions += 1
        return self._store.transaction()


async def test_blocks_that_are_made_up_cost_no_transaction_each_and_are_soon_taken_slowly(three: Three) -> None:
    [shelf] = await three.shelves()
    store = _Counting(three.rita.house.store)
    collecting, said = _collecting(three, store)
    running = asyncio.create_task(collecting.run())
    for number in range(0, MAX_SHELF_BLOCKS, 4):
        for each in range(4):
            collecting.put(_made_up(shelf.shelf_id, number + each))
        await until_true(lambda number=number: len(said) == number + 4)
    assert store.transactions <= MAX_SHELF_BLOCKS // 4
    clock = three.rita.house.world.clock
    for number in range(4):
        collecting.put(_made_up(shelf.shelf_id, MAX_SHELF_BLOCKS + number))
    await until_true(lambda: len(said) == MAX_SHELF_BLOCKS + 1)
    for minute in range(3):
        await asyncio.sleep(0.1)  # for what must not come, and would at once
        assert len(said) == MAX_SHELF_BLOCKS + 1 + minute
        await clock.advance(60)
        await until_true(lambda minute=minute: len(said) == MAX_SHELF_BLOCKS + 2 + minute)
    for number in range(4):
        collecting.put(_made_up(shelf.shelf_id, number))
    with pytest.raises(MalformedData):
        collecting.put(_made_up(shelf.shelf_id, 1))
    running.cancel()


async def _two_senders(world: World) -> tuple[Three, list[Block], list[Block]]:
    """What Sam left at Carl, and Olga, on shelves of their own. Rita is there, and nobody else."""
    three = await Three.meet(world)
    olga = await world.person("Olga")
    with_olga = await three.rita.befriend(olga)
    await three.agree()
    await until_many(lambda: _targets(olga, with_olga), 1)
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, *[f"word {number}" for number in range(80)])
    await olga.say(with_olga, "a word of Olga's")
    await three.until_held(6)
    blocks: list[Block] = []
    async with three.carl.house.store.transaction() as tx:
        for shelf in await three.carl.house.store.carriages.shelves(tx, three.carl.node_id):
            held = await three.carl.house.store.carriages.after(
                tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 9
            )
            blocks += [Block(one.shelf_id, one.number, one.block) for one in held]
    for person in (three.sam, three.carl, olga):
        await person.house.stop()
    await three.rita.house.start()
    of_sam = Counter(block.shelf for block in blocks).most_common(1)[0][0]
    return three, [one for one in blocks if one.shelf == of_sam][:4], [one for one in blocks if one.shelf != of_sam]


async def test_who_says_too_much_holds_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sam has used up what he may say in a day, Olga has not."""
    three, of_sam, of_olga = await _two_senders(world)
    monkeypatch.setattr(
        three.rita.node.work.carrying, "_spend", lambda peer_id, size: float(peer_id == three.with_sam and size > 0)
    )
    collecting, said = _collecting(three)
    running = asyncio.create_task(collecting.run())
    for block in [*of_sam, *of_olga]:
        collecting.put(block)
    await three.rita.until(lambda: "a word of Olga's" in three.rita.texts())
    assert [one.number for one in said if one.shelf == of_sam[0].shelf] == [1]
    for number in (2, 3):
        await world.clock.advance(60)
        await until_true(lambda number=number: Collected(of_sam[0].shelf, number) in said)
    running.cancel()


async def test_what_cannot_be_stored_holds_up_nobody_else(world: World) -> None:
    three, of_sam, of_olga = await _two_senders(world)
    diary = three.rita.house.diary
    diary.refuses = lambda happening: isinstance(happening, EventArrived) and happening.peer_id == three.with_sam
    collecting, said = _collecting(three)
    running = asyncio.create_task(collecting.run())
    for block in [*of_sam, *of_olga]:
        collecting.put(block)
    await three.rita.until(lambda: "a word of Olga's" in three.rita.texts())
    assert [one.shelf for one in said] == [of_olga[0].shelf]
    diary.refuses = lambda happening: False
    await world.clock.advance(60)
    await until_true(lambda: len(said) == len(of_sam) + 1)
    assert three.rita.texts()[:2] == ["a word of Olga's", "word 0"]
    running.cancel()


async def test_ever_more_of_unknown_shelves_ends_the_link(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "MOST_HELD", 3)
    three.rita.node.work.carrying._pacings.clear()
    collecting, said = _collecting(three)
    for number in range(4):
        collecting.put(_made_up(ShelfId(secrets.token_bytes(16)), number))
    with pytest.raises(MalformedData):
        await collecting.run()
    assert len(said) == 3


async def _targets(person: Person, peer_id: PeerId) -> list[Target]:
    async with person.house.store.transaction() as tx:
        return await person.house.store.deposits.targets(tx, person.node_id, peer_id)
