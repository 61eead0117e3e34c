"""Sealed columns: nothing to read without the key, nothing to move with it."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import nacl.bindings
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chattor_bridge.bridge.records import EventLink
from chattor_bridge.errors import DatabaseUnusable, WrongStoreKey
from chattor_bridge.ids import EventId, FileId, MatrixEventId, MatrixRoomId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carriage, HeldShelf, OwnShelf
from chattor_bridge.node.preferences import Preferences
from chattor_bridge.node.records import HeldEvent, Transfer, TransferState
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.events import Avatar
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.sealing import Part, Sealer, identity_from_key_check, new_key_check
from chattor_bridge.terminal.ports import Direction
from tests.postgres import PostgresCluster
from tests.storage import records
from tests.storage.records import NODE, PEER, numbered

KEY = StoreKey(bytes(range(32)))
IDENTITY = b"i" * 16


def test_a_value_opens_in_its_place_only() -> None:
    sealer = Sealer(KEY, IDENTITY)
    sealed = sealer.seal(b"value", "table", "column", b"row", 1, "x")
    assert sealer.open(sealed, "table", "column", b"row", 1, "x") == b"value"
    elsewhere: list[tuple[str, str, tuple[Part, ...]]] = [
        ("tabl", "ecolumn", (b"row", 1, "x")),
        ("table", "other", (b"row", 1, "x")),
        ("table", "column", (b"row1", "x")),
        ("table", "column", (b"row", 2, "x")),
        ("table", "column", (b"row", 1)),
        ("table", "column", (b"row", 1, "x", b"")),
    ]
    for table, column, row in elsewhere:
        with pytest.raises(DatabaseUnusable, match=rf"{table}\.{column}"):
            sealer.open(sealed, table, column, *row)


@pytest.mark.parametrize("position", [0, 1, 24, 25, 30, -1])
def test_a_changed_value_does_not_open(position: int) -> None:
    sealer = Sealer(KEY, IDENTITY)
    changed = bytearray(sealer.seal(b"value", "table", "column"))
    changed[position] ^= 1
    with pytest.raises(DatabaseUnusable):
        sealer.open(bytes(changed), "table", "column")


@pytest.mark.parametrize("length", [0, 1, 24, 40])
def test_a_cut_value_does_not_open(length: int) -> None:
    sealer = Sealer(KEY, IDENTITY)
    with pytest.raises(DatabaseUnusable):
        sealer.open(sealer.seal(b"value", "table", "column")[:length], "table", "column")


def test_the_same_value_never_looks_the_same() -> None:
    sealer = Sealer(KEY, IDENTITY)
    assert len({sealer.seal(b"value", "table", "column") for _ in range(1000)}) == 1000


def test_values_do_not_move_between_databases_or_keys() -> None:
    sealed = Sealer(KEY, IDENTITY).seal(b"value", "table", "column")
    for other in (Sealer(KEY, b"j" * 16), Sealer(StoreKey(b"x" * 32), IDENTITY)):
        with pytest.raises(DatabaseUnusable):
            other.open(sealed, "table", "column")


def test_the_format_is_what_the_module_says() -> None:
    """Opened by libsodium itself: version, nonce, ciphertext; place as length-prefixed parts."""
    sealed = Sealer(KEY, IDENTITY).seal(b"value", "t", "col", b"row", 7)
    secret = HKDF(algorithm=SHA256(), length=32, salt=IDENTITY, info=b"chattor/v1/store/values").derive(KEY.secret)
    place = b"\0\0\0\x10chattor/v1/store\0\0\0\x01t\0\0\0\x03col\0\0\0\x03row\0\0\0\x017"
    assert sealed[0] == 1
    opened = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[25:], place, sealed[1:25], secret)
    assert opened == b"value"


def test_the_key_check_tells_a_wrong_key() -> None:
    identity, check = new_key_check(KEY)
    assert identity_from_key_check(KEY, check) == identity
    for key, value in ((StoreKey(b"x" * 32), check), (KEY, check[:-1]), (KEY, b"")):
        with pytest.raises(WrongStoreKey):
            identity_from_key_check(key, value)


async def test_a_wrong_key_is_refused_and_changes_nothing(store: Store, store_url: str, key: StoreKey) -> None:
    await records.settle(store)
    await store.stop()
    with pytest.raises(WrongStoreKey):
        await open_store(store_url, StoreKey(b"x" * 32)).start()
    async with open_store(store_url, key) as again, again.transaction() as tx:
        assert await again.nodes.get(tx, NODE) == records.node()


async def test_swapped_columns_are_noticed(tmp_path: Path, key: StoreKey) -> None:
    """Two friends' names, one friend's name and alias: each exchanged in the file, as an intruder would."""
    other = PeerId(b"Q" * 16)
    swaps = (
        "UPDATE contacts SET peer_name = (SELECT peer_name FROM contacts AS o WHERE o.peer_id <> contacts.peer_id)",
        "UPDATE contacts SET peer_name = alias, alias = peer_name",
        "UPDATE contacts SET own_static = hosted_seed",
    )
    for number, swap in enumerate(swaps):
        path = tmp_path / f"{number}.db"
        async with open_store(f"sqlite:{path}", key) as store:
            await records.settle(store)
            async with store.transaction() as tx:
                await store.contacts.add(tx, records.contact(other, peer_static=b"T" * 32))
        with sqlite3.connect(path) as connection:
            assert connection.execute(swap).rowcount == 2
        connection.close()
        async with open_store(f"sqlite:{path}", key) as store, store.transaction() as tx:
            with pytest.raises(DatabaseUnusable, match="contacts"):
                await store.contacts.get(tx, NODE, PEER)


OPEN = {
    "actions": "action_id lane",
    "carriages": "node_id peer_id",
    "carriers": "node_id peer_id",
    "contacts": "node_id peer_id peer_static merging merge_claim role capabilities retired",
    "deposit_targets": "node_id peer_id target_id",
    "deposited": "node_id peer_id target_id",
    "doors": "door_id node_id",
    "event_links": "node_id peer_id event_id target room_id matrix_event_id kind",
    "expiring": "node_id peer_id event_id",
    "file_slices": "part_id data",
    "held_blocks": "node_id peer_id shelf_id block",
    "held_events": "node_id peer_id",
    "held_shelves": "node_id peer_id shelf_id",
    "history": "node_id peer_id event_id target reply thread direction kind",
    "inbox": "event_id room_id",
    "knock_attempts": "knock_id peer_id",
    "knock_notices": "knock_id room_id matrix_event_id",
    "known_matrix_events": "event_id",
    "management_rooms": "room_id owner",
    "migrations": "name checksum",
    "missed": "node_id peer_id",
    "nodes": "node_id owner shares",
    "outbox": "node_id peer_id event_id envelope file_id digest_before",
    "outgoing_knocks": "knock_id node_id state",
    "own_pictures": "node_id mime_type",
    "own_shelves": "node_id shelf_id carrier_id",
    "pending_knocks": "knock_id node_id door_id peer_id peer_static capabilities",
    "pictures": "node_id peer_id mime_type",
    "portal_notices": "matrix_event_id room_id topic subject",
    "portals": "node_id peer_id merged_into owner ghost room_id",
    "preferences": "node_id peer_id shares",
    "received_events": "node_id peer_id event_id",
    "room_keys": "account kind name",
    "secrets": "name",
    "settings": "name",
    "shelf_senders": "node_id shelf_id peer_id",
    "spaces": "owner room_id",
    "store": "key_check",
    "told_shelves": "node_id peer_id digest",
    "transfers": "node_id peer_id file_id event_id part_id bitmap state reason kind",
    "unread": "event_id room_id matrix_event_id",
}
"""Columns of bytes or text that are not sealed: ids, public keys, words of ours, and what was encrypted before. All
others hold something planted in these tests."""


async def fill(store: Store) -> None:
    """Plant something in every sealed column."""
    async with store.transaction() as tx:
        await store.nodes.add(tx, records.node())
        await store.doors.add(tx, records.door(code_secret=b"planted-secret--"))
        friend = replace(
            records.contact(),
            verified="planted verified",
            verification=b"planted verification",
            former_seed=records.secret("former-seed"),
        )
        await store.contacts.add(tx, friend)
    message: dict[str, Any] = {"event_id": "$1", "room_id": "!r", "content": {"body": "planted message"}}
    async with store.transaction() as tx:
        await store.knocks.add_outgoing(tx, replace(records.outgoing(), reason="planted reason"))
        await store.knocks.add_attempt(tx, records.attempt(1), keep=3)
        await store.knocks.put_pending(tx, records.pending())
        await store.outbox.add(tx, NODE, records.entry(1))
        await store.received.hold(tx, NODE, HeldEvent(PEER, 1, b"planted held event", 1))
        await store.inbox.add(tx, [message, {**message, "event_id": "$2"}], 1)
        item = await store.inbox.next(tx, MatrixRoomId("!r"))
        assert item is not None
        await store.inbox.park(tx, item.order, "planted reason")
        await store.actions.add(tx, "lane", {"body": "planted action"}, 1)
        action = await store.actions.next(tx, "lane")
        assert action is not None
        await store.actions.park(tx, action.order, "planted reason")
        await store.set_setting(tx, "since", "planted token")
        event_id = EventId(numbered(1))
        await store.history.add(tx, NODE, PEER, event_id, Direction.OUT, "planted words", sent_at=1, stored_at=1)
        await store.history.mark_failed(tx, NODE, PEER, event_id, "planted failure")
        detail = {"name": "planted detail"}
        other = EventId(numbered(2))
        await store.history.add(tx, NODE, PEER, other, Direction.IN, "planted", sent_at=1, stored_at=1, detail=detail)
        await store.event_links.add(
            tx, EventLink(NODE, PEER, event_id, 0, records.ROOM, MatrixEventId("$1"), ours=True, detail=detail)
        )
        await store.secret(tx, "ghosts", 32)
        await store.room_keys.put(tx, "@bot:example.org", "olm", "key", {"key": "planted key"})
        picture = Avatar("image/png", b"planted picture")
        await store.pictures.save_own(tx, NODE, picture)
        await store.pictures.save_of_friend(tx, NODE, PEER, picture)
        await store.preferences.save(tx, NODE, PEER, Preferences(note="planted note"))
        transfer = Transfer(
            node_id=NODE,
            peer_id=PEER,
            file_id=FileId(numbered(1)),
            event_id=event_id,
            part_id=numbered(2),
            outgoing=True,
            key=records.secret("file-key"),
            size=1,
            root=records.secret("file-root"),
            name="planted file",
            mime="planted/type",
            kind="image",
            reference="planted reference",
            state=TransferState.OFFERED,
            reason="",
            created_at=1,
            changed_at=1,
        )
        await store.transfers.add(tx, transfer, b"planted outline")
        shelf, capability = ShelfId(numbered(3)), records.secret("capability")
        deposit = Deposit(OnionKey(records.secret("shelf-onion")), records.secret("shelf-static"), capability)
        await store.deposits.set_targets(tx, NODE, PEER, [deposit])
        await store.carriages.put(tx, NODE, Carriage(PEER, 1, 1))
        await store.carriages.open_shelf(
            tx, NODE, HeldShelf(PEER, shelf, capability, records.secret("shelf-seed"), deposit.static, 1)
        )
        own = OwnShelf(shelf, PEER, capability, 1)
        await store.carriers.open_shelf(tx, NODE, own)
        await store.carriers.save_shelf(tx, NODE, replace(own, onion=deposit.onion, static=deposit.static))


async def test_every_column_that_is_not_known_to_be_open_is_sealed(
    tmp_path: Path, key: StoreKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed: set[bytes] = set()
    seal = Sealer.seal

    def noted(self: Sealer, value: bytes, table: str, column: str, *row: Part) -> bytes:
        sealed.add(closed := seal(self, value, table, column, *row))
        return closed

    monkeypatch.setattr(Sealer, "seal", noted)
    async with open_store(f"sqlite:{tmp_path}/store.db", key) as store:
        await fill(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in set(tables) - {"sqlite_sequence"}:
            columns = connection.execute(f"SELECT name, type FROM pragma_table_info('{table}')").fetchall()
            known = OPEN.get(table, "").split()
            assert set(known) <= {name for name, _ in columns}
            for column in (name for name, kind in columns if kind in ("BYTEA", "BLOB", "TEXT") and name not in known):
                values = connection.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
                assert values, f"{table}.{column} holds nothing in this test"
                assert {value for (value,) in values} <= sealed, f"{table}.{column} lies open"


def assert_nothing_planted(directory: Path, key: StoreKey) -> int:
    """Search every file; the number of bytes searched."""
    searched = 0
    for path in directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            searched += len(content)
            for needle in (b"planted", b"chattor:", "Ünï🧅".encode(), key.secret, key.secret.hex().encode()):
                assert needle not in content, path.name
    return searched


async def test_nothing_planted_can_be_read_in_the_sqlite_files(tmp_path: Path, key: StoreKey) -> None:
    (tmp_path / "database").mkdir()
    async with open_store(f"sqlite:{tmp_path}/database/store.db", key) as store:
        await fill(store)
        assert (tmp_path / "database" / "store.db-wal").stat().st_size > 0
        assert assert_nothing_planted(tmp_path / "database", key) > 50_000
    assert assert_nothing_planted(tmp_path / "database", key) > 50_000


@pytest.mark.postgres
async def test_nothing_planted_can_be_read_in_the_postgresql_files(
    postgres: PostgresCluster, postgres_url: str, key: StoreKey
) -> None:
    async with open_store(postgres_url, key) as store:
        await fill(store)
    postgres.sql("CHECKPOINT")
    oid = postgres.sql(f"SELECT oid FROM pg_database WHERE datname = '{postgres_url.rpartition('/')[2]}'")
    assert assert_nothing_planted(postgres.directory / "data" / "base" / oid, key) > 50_000
    assert assert_nothing_planted(postgres.directory / "data" / "pg_wal", key) > 50_000
