"""Keys of encrypted rooms; over both engines."""

from __future__ import annotations

from chattor_bridge.storage.store import Store

BOT, GHOST, ROOM = "@bot:example.test", "@ghost:example.test", "!room:example.test"


async def test_a_record_is_what_was_last_put_there(store: Store) -> None:
    async with store.transaction() as tx:
        assert await store.room_keys.get(tx, BOT, "olm", "key") is None
        await store.room_keys.put(tx, BOT, "olm", "key", {"n": 1})
        await store.room_keys.put(tx, BOT, "olm", "key", {"n": 2})
    async with store.transaction() as tx:
        assert await store.room_keys.get(tx, BOT, "olm", "key") == {"n": 2}
        await store.room_keys.remove(tx, BOT, "olm", "key")
        assert await store.room_keys.get(tx, BOT, "olm", "key") is None


async def test_accounts_and_kinds_are_apart(store: Store) -> None:
    async with store.transaction() as tx:
        await store.room_keys.put(tx, BOT, "account", "", {"whose": "bot"})
        await store.room_keys.put(tx, GHOST, "account", "", {"whose": "ghost"})
        await store.room_keys.put(tx, GHOST, "olm", "b", {})
        await store.room_keys.put(tx, GHOST, "olm", "a", {})
        assert await store.room_keys.get(tx, GHOST, "account", "") == {"whose": "ghost"}
        assert await store.room_keys.names(tx, GHOST, "olm") == ["a", "b"]
        assert await store.room_keys.count(tx, GHOST, "olm") == 2
        assert await store.room_keys.accounts(tx, "account") == [BOT, GHOST]


async def test_a_user_and_a_room_go_with_all_their_keys(store: Store) -> None:
    async with store.transaction() as tx:
        await store.room_keys.put(tx, BOT, "account", "", {})
        await store.room_keys.put(tx, GHOST, "account", "", {})
        await store.room_keys.put(tx, GHOST, "olm", "a", {})
        await store.room_keys.put(tx, "", "room", ROOM, {})
        await store.room_keys.put(tx, "", "person", BOT, {})
        await store.room_keys.forget(tx, GHOST)
        await store.room_keys.forget(tx, ROOM)
        assert await store.room_keys.names(tx, "", "room") == []
        assert await store.room_keys.names(tx, "", "person") == [BOT]
        assert await store.room_keys.accounts(tx, "account") == [BOT]
        assert await store.room_keys.names(tx, GHOST, "olm") == []
