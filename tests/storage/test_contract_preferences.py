"""What owners want with their friends; over both engines."""

from __future__ import annotations

from dataclasses import replace

from chattor_bridge.node.preferences import Preferences, Shared
from chattor_bridge.storage.store import Store
from chattor_bridge.storage.transaction import sql
from tests.storage import records
from tests.storage.records import NODE, PEER

WANTED = Preferences(frozenset({Shared.TYPING, Shared.PRESENCE}), muted=True, note="planted note 🧅\nof two lines")


async def test_they_are_kept_sealed_and_replaced(store: Store) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        assert await store.preferences.get(tx, NODE, PEER) is None
        await store.preferences.save(tx, NODE, PEER, Preferences())
        await store.preferences.save(tx, NODE, PEER, WANTED)
    async with store.transaction() as tx:
        assert await store.preferences.get(tx, NODE, PEER) == WANTED
        assert await store.preferences.of_node(tx, NODE) == {PEER: WANTED}
        assert b"planted" not in bytes(await sql(tx).fetch_value("SELECT note AS value FROM preferences"))


async def test_they_go_with_the_contact(store: Store) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        await store.preferences.save(tx, NODE, PEER, WANTED)
        await store.contacts.remove(tx, NODE, PEER)
        assert await store.preferences.of_node(tx, NODE) == {}


async def test_what_every_friend_sees_is_kept_with_the_node(store: Store) -> None:
    await records.settle(store)
    changed = replace(records.node(), shares=frozenset({Shared.TYPING}))
    async with store.transaction() as tx:
        assert await store.nodes.get(tx, NODE) == records.node()
        await store.nodes.save(tx, changed)
        assert await store.nodes.get(tx, NODE) == changed
