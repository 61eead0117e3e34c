"""What merging two friendships asks of a store, on both engines."""

from __future__ import annotations

from dataclasses import replace

from chattor_bridge.bridge.records import EventLink
from chattor_bridge.ids import EventId, MatrixEventId, PeerId
from chattor_bridge.node.records import Retired
from chattor_bridge.storage import Store
from chattor_bridge.terminal.ports import Direction
from tests.storage import records
from tests.storage.records import NODE, PEER, ROOM, numbered

OTHER = PeerId(b"Q" * 16)


async def _two_friends(store: Store) -> None:
    async with store.transaction() as tx:
        await store.nodes.add(tx, records.node())
        await store.contacts.add(tx, records.contact())
        await store.contacts.add(tx, replace(records.contact(), peer_id=OTHER, peer_static=b"T" * 32))


async def test_what_was_received_from_one_counts_for_the_other(store: Store) -> None:
    await _two_friends(store)
    async with store.transaction() as tx:
        for number in (1, 2):
            assert await store.received.remember(tx, NODE, PEER, EventId(numbered(number)), 1)
        assert await store.received.remember(tx, NODE, OTHER, EventId(numbered(2)), 1)
        await store.received.copy(tx, NODE, PEER, OTHER)
        for peer_id in (PEER, OTHER):
            assert not await store.received.remember(tx, NODE, peer_id, EventId(numbered(1)), 2)
        assert await store.received.remember(tx, NODE, OTHER, EventId(numbered(3)), 2)
        assert await store.received.remember(tx, NODE, PEER, EventId(numbered(3)), 2)


async def test_what_was_said_to_one_was_said_to_the_other(store: Store) -> None:
    await _two_friends(store)
    async with store.transaction() as tx:
        for number, peer_id in enumerate((PEER, OTHER, PEER)):
            event_id, text = EventId(numbered(number)), f"planted {number}"
            args = (tx, NODE, peer_id, event_id, Direction.OUT, text)
            await store.history.add(*args, sent_at=number, stored_at=number)
        await store.history.mark_failed(tx, NODE, PEER, EventId(numbered(0)), "planted reason")
        await store.history.move(tx, NODE, PEER, OTHER)
        said = await store.history.last(tx, NODE, OTHER, 10)
        assert await store.history.last(tx, NODE, PEER, 10) == []
    assert [(one.text, one.failure) for one in said] == [
        ("planted 0", "planted reason"),
        ("planted 1", ""),
        ("planted 2", ""),
    ]


async def test_what_both_were_told_under_one_id_is_there_once(store: Store) -> None:
    """A friend may choose its ids so; what it said first in the other friendship stands."""
    await _two_friends(store)
    async with store.transaction() as tx:
        for peer_id in (PEER, OTHER):
            for number in range(3):
                said = EventId(numbered(number)), Direction.IN, f"planted {number} {peer_id!r}"
                await store.history.add(tx, NODE, peer_id, *said, sent_at=number, stored_at=number)
        await store.history.add(tx, NODE, PEER, EventId(numbered(9)), Direction.IN, "last", sent_at=9, stored_at=9)
        await store.history.move(tx, NODE, PEER, OTHER)
        told = [one.text for one in await store.history.last(tx, NODE, OTHER, 10)]
    assert told == [f"planted {number} {OTHER!r}" for number in range(3)] + ["last"]


async def test_links_and_portals_say_where_it_goes_on(store: Store) -> None:
    await _two_friends(store)
    link = EventLink(NODE, PEER, EventId(numbered(1)), 0, ROOM, MatrixEventId("$said"), ours=True)
    portal = records.portal()
    async with store.transaction() as tx:
        await store.event_links.add(tx, link)
        await store.event_links.move(tx, NODE, PEER, OTHER)
        assert await store.event_links.by_event(tx, NODE, OTHER, link.event_id) == [replace(link, peer_id=OTHER)]
        assert await store.event_links.by_event(tx, NODE, PEER, link.event_id) == []
        await store.portals.add(tx, portal)
        await store.portals.merge(tx, NODE, portal.peer_id, OTHER)
        assert await store.portals.by_peer(tx, NODE, portal.peer_id) == replace(portal, merged_into=OTHER)


async def test_where_a_merge_and_an_end_stand(store: Store) -> None:
    await _two_friends(store)
    contact = replace(
        records.contact(), merging=OTHER, merge_claim=OTHER, merge_done=True, retired=Retired.SAYING, retired_at=7
    )
    async with store.transaction() as tx:
        await store.contacts.save(tx, contact)
        assert await store.contacts.get(tx, NODE, PEER) == contact
