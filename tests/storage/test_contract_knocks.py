"""What `chattor_bridge.node.ports` promises of knocks, on both engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.errors import NotFound
from chattor_bridge.ids import KnockId, NodeId, PeerId
from chattor_bridge.node.records import KnockState
from chattor_bridge.storage import Store
from tests.storage import records
from tests.storage.records import KNOCK, NODE, numbered

OTHER_NODE = NodeId(b"M" * 16)
OTHER_PEER = PeerId(b"Q" * 16)


class TestOutgoingKnocks:
    async def test_a_knock_comes_back_as_it_was_and_as_it_was_saved(self, store: Store) -> None:
        knock = records.outgoing()
        failed = replace(knock, state=KnockState.FAILED, reason="nobody there", attempts=3, next_attempt_at=9)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            await store.knocks.add_outgoing(tx, knock)
            assert await store.knocks.get_outgoing(tx, KNOCK) == knock
            await store.knocks.save_outgoing(tx, failed)
            assert await store.knocks.get_outgoing(tx, KNOCK) == failed
            assert await store.knocks.outgoing(tx, NODE) == [failed]
            assert await store.knocks.outgoing(tx, OTHER_NODE) == []

    async def test_oldest_first(self, store: Store) -> None:
        knocks = [records.outgoing(KnockId(numbered(9 - n))) for n in range(9)]
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            for knock in knocks:
                await store.knocks.add_outgoing(tx, knock)
            assert await store.knocks.outgoing(tx, NODE) == knocks

    async def test_attempts_newest_first_and_no_more_than_are_kept(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            await store.knocks.add_outgoing(tx, records.outgoing())
            await store.knocks.add_outgoing(tx, records.outgoing(KnockId(numbered(1))))
            await store.knocks.add_attempt(tx, records.attempt(99, KnockId(numbered(1))), keep=3)
            for number in (5, 1, 4, 2, 3):  # all within one second
                await store.knocks.add_attempt(tx, records.attempt(number), keep=3)
            assert await store.knocks.attempts(tx, KNOCK) == [records.attempt(n) for n in (3, 2, 4)]
            assert await store.knocks.attempts(tx, KnockId(numbered(1))) == [records.attempt(99, KnockId(numbered(1)))]

    async def test_removing_takes_the_attempts_along(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            await store.knocks.add_outgoing(tx, records.outgoing())
            await store.knocks.add_attempt(tx, records.attempt(1), keep=3)
            await store.knocks.remove_outgoing(tx, KNOCK)
            await store.knocks.remove_outgoing(tx, KNOCK)  # again: nothing
            assert await store.knocks.get_outgoing(tx, KNOCK) is None
            assert await store.knocks.attempts(tx, KNOCK) == []

    async def test_what_is_gone_cannot_be_saved_or_attempted(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.knocks.save_outgoing(tx, records.outgoing())
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.knocks.add_attempt(tx, records.attempt(1), keep=3)


class TestPendingKnocks:
    async def test_a_knock_comes_back_as_it_was(self, store: Store) -> None:
        await records.settle(store)
        knock = records.pending()
        async with store.transaction() as tx:
            assert await store.knocks.put_pending(tx, knock) == KNOCK
        async with store.transaction() as tx:
            assert await store.knocks.get_pending(tx, KNOCK) == knock
            assert await store.knocks.pending(tx, NODE) == [knock]
            assert await store.knocks.pending(tx, OTHER_NODE) == []

    async def test_a_retry_replaces_in_place(self, store: Store) -> None:
        await records.settle(store)
        retry = replace(
            records.pending(KnockId(numbered(2)), received_at=1_800_000_000),
            peer_id=OTHER_PEER,
            session=b"another session",
            name="another name",
            capabilities=(),
            effort=9,
        )
        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, records.pending())
            await store.knocks.ignore_pending(tx, KNOCK)
            await store.knocks.see_pending(tx, NODE, [KNOCK])
            assert await store.knocks.put_pending(tx, retry) == KNOCK
            assert await store.knocks.get_pending(tx, retry.knock_id) is None
            assert await store.knocks.pending(tx, NODE) == [
                replace(retry, knock_id=KNOCK, received_at=records.pending().received_at, seen=True, ignored=True)
            ]

    async def test_a_number_stays_and_is_never_drawn_again(self, store: Store) -> None:
        await records.settle(store)
        first, second, third = (
            records.pending(KnockId(numbered(n)), peer_static=numbered(n) * 2, effort=n) for n in (1, 2, 3)
        )

        async def orders() -> dict[KnockId, int]:
            async with store.transaction() as tx:
                return {one.knock_id: one.order for one in await store.knocks.pending(tx, NODE)}

        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, first)
            await store.knocks.put_pending(tx, second)
        before = await orders()
        assert 0 < before[first.knock_id] < before[second.knock_id]
        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, replace(first, name="another name", effort=9))
            await store.knocks.remove_pending(tx, second.knock_id)
            await store.knocks.put_pending(tx, third)
        after = await orders()
        assert after[first.knock_id] == before[first.knock_id]
        assert after[third.knock_id] > before[second.knock_id]

    async def test_one_stranger_may_knock_at_two_nodes(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node(OTHER_NODE, "@bob:example.org"))
            await store.knocks.put_pending(tx, records.pending())
            elsewhere = records.pending(KnockId(numbered(2)), OTHER_NODE)
            assert await store.knocks.put_pending(tx, elsewhere) == elsewhere.knock_id
            assert len(await store.knocks.pending(tx, NODE)) == 1

    async def test_oldest_first_ignored_ones_included(self, store: Store) -> None:
        await records.settle(store)
        knocks = [records.pending(KnockId(numbered(9 - n)), peer_static=numbered(n) * 2) for n in range(9)]
        async with store.transaction() as tx:
            for knock in knocks:
                await store.knocks.put_pending(tx, knock)
            await store.knocks.ignore_pending(tx, knocks[4].knock_id)
            knocks[4] = replace(knocks[4], ignored=True)
            assert await store.knocks.pending(tx, NODE) == knocks

    async def test_the_most_effort_first(self, store: Store) -> None:
        await records.settle(store)
        efforts = [3, 9, 0, 3, 12]
        knocks = [
            records.pending(KnockId(numbered(n)), peer_static=numbered(n) * 2, effort=effort)
            for n, effort in enumerate(efforts)
        ]
        async with store.transaction() as tx:
            for knock in knocks:
                await store.knocks.put_pending(tx, knock)
            assert await store.knocks.pending(tx, NODE) == [knocks[n] for n in (4, 1, 0, 3, 2)]

    async def test_only_its_own_node_sees_a_knock(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, records.pending())
            await store.knocks.see_pending(tx, OTHER_NODE, [KNOCK])
            assert await store.knocks.pending(tx, NODE) == [records.pending()]
            await store.knocks.see_pending(tx, NODE, [KNOCK, KnockId(numbered(7))])
            assert await store.knocks.pending(tx, NODE) == [replace(records.pending(), seen=True)]

    async def test_ignoring_what_is_gone_is_an_error(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.knocks.ignore_pending(tx, KNOCK)

    async def test_blocking_ignores_too_and_outlives_a_retry(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, records.pending())
            await store.knocks.block_pending(tx, KNOCK)
            await store.knocks.put_pending(tx, records.pending(KnockId(numbered(2))))
            assert await store.knocks.pending(tx, NODE) == [replace(records.pending(), ignored=True, blocked=True)]
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.knocks.block_pending(tx, KnockId(numbered(2)))

    async def test_removing(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, records.pending())
            await store.knocks.remove_pending(tx, KNOCK)
            await store.knocks.remove_pending(tx, KNOCK)  # again: nothing
            assert await store.knocks.get_pending(tx, KNOCK) is None

    async def test_expiring_removes_what_came_before(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            for n in (10, 20, 30):
                knock = records.pending(KnockId(numbered(n)), peer_static=numbered(n) * 2, received_at=n)
                await store.knocks.put_pending(tx, knock)
            assert await store.knocks.expire_pending(tx, OTHER_NODE, 100, 200) == []
            assert await store.knocks.expire_pending(tx, NODE, 20, 25) == [KnockId(numbered(10))]
            assert [knock.received_at for knock in await store.knocks.pending(tx, NODE)] == [20, 25]
