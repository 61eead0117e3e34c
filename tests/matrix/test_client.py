"""How answers of a homeserver are understood, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from mautrix.api import Method, Path

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.answers import DEFAULT_RETRY_AFTER, LONGEST_RETRY_AFTER, failure
from chattor_bridge.matrix.client import DEVICE_ID, PATIENCE, Client
from chattor_bridge.matrix.discretion import hush_mautrix
from tests.clock import FakeClock
from tests.matrix.fake_homeserver import Answer, FakeHomeserver
from tests.synapse import DOMAIN

BOT = MatrixUserId(f"@chattorbot:{DOMAIN}")
PATH = Path.v3.thing["a/b"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def client(server: FakeHomeserver, clock: FakeClock) -> AsyncIterator[Client]:
    client = Client(server.settings(), clock)
    await client.open()
    yield client
    await client.close()


def answers(server: FakeHomeserver, *given: Answer) -> None:
    """These one after the other, then success."""
    waiting = list(given)
    server.behave = lambda _request: waiting.pop(0) if waiting else Answer(body={"done": True})


async def ask(client: Client, content: JsonObject | None = None) -> JsonObject:
    return await client.call(BOT, Method.PUT, PATH, content or {})


async def test_every_request_names_user_and_device(server: FakeHomeserver, client: Client) -> None:
    await ask(client)
    await ask(client)
    register, device, first, second = server.requests
    assert json.loads(register.body) == {
        "type": "m.login.application_service",
        "username": "chattorbot",
        "inhibit_login": True,
    }
    assert (device.method, device.path) == ("PUT", f"/_matrix/client/v3/devices/{DEVICE_ID}")
    for request in (first, second):
        assert (request.query["user_id"], request.query["device_id"]) == (BOT, DEVICE_ID)


async def test_refusal_is_told_with_its_code(server: FakeHomeserver, client: Client) -> None:
    answers(server, Answer(403, {"errcode": "M_FORBIDDEN", "error": "planted secret"}))
    with pytest.raises(HomeserverRefused) as refusal:
        await ask(client)
    assert (refusal.value.status, refusal.value.errcode) == (403, "M_FORBIDDEN")
    assert "planted" not in str(refusal.value)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {"errcode": "M_UNKNOWN", "error": "x"}),
        Answer(502, b"<html>"),
        Answer(503, b""),
        Answer(404, b"<html>nginx</html>"),  # a proxy in front of nothing
        Answer(403, b"{}"),
        Answer(403, b"[]"),
        Answer(400, b'{"errcode": 5}'),
        Answer(401, {"errcode": "M_UNKNOWN_TOKEN", "error": "x"}),  # the registration is not loaded yet
        Answer(302, b"", {"Location": "/elsewhere"}),
        Answer(200, b"<html>"),
        Answer(200, b"7"),
        Answer(200, b""),
    ],
)
async def test_what_is_no_refusal_of_the_homeserver_may_work_later(
    server: FakeHomeserver, client: Client, answer: Answer
) -> None:
    troubles = []
    client.on_trouble = lambda: troubles.append(1)
    answers(server, answer)
    with pytest.raises(HomeserverUnavailable):
        await ask(client)
    assert troubles == [1]
    assert await ask(client) == {"done": True}


async def test_too_large_for_a_proxy_is_a_refusal(server: FakeHomeserver, client: Client) -> None:
    answers(server, Answer(413, b"<html>"))
    with pytest.raises(HomeserverRefused):
        await ask(client)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "x"}, {"Retry-After": "7"}), 7),
        (Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "x", "retry_after_ms": 2500}), 2.5),
        (
            Answer(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": "soon"}, {"Retry-After": "Mon"}),
            DEFAULT_RETRY_AFTER,
        ),
        (Answer(429, b"<html>"), DEFAULT_RETRY_AFTER),
    ],
)
async def test_patience_is_had_when_asked_for(
    server: FakeHomeserver, client: Client, clock: FakeClock, answer: Answer, wait: float
) -> None:
    answers(server, answer, answer)
    began = clock.monotonic()
    assert await clock.pass_until(ask(client), step=wait / 4) == {"done": True}
    assert len(server.asked("/thing")) == 3
    assert 2 * wait <= clock.monotonic() - began <= 2.5 * wait


async def test_patience_ends(server: FakeHomeserver, client: Client, clock: FakeClock) -> None:
    troubles = []
    client.on_trouble = lambda: troubles.append(1)
    server.behave = lambda _request: Answer(429, {"errcode": "M_LIMIT_EXCEEDED"}, {"Retry-After": "10"})
    with pytest.raises(HomeserverUnavailable) as trouble:
        await clock.pass_until(ask(client), step=10)
    assert trouble.value.retry_after == 10
    assert len(server.asked("/thing")) == PATIENCE // 10 + 1
    assert not troubles  # it is there, and busy


async def test_long_wait_is_left_to_the_caller_at_once(server: FakeHomeserver, client: Client) -> None:
    answers(server, Answer(429, {"errcode": "M_LIMIT_EXCEEDED"}, {"Retry-After": "3600"}))
    with pytest.raises(HomeserverUnavailable) as trouble:
        await ask(client)
    assert trouble.value.retry_after == 3600


@pytest.mark.parametrize("said", ["1e999", "99999999999", "nan", "-5"])
def test_nobody_waits_for_ever_because_a_homeserver_says_so(said: str) -> None:
    for headers, body in (({"Retry-After": said}, b"{}"), ({}, f'{{"retry_after_ms": {said}}}'.encode())):
        trouble = failure(429, headers, body)
        assert isinstance(trouble, HomeserverUnavailable)
        assert trouble.retry_after is not None
        assert 0 <= trouble.retry_after <= LONGEST_RETRY_AFTER


async def test_homeserver_that_is_down_may_come_back(server: FakeHomeserver, client: Client) -> None:
    await ask(client)
    await server.stop()
    with pytest.raises(HomeserverUnavailable) as trouble:
        await ask(client)
    assert str(server.port) not in str(trouble.value)
    await server.start()
    assert await ask(client) == {}


async def test_connection_that_breaks_in_the_middle_may_work_later(client: Client, server: FakeHomeserver) -> None:
    answers(server, Answer(200, b"{", {"Content-Encoding": "gzip"}))
    with pytest.raises(HomeserverUnavailable):
        await ask(client)


async def test_closed_client_says_so(client: Client) -> None:
    await client.close()
    with pytest.raises(HomeserverUnavailable):
        await ask(client)


async def test_nothing_of_a_request_is_logged(
    server: FakeHomeserver, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    logging.getLogger("mau").setLevel(logging.NOTSET)
    await ask(client, {"body": "planted secret"})
    answers(server, Answer(500, {"errcode": "M_UNKNOWN", "error": "planted secret"}))
    with pytest.raises(HomeserverUnavailable):
        await ask(client, {"body": "planted secret"})
    assert "planted" not in caplog.text
    assert server.registration.as_token not in caplog.text


def test_mautrix_is_held_above_debug() -> None:
    logging.getLogger("mau").setLevel(logging.NOTSET)
    hush_mautrix()
    assert not logging.getLogger("mau.http").isEnabledFor(logging.DEBUG)


async def test_homeserver_is_reached_through_a_proxy_that_resolves_its_name(server: FakeHomeserver) -> None:
    """As an onion service is: its name is never looked up here."""
    asked_for: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        head = await reader.readexactly(5)
        assert head[:4] == b"\x05\x01\x00\x03"  # CONNECT, by name
        asked_for.append(await reader.readexactly(head[4]))
        await reader.readexactly(2)
        near_reader, near_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(_pipe(reader, near_writer), _pipe(near_reader, writer))

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    settings = dataclasses.replace(
        server.settings(), address="http://homeserver.onion", proxy=f"socks5://user:word@127.0.0.1:{port}"
    )
    client = Client(settings, FakeClock())
    await client.open()
    try:
        assert await ask(client) == {}
        assert asked_for == [b"homeserver.onion"]
    finally:
        await client.close()
        proxy.close()
        await proxy.wait_closed()
    client = Client(settings, FakeClock())
    await client.open()
    with pytest.raises(HomeserverUnavailable) as trouble:
        await ask(client)
    assert "onion" not in str(trouble.value)
    await client.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
