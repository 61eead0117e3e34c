"""Dumps of the schemas that have been released, with a row of everything in them.

``python -m tests.storage.snapshots`` writes those of the present schema into tests/snapshots/. A dump of a released
schema is never written again: it stands for databases that exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

from chattor_bridge.bridge.records import EventLink, KnockNotice
from chattor_bridge.ids import EventId, MatrixEventId
from chattor_bridge.node.records import HeldEvent
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.protocol.window import NO_DIGEST
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.migrations import load
from chattor_bridge.terminal.ports import Direction
from tests.postgres import PostgresCluster, running_cluster
from tests.storage import records
from tests.storage.records import KNOCK, NODE, OWNER, PEER, ROOM, numbered

DIRECTORY = Path(__file__).parents[1] / "snapshots"

KEY = StoreKey(bytes(range(32)))
"""What the dumps are sealed with."""

MESSAGE = {"event_id": "$waiting", "room_id": ROOM, "content": {"body": "planted message 🧅"}}
NOTICE = KnockNotice(KNOCK, ROOM, MatrixEventId("$notice"))
LINK = EventLink(NODE, PEER, EventId(numbered(1)), 0, ROOM, MatrixEventId("$shown"), ours=True)


async def fill(store: Store) -> None:
    """Put a row into every table."""
    await records.settle(store)
    async with store.transaction() as tx:
        await store.knocks.add_outgoing(tx, records.outgoing())
        await store.knocks.add_attempt(tx, records.attempt(1), keep=3)
        await store.knocks.put_pending(tx, records.pending())
        await store.outbox.add(tx, NODE, records.entry(1))
        await store.received.remember(tx, NODE, PEER, EventId(numbered(1)), 5)
        await store.received.hold(tx, NODE, HeldEvent(PEER, 3, b"planted held event", 5))
        await store.inbox.add(tx, [MESSAGE], 5)
        await store.actions.add(tx, "lane", {"n": 1}, 5)
        await store.portals.add(tx, records.portal())
        await store.management_rooms.save(tx, OWNER, ROOM, 5)
        await store.spaces.move(tx, OWNER, ROOM)
        await store.event_links.add(tx, LINK)
        await store.unread.add(tx, ROOM, LINK.matrix_event_id, LINK.event_id)
        await store.knock_notices.save(tx, NOTICE)
        await store.set_setting(tx, "since", "s1")
        await store.secret(tx, "ghosts", 32)
        await store.history.add(
            tx, NODE, PEER, EventId(numbered(1)), Direction.IN, "planted words 🧅", sent_at=5, stored_at=6
        )


async def assert_filled(store: Store) -> None:
    """Find every row again, as it was; what is younger than every dump has its default."""
    async with store.transaction() as tx:
        assert await store.nodes.all(tx) == [records.node()]
        assert await store.doors.of_node(tx, NODE) == [records.door()]
        assert await store.contacts.of_node(tx, NODE) == [replace(records.contact(), profile_due=False)]
        assert await store.knocks.outgoing(tx, NODE) == [replace(records.outgoing(), pairs=False)]
        assert await store.knocks.attempts(tx, KNOCK) == [records.attempt(1)]
        assert await store.knocks.pending(tx, NODE) == [records.pending()]
        assert await store.outbox.after(tx, NODE, PEER, 0, 9) == [replace(records.entry(1), digest_before=NO_DIGEST)]
        assert not await store.received.remember(tx, NODE, PEER, EventId(numbered(1)), 9)
        assert await store.received.held(tx, NODE, PEER) == [HeldEvent(PEER, 3, b"planted held event", 5)]
        item = await store.inbox.next(tx, ROOM)
        assert item is not None
        assert item.event == MESSAGE
        assert await store.inbox.add(tx, [MESSAGE], 9) == 0
        action = await store.actions.next(tx, "lane")
        assert action is not None
        assert action.action == {"n": 1}
        assert await store.portals.of_owner(tx, OWNER) == [records.portal()]
        assert await store.management_rooms.of_owner(tx, OWNER) == ROOM
        assert await store.event_links.by_event(tx, NODE, PEER, LINK.event_id) == [LINK]
        assert await store.unread.take(tx, ROOM, LINK.matrix_event_id) == [LINK.event_id]
        assert await store.knock_notices.by_knock(tx, KNOCK) == NOTICE
        assert await store.get_setting(tx, "since") == "s1"
        assert len(await store.secret(tx, "ghosts", 32)) == 32
        assert [entry.text for entry in await store.history.last(tx, NODE, PEER, 9)] == ["planted words 🧅"]


def dump_sqlite(path: Path) -> str:
    """The database as SQL."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def dump_postgres(cluster: PostgresCluster, url: str) -> str:
    """The database as SQL, without what only some versions of psql understand."""
    dump = cluster.run("pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-comments", url)
    return "".join(line for line in dump.splitlines(keepends=True) if not line.startswith(("\\", "SET ", "--")))


async def write(cluster: PostgresCluster, directory: Path) -> None:
    """Dump a filled database of the present schema of each engine."""
    number = f"{len(load(packaged_directory('migrations'))):04}"
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "store.db"
        async with open_store(f"sqlite:{path}", KEY) as store:
            await fill(store)
        (directory / f"{number}.sqlite.sql").write_text(dump_sqlite(path), encoding="utf-8")
    url = cluster.create_database()
    async with open_store(url, KEY) as store:
        await fill(store)
    (directory / f"{number}.postgres.sql").write_text(dump_postgres(cluster, url), encoding="utf-8")


if __name__ == "__main__":
    with running_cluster() as server:
        asyncio.run(write(server, DIRECTORY))
