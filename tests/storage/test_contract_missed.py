"""How many messages were missed; over both engines."""

from __future__ import annotations

from chattor_bridge.ids import PeerId
from chattor_bridge.storage import Store
from tests.storage import records
from tests.storage.records import NODE, PEER

OTHER = PeerId(b"Q" * 16)


async def test_they_are_counted_by_friend_and_taken_once(store: Store) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        await store.contacts.add(tx, records.contact(OTHER, peer_static=b"O" * 32))
        for peer_id in (PEER, OTHER, PEER):
            await store.missed.add(tx, NODE, peer_id)
    async with store.transaction() as tx:
        assert await store.missed.of_node(tx, NODE) == {PEER: 2, OTHER: 1}
        assert await store.missed.take(tx, NODE) == {PEER: 2, OTHER: 1}
        assert await store.missed.take(tx, NODE) == {}
