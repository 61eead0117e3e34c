"""Friends who use carrying against us, and friends we want no more while something of theirs is under way."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from chattor_bridge.errors import DatabaseUnavailable, LimitReached
from chattor_bridge.ids import NodeId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.allowance import DAY
from chattor_bridge.node.carrying import agreements
from chattor_bridge.node.carrying.handing import Handing
from chattor_bridge.node.carrying.pacing import ANSWERED_AGAIN
from chattor_bridge.node.carrying.records import Carriage, HeldBlock
from chattor_bridge.node.carrying.settling import ANSWER_PATIENCE
from chattor_bridge.node.carrying.shelf import Shelf
from chattor_bridge.node.carrying.work import SETTLE_REST
from chattor_bridge.node.friendship import Friendship
from chattor_bridge.node.mailbox import Taken
from chattor_bridge.node.ports import Clock, Stream, Transaction
from chattor_bridge.node.records import HeldEvent
from chattor_bridge.protocol.carrying import CarryOffer, Deposit, ShelfClose, ShelfOpen, ShelfReady
from chattor_bridge.protocol.deposit import DepositorEnd, auth_key
from chattor_bridge.protocol.events import Text, encode_event
from chattor_bridge.protocol.frames import Block, Collected, Frame, Holding
from chattor_bridge.protocol.limits import BLOCK_SIZE, COSTLY, DAILY_ALLOWANCE, MAX_CARRIERS, MAX_NEW_ONIONS
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage.transaction import sql
from tests.carrying.circle_of_three import Three, until_many
from tests.node.world import PATIENCE, Person, World


@pytest.fixture
async def three(world: World) -> Three:
    three = await Three.meet(world)
    await three.agree()
    return three


def _say_on_link(person: Person, peer_id: PeerId, *frames: Frame) -> None:
    [connection] = person.node.work.friendships.by_peer[peer_id]._live
    for frame in frames:
        connection._link.send(frame)
    connection.wake()


async def _until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


# --- what we want no more ---------------------------------------------------------------------------------------------


async def test_what_a_blocked_friend_left_is_not_shown(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "from somebody blocked")
    await three.until_held(1)
    for person in (three.sam, three.carl):
        await person.house.stop()
    await three.rita.house.start()
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.block(tx, three.with_sam)
    await three.carl.house.start()
    await three.until_held(0)
    assert three.rita.texts() == []


async def test_what_comes_when_its_sender_is_blocked_already_is_not_shown(three: Three) -> None:
    """Before anything else has been done about it."""
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "from somebody blocked")
    await three.until_held(1)
    carls = three.carl.house.store
    async with carls.transaction() as tx:
        [shelf] = await carls.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await carls.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
    for person in (three.sam, three.carl):
        await person.house.stop()
    await three.rita.house.start()
    ritas, said = three.rita.house.store, list[Collected]()
    async with ritas.transaction() as tx:
        contact = await ritas.contacts.for_update(tx, three.rita.node_id, three.with_sam)
        assert contact is not None
        await ritas.contacts.save(tx, replace(contact, blocked=True))
    _, collecting = three.rita.node.work.carrying.on_link(three.with_carl, said.append)
    running = asyncio.create_task(collecting.run())
    collecting.put(Block(held.shelf_id, held.number, held.block))
    await _until(lambda: said)
    running.cancel()
    assert three.rita.texts() == []


async def test_nothing_is_left_for_a_friend_who_was_blocked(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.until(lambda: not three.sam.online(three.with_sam))
    await three.sam.say(three.with_sam, "not any more")
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.block(tx, three.with_sam)
    await three.sam.house.world.clock.pass_slowly(900)
    assert await three.held() == 0


async def test_who_is_blocked_and_unblocked_at_once_is_left_something_only_without_a_link(three: Three) -> None:
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.block(tx, three.with_sam)
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.unblock(tx, three.with_sam)
    work = three.sam.node.work

    def looks_at_its_link() -> bool:
        found = [one._friendship for one in work.carrying._depositing.values()]
        return bool(found) and found == [work.friendships.by_peer.get(three.with_sam)]

    await _until(looks_at_its_link)


async def test_no_shelf_is_hosted_for_a_friend_who_is_blocked(three: Three) -> None:
    [target] = await three.targets()
    world, onion = three.carl.house.world, target.deposit.onion
    await world.clock.pass_until(_hosts(world, onion))
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.block(tx, three.with_carl)
    await _until(lambda: not world.network.hosts(onion))
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.unblock(tx, three.with_carl)
    await world.clock.pass_until(_hosts(world, onion))


async def _hosts(world: World, onion: OnionKey) -> None:
    while not world.network.hosts(onion):  # noqa: ASYNC110 - a memory network tells nobody
        await asyncio.sleep(0.02)


# --- carriers that lie ------------------------------------------------------------------------------------------------


async def test_a_carrier_that_hands_nothing_over_is_not_waited_for(three: Three) -> None:
    mailbox = three.rita.node.work.mailbox
    _say_on_link(three.carl, three.with_carl, Holding(2**32 - 1))
    await _until(lambda: mailbox.collecting)
    assert mailbox.collecting <= 4096
    again = asyncio.create_task(_say_for_ever(three))
    await three.rita.house.world.clock.pass_until(_until(lambda: not mailbox.collecting))
    again.cancel()


async def _say_for_ever(three: Three) -> None:
    while True:
        _say_on_link(three.carl, three.with_carl, Holding(2**32 - 1))
        await three.rita.house.world.clock.sleep(60)


async def test_a_gap_that_a_carrier_brings_is_shown_after_a_minute_of_a_link(three: Three) -> None:
    """And not after a day: the friend is there, and has had its turn to send the rest again."""
    mailbox, store = three.rita.node.work.mailbox, three.rita.house.store
    await three.rita.until(lambda: three.rita.online(three.with_sam), time_passes=True)
    event = encode_event(mailbox.event(Text("behind something that is lost")))
    async with store.transaction() as tx:
        await mailbox.hold(tx, HeldEvent(three.with_sam, 1000, event, mailbox.now()))
    three.rita.node.work.carrying._took(three.with_sam, Taken(None, (), True, False, 0, 1000))
    world = three.rita.house.world
    began = world.clock.monotonic()
    await three.rita.until(lambda: bool(three.rita.texts()), time_passes=True)
    assert world.clock.monotonic() - began < 600


async def test_a_carrier_that_ends_and_offers_by_turns_is_taken_once(three: Three) -> None:
    """Each time all senders would be told, and hold it against Rita."""
    for _ in range(3):
        async with three.carl.house.store.transaction() as tx:
            await three.carl.node.carrying.stop(tx, three.with_carl)
        async with three.carl.house.store.transaction() as tx:
            await three.carl.node.carrying.offer(tx, three.with_carl, 16, 128)
        async with three.carl.house.store.transaction() as tx:
            last = await three.carl.node.send(tx, three.with_carl, CarryOffer(3, 3))
        await three.carl.until(lambda last=last: last in three.carl.delivered())  # type: ignore[misc]
    await until_many(three.targets, 0)
    assert len(await three.shelves()) == 1
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.carrying.ask(tx, three.with_carl)
    await until_many(three.targets, 1)


async def test_a_carrier_cannot_move_a_shelf(three: Three) -> None:
    """Each move would be told to its senders, and they would follow."""
    [shelf] = await three.shelves()
    moved = ShelfReady(shelf.shelf_id, OnionKey(ed25519_public(secrets.token_bytes(32))), secrets.token_bytes(32))
    async with three.carl.house.store.transaction() as tx:
        said = await three.carl.node.send(tx, three.with_carl, moved)
    await three.carl.until(lambda: said in three.carl.delivered())
    assert await three.shelves() == [shelf]


async def test_who_is_no_carrier_has_nobody_wait(three: Three) -> None:
    mailbox, work = three.rita.node.work.mailbox, three.rita.node.work
    made_up = Block(ShelfId(secrets.token_bytes(16)), 1, bytes(BLOCK_SIZE))
    _say_on_link(three.sam, three.with_sam, Holding(5), made_up, made_up)
    await _until(lambda: work.counters.undecryptable == 2)
    assert mailbox.collecting == 0


async def test_a_carrier_cannot_use_up_what_a_sender_may_say(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """By handing over again and again what the sender left once."""
    spent: list[int] = []

    def spend(_friendship: Friendship, size: int) -> float:
        spent.append(size)
        return 0.0

    monkeypatch.setattr(Friendship, "spend", spend)
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "once")
    await three.until_held(1)
    store = three.carl.house.store
    async with store.transaction() as tx:
        [shelf] = await store.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await store.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
        await store.carriages.keep(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, [held.block] * 9, 1 << 40)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.until_held(0)
    assert three.rita.node.work.counters.duplicates >= 9
    assert len([size for size in spent if size]) == 1


async def test_a_carrier_cannot_have_us_fill_the_shelf_of_a_sender(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With acknowledgements of what it hands over again and again."""
    owed = list[PeerId]()
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "once")
    await three.until_held(1)
    carls = three.carl.house.store
    async with carls.transaction() as tx:
        [shelf] = await carls.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await carls.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
    for person in (three.sam, three.carl):
        await person.house.stop()
    await three.rita.house.start()

    async def owe(_tx: Transaction, _node_id: NodeId, peer_id: PeerId) -> None:
        owed.append(peer_id)

    monkeypatch.setattr(three.rita.house.store.deposits, "owe", owe)
    said = list[Collected]()
    for link in range(10):  # a new link begins nothing anew
        _, collecting = three.rita.node.work.carrying.on_link(three.with_carl, said.append)
        running = asyncio.create_task(collecting.run())
        for number in range(4):
            collecting.put(Block(held.shelf_id, held.number + number, held.block))
        await _until(lambda link=link: len(said) == 4 * (link + 1))
        running.cancel()
        await asyncio.wait({running})
    assert owed == [three.with_sam] * (1 + ANSWERED_AGAIN)
    await three.rita.house.world.clock.advance(DAY)
    assert three.rita.node.work.carrying._pacings[three.with_carl].answers_again(held.shelf_id)


# --- friends that say much --------------------------------------------------------------------------------------------


async def test_who_says_much_about_carrying_is_read_slowly(three: Three) -> None:
    """Each word of it has us look at all friends."""
    three.rita.node.work.friendships.by_peer[three.with_sam]._allowance.spend(DAILY_ALLOWANCE - 10 * COSTLY)
    async with three.sam.house.store.transaction() as tx:
        said = [
            await three.sam.node.send(tx, three.with_sam, ShelfClose(ShelfId(secrets.token_bytes(16))))
            for _ in range(100)
        ]
    await three.sam.until(lambda: said[10] in three.sam.delivered())
    await asyncio.sleep(0.5)  # for those that must not come, and would in a tenth of that
    assert said[64] not in three.sam.delivered()


async def test_one_look_serves_all_that_was_said_meanwhile(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def settle() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.05)

    carrying = three.rita.node.work.carrying
    monkeypatch.setattr(carrying.agreements, "settle", settle)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - began < 2:
        carrying.look_again()
        await asyncio.sleep(0.001)
    assert 0 < looks <= 2 / (0.05 * (1 + SETTLE_REST)) + 2


# --- recipients that take much ----------------------------------------------------------------------------------------


async def _ask_for_shelf(three: Three, shelf_id: ShelfId) -> None:
    async with three.rita.house.store.transaction() as tx:
        said = await three.rita.node.send(tx, three.with_carl, ShelfOpen(shelf_id, secrets.token_bytes(32)))
    await three.rita.until(lambda: said in three.rita.delivered())


async def test_whoever_closes_shelves_and_opens_others_has_few_onions_published_in_a_day(
    three: Three, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(agreements, "MAX_SHELVES_OPENED", 3)
    three.carl.node.carrying._opened.clear()

    async def opened(shelf_id: ShelfId) -> bool:
        await _ask_for_shelf(three, shelf_id)
        is_open = any(shelf.shelf_id == shelf_id for shelf in await three.held_shelves())
        async with three.rita.house.store.transaction() as tx:
            said = await three.rita.node.send(tx, three.with_carl, ShelfClose(shelf_id))
        await three.rita.until(lambda: said in three.rita.delivered())
        return is_open

    assert [await opened(ShelfId(secrets.token_bytes(16))) for _ in range(6)] == [True] * 3 + [False] * 3
    assert sum("more shelves opened than one may" in one.message for one in caplog.records) == 3
    await world.clock.pass_slowly(DAY, step=3600)
    assert await opened(ShelfId(secrets.token_bytes(16)))


async def test_shelves_that_are_closed_and_full_count_too(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes full shelves and opens others would fill the disk."""
    monkeypatch.setattr(agreements, "MAX_HELD_SHELVES", 3)
    store, node_id = three.carl.house.store, three.carl.node_id
    for _ in range(6):
        await _ask_for_shelf(three, shelf_id := ShelfId(secrets.token_bytes(16)))
        if shelf_id not in [shelf.shelf_id for shelf in await three.held_shelves()]:
            continue
        async with store.transaction() as tx:
            await store.carriages.keep(tx, node_id, three.with_carl, shelf_id, [bytes(BLOCK_SIZE)], 1 << 40)
        async with three.rita.house.store.transaction() as tx:
            closed = await three.rita.node.send(tx, three.with_carl, ShelfClose(shelf_id))
        await three.rita.until(lambda closed=closed: closed in three.rita.delivered())  # type: ignore[misc]
    assert len(await three.held_shelves()) == 3


# --- the carrier's side -----------------------------------------------------------------------------------------------


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
    await world.clock.pass_until(_hosts(world, deposit.onion))
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
    await _until(lambda: three.sam.node.work.carrying._depositing)
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


# --- what would wait for ever -----------------------------------------------------------------------------------------


async def test_a_carrier_that_did_not_answer_is_asked_again(three: Three) -> None:
    async with three.rita.house.store.transaction() as tx:
        await sql(tx).execute(
            "UPDATE own_shelves SET onion = NULL, static_key = NULL, opened_at = opened_at - $1",
            ANSWER_PATIENCE,
        )
    three.rita.node.work.carrying.look_again()
    async with asyncio.timeout(PATIENCE):
        while any(shelf.onion is None for shelf in await three.shelves()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await until_many(three.targets, 1)


@pytest.mark.engines("postgres")
async def test_what_our_owner_wants_meanwhile_is_not_written_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where two transactions go on at once."""
    three = await Three.meet(world)
    await three.agree()
    carl, store = three.carl, three.carl.house.store
    read, stopping = store.carriages.get, list[asyncio.Task[None]]()

    async def stop() -> None:
        async with store.transaction() as tx:
            await carl.node.carrying.stop(tx, three.with_carl)

    async def reads_and_is_overtaken(tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Carriage | None:
        found = await read(tx, node_id, peer_id)
        if found is not None and not found.offered and not stopping:
            stopping.append(asyncio.create_task(stop()))
            await asyncio.wait(stopping, timeout=1.0)
        return found

    monkeypatch.setattr(store.carriages, "get", reads_and_is_overtaken)
    async with store.transaction() as tx:
        await carl.node.carrying.offer(tx, three.with_carl, 2, 2)
    await _until(lambda: stopping)
    await asyncio.wait_for(stopping[0], PATIENCE)
    await until_many(three.targets, 0)
    assert not any(info.is_carried for info in await carl.node.carrying.overview())


# --- recipients that move ---------------------------------------------------------------------------------------------


async def test_a_friend_who_names_ever_new_shelves_is_followed_only_so_far(three: Three) -> None:
    work, store = three.sam.node.work.carrying, three.sam.house.store
    for _ in range(3 * MAX_NEW_ONIONS):
        deposits = [
            Deposit(OnionKey(ed25519_public(secrets.token_bytes(32))), secrets.token_bytes(32), secrets.token_bytes(32))
            for _ in range(MAX_CARRIERS)
        ]
        async with store.transaction() as tx:
            await store.deposits.set_targets(tx, three.sam.node_id, three.with_sam, deposits)
        _, targets = await work._read()
        async with asyncio.TaskGroup() as group:
            work._deposit(targets, group)
            seen = len(work._depositing)
            work._deposit([], group)
    assert seen == 0


async def test_the_key_of_a_shelf_that_is_named_no_more_is_forgotten(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    [target] = await three.targets()
    forgotten: list[OnionKey] = []

    async def forget(onion: OnionKey) -> None:
        forgotten.append(onion)

    await _until(lambda: three.sam.node.work.carrying._depositing)
    monkeypatch.setattr(three.sam.house.transport, "forget", forget)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.stop(tx, three.with_carl)
    await _until(lambda: target.deposit.onion in forgotten)
