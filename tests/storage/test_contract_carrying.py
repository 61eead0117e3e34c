"""What carrying asks of a store, on both engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.errors import NotFound
from chattor_bridge.ids import EventId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carriage, Carrier, HeldBlock, HeldShelf, OwnShelf, Target, target_id
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.storage import Store
from tests.storage import records
from tests.storage.records import NODE, PEER, numbered, secret

OTHER = PeerId(b"Q" * 16)
SHELF, SECOND = ShelfId(b"S" * 16), ShelfId(b"Z" * 16)
DEPOSIT = Deposit(OnionKey(secret("onion")), secret("static"), secret("capability"))
ELSEWHERE = Deposit(OnionKey(secret("other onion")), secret("static"), secret("capability"))


@pytest.fixture
async def store(store: Store) -> Store:
    async with store.transaction() as tx:
        await store.nodes.add(tx, records.node())
        await store.contacts.add(tx, records.contact())
        await store.contacts.add(tx, replace(records.contact(), peer_id=OTHER, peer_static=b"T" * 32))
    return store


async def test_carriers_are_kept_by_friend(store: Store) -> None:
    async with store.transaction() as tx:
        assert await store.carriers.get(tx, NODE, PEER) is None
        await store.carriers.put(tx, NODE, Carrier(PEER, asked=True))
        await store.carriers.put(tx, NODE, carrier := Carrier(PEER, asked=True, shelves=3, blocks=9, used=True))
        assert await store.carriers.get(tx, NODE, PEER) == carrier
        assert await store.carriers.of_node(tx, NODE) == [carrier]
        await store.contacts.remove(tx, NODE, PEER)
        assert await store.carriers.of_node(tx, NODE) == []


async def test_own_shelves_are_answered_shared_superseded_and_removed(store: Store) -> None:
    shelf = OwnShelf(SHELF, PEER, secret("capability"), 7, senders=(OTHER,))
    async with store.transaction() as tx:
        await store.carriers.open_shelf(tx, NODE, shelf)
        await store.carriers.open_shelf(tx, NODE, second := replace(shelf, shelf_id=SECOND, opened_at=8, senders=()))
        assert await store.carriers.shelves(tx, NODE) == [shelf, second]
        answered = replace(
            shelf, onion=DEPOSIT.onion, static=DEPOSIT.static, superseded_at=9, closed=True, senders=(PEER, OTHER)
        )
        await store.carriers.save_shelf(tx, NODE, answered)
        assert await store.carriers.shelf(tx, NODE, PEER, SHELF) == answered
        assert answered.deposit == DEPOSIT
        assert await store.carriers.shelf(tx, NODE, OTHER, SHELF) is None  # another's word about it counts for nothing
        with pytest.raises(NotFound):
            await store.carriers.save_shelf(tx, NODE, replace(shelf, shelf_id=ShelfId(bytes(16))))
        await store.carriers.remove_shelf(tx, NODE, SHELF)
        assert await store.carriers.shelves(tx, NODE) == [second]


async def test_a_friend_who_is_forgotten_sends_to_no_shelf_any_more(store: Store) -> None:
    async with store.transaction() as tx:
        await store.carriers.open_shelf(tx, NODE, OwnShelf(SHELF, PEER, secret("capability"), 7, senders=(OTHER,)))
        await store.carriers.tell(tx, NODE, OTHER, b"first")
        await store.carriers.tell(tx, NODE, OTHER, b"digest")
        assert await store.carriers.told(tx, NODE, OTHER) == b"digest"
        assert await store.carriers.told(tx, NODE, PEER) == b""
        await store.contacts.remove(tx, NODE, OTHER)
        [shelf] = await store.carriers.shelves(tx, NODE)
        assert shelf.senders == ()


def _held(shelf_id: ShelfId = SHELF) -> HeldShelf:
    return HeldShelf(PEER, shelf_id, secret("capability"), secret("onion seed"), secret("static"), 7)


async def test_blocks_are_numbered_for_ever_and_removed_when_collected(store: Store) -> None:
    async with store.transaction() as tx:
        await store.carriages.put(tx, NODE, Carriage(PEER, 4, 16))
        await store.carriages.open_shelf(tx, NODE, _held())
        await store.carriages.open_shelf(tx, NODE, _held(SECOND))
        await store.carriages.keep(tx, NODE, PEER, SHELF, [b"one", b"two", b"three"], 10)
        await store.carriages.keep(tx, NODE, PEER, SECOND, [b"elsewhere"], 10)
        assert await store.carriages.after(tx, NODE, PEER, SHELF, 1, 1) == [HeldBlock(SHELF, 2, b"two")]
        await store.carriages.collected(tx, NODE, PEER, SHELF, 2**64)
        await store.carriages.keep(tx, NODE, PEER, SHELF, [b"four"], 11)
        assert await store.carriages.after(tx, NODE, PEER, SHELF, 0, 10) == [HeldBlock(SHELF, 4, b"four")]
        assert await store.carriages.count(tx, NODE, PEER) == 2
        assert await store.carriages.count(tx, NODE, PEER, SHELF) == 1
        assert await store.carriages.expire(tx, NODE, 11, 12, 9) == 1
        await store.carriages.keep(tx, NODE, PEER, SECOND, [b"by a wrong clock"], 1_000)
        assert await store.carriages.expire(tx, NODE, 11, 12, 9) == 0
        assert [await store.carriages.expire(tx, NODE, 13, 14, 1) for _ in range(3)] == [1, 1, 0]
        assert await store.carriages.count(tx, NODE, PEER, SECOND) == 0
        with pytest.raises(NotFound):
            await store.carriages.keep(tx, NODE, PEER, ShelfId(bytes(16)), [b"nowhere"], 12)


async def test_an_acknowledgement_is_owed_at_every_place_until_it_was_said(store: Store) -> None:
    async with store.transaction() as tx:
        await store.deposits.set_targets(tx, NODE, PEER, [DEPOSIT, ELSEWHERE])
        first, second = await store.deposits.targets(tx, NODE, PEER)
        assert await store.deposits.owed(tx, NODE, PEER) == {}
        await store.deposits.owe(tx, NODE, PEER)
        await store.deposits.owe(tx, NODE, PEER)
        assert await store.deposits.owed(tx, NODE, PEER) == {first.target_id: 2, second.target_id: 2}
        await store.deposits.paid(tx, NODE, first, 1)  # one that fell due since
        await store.deposits.paid(tx, NODE, second, 2)
        assert await store.deposits.owed(tx, NODE, PEER) == {first.target_id: 2}
        assert await store.deposits.owed(tx, NODE, OTHER) == {}
        await store.deposits.said(tx, NODE, PEER)
        assert await store.deposits.owed(tx, NODE, PEER) == {}


async def test_a_carriage_goes_with_everything_on_it(store: Store) -> None:
    async with store.transaction() as tx:
        await store.carriages.put(tx, NODE, Carriage(PEER, 4, 16))
        await store.carriages.put(tx, NODE, carriage := Carriage(PEER, 5, 17, offered=True, ended_at=3))
        assert await store.carriages.get(tx, NODE, PEER) == carriage
        assert await store.carriages.get(tx, NODE, OTHER) is None
        assert await store.carriages.of_node(tx, NODE) == [carriage]
        await store.carriages.open_shelf(tx, NODE, _held())
        closed = replace(_held(), closed_at=9, answered=True)
        assert await store.carriages.count_shelves(tx) == (1, 1)
        await store.carriages.save_shelf(tx, NODE, closed)
        assert await store.carriages.count_shelves(tx) == (0, 1)
        assert await store.carriages.shelves(tx, NODE) == await store.carriages.shelves(tx, NODE, PEER) == [closed]
        assert await store.carriages.shelves(tx, NODE, OTHER) == []
        await store.carriages.keep(tx, NODE, PEER, SHELF, [b"one"], 10)
        await store.carriages.remove_shelf(tx, NODE, PEER, SHELF)
        assert await store.carriages.count(tx, NODE, PEER) == 0
        await store.carriages.remove(tx, NODE, PEER)
        assert await store.carriages.of_node(tx, NODE) == []


def _entry(seq: int, envelope: str = "envelope") -> OutboxEntry:
    return OutboxEntry(PEER, seq, EventId(numbered(seq)), f"{envelope} {seq}".encode(), b"planted", 5)


async def _said(store: Store, tx: Transaction, *seqs: int) -> None:
    for seq in seqs:
        await store.outbox.add(tx, NODE, _entry(seq))


async def _left(store: Store, tx: Transaction, target: Target, seqs: list[int], at: int) -> list[int]:
    return await store.deposits.left(tx, NODE, target, [_entry(seq) for seq in seqs], at)


async def _to_leave(
    store: Store, tx: Transaction, target: Target, *, after: int = 0, left_before: int = 0, left_after: int = 10**9
) -> list[int]:
    entries = await store.deposits.to_leave(
        tx, NODE, target, after=after, left_before=left_before, left_after=left_after, limit=10
    )
    return [entry.seq for entry in entries]


async def test_what_was_left_is_left_once_at_each_place(store: Store) -> None:
    async with store.transaction() as tx:
        await _said(store, tx, 1, 2, 3)
        await store.deposits.set_targets(tx, NODE, PEER, [DEPOSIT, ELSEWHERE])
        one, other = sorted(await store.deposits.targets(tx, NODE, PEER), key=lambda one: one.deposit != DEPOSIT)
        assert one == Target(PEER, target_id(DEPOSIT.onion), DEPOSIT)
        assert await _to_leave(store, tx, one) == [1, 2, 3]
        [entry] = await store.deposits.to_leave(tx, NODE, one, after=1, left_before=0, left_after=1, limit=1)
        assert (entry.seq, entry.envelope) == (2, b"envelope 2")
        assert await _left(store, tx, one, [1, 2], 100) == [1, 1]
        assert await _to_leave(store, tx, one) == [3]
        assert await _left(store, tx, other, [2, 3, 4], 100) == [2, 1, 0]  # 4 is acknowledged, say
        assert await _to_leave(store, tx, other) == [1]
        assert [await store.deposits.places(tx, NODE, PEER, EventId(numbered(seq))) for seq in (1, 2, 4)] == [1, 2, 0]
        assert await _to_leave(store, tx, one, left_before=101) == [1, 2, 3]
        assert await _to_leave(store, tx, one, left_after=99) == [1, 2, 3]


async def test_what_was_left_before_something_that_arrived_was_lost(store: Store) -> None:
    async with store.transaction() as tx:
        await _said(store, tx, 1, 2, 3, 4)
        await store.deposits.set_targets(tx, NODE, PEER, [DEPOSIT, ELSEWHERE])
        one, other = sorted(await store.deposits.targets(tx, NODE, PEER), key=lambda one: one.deposit != DEPOSIT)
        await _left(store, tx, one, [1, 2, 3, 4], 100)
        await _left(store, tx, other, [1], 100)
        for ranges in ([(3, 3)], [(2**63, 2**70)]):
            await store.deposits.acknowledged(tx, NODE, PEER, ranges)
            await store.outbox.remove(tx, NODE, PEER, ranges)
        assert await _to_leave(store, tx, one) == [1, 2]
        assert await _to_leave(store, tx, other) == [2, 4]
        assert [await store.deposits.places(tx, NODE, PEER, EventId(numbered(seq))) for seq in (1, 4)] == [1, 1]
        await _left(store, tx, one, [1, 2], 200)
        assert await _to_leave(store, tx, one) == []


async def test_what_is_sealed_anew_is_left_anew(store: Store) -> None:
    async with store.transaction() as tx:
        await _said(store, tx, 1, 2)
        await store.deposits.set_targets(tx, NODE, PEER, [DEPOSIT])
        [target] = await store.deposits.targets(tx, NODE, PEER)
        await _left(store, tx, target, [1, 2], 100)
        await store.outbox.remove(tx, NODE, PEER, [(1, 2)])
        await _said(store, tx, 1)
        assert await _to_leave(store, tx, target) == [1]


async def test_what_is_sealed_anew_while_it_is_left_is_left_anew(store: Store) -> None:
    """What the carrier has is what nobody can open any more."""
    async with store.transaction() as tx:
        await store.deposits.set_targets(tx, NODE, PEER, [DEPOSIT])
        [target] = await store.deposits.targets(tx, NODE, PEER)
        await store.outbox.add(tx, NODE, _entry(1, "sealed anew"))
        assert await _left(store, tx, target, [1], 100) == [0]
        assert await _to_leave(store, tx, target) == [1]


async def test_a_place_that_stays_is_not_forgotten_and_one_with_another_key_is(store: Store) -> None:
    async with store.transaction() as tx:
        await _said(store, tx, 1)
        await store.deposits.set_targets(tx, NODE, PEER, [DEPOSIT])
        [target] = await store.deposits.targets(tx, NODE, PEER)
        await _left(store, tx, target, [1], 100)
        await store.deposits.set_targets(tx, NODE, PEER, [ELSEWHERE, DEPOSIT])
        assert len(await store.deposits.targets(tx, NODE, PEER)) == 2
        assert await _to_leave(store, tx, target) == []
        changed = replace(DEPOSIT, capability=secret("another"))
        await store.deposits.set_targets(tx, NODE, PEER, [changed])
        [target] = await store.deposits.targets(tx, NODE, PEER)
        assert target.deposit == changed
        assert await _to_leave(store, tx, target) == [1]
        await store.deposits.set_targets(tx, NODE, PEER, [])
        assert await store.deposits.targets(tx, NODE, PEER) == []
