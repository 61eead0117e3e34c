"""What a homeserver brings to a device beside events: once, whatever happens to it, and for next to nothing."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.encryption import hearing
from chattor_bridge.matrix.encryption.device import DeviceApi
from chattor_bridge.matrix.encryption.records import OLM
from chattor_bridge.matrix.encryption.stream import slide, sync
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.ops import synapse as ops_synapse
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.olm_device import OlmDevice
from tests.matrix.test_giving import ALICE, Bridge, _readable
from tests.synapse import WAIT, Homestead, Intake, Somebody, new_ghost

Ask = Callable[[DeviceApi, JsonObject | None, int], Coroutine[Any, Any, tuple[JsonObject, JsonObject]]]

both_ways = pytest.mark.parametrize("ask", [slide, sync])

LOOKS_INTO_ROOMS = ("get_room_events_stream_for_room", "get_timeline_gaps")
"""Synapse's names of transactions in which it reads what was said in a room for a sync."""


async def _saves_nothing() -> None:
    pass


def _device_of_a_ghost(service: MatrixService) -> DeviceApi:
    return DeviceApi(service._client, new_ghost(), "PHONE", _saves_nothing)


async def _tells(somebody: Somebody, api: DeviceApi, what: str) -> None:
    """Send this to the device."""
    messages = {api._user: {api._device: {"what": what}}}
    await somebody.ask("PUT", f"/sendToDevice/org.example.told/{secrets.token_hex(4)}", {"messages": messages})


def _told(news: JsonObject) -> list[str]:
    return [event["content"]["what"] for event in news.get("to_device", {}).get("events", [])]


@pytest.mark.synapse
@both_ways
async def test_what_was_brought_comes_again_until_the_place_behind_it_is_named(
    service: MatrixService, homestead: Homestead, ask: Ask
) -> None:
    api, somebody = _device_of_a_ghost(service), await homestead.person()
    _, start = await ask(api, None, 0)
    await _tells(somebody, api, "one")
    for _ in range(2):
        news, place = await ask(api, start, int(WAIT))
        assert _told(news) == ["one"]
    await _tells(somebody, api, "two")
    news, _ = await ask(api, place, int(WAIT))
    assert _told(news) == ["two"]


@pytest.mark.synapse
async def test_without_a_place_all_comes_that_was_not_forgotten(service: MatrixService, homestead: Homestead) -> None:
    api, somebody = _device_of_a_ghost(service), await homestead.person()
    _, place = await slide(api, None, 0)
    for what in ("one", "two"):
        await _tells(somebody, api, what)
        news, place = await slide(api, place, int(WAIT))
        assert _told(news) == [what]
    assert _told((await slide(api, {"pos": place["pos"]}, int(WAIT)))[0]) == ["two"]


@pytest.mark.synapse
@both_ways
async def test_a_request_that_waits_is_told_of_a_new_device_at_once(
    service: MatrixService, homestead: Homestead, ask: Ask
) -> None:
    api, somebody = _device_of_a_ghost(service), await homestead.person()
    room_id = await service.homeserver.create_room(
        api._user, name=None, topic=None, invite=[somebody.user_id], is_direct=True
    )
    await somebody.ask("POST", f"/join/{room_id}", {})
    _, place = await ask(api, None, 0)
    waits = asyncio.create_task(ask(api, place, 10 * int(WAIT)))
    password = {"type": "m.login.password", "password": somebody.password}
    await somebody.ask("POST", "/login", {**password, "identifier": {"type": "m.id.user", "user": somebody.user_id}})
    async with asyncio.timeout(WAIT):
        news, _ = await waits
    assert somebody.user_id in news["device_lists"]["changed"]


@asynccontextmanager
async def _listening(homestead: Homestead, keys: Store) -> AsyncIterator[MatrixService]:
    """One that has read all there was."""
    service = MatrixService(replace(homestead.settings(), encrypt_rooms=True), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        async with asyncio.timeout(WAIT):
            await service.reachable()
            await service._encryption.ears.caught_up.wait()
        yield service
    finally:
        await service.stop()


@pytest.mark.synapse
async def test_no_room_is_looked_into_for_a_request_that_waits(
    private_homestead: Homestead, keys: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message in every room wakes it."""
    monkeypatch.setitem(ops_synapse._LOGGING["loggers"], "synapse.storage.txn", {"level": "DEBUG"})  # type: ignore[arg-type]
    log = private_homestead.synapse.log_file

    async def looks(service: MatrixService, room_id: MatrixRoomId) -> int:
        """How often while somebody speaks."""
        before = len(await asyncio.to_thread(log.read_text))
        for _ in range(5):
            content, transaction = {"msgtype": "m.text", "body": "hello"}, secrets.token_hex(4)
            await service.homeserver.send(service.homeserver.bot, room_id, "m.room.message", content, transaction)
        await private_homestead.person()  # by then it has done what it does about them
        said = (await asyncio.to_thread(log.read_text))[before:]
        assert "persist_events" in said
        return sum(said.count(f"[TXN START] {{{name}") for name in LOOKS_INTO_ROOMS)

    async with private_homestead.synapse, _listening(private_homestead, keys) as service:
        api = service._encryption.ears._bot.api
        room_id = await service.homeserver.create_room(
            service.homeserver.bot, name=None, topic=None, invite=[], is_direct=True
        )
        assert await looks(service, room_id) == 0
        _, place = await sync(api, None, 0)
        waits = asyncio.create_task(sync(api, place, int(WAIT)))
        assert await looks(service, room_id) > 0  # which is what they are called
        waits.cancel()


class _Recorder:
    """What is brought to a bot, and from which places it asks."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.places: list[JsonObject | None] = []
        self._news = asyncio.Condition()

    async def slide(self, api: DeviceApi, place: JsonObject | None, timeout: int) -> tuple[JsonObject, JsonObject]:
        async with self._news:
            self.places.append(place)
            self._news.notify_all()
        news, place = await slide(api, place, timeout)
        self.told += _told(news)
        return news, place

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(condition)


def _copy(database: Path, to: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


@pytest.mark.synapse
async def test_a_homeserver_that_has_forgotten_its_last_moments_is_heard(
    private_homestead: Homestead, keys: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It numbers what comes then as it did what it forgot."""
    monkeypatch.setattr(hearing, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(hearing, "LAST_RETRY", 0.5)
    heard = _Recorder()
    monkeypatch.setattr(hearing, "slide", heard.slide)
    database, before = tmp_path / "synapse" / "homeserver.db", tmp_path / "before.db"
    synapse = private_homestead.synapse
    await synapse.start()
    somebody = await private_homestead.person()
    async with _listening(private_homestead, keys) as service:
        api = service._encryption.ears._bot.api
        await _tells(somebody, api, "one")
        await heard.until(lambda: heard.told == ["one"])
        await asyncio.to_thread(_copy, database, before)
        await _tells(somebody, api, "forgotten")
        await heard.until(lambda: heard.told == ["one", "forgotten"])
        ahead = heard.places[-1]
        await synapse.kill()
        asked = len(heard.places)
        await asyncio.to_thread(_copy, before, database)
        await synapse.start()
        await heard.until(lambda: (heard.places[asked:] or [ahead])[-1] != ahead)  # it has found out
        await _tells(somebody, api, "two")
        await heard.until(lambda: heard.told[-1] == "two")


@pytest.mark.parametrize("slides", [True, False])
async def test_a_homeserver_that_comes_to_know_another_kind_of_stream_is_heard_and_told_nothing_in_vain(
    server: FakeHomeserver, keys: Store, monkeypatch: pytest.MonkeyPatch, *, slides: bool
) -> None:
    """The place up to which it was read is of the other kind: what devices people have is asked for again."""
    monkeypatch.setattr(hearing, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(hearing, "LAST_RETRY", 0.05)
    bridge = Bridge(server, keys)
    key_server = bridge.key_server
    key_server.slides, key_server.members = slides, [ALICE]
    OlmDevice(key_server, ALICE, "OLD")
    await bridge.start()
    try:
        await bridge.says("one")
        new = OlmDevice(key_server, ALICE, "NEW")
        assert _readable(new, await bridge.says("two")) is None  # nobody has said that there is one
        key_server.slides, looks = not slides, len(server.asked("/versions"))
        await server.until(
            lambda: len(server.asked("/versions")) > looks + 1
        )  # the first may have been answered before
        await bridge.hears()
        assert _readable(new, await bridge.says("three")) == "three"
    finally:
        await bridge.stop()


async def test_to_ask_for_keys_saves_nothing_that_is_half_done(server: FakeHomeserver, keys: Store) -> None:
    """A request waits while messages are opened, whose keys are saved with them."""
    bridge = Bridge(server, keys)
    await bridge.start()
    try:
        bot = bridge._service._encryption.ears._bot
        async with bot.turn():
            bot.keys.write(OLM, "half done", {})
            bridge.key_server.to_bring += [{}, {}]  # one for its own request, which may be under way
            await slide(bot.api, None, 0)
            assert await bridge.kept(OLM) == 0
            bot.keys.discard()
    finally:
        await bridge.stop()
