"""Small pictures of people; over both engines."""

from __future__ import annotations

from chattor_bridge.protocol.events import Avatar
from chattor_bridge.storage.store import Store
from chattor_bridge.storage.transaction import sql
from tests.storage import records
from tests.storage.records import NODE, PEER

PICTURE = Avatar("image/png", b"planted picture")


async def test_they_are_kept_sealed_replaced_and_removed(store: Store) -> None:
    await records.settle(store)
    async with store.transaction() as tx:
        assert await store.pictures.own(tx, NODE) is None
        for picture in (Avatar("image/gif", b"before"), PICTURE):
            await store.pictures.save_own(tx, NODE, picture)
            await store.pictures.save_of_friend(tx, NODE, PEER, picture)
    async with store.transaction() as tx:
        assert await store.pictures.own(tx, NODE) == PICTURE
        assert await store.pictures.of_friend(tx, NODE, PEER) == PICTURE
        for table in ("own_pictures", "pictures"):
            assert b"planted" not in bytes(await sql(tx).fetch_value(f"SELECT data AS value FROM {table}"))
        await store.pictures.save_own(tx, NODE, None)
        await store.contacts.remove(tx, NODE, PEER)
        assert await store.pictures.own(tx, NODE) is None
        assert await store.pictures.of_friend(tx, NODE, PEER) is None
