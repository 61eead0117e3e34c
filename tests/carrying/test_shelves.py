"""What a carrier does with its shelves: blocks that are handed over, and streams of those who leave some."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from chattor_bridge.errors import DatabaseUnavailable, LimitReached
from chattor_bridge.ids import ShelfId
from chattor_bridge.node.carrying.handing import Handing
from chattor_bridge.node.carrying.records import HeldBlock
from chattor_bridge.node.carrying.shelf import Shelf
from chattor_bridge.node.ports import Clock, Stream
from chattor_bridge.protocol.carrying import ShelfClose
from chattor_bridge.protocol.deposit import DepositorEnd, auth_key
from chattor_bridge.protocol.frames import Block, Collected, Holding
from chattor_bridge.protocol.limits import BLOCK_SIZE
from tests.carrying.circle_of_three import Three, until_hosted, until_true
from tests.node.world import PATIENCE


async def _handing(three: Three, blocks: int) -> tuple[Handing, ShelfId]:
    """What Carl hands over on some link, Rita being away."""
    await three.rita.house.stop()
    store = three.carl.house.store
    async with store.transaction() as tx:
        [shelf] = await store.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        made_up = [secrets.token_bytes(BLOCK_SIZE) for _ in range(blocks)]
        await store.carriages.keep(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, made_up, 1 << 40)
    return Handing(three.carl.node.work._around, three.carl.node_id, three.with_carl), shelf.shelf_id


async def test_a_database_that_fails_while_blocks_are_read_loses_none(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    handing, _shelf = await _handing(three, 2)
    carriages = three.carl.house.store.carriages
    read, times = carriages.after, iter(range(100))

    async def fails_at_second(*args: object) -> list[HeldBlock]:
        if next(times) == 1:
            raise DatabaseUnavailable("it is gone")
        return await read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(carriages, "after", fails_at_second)
    with pytest.raises(DatabaseUnavailable):
        await handing.next()
    frames = await handing.next()
    assert frames[0] == Holding(2)
    assert [one.number for one in frames if isinstance(one, Block)] == [1, 2]


async def test_a_block_that_comes_while_others_are_read_is_handed_over_too(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    handing, shelf_id = await _handing(three, 1)
    carriages = three.carl.house.store.carriages
    read = carriages.after

    async def read_and_then_more_comes(*args: object) -> list[HeldBlock]:
        found = await read(*args)  # type: ignore[arg-type]
        handing.wake()
        return found

    monkeypatch.setattr(carriages, "after", read_and_then_more_comes)
    await handing.next()
    monkeypatch.undo()
    async with three.carl.house.store.transaction() as tx:
        block = [secrets.token_bytes(BLOCK_SIZE)]
        await carriages.keep(tx, three.carl.node_id, three.with_carl, shelf_id, block, 1 << 40)
    assert [one.number for one in await handing.next() if isinstance(one, Block)] == [2]


async def test_a_shelf_that_is_not_collected_holds_up_no_other(three: Three) -> None:
    handing, first = await _handing(three, 6)
    second = ShelfId(secrets.token_bytes(16))
    carriages, node_id = three.carl.house.store.carriages, three.carl.node_id
    async with three.carl.house.store.transaction() as tx:
        [like] = await carriages.shelves(tx, node_id)
        await carriages.open_shelf(tx, node_id, replace(like, shelf_id=second))
        await carriages.keep(tx, node_id, three.with_carl, second, [bytes(BLOCK_SIZE)], 1 << 40)
    assert await _numbers(handing) == {first: [1, 2, 3, 4], second: [1]}
    async with three.carl.house.store.transaction() as tx:
        await carriages.keep(tx, node_id, three.with_carl, second, [bytes(BLOCK_SIZE)], 1 << 40)
    handing.wake()
    assert await _numbers(handing) == {second: [2]}
    await handing.collected(Collected(first, 3))
    assert await _numbers(handing) == {first: [5, 6]}


async def _numbers(handing: Handing) -> dict[ShelfId, list[int]]:
    """What is handed over now, until there is nothing."""
    given: dict[ShelfId, list[int]] = {}
    while frames := await handing.next():
        for frame in frames:
            if isinstance(frame, Block):
                given.setdefault(frame.shelf, []).append(frame.number)
    return given


async def test_what_was_never_handed_over_costs_no_transaction_when_it_is_collected(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    handing, shelf_id = await _handing(three, 1)
    collected: list[object] = []
    carriages = three.carl.house.store.carriages

    async def note(*args: object) -> None:
        collected.append(args)

    monkeypatch.setattr(carriages, "collected", note)
    await handing.next()
    await handing.collected(Collected(ShelfId(secrets.token_bytes(16)), 1))
    assert not collected
    for _ in range(3):
        await handing.collected(Collected(shelf_id, 1))
    assert len(collected) == 1


async def _stream(three: Three) -> tuple[Stream, DepositorEnd, bytes]:
    """Somebody with the capability of the only shelf is through with the handshake; and a key of Sam's blocks."""
    [target] = await three.targets()
    world, deposit = three.carl.house.world, target.deposit
    await world.clock.pass_until(until_hosted(world, deposit.onion))
    stream = await world.network.transport().dial(
        deposit.onion,
        client_key=auth_key(deposit.capability, deposit.onion),
        isolation="x",
        timeout=PATIENCE,
    )
    end = DepositorEnd(deposit, secrets.token_bytes)
    await stream.write(end.data_to_send())
    async with asyncio.timeout(PATIENCE):
        while not end.told:
            end.receive(await stream.read())
    return stream, end, secrets.token_bytes(BLOCK_SIZE)


async def test_a_stream_ends_when_its_shelf_is_closed(three: Three) -> None:
    """At once, with the clock standing still."""
    stream, _end, _block = await _stream(three)
    [shelf] = await three.shelves()
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.send(tx, three.with_carl, ShelfClose(shelf.shelf_id))
    assert await asyncio.wait_for(stream.read(), PATIENCE) == b""
    await stream.close()


async def test_a_stream_on_which_only_bytes_trickle_ends(three: Three) -> None:
    stream, end, block = await _stream(three)
    end.send(block)
    data, clock = end.data_to_send(), three.carl.house.world.clock
    for minute in range(3):
        await stream.write(data[minute : minute + 1])
        await clock.advance(50)
    assert await asyncio.wait_for(stream.read(), PATIENCE) == b""
    await stream.close()


class _Trickle:
    """A carrier that lets a byte of its first message come every minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def read(self) -> bytes:
        await self._clock.sleep(50)
        return b"\x01"

    async def write(self, data: bytes) -> None:
        pass

    async def close(self) -> None:
        pass


async def test_a_carrier_that_only_trickles_holds_up_no_other_try(three: Three) -> None:
    await until_true(lambda: three.sam.node.work.carrying._depositing)
    [depositing] = three.sam.node.work.carrying._depositing.values()
    clock = three.sam.house.world.clock
    end = DepositorEnd(depositing._target.deposit, secrets.token_bytes)
    leaving = asyncio.create_task(depositing._leave_on(_Trickle(clock), end, bytes(32), [], [], 0))
    await clock.advance(150)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(leaving, PATIENCE)


async def test_nothing_is_put_on_a_closed_shelf(three: Three) -> None:
    """Not even before its streams have been told."""
    stream, end, block = await _stream(three)
    store = three.carl.house.store
    async with store.transaction() as tx:
        [shelf] = await store.carriages.shelves(tx, three.carl.node_id)
        await store.carriages.save_shelf(tx, three.carl.node_id, replace(shelf, closed_at=1))
    end.send(block)
    await stream.write(end.data_to_send())
    assert await asyncio.wait_for(stream.read(), PATIENCE) == b""
    assert await three.held() == 0
    await stream.close()


@pytest.mark.engines("postgres")
async def test_two_streams_at_once_put_no_more_on_a_shelf_than_fits(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where two transactions go on at once."""
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 1, 2)
    [record] = await three.held_shelves()
    around = three.carl.node.work._around
    node = three.carl.node
    shelf = Shelf(around, node.node_id, record, node.work.counters, node.carrying.quota, lambda: None)
    blocks = [secrets.token_bytes(BLOCK_SIZE) for _ in range(2)]
    carriages, other = three.carl.house.store.carriages, list[asyncio.Task[int]]()
    count = carriages.count

    async def counts_and_is_overtaken(*args: object) -> int:
        found = await count(*args)  # type: ignore[arg-type]
        if not other:
            other.append(asyncio.create_task(shelf._keep(blocks)))
            await asyncio.wait(other, timeout=1.0)
        return found

    monkeypatch.setattr(carriages, "count", counts_and_is_overtaken)
    assert await shelf._keep(blocks) == 0
    with pytest.raises(LimitReached):
        await asyncio.wait_for(other[0], PATIENCE)
    assert await three.held() == 2
