"""What the homeserver gets as an answer. Every call here is a real HTTP request over loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import AddressInUse, DatabaseUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.matrix.listener import MAXIMUM_BODY, Listener
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.registration import generate
from tests.synapse import DOMAIN, WAIT, Intake, settings

REGISTRATION = generate(DOMAIN, "http://127.0.0.1:1", "chattorbot")
RIGHT = {"Authorization": f"Bearer {REGISTRATION.hs_token}"}
TRANSACTION = "/_matrix/app/v1/transactions/1"


def make_listener(accept: Any, port: int = 0) -> Listener:
    household = Household(MatrixUserId(f"@chattorbot:{DOMAIN}"), DOMAIN)
    where = settings("http://127.0.0.1:1", REGISTRATION, port)
    return Listener(where, household, accept, Hearing(SystemClock()))


@pytest_asyncio.fixture
async def listener(intake: Intake) -> AsyncIterator[Listener]:
    listener = make_listener(intake.accept)
    await listener.start()
    yield listener
    await listener.stop()


class Caller:
    """A homeserver, as far as the listener can see."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._port = port
        self._session = session

    async def call(
        self, method: str, path: str, body: bytes | JsonObject | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, JsonObject]:
        data = BytesIO(json.dumps(body).encode() if isinstance(body, dict) else body or b"")
        url = f"http://127.0.0.1:{self._port}{path}"
        async with self._session.request(
            method, url, data=data, headers=RIGHT if headers is None else headers
        ) as answer:
            return answer.status, await answer.json()


@pytest_asyncio.fixture
async def caller(listener: Listener) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT)) as session:
        yield Caller(listener.port, session)


def event(event_id: str, body: str = "hello") -> JsonObject:
    return {"event_id": event_id, "type": "m.room.message", "room_id": "!room", "content": {"body": body}}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {REGISTRATION.hs_token}x"},
        {"Authorization": f"Bearer {REGISTRATION.hs_token[:-1]}"},
        {"Authorization": f"Bearer {REGISTRATION.as_token}"},
        {"Authorization": f"Basic {REGISTRATION.hs_token}"},
        {"Authorization": REGISTRATION.hs_token},
        {"Authorization": "Bearer ä"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", TRANSACTION),
        ("POST", "/_matrix/app/v1/ping"),
        ("GET", "/_matrix/app/v1/users/@a:b"),
        ("GET", "/elsewhere"),
    ],
)
async def test_wrong_token_is_forbidden(
    caller: Caller, intake: Intake, headers: dict[str, str], method: str, path: str
) -> None:
    status, answer = await caller.call(method, path, {"events": [event("$1")]}, headers)
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
    assert not intake.events


async def test_token_in_the_address_is_not_taken(caller: Caller, intake: Intake) -> None:
    path = f"{TRANSACTION}?access_token={REGISTRATION.hs_token}"
    status, _ = await caller.call("PUT", path, {"events": [event("$1")]}, {})
    assert status == 403
    assert not intake.events


async def test_transaction_is_answered_after_it_was_accepted() -> None:
    begun, may_finish = asyncio.Event(), asyncio.Event()

    async def accept(_txn_id: str, _events: Sequence[JsonObject], _ephemeral: Sequence[JsonObject]) -> None:
        begun.set()
        await may_finish.wait()

    listener = make_listener(accept)
    await listener.start()
    try:
        async with asyncio.timeout(WAIT), aiohttp.ClientSession() as session:
            answer = asyncio.create_task(Caller(listener.port, session).call("PUT", TRANSACTION, {"events": []}))
            await begun.wait()
            assert not answer.done()
            may_finish.set()
            assert await answer == (200, {})
    finally:
        await listener.stop()


async def test_same_transaction_twice_is_handed_over_twice_and_answered_alike(caller: Caller, intake: Intake) -> None:
    """Whoever accepts knows events by their id, which outlasts a restart."""
    for _ in range(2):
        assert await caller.call("PUT", TRANSACTION, {"events": [event("$1")]}) == (200, {})
    assert intake.transactions == ["1", "1"]


async def test_one_transaction_is_accepted_at_a_time() -> None:
    inside, most, order = 0, 0, []

    async def accept(txn_id: str, _events: Sequence[JsonObject], _ephemeral: Sequence[JsonObject]) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        order.append(txn_id)
        inside -= 1

    listener = make_listener(accept)
    await listener.start()
    try:
        async with aiohttp.ClientSession() as session:
            caller = Caller(listener.port, session)
            await asyncio.gather(
                *(caller.call("PUT", f"/_matrix/app/v1/transactions/{n}", {"events": []}) for n in range(10))
            )
    finally:
        await listener.stop()
    assert (most, len(order)) == (1, 10)


@pytest.mark.parametrize("failure", [DatabaseUnavailable("gone"), RuntimeError("planted secret"), KeyError("planted")])
async def test_what_was_not_stored_is_not_acknowledged(
    caller: Caller, intake: Intake, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    intake.failures.append(failure)
    status, answer = await caller.call("PUT", TRANSACTION, {"events": [event("$1")]})
    assert (status, answer["errcode"]) == (503, "M_UNKNOWN")
    assert "planted" not in caplog.text + str(answer)
    assert await caller.call("PUT", TRANSACTION, {"events": [event("$1")]}) == (200, {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"events"',
        b"\xff",
        b'{"events": [NaN]}',
        b"[" * 100_000,
        b'{"events": []} x',
        b"{}",
        b'{"events": {}}',
        b'{"events": [1]}',
        b'{"events": [null]}',
    ],
)
async def test_malformed_transaction_is_refused(caller: Caller, intake: Intake, body: bytes) -> None:
    status, answer = await caller.call("PUT", TRANSACTION, body)
    assert (status, answer["errcode"]) in [(400, "M_NOT_JSON"), (400, "M_BAD_JSON")]
    assert not intake.transactions


async def test_lone_surrogates_are_replaced_because_nobody_could_store_them(caller: Caller, intake: Intake) -> None:
    content = rb'{"body": "a\ud800b \ud83d\ude00", "k\udfff": 1}'
    body = b'{"events": [{"event_id": "$1", "room_id": "!r", "content": %s}]}' % content
    assert await caller.call("PUT", TRANSACTION, body) == (200, {})
    assert intake.events[0]["content"] == {"body": "a\N{REPLACEMENT CHARACTER}b 😀", "k\N{REPLACEMENT CHARACTER}": 1}


@pytest.mark.parametrize("ephemeral", [None, {}, "x", [None], [{"type": "m.receipt"}], [{"type": "m.typing"}]])
async def test_odd_ephemeral_events_stop_nothing(caller: Caller, intake: Intake, ephemeral: object) -> None:
    body = {"events": [event("$1")], "ephemeral": ephemeral}
    assert await caller.call("PUT", TRANSACTION, body) == (200, {})
    assert (len(intake.events), intake.ephemeral) == (1, [])


async def test_hundred_large_events_fit(caller: Caller, intake: Intake) -> None:
    body = {"events": [event(f"${number}", "x" * 60_000) for number in range(100)]}
    assert await caller.call("PUT", TRANSACTION, body) == (200, {})
    assert len(intake.events) == 100


async def test_body_may_be_as_large_as_promised(caller: Caller, intake: Intake) -> None:
    padding = MAXIMUM_BODY - len(b'{"events": []}')
    status, _ = await caller.call("PUT", TRANSACTION, b'{"events": []}' + b" " * padding)
    assert status == 200


async def test_ping_is_answered(caller: Caller) -> None:
    assert await caller.call("POST", "/_matrix/app/v1/ping", {"transaction_id": "x"}) == (200, {})


@pytest.mark.parametrize(
    "path", ["/_matrix/app/v1/users/%40chattor_abc%3Aexample.test", "/_matrix/app/v1/rooms/%23a%3Ab"]
)
async def test_users_and_rooms_are_not_made_by_asking(caller: Caller, path: str) -> None:
    status, answer = await caller.call("GET", path)
    assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", TRANSACTION), ("GET", "/_matrix/app/v1/thirdparty/protocol/x")]
)
async def test_other_requests_are_unrecognised(caller: Caller, method: str, path: str) -> None:
    status, answer = await caller.call(method, path)
    assert (status, answer["errcode"]) == (404, "M_UNRECOGNIZED")


async def test_port_in_use_is_said(listener: Listener, intake: Intake) -> None:
    second = make_listener(intake.accept, listener.port)
    with pytest.raises(AddressInUse, match=r"appservice\.listen_port"):
        await second.start()
