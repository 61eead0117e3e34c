"""A bot with no encrypted room has no request wait at the homeserver, where every message wakes it; one that has waits
cheaply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverUnavailable, KeyMissing
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.encryption.encryption import Encryption
from chattor_bridge.matrix.encryption.hearing import SYNC_TIMEOUT
from chattor_bridge.matrix.encryption.stream import KEYS_ONLY
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.ops.synapse import ensure_synapse
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.key_server import KeyServer
from tests.synapse import ENVIRONMENT, WAIT, Intake

ROOM = MatrixRoomId("!room:example.test")

BECAME_ENCRYPTED: JsonObject = {"type": "m.room.encryption", "state_key": "", "room_id": ROOM, "content": {}}

SAID: JsonObject = {
    "type": "m.room.encrypted",
    "event_id": "$1",
    "room_id": ROOM,
    "sender": "@alice:example.test",
    "content": {"algorithm": "m.megolm.v1.aes-sha2", "session_id": "unknown", "ciphertext": "", "sender_key": ""},
}


class Bot:
    """One before a homeserver that has nothing for it: how many seconds each of its requests was to wait there."""

    def __init__(self, service: MatrixService, keys: KeyServer) -> None:
        self.homeserver = service.homeserver
        self.encryption: Encryption = service._encryption
        self.keys = keys
        self.waited: list[int] = []
        self._news = asyncio.Condition()

    async def fetch(self, _place: JsonObject | None, timeout: int) -> tuple[JsonObject, JsonObject]:
        async with self._news:
            self.waited.append(timeout)
            self._news.notify_all()
        if timeout:
            await asyncio.Event().wait()
        return {"device_one_time_keys_count": {"signed_curve25519": 50}}, {"since": str(len(self.waited))}

    async def has_waited(self, *seconds: int) -> None:
        """So in all."""
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(lambda: tuple(self.waited) == seconds)


@asynccontextmanager
async def _bot(server: FakeHomeserver, store: Store, *, encrypt_rooms: bool) -> AsyncIterator[Bot]:
    server.behave = key_server = KeyServer()
    service = MatrixService(server.settings(encrypt_rooms=encrypt_rooms), Intake().accept, SystemClock(), store)
    bot = Bot(service, key_server)
    service._encryption.ears._fetch = bot.fetch  # type: ignore[method-assign,assignment]
    await service.start()
    try:
        yield bot
    finally:
        await service.stop()


@pytest_asyncio.fixture
async def bot(server: FakeHomeserver, keys: Store) -> AsyncIterator[Bot]:
    """One that has no encrypted room, and has looked once."""
    async with _bot(server, keys, encrypt_rooms=False) as bot:
        async with asyncio.timeout(WAIT):
            await bot.encryption.ears.caught_up.wait()
        assert bot.waited == [0]
        yield bot


async def test_a_room_that_becomes_encrypted_has_it_listen(bot: Bot) -> None:
    await bot.encryption.heard([BECAME_ENCRYPTED])
    assert not bot.encryption.ears.caught_up.is_set()
    await bot.has_waited(0, 0, SYNC_TIMEOUT)
    assert bot.encryption.ears.caught_up.is_set()


async def test_it_listens_before_it_speaks_in_a_room_that_turns_out_to_be_encrypted(bot: Bot) -> None:
    with pytest.raises(HomeserverUnavailable):
        await bot.homeserver.send(bot.homeserver.bot, ROOM, "m.room.message", {"body": "said"}, "1")
    await bot.has_waited(0, 0, SYNC_TIMEOUT)
    await bot.homeserver.send(bot.homeserver.bot, ROOM, "m.room.message", {"body": "said"}, "1")


async def test_a_key_that_is_missing_is_looked_for_at_the_homeserver_before_anybody_is_asked(bot: Bot) -> None:
    now = SystemClock().now()
    with pytest.raises(KeyMissing):
        await _open(bot, now)
    await bot.has_waited(0, 0, SYNC_TIMEOUT)
    assert not bot.keys.sent
    with pytest.raises(KeyMissing):
        await _open(bot, now)
    assert [(user, device) for user, device, _ in bot.keys.sent] == [("@alice:example.test", "*")]


async def test_it_listens_from_the_start_once_it_has_known_an_encrypted_room(
    server: FakeHomeserver, keys: Store
) -> None:
    async with _bot(server, keys, encrypt_rooms=False) as bot:
        assert await bot.encryption.settings(bot.homeserver.bot, ROOM) is not None
    async with _bot(server, keys, encrypt_rooms=False) as bot:
        await bot.has_waited(0, SYNC_TIMEOUT)


async def test_it_listens_from_the_start_where_rooms_are_to_be_encrypted(server: FakeHomeserver, keys: Store) -> None:
    async with _bot(server, keys, encrypt_rooms=True) as bot:
        await bot.has_waited(0, SYNC_TIMEOUT)


async def _open(bot: Bot, received_at: int) -> None:
    async with bot.encryption.ears.opened(SAID, received_at):
        pass


WANTED = """
import json, sys
from unittest.mock import MagicMock
from synapse.api.filtering import FilterCollection

chosen = FilterCollection(MagicMock(), json.loads(sys.argv[1]))
print(*(name for name in dir(chosen) if name.startswith("blocks_all") and not getattr(chosen, name)()))
"""
"""Asks Synapse's own code what there is that a filter does not refuse as a whole."""


@pytest.mark.synapse
async def test_a_request_that_waits_for_keys_has_synapse_read_nothing_else() -> None:
    """It is woken by every message in every room of the bot, and begins from its start each time."""
    await ensure_synapse(ENVIRONMENT)
    process = await asyncio.create_subprocess_exec(
        *(str(ENVIRONMENT / "bin" / "python"), "-c", WANTED, KEYS_ONLY), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().split()) == (0, [])
