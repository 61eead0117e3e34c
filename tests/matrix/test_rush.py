"""While much goes on the bot asks for its keys now and then, and waits at the homeserver for them when all is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import KeyMissing
from chattor_bridge.matrix.encryption import rush
from chattor_bridge.matrix.encryption.hearing import SYNC_TIMEOUT, Ears
from chattor_bridge.matrix.encryption.rush import RUSH
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.key_server import KeyServer
from tests.synapse import WAIT, Intake

EVENT: JsonObject = {
    "type": "m.room.encrypted",
    "event_id": "$1",
    "room_id": "!room:example.test",
    "sender": "@alice:example.test",
    "content": {"algorithm": "m.megolm.v1.aes-sha2", "session_id": "unknown", "ciphertext": "", "sender_key": ""},
}


class Bot:
    """A bot at work, before a homeserver that has nothing for it: how many seconds it waited there, each time."""

    def __init__(self, service: MatrixService, keys: KeyServer) -> None:
        self.encryption = service._encryption
        self.keys = keys
        self.waited: list[int] = []
        self._news = asyncio.Condition()

    async def fetch(self, since: str | None, timeout: int) -> JsonObject:
        async with self._news:
            self.waited.append(timeout)
            self._news.notify_all()
        if timeout:
            await asyncio.Event().wait()
        return {"next_batch": str(len(self.waited)), "device_one_time_keys_count": {"signed_curve25519": 50}}

    async def has_waited(self, *seconds: int) -> None:
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(lambda: tuple(self.waited[-len(seconds) :]) == seconds)

    def hear_much(self) -> None:
        for _ in range(RUSH):
            self.encryption.heard([])


@pytest_asyncio.fixture
async def bot(server: FakeHomeserver, keys: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    server.behave = key_server = KeyServer()
    service = MatrixService(server.settings(), Intake().accept, SystemClock(), keys)
    bot = Bot(service, key_server)
    monkeypatch.setattr(service._encryption.ears, "_fetch", bot.fetch)
    await service.start()
    try:
        await bot.has_waited(0, SYNC_TIMEOUT)
        yield bot
    finally:
        await service.stop()


async def test_a_request_that_waits_is_given_up_in_a_rush_and_made_again_after_it(bot: Bot) -> None:
    for _ in range(RUSH - 1):
        bot.encryption.heard([])
    assert not bot.encryption.ears.rush.on.is_set()
    bot.hear_much()
    await bot.has_waited(SYNC_TIMEOUT, 0)
    await bot.has_waited(0, SYNC_TIMEOUT)


async def test_a_key_that_is_missing_in_a_rush_is_asked_for_at_the_homeserver_first(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without a pause."""
    monkeypatch.setattr(rush, "PAUSE", 3_600.0)
    bot.hear_much()
    now = SystemClock().now()
    await _miss(bot.encryption.ears, now)
    await bot.has_waited(SYNC_TIMEOUT, 0)
    assert not bot.keys.sent
    await _miss(bot.encryption.ears, now - 10)
    assert [(user, device) for user, device, _ in bot.keys.sent] == [("@alice:example.test", "*")]


async def _miss(ears: Ears, received_at: int) -> None:
    with pytest.raises(KeyMissing):
        async with ears.opened(EVENT, received_at):
            pass
