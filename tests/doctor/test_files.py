"""The doctor looks at files, disk, key and database: each thing that can be wrong, shown wrong; nothing is changed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from chattor_bridge.ids import DoorId, NodeId, ShelfId
from chattor_bridge.node.carrying.records import Carriage, HeldShelf
from chattor_bridge.node.records import DoorRecord, NodeRecord
from chattor_bridge.ops.doctor import database, files
from chattor_bridge.ops.doctor.finding import Verdict
from chattor_bridge.protocol.limits import BLOCK_SIZE
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage import StoreKey, inspect, open_store
from tests.doctor.practice import Practice, of, the_problem
from tests.postgres import PostgresCluster
from tests.storage import records


@pytest.fixture
def practice(tmp_path: Path) -> Practice:
    return Practice.alone(tmp_path)


async def make_database(practice: Practice) -> None:
    async with open_store(practice.options["database"]["url"], practice.key) as store, store.transaction() as tx:
        await store.nodes.add(tx, NodeRecord(NodeId(b"n" * 16), "@alice:example.test", "Alice", True, 1))


async def test_a_bridge_that_never_ran(practice: Practice) -> None:
    findings = await practice.examine()
    assert of(findings, "database", Verdict.FINE) == ["there is none yet; the first start makes it"]
    assert not of(findings, "permissions", Verdict.PROBLEM)
    assert sorted(path.name for path in practice.directory.iterdir()) == [
        "config.yaml",
        "registration.yaml",
        "store.key",
    ]


async def test_a_sound_database_beside_the_process_that_holds_it(practice: Practice) -> None:
    await make_database(practice)
    async with open_store(practice.options["database"]["url"], practice.key) as store:
        async with store.transaction() as tx:
            await store.set_setting(tx, "one", "two")
        findings = await practice.examine()
        async with store.transaction() as tx:
            assert await store.get_setting(tx, "one") == "two"
    assert of(findings, "database", Verdict.FINE) == ["whole and durable, 1 at work here"]
    assert of(findings, "store key", Verdict.FINE) == ["opens the database"]
    assert not of(findings, "permissions", Verdict.PROBLEM)
    findings = await practice.examine()  # and after it has ended
    assert of(findings, "database", Verdict.FINE) == ["whole and durable, 1 at work here"]
    assert not of(findings, "permissions", Verdict.PROBLEM)
    async with open_store(practice.options["database"]["url"], practice.key) as store, store.transaction() as tx:
        assert await store.get_setting(tx, "one") == "two"


async def test_only_codes_that_are_open_are_to_be_dialled(practice: Practice) -> None:
    await make_database(practice)
    node, url = NodeId(b"n" * 16), practice.options["database"]["url"]
    open_door = DoorRecord(DoorId(b"0" * 16), node, "open", bytes(32), bytes(32), 1)
    closed = (
        replace(open_door, door_id=DoorId(b"1" * 16), onion_seed=b"1" * 32, parked=True),
        replace(open_door, door_id=DoorId(b"2" * 16), onion_seed=b"2" * 32, expires_at=2),
        replace(open_door, door_id=DoorId(b"3" * 16), onion_seed=b"3" * 32, max_uses=1, uses=1),
    )
    async with open_store(url, practice.key) as store, store.transaction() as tx:
        for door in (open_door, *closed):
            await store.doors.add(tx, door)
    assert (await inspect(url, practice.key)).doors == (ed25519_public(bytes(32)),)
    assert (await inspect(url, None)).doors == ()


@pytest.mark.parametrize("name", ["config.yaml", "registration.yaml", "store.key", "bridge.db"])
async def test_files_that_others_may_read(practice: Practice, name: str) -> None:
    await make_database(practice)
    practice.write()
    file = practice.directory / name
    file.chmod(0o644)
    findings = await practice.look()
    found = the_problem(findings, "permissions")
    assert str(file) in found.what
    assert found.mend in (f"run chmod 600 {file}", f"run chmod 640 {file}")
    assert bool(of(findings, "store key", Verdict.PROBLEM)) == (name == "store.key")


async def test_a_registration_shared_with_the_homeserver_by_a_group_is_fine(practice: Practice) -> None:
    practice.write()
    (practice.directory / "registration.yaml").chmod(0o640)
    assert not of(await practice.look(), "permissions", Verdict.PROBLEM)


async def test_a_directory_that_is_not_there(practice: Practice) -> None:
    practice.options["database"]["url"] = f"sqlite:{practice.directory}/missing/bridge.db"
    assert "mkdir" in the_problem(await practice.examine(), "permissions").mend


@pytest.mark.parametrize("verdict", [Verdict.WARNING, Verdict.PROBLEM])
async def test_little_room_on_the_disk(practice: Practice, monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    monkeypatch.setattr(files, "DISK_WANTED" if verdict is Verdict.WARNING else "DISK_NEEDED", 2**62)
    said = of(await practice.examine(), "disk", verdict)
    assert len(said) == 2
    assert all("MiB free" in each for each in said)


async def test_mail_that_is_held_and_the_room_for_it(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_database(practice)
    url, contact, node = practice.options["database"]["url"], records.contact(), NodeId(b"n" * 16)
    shelf = HeldShelf(contact.peer_id, ShelfId(bytes(16)), bytes(32), bytes(32), bytes(32), opened_at=1)
    async with open_store(url, practice.key) as store, store.transaction() as tx:
        await store.contacts.add(tx, replace(contact, node_id=node))
        await store.carriages.put(tx, node, Carriage(contact.peer_id, 16, 128))
        await store.carriages.open_shelf(tx, node, shelf)
        closed = replace(shelf, shelf_id=ShelfId(b"c" * 16), closed_at=2)
        await store.carriages.open_shelf(tx, node, closed)
        await store.carriages.keep(tx, node, contact.peer_id, shelf.shelf_id, [bytes(BLOCK_SIZE)] * 3, 1)
    findings = await practice.examine()
    assert of(findings, "mail", Verdict.FINE) == ["3 blocks held for friends, on 1 of 48 shelves"]
    assert of(findings, "mail", Verdict.WARNING) == []
    monkeypatch.setattr(database, "MAX_CARRIED_SHELVES", 1)
    monkeypatch.setattr(database, "DISK_NEEDED", 2**62)
    full, room = of(await practice.examine(), "mail", Verdict.WARNING)
    assert "who asks now gets none" in full
    assert room.startswith("friends' mail may take 1 MiB more, and ")


async def test_a_damaged_database(practice: Practice) -> None:
    await make_database(practice)
    content = bytearray(practice.database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    practice.database.write_bytes(content)
    assert "damaged" in the_problem(await practice.examine(), "database").what


async def test_a_database_that_was_cut_off(practice: Practice) -> None:
    practice.database.touch(mode=0o600)
    assert "restore a backup" in the_problem(await practice.examine(), "database").mend


async def test_something_else_in_the_place_of_the_database(practice: Practice) -> None:
    practice.database.write_bytes(b"somebody's letters\n" * 100)
    practice.database.chmod(0o600)
    assert "backup" in the_problem(await practice.examine(), "database").mend


async def test_a_database_of_another_program(practice: Practice) -> None:
    with closing(sqlite3.connect(practice.database)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE songs (name TEXT)")
    practice.database.chmod(0o600)
    assert "another program" in the_problem(await practice.examine(), "database").what


async def test_a_database_that_would_lose_its_log(practice: Practice) -> None:
    await make_database(practice)
    with closing(sqlite3.connect(practice.database)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    assert "local disk" in the_problem(await practice.examine(), "database").mend


async def test_a_database_of_a_newer_version(practice: Practice) -> None:
    await make_database(practice)
    with closing(sqlite3.connect(practice.database)) as other, other:
        other.execute("INSERT INTO migrations VALUES (9999, '9999-later.sql', 'x', 0)")
    assert "newer version" in the_problem(await practice.examine(), "database").what


async def test_a_key_that_is_missing(practice: Practice) -> None:
    (practice.directory / "store.key").unlink()
    assert "make a new one" in the_problem(await practice.examine(), "store key").mend
    await make_database(practice)
    assert "there is no store key" in (found := the_problem(await practice.examine(), "store key")).what
    assert "backup" in found.mend


async def test_the_key_of_another_database(practice: Practice) -> None:
    await make_database(practice)
    (practice.directory / "store.key").unlink()
    StoreKey.create(practice.directory / "store.key")
    assert "does not open this database" in the_problem(await practice.examine(), "store key").what


async def test_a_key_in_the_environment(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_database(practice)
    (practice.directory / "store.key").unlink()
    monkeypatch.setenv("CHATTOR_STORE_KEY", practice.key.secret.hex())
    assert of(await practice.examine(), "store key") == ["opens the database"]


async def test_a_configuration_that_is_wrong(practice: Practice) -> None:
    practice.options["homeserver"]["adress"] = "x"
    [found] = await practice.examine()
    assert found.verdict is Verdict.PROBLEM
    assert "homeserver.adress" in found.what
    assert json.dumps(found.what)


@pytest.mark.postgres
async def test_postgres_beside_the_process_that_holds_it(practice: Practice, postgres_url: str) -> None:
    practice.options["database"]["url"] = postgres_url
    assert of(await practice.examine(), "database") == ["there is none yet; the first start makes it"]
    await make_database(practice)
    async with open_store(postgres_url, practice.key):
        findings = await practice.examine()
    assert of(findings, "database", Verdict.FINE) == ["whole and durable, 1 at work here"]
    assert of(findings, "store key", Verdict.FINE) == ["opens the database"]


@pytest.mark.postgres
async def test_a_postgres_that_may_lose_what_it_was_given(
    practice: Practice, postgres_url: str, postgres: PostgresCluster
) -> None:
    practice.options["database"]["url"] = postgres_url
    postgres.sql(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off")
    found = the_problem(await practice.examine(), "database")
    assert "synchronous_commit" in found.what
    assert found.mend == "turn it on"


@pytest.mark.postgres
async def test_a_postgres_without_our_database(practice: Practice, postgres: PostgresCluster) -> None:
    practice.options["database"]["url"] = f"postgresql://postgres@127.0.0.1:{postgres.port}/nothing"
    assert "refuses us" in the_problem(await practice.examine(), "database").what


async def test_a_postgres_that_does_not_answer(practice: Practice) -> None:
    port = practice.options["appservice"]["listen_port"]
    practice.options["database"]["url"] = f"postgresql://postgres@127.0.0.1:{port}/nothing"
    assert "does not answer" in the_problem(await practice.examine(), "database").what
