"""Encrypted rooms after a database was put back to an earlier state, or lost."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from chattor_bridge.bridge.store_ports import NEVER_CAME
from chattor_bridge.matrix.encryption import hearing, identity
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import StoreKey, open_store
from tests.bridge.test_road_synapse import Road
from tests.bridge.town import level_of, until_idle
from tests.nio_person import NioPerson
from tests.synapse import WAIT, Homestead, Intake, Somebody, new_ghost

pytestmark = pytest.mark.synapse

ONE_TIME_KEYS = 4
"""Few, so that they are soon used up."""


@asynccontextmanager
async def _road_over(homestead: Homestead, directory: Path, database: Path, key: StoreKey) -> AsyncIterator[Road]:
    async with open_store(f"sqlite:{database}", key) as store:
        road = Road(homestead, store, directory, NioPerson, False, level_of)
        await road.start()
        try:
            yield road
        finally:
            await road.stop()


def _back_up(database: Path, copy: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


async def _devices(somebody: Somebody, user: str) -> list[str]:
    """Those of a user to which keys of rooms would be given; all must be signed by their user."""
    answer = await somebody.ask("POST", "/keys/query", {"device_keys": {user: []}})
    own_key = next(iter(answer["self_signing_keys"][user]["keys"]))
    devices = answer["device_keys"][user]
    assert all(own_key in device["signatures"][user] for device in devices.values())
    return list(devices)


async def _published(somebody: Somebody, user: str) -> list[str]:
    """Those of a user, signed or about to be."""
    answer = await somebody.ask("POST", "/keys/query", {"device_keys": {user: []}})
    return list(answer["device_keys"][user])


async def _use_up_one_time_keys(somebody: Somebody, user: str) -> None:
    """Until the homeserver was given others."""
    (device,) = await _devices(somebody, user)
    claim = {"one_time_keys": {user: {device: "signed_curve25519"}}}
    used: set[str] = set()
    async with asyncio.timeout(WAIT):
        while len(used) < 2 * ONE_TIME_KEYS:
            answer = await somebody.ask("POST", "/keys/claim", claim)
            ((key_id, key),) = answer["one_time_keys"][user][device].items()
            if "fallback" in key:
                await asyncio.sleep(0.2)
            else:
                used.add(key_id)


async def _asks(person: NioPerson, road: Road, room_id: str, text: str) -> str:
    """What the bot answers."""
    await person.say(room_id, text)
    return str((await person.next_from(road.bot, room_id, WAIT))["content"]["body"])


async def test_a_database_that_was_put_back_to_a_backup_hears_and_speaks(
    homestead: Homestead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (identity, hearing):
        monkeypatch.setattr(module, "ONE_TIME_KEYS", ONE_TIME_KEYS)
    monkeypatch.setattr(hearing, "KEY_PATIENCE", 2)
    monkeypatch.setattr(hearing, "SYNC_TIMEOUT", 1)
    key = StoreKey(secrets.token_bytes(32))
    somebody = await homestead.person()
    async with _road_over(homestead, tmp_path, tmp_path / "bridge.db", key) as road:
        alice = await road.person()
        assert isinstance(alice, NioPerson)
        room_id = await alice.open_chat(road.bot)
        await alice.next_from(road.bot, room_id, WAIT)
        assert "start" in await _asks(alice, road, room_id, "help")
        await until_idle(road.bridge)
        _back_up(tmp_path / "bridge.db", tmp_path / "backup.db")
        await _use_up_one_time_keys(somebody, road.bot)
        alice.nio.invalidate_outbound_session(room_id)
        assert "start" in await _asks(alice, road, room_id, "help")
        before = await _devices(somebody, road.bot)
        persons = road.persons
    try:
        lost = await alice.say(room_id, "help")  # under a key that came after the backup
        alice.nio.invalidate_outbound_session(room_id)
        await alice.say(room_id, "start Alice")  # under one that waits at the homeserver
        async with _road_over(homestead, tmp_path, tmp_path / "backup.db", key) as road:
            told = await alice.wait_for(lambda event: NEVER_CAME in event["content"].get("body", ""), WAIT)
            assert told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == lost
            await alice.wait_for(lambda event: "node is running" in event["content"].get("body", ""), WAIT)
            after = await _devices(somebody, road.bot)
            assert len(before) == len(after) == 1
            assert before != after
            alice._looked_at = len(alice.timeline)
            assert "running" in await _asks(alice, road, room_id, "status")
    finally:
        for person in persons:
            await person.close()


async def test_a_homeserver_that_was_put_back_to_a_backup_is_heard_and_spoken_to(
    private_homestead: Homestead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives out keys again that were used, and knows nothing of what came since."""
    for module in (identity, hearing):
        monkeypatch.setattr(module, "ONE_TIME_KEYS", ONE_TIME_KEYS)
    monkeypatch.setattr(hearing, "SYNC_TIMEOUT", 1)
    homestead, key = private_homestead, StoreKey(secrets.token_bytes(32))
    database = tmp_path / "synapse" / "homeserver.db"
    await homestead.synapse.start()
    somebody = await homestead.person()
    async with _road_over(homestead, tmp_path, tmp_path / "bridge.db", key) as road:
        alice = await road.person()
        assert isinstance(alice, NioPerson)
        room_id = await alice.open_chat(road.bot)
        await alice.next_from(road.bot, room_id, WAIT)
        _back_up(database, tmp_path / "backup.db")
        await _use_up_one_time_keys(somebody, road.bot)
        assert "start" in await _asks(alice, road, room_id, "help")
        before = await _devices(somebody, road.bot)
        await alice.close()
        await homestead.synapse.stop()
        _back_up(tmp_path / "backup.db", database)
        await homestead.synapse.start()
        async with asyncio.timeout(WAIT):
            while before == await _published(somebody, road.bot):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.2)
        phone = await road.login_again(alice)
        assert isinstance(phone, NioPerson)
        await phone.wait_for(lambda event: event["room_id"] == room_id, WAIT)
        assert "start" in await _asks(phone, road, room_id, "help")
        assert [event for event in phone.timeline if event.get("decrypted") and event["sender"] == road.bot]
        await phone.close()


async def test_after_the_loss_of_a_database_old_devices_are_gone_and_the_bot_is_who_its_store_key_says(
    homestead: Homestead, tmp_path: Path
) -> None:
    somebody = await homestead.person()
    ghost, bot = new_ghost(), f"@{homestead.registration.bot_localpart}:{homestead.registration.domain}"
    key, other_key = StoreKey(secrets.token_bytes(32)), StoreKey(secrets.token_bytes(32))
    devices, identities = [], []
    for number, store_key in enumerate((key, key, other_key)):
        async with open_store(f"sqlite:{tmp_path / str(number)}", store_key) as store:
            service = MatrixService(
                replace(homestead.settings(), encrypt_rooms=True), Intake().accept, SystemClock(), store
            )
            await service.start()
            try:
                async with asyncio.timeout(WAIT):
                    await service.reachable()
                    await service._encryption.ears.caught_up.wait()
                    room_id = await service.homeserver.create_room(
                        ghost, name=None, topic=None, invite=[somebody.user_id], is_direct=True
                    )
                    await service.homeserver.send(ghost, room_id, "m.room.message", {"body": "x"}, "1")
                    await service._encryption._publish_ghosts_again()  # as after either side was put back
                    await service.homeserver.send(ghost, room_id, "m.room.message", {"body": "y"}, "2")
                    devices.append([await _devices(somebody, user) for user in (ghost, bot)])
                    identities.append([await _identity(somebody, user) for user in (ghost, bot)])
            finally:
                await service.stop()
    assert all(len(each) == 1 for run in devices for each in run)
    assert len({run[0][0] for run in devices}) == len({run[1][0] for run in devices}) == 3
    assert len({ghosts for ghosts, _ in identities}) == 3
    assert identities[0][1] == identities[1][1] != identities[2][1]


async def _identity(somebody: Somebody, user: str) -> str:
    """The key by which clients know a user."""
    answer = await somebody.ask("POST", "/keys/query", {"device_keys": {user: []}})
    return str(next(iter(answer["master_keys"][user]["keys"])))
