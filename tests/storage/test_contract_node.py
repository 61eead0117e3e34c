"""What `chattor_bridge.node.store_ports` promises of a store, on both; for knocks see test_contract_knocks.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.errors import AlreadyExists, NotFound
from chattor_bridge.ids import DoorId, EventId, NodeId, PeerId
from chattor_bridge.node.records import HeldEvent, Role
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.storage import Store
from chattor_bridge.storage.transaction import sql
from tests.storage import records
from tests.storage.records import DOOR, NODE, PEER, numbered

OTHER_NODE = NodeId(b"M" * 16)
OF_A_NODE = (
    *("doors", "outgoing_knocks", "knock_attempts", "pending_knocks", "contacts", "outbox", "received_events"),
    *("held_events", "history"),
)
OTHER_PEER = PeerId(b"Q" * 16)


async def test_the_store_is_a_node_store(store: Store) -> None:
    node_store: NodeStore = store
    async with node_store.transaction() as tx:
        assert await node_store.nodes.all(tx) == []


class TestNodes:
    async def test_a_node_comes_back_as_it_was(self, store: Store) -> None:
        node = records.node()
        async with store.transaction() as tx:
            await store.nodes.add(tx, node)
        async with store.transaction() as tx:
            assert await store.nodes.get(tx, NODE) == node
            assert await store.nodes.by_owner(tx, node.owner) == node
            assert await store.nodes.get(tx, OTHER_NODE) is None
            assert await store.nodes.by_owner(tx, "nobody") is None

    async def test_saving_replaces(self, store: Store) -> None:
        saved = replace(records.node(), profile_name="new", running=False)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            await store.nodes.save(tx, saved)
            assert await store.nodes.get(tx, NODE) == saved
            assert await store.nodes.for_update(tx, NODE) == saved

    async def test_saving_what_is_not_there_is_an_error(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.nodes.save(tx, records.node())
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.nodes.for_update(tx, NODE)

    async def test_an_owner_has_one_node(self, store: Store) -> None:
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
        with pytest.raises(AlreadyExists):
            async with store.transaction() as tx:
                await store.nodes.add(tx, records.node(OTHER_NODE))

    async def test_all_nodes_oldest_first(self, store: Store) -> None:
        nodes = [records.node(NodeId(numbered(9 - n)), f"@{n}:example.org") for n in range(9)]
        async with store.transaction() as tx:
            for node in nodes:
                await store.nodes.add(tx, node)
            assert await store.nodes.all(tx) == nodes

    async def test_a_removed_node_takes_everything_of_it_along(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node(OTHER_NODE, "@other:example.org"))
            await store.knocks.put_pending(tx, records.pending())
            await store.knocks.add_outgoing(tx, records.outgoing())
            await store.outbox.add(tx, NODE, records.entry(1))
            await store.received.remember(tx, NODE, PEER, EventId(numbered(1)), 1)
            await store.received.hold(tx, NODE, HeldEvent(PEER, 2, b"event", 1))
            await store.nodes.remove(tx, NODE)
        async with store.transaction() as tx:
            assert [node.node_id for node in await store.nodes.all(tx)] == [OTHER_NODE]
            for table in OF_A_NODE:
                assert await sql(tx).fetch_value(f"SELECT COUNT(*) AS value FROM {table}") == 0

    async def test_any_text_is_a_profile_name(self, store: Store) -> None:
        odd = replace(records.node(), profile_name="\0 \ud83e 🧅 \u202e" * 100)
        async with store.transaction() as tx:
            await store.nodes.add(tx, odd)
            assert await store.nodes.get(tx, NODE) == odd


class TestDoors:
    async def test_doors_of_a_node_oldest_first(self, store: Store) -> None:
        doors = [records.door(DoorId(numbered(9 - n))) for n in range(9)]
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            for door in doors:
                await store.doors.add(tx, door)
            assert await store.doors.of_node(tx, NODE) == doors
            assert await store.doors.of_node(tx, OTHER_NODE) == []

    async def test_a_retired_door_is_gone_and_its_keys_erased(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.knocks.put_pending(tx, records.pending())
            await store.doors.retire(tx, DOOR, 1_700_000_100)
        async with store.transaction() as tx:
            assert await store.doors.of_node(tx, NODE) == []
            assert [knock.door_id for knock in await store.knocks.pending(tx, NODE)] == [DOOR]
            (row,) = await sql(tx).fetch("SELECT onion_seed, identity_key, retired_at FROM doors")
            assert (row["onion_seed"], row["identity_key"], row["retired_at"]) == (None, None, 1_700_000_100)

    async def test_bounds_and_uses_come_back_as_they_were_saved(self, store: Store) -> None:
        made = replace(records.door(code_secret=b"planted secret!!"), expires_at=9, max_uses=3)
        changed = replace(made, expires_at=5, max_uses=2, uses=1, parked=True, closes_at=4)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            await store.doors.add(tx, made)
            assert await store.doors.for_update(tx, DOOR) == made
            await store.doors.save(tx, changed)
            assert await store.doors.of_node(tx, NODE) == [changed]
            (row,) = await sql(tx).fetch("SELECT secret FROM doors")
            assert b"planted" not in row["secret"]
            await store.doors.retire(tx, DOOR, 7)
            assert await store.doors.for_update(tx, DOOR) is None
            (row,) = await sql(tx).fetch("SELECT secret FROM doors")
            assert row["secret"] is None
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.doors.save(tx, changed)

    async def test_retiring_twice_is_an_error(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.doors.retire(tx, DOOR, 1)
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.doors.retire(tx, DOOR, 2)

    async def test_a_door_needs_its_node(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.doors.add(tx, records.door())


class TestContacts:
    async def test_a_friend_is_blocked_and_removed_with_everything_of_his(self, store: Store) -> None:
        await records.settle(store)
        blocked = replace(records.contact(), blocked=True)
        async with store.transaction() as tx:
            await store.outbox.add(tx, NODE, records.entry(1))
            await store.received.remember(tx, NODE, PEER, records.entry(1).event_id, 5)
            await store.contacts.save(tx, blocked)
            (found,) = await store.contacts.of_node(tx, NODE)
            assert found == blocked
            await store.contacts.remove(tx, NODE, PEER)
            assert await store.contacts.get(tx, NODE, PEER) is None
            assert await store.outbox.count(tx, NODE, PEER) == 0
            await store.contacts.add(tx, records.contact())
            assert await store.received.remember(tx, NODE, PEER, records.entry(1).event_id, 5)
            (again,) = await store.contacts.of_node(tx, NODE)
            assert again.order > found.order > 0
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.contacts.remove(tx, OTHER_NODE, PEER)

    @pytest.mark.parametrize("role", list(Role))
    async def test_a_contact_comes_back_as_it_was(self, store: Store, role: Role) -> None:
        contact = replace(records.contact(role=role), hosted_seed=None, peer_onion=None)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            await store.contacts.add(tx, contact)
        async with store.transaction() as tx:
            assert await store.contacts.get(tx, NODE, PEER) == contact
            assert await store.contacts.for_update(tx, NODE, PEER) == contact
            assert await store.contacts.by_static(tx, NODE, contact.peer_static) == contact
            assert await store.contacts.get(tx, OTHER_NODE, PEER) is None
            assert await store.contacts.for_update(tx, NODE, OTHER_PEER) is None
            assert await store.contacts.by_static(tx, OTHER_NODE, contact.peer_static) is None

    async def test_saving_replaces(self, store: Store) -> None:
        await records.settle(store)
        saved = replace(
            records.contact(),
            session=b"x" * 5000,
            alias="",
            version=2,
            capabilities=(),
            established=True,
            hosted_seed=None,
            verified="planted number",
            mismatch=True,
            verification=b"planted run",
            hosted_since=7,
            former_seed=records.secret("former-seed"),
            heard_at=8,
        )
        async with store.transaction() as tx:
            await store.contacts.save(tx, saved)
            assert await store.contacts.get(tx, NODE, PEER) == saved

    async def test_saving_what_is_not_there_is_an_error(self, store: Store) -> None:
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.contacts.save(tx, records.contact())

    async def test_a_friendship_and_its_key_are_there_once(self, store: Store) -> None:
        await records.settle(store)
        for again in (records.contact(peer_static=b"T" * 32), records.contact(OTHER_PEER)):
            with pytest.raises(AlreadyExists):
                async with store.transaction() as tx:
                    await store.contacts.add(tx, again)

    async def test_two_nodes_here_may_be_each_others_friends(self, store: Store) -> None:
        await records.settle(store)
        other_side = records.contact(node_id=OTHER_NODE, peer_static=b"T" * 32, role=Role.KNOCKER)
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node(OTHER_NODE, "@bob:example.org"))
            await store.contacts.add(tx, other_side)
            assert await store.contacts.get(tx, OTHER_NODE, PEER) == other_side
            assert await store.contacts.get(tx, NODE, PEER) == records.contact()

    async def test_oldest_first(self, store: Store) -> None:
        contacts = [records.contact(PeerId(numbered(9 - n)), peer_static=numbered(n) * 2) for n in range(9)]
        async with store.transaction() as tx:
            await store.nodes.add(tx, records.node())
            for contact in contacts:
                await store.contacts.add(tx, contact)
            assert await store.contacts.of_node(tx, NODE) == contacts


class TestOutbox:
    async def test_entries_come_back_in_order(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            for seq in (3, 1, 2**63 - 1, 2):
                await store.outbox.add(tx, NODE, records.entry(seq))
        async with store.transaction() as tx:
            every = [records.entry(seq) for seq in (1, 2, 3, 2**63 - 1)]
            assert await store.outbox.after(tx, NODE, PEER, 0, 10) == every
            assert await store.outbox.after(tx, NODE, PEER, 0, 2) == every[:2]
            assert await store.outbox.after(tx, NODE, PEER, 2, 10) == every[2:]
            assert await store.outbox.after(tx, NODE, OTHER_PEER, 0, 10) == []
            assert await store.outbox.after(tx, OTHER_NODE, PEER, 0, 10) == []
            assert await store.outbox.count(tx, NODE, PEER) == 4
            assert await store.outbox.count(tx, NODE, OTHER_PEER) == 0

    async def test_a_sequence_number_is_used_once(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.outbox.add(tx, NODE, records.entry(1))
        with pytest.raises(AlreadyExists):
            async with store.transaction() as tx:
                await store.outbox.add(tx, NODE, records.entry(1))

    async def test_an_entry_needs_its_contact(self, store: Store) -> None:
        await records.settle(store)
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await store.outbox.add(tx, NODE, records.entry(1, OTHER_PEER))

    async def test_removing_gives_the_event_ids_in_order(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            for seq in range(1, 11):
                await store.outbox.add(tx, NODE, records.entry(seq))
            removed = await store.outbox.remove(tx, NODE, PEER, [(7, 8), (1, 3), (10, 2**64), (2**64, 2**65)])
            assert removed == [EventId(numbered(seq)) for seq in (1, 2, 3, 7, 8, 10)]
            assert await store.outbox.remove(tx, NODE, PEER, [(1, 3)]) == []
            assert await store.outbox.remove(tx, NODE, PEER, []) == []
            assert [entry.seq for entry in await store.outbox.after(tx, NODE, PEER, 0, 99)] == [4, 5, 6, 9]


class TestReceived:
    async def test_an_event_id_is_remembered_once_and_for_good(self, store: Store) -> None:
        await records.settle(store)
        event_id = EventId(numbered(1))
        async with store.transaction() as tx:
            assert await store.received.remember(tx, NODE, PEER, event_id, 5)
            assert not await store.received.remember(tx, NODE, PEER, event_id, 6)
        async with store.transaction() as tx:
            assert not await store.received.remember(tx, NODE, PEER, event_id, 7)
            assert not await store.received.knows(tx, NODE, PEER, EventId(numbered(2)))
            assert await store.received.remember(tx, NODE, PEER, EventId(numbered(2)), 7)
            assert await store.received.knows(tx, NODE, PEER, EventId(numbered(2)))

    async def test_the_oldest_ids_are_forgotten_beyond_as_many_as_are_kept(self, store: Store) -> None:
        await records.settle(store)
        ids = [EventId(numbered(number)) for number in range(9)]
        async with store.transaction() as tx:
            for number, event_id in enumerate(reversed(ids)):
                await store.received.remember(tx, NODE, PEER, event_id, 10 + number)
            assert await store.received.forget(tx, NODE, PEER, keep=9, at_most=5) == []
            assert await store.received.forget(tx, NODE, PEER, keep=2, at_most=5) == ids[:3:-1]
            assert await store.received.forget(tx, NODE, PEER, keep=2, at_most=5) == [ids[3], ids[2]]
            assert await store.received.forget(tx, NODE, PEER, keep=2, at_most=5) == []
            assert await store.received.remember(tx, NODE, PEER, ids[8], 30)
            assert not await store.received.remember(tx, NODE, PEER, ids[0], 30)

    async def test_held_events_in_order_until_released(self, store: Store) -> None:
        await records.settle(store)
        held = [HeldEvent(PEER, seq, b"planted held %d" % seq, 5) for seq in (4, 6, 7, 2**63 - 1)]
        async with store.transaction() as tx:
            for event in reversed(held):
                await store.received.hold(tx, NODE, event)
            assert await store.received.held(tx, NODE, PEER) == held
            assert await store.received.held(tx, NODE, OTHER_PEER) == []
            await store.received.release(tx, NODE, PEER, 6)
            assert await store.received.held(tx, NODE, PEER) == held[2:]
            await store.received.release(tx, NODE, PEER, 2**64)
            assert await store.received.held(tx, NODE, PEER) == []

    async def test_a_sequence_number_is_held_once(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.received.hold(tx, NODE, HeldEvent(PEER, 4, b"one", 5))
        with pytest.raises(AlreadyExists):
            async with store.transaction() as tx:
                await store.received.hold(tx, NODE, HeldEvent(PEER, 4, b"two", 5))

    async def test_two_friends_do_not_share_event_ids(self, store: Store) -> None:
        await records.settle(store)
        async with store.transaction() as tx:
            await store.contacts.add(tx, records.contact(OTHER_PEER, peer_static=b"T" * 32))
            assert await store.received.remember(tx, NODE, PEER, EventId(numbered(1)), 5)
            assert await store.received.remember(tx, NODE, OTHER_PEER, EventId(numbered(1)), 5)


async def test_a_thousand_of_everything(store: Store) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        for seq in range(1, 1001):
            await store.outbox.add(tx, NODE, records.entry(seq))
            await store.received.remember(tx, NODE, PEER, EventId(numbered(seq)), 5)
            await store.received.hold(tx, NODE, HeldEvent(PEER, seq, b"held %d" % seq, 5))
    async with store.transaction() as tx:
        assert await store.outbox.count(tx, NODE, PEER) == 1000
        assert await store.outbox.after(tx, NODE, PEER, 0, 1000) == [records.entry(seq) for seq in range(1, 1001)]
        assert [event.seq for event in await store.received.held(tx, NODE, PEER)] == list(range(1, 1001))
        removed = await store.outbox.remove(tx, NODE, PEER, [(1, 1000)])
        assert removed == [EventId(numbered(seq)) for seq in range(1, 1001)]
        await store.received.release(tx, NODE, PEER, 1000)
