"""A homeserver that answers as a test wants, over real HTTP on loopback: for answers Synapse cannot be made to give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
import json
from dataclasses import dataclass, field

from aiohttp import web

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.registration import Registration, generate
from tests.synapse import DOMAIN, WAIT, settings


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``body`` is JSON unless it is bytes. With ``cut`` the connection ends after so many of them."""

    status: int = 200
    body: JsonObject | bytes = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


class FakeHomeserver:
    """Answers each request with ``behave(request)``, registrations and devices aside; remembers all requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.behave: Callable[[Request], Answer] = lambda _request: Answer()
        self.registration: Registration = generate(DOMAIN, "http://127.0.0.1:1", "chattorbot")
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Condition()

    def settings(self) -> MatrixSettings:
        return settings(f"http://127.0.0.1:{self.port}", self.registration, 0)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; `start` takes the same port again."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def asked(self, part_of_path: str) -> list[Request]:
        """The requests whose path holds this."""
        return [request for request in self.requests if part_of_path in request.path]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition``, looked at after every request. Raises: TimeoutError."""
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(condition)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Request(request.method, request.path, dict(request.query), await request.read(), request.headers)
        async with self._news:
            self.requests.append(asked)
            self._news.notify_all()
        answer = self.behave(asked) if not _is_preparation(asked) else Answer()
        if isinstance(answer.body, bytes):
            if answer.cut is not None:
                return await _cut_off(request, answer, answer.body[: answer.cut])
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)


async def _cut_off(request: web.Request, answer: Answer, beginning: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(beginning)
    assert request.transport is not None
    request.transport.close()
    return response


class KeyServer:
    """What of a homeserver is about keys, for `FakeHomeserver.behave`: it takes them, and gives them to whoever asks.
    With nothing to bring to the bot it is not there, so that nobody asks it in a circle."""

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, JsonObject]] = {}
        """By user and id."""
        self.to_bring: list[JsonObject] = []
        """Whole answers to the bot's next syncs, but for the place in the stream."""
        self.syncs: list[str | None] = []
        """Since when each was asked for."""
        self._account_data: dict[str, JsonObject] = {}

    def __call__(self, request: Request) -> Answer:
        body = json.loads(request.body) if request.body else {}
        if request.path.endswith("/keys/upload"):
            if (device := body.get("device_keys")) is not None:
                self.devices.setdefault(device["user_id"], {})[device["device_id"]] = device
            return Answer(body={"one_time_key_counts": {"signed_curve25519": 50}})
        if request.path.endswith("/keys/query"):
            found = {user: self.devices.get(user, {}) for user in body["device_keys"]}
            return Answer(body={"failures": {}, "device_keys": found})
        if "/account_data/" in request.path:
            if request.method == "PUT":
                self._account_data[request.path] = body
            known = self._account_data.get(request.path)
            return Answer(404, {"errcode": "M_NOT_FOUND"}) if known is None else Answer(body=known)
        if request.path.endswith("/sync"):
            return self._sync(request)
        return Answer()

    def _sync(self, request: Request) -> Answer:
        self.syncs.append(request.query.get("since"))
        if len(self.syncs) > 1 and not self.to_bring:
            return Answer(503)
        plenty = {"device_one_time_keys_count": {"signed_curve25519": 50}}
        return Answer(
            body={**plenty, **(self.to_bring.pop(0) if self.to_bring else {}), "next_batch": str(len(self.syncs))}
        )


def _is_preparation(request: Request) -> bool:
    return request.path.endswith("/register") or "/devices/" in request.path
