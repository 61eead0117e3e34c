"""The watch over the connection: it waits for a homeserver that is down, and notices being deaf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.hearing import ECHO_EXPECTED_WITHIN
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.matrix.watch import CHECK_INTERVAL, PING_INTERVAL, Connection, ConnectionStatus
from chattor_bridge.storage import Store
from tests.clock import FakeClock
from tests.matrix.fake_homeserver import Answer, FakeHomeserver, Request
from tests.synapse import Intake

ROOM = MatrixRoomId("!room:example.test")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Seen:
    """Every status that was told, and a way to wait for one."""

    def __init__(self, service: MatrixService, clock: FakeClock) -> None:
        self.all: list[ConnectionStatus] = []
        self._clock = clock
        self._service = service
        self._news = asyncio.Event()
        service.on_change(self._note)

    def _note(self, status: ConnectionStatus) -> None:
        self.all.append(status)
        self._news.set()

    async def until(self, wanted: Connection, *, step: float = 1.0) -> ConnectionStatus:
        """Let time pass until that is the status."""
        await self._clock.pass_until(self._wait(wanted), step=step)
        return self._service.status

    async def _wait(self, wanted: Connection) -> None:
        while self._service.status.connection is not wanted:
            self._news.clear()
            await self._news.wait()


@pytest_asyncio.fixture
async def service(
    server: FakeHomeserver, clock: FakeClock, intake: Intake, keys: Store
) -> AsyncIterator[MatrixService]:
    """Not started yet."""
    service = MatrixService(server.settings(), intake.accept, clock, keys)
    yield service
    await service.stop()


async def test_ping_comes_after_the_listener_is_up(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    ports: list[int] = []

    def behave(_request: Request) -> Answer:
        ports.append(service.port)
        return Answer()

    server.behave = behave
    seen = Seen(service, clock)
    assert service.status.connection is Connection.STARTING
    await service.start()
    await seen.until(Connection.CONNECTED)
    assert server.asked(f"/appservice/{server.registration.id}/ping")
    assert ports
    assert all(ports)
    assert service.status.detail == ""


async def test_homeserver_down_at_start_is_waited_for(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    await server.stop()
    seen = Seen(service, clock)
    await service.start()
    await seen.until(Connection.UNREACHABLE)
    with pytest.raises(HomeserverUnavailable):
        await service.homeserver.joined_rooms(service.homeserver.bot)
    await clock.advance(600)
    assert service.status.connection is Connection.UNREACHABLE
    await server.start()
    await seen.until(Connection.CONNECTED)
    await service.reachable()


async def test_a_homeserver_that_lets_us_make_no_devices_is_waited_for(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    """It has loaded an older registration, or is too old itself; nothing is given up for that."""
    server.about_devices = Answer(404, {"errcode": "M_NOT_FOUND"})
    seen = Seen(service, clock)
    await service.start()
    status = await seen.until(Connection.UNREACHABLE)
    assert "registration.yaml" in status.detail
    with pytest.raises(HomeserverUnavailable):
        await service.homeserver.joined_rooms(service.homeserver.bot)
    server.about_devices = Answer()
    await seen.until(Connection.CONNECTED)


async def test_failed_request_makes_the_watch_look_at_once(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    seen = Seen(service, clock)
    await service.start()
    await seen.until(Connection.CONNECTED)
    began = clock.monotonic()
    await server.stop()
    with pytest.raises(HomeserverUnavailable):
        await service.homeserver.joined_rooms(service.homeserver.bot)
    await seen.until(Connection.UNREACHABLE, step=0)
    assert clock.monotonic() == began
    await server.start()
    await seen.until(Connection.CONNECTED)
    assert [status.connection for status in seen.all] == ["connected", "unreachable", "connected"]


async def test_ping_is_repeated_while_nobody_speaks(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    seen = Seen(service, clock)
    await service.start()
    await seen.until(Connection.CONNECTED)
    await clock.pass_until(server.until(lambda: len(server.asked("/ping")) == 3), step=PING_INTERVAL / 2)
    assert 2 * PING_INTERVAL <= clock.monotonic() <= 3 * PING_INTERVAL
    assert len(seen.all) == 1


@pytest.mark.parametrize(
    ("answer", "connection", "hint"),
    [
        (Answer(401, {"errcode": "M_UNKNOWN_TOKEN"}), Connection.REFUSED, "registration"),
        (Answer(403, {"errcode": "M_FORBIDDEN"}), Connection.REFUSED, "refused"),
        (Answer(502, {"errcode": "M_CONNECTION_FAILED"}), Connection.DEAF, "url"),
        (Answer(504, {"errcode": "M_CONNECTION_TIMEOUT"}), Connection.DEAF, "url"),
        (Answer(502, {"errcode": "M_BAD_STATUS"}), Connection.DEAF, "url"),
        (Answer(400, {"errcode": "M_URL_NOT_SET"}), Connection.DEAF, "url"),
        (Answer(502, b"<html>"), Connection.UNREACHABLE, "502"),
        (Answer(429, {"errcode": "M_LIMIT_EXCEEDED"}), Connection.UNREACHABLE, "patience"),
    ],
)
async def test_what_is_wrong_is_said_and_tried_again(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock, answer: Answer, connection: Connection, hint: str
) -> None:
    server.behave = lambda _request: answer
    seen = Seen(service, clock)
    await service.start()
    status = await seen.until(connection)
    assert hint in status.detail
    server.behave = lambda _request: Answer()
    await seen.until(Connection.CONNECTED)


async def test_silence_of_the_homeserver_is_noticed(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    """It takes messages and tells us of none: first we ask it to try again, then we say that we hear nothing."""
    number = 0

    def behave(request: Request) -> Answer:
        nonlocal number
        if request.path.endswith("/m.room.encryption"):
            return Answer(404, {"errcode": "M_NOT_FOUND"})
        number += "/send/" in request.path
        return Answer(body={"event_id": f"${number}"})

    async def speak() -> None:
        await service.homeserver.send(service.homeserver.bot, ROOM, "m.room.message", {"body": "x"}, str(number))

    server.behave = behave
    seen = Seen(service, clock)
    await service.start()
    await seen.until(Connection.CONNECTED)
    await speak()
    await clock.pass_until(server.until(lambda: len(server.asked("/ping")) == 2), step=CHECK_INTERVAL)
    assert clock.monotonic() < ECHO_EXPECTED_WITHIN + 3 * CHECK_INTERVAL
    assert service.status.connection is Connection.CONNECTED
    await speak()
    status = await seen.until(Connection.DEAF, step=CHECK_INTERVAL)
    assert "sends us none" in status.detail
    await service.reachable()  # what we say still arrives
    service._listener._hearing.heard(["$3"])
    await seen.until(Connection.CONNECTED)


async def test_stopping_ends_everything_in_bounded_time(
    server: FakeHomeserver, service: MatrixService, clock: FakeClock
) -> None:
    before = asyncio.all_tasks()
    await server.stop()
    await service.start()
    await Seen(service, clock).until(Connection.UNREACHABLE)
    async with asyncio.timeout(5):
        await service.stop()
        await service.stop()
    assert {task for task in asyncio.all_tasks() - before if "watch" in task.get_name()} == set()
    with pytest.raises(HomeserverUnavailable):
        await service.homeserver.joined_rooms(service.homeserver.bot)
