"""A homeserver that answers as a test wants, over real HTTP on loopback: for answers Synapse cannot be made to give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

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
    """One answer; ``body`` is JSON unless it is bytes. With ``cut`` the connection ends after so many of them;
    with ``never`` nothing comes."""

    status: int = 200
    body: JsonObject | bytes = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    never: bool = False


class FakeHomeserver:
    """Answers each request with ``behave(request)``, registrations and devices aside; remembers all requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.behave: Callable[[Request], Answer] = lambda _request: Answer()
        self.about_devices = Answer()
        self.registration: Registration = generate(DOMAIN, "http://127.0.0.1:1", "chattorbot")
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Condition()

    def settings(self, *, encrypt_rooms: bool = False) -> MatrixSettings:
        plain = settings(f"http://127.0.0.1:{self.port}", self.registration, 0)
        return replace(plain, encrypt_rooms=encrypt_rooms)

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
        if "/devices/" in asked.path:
            answer = self.about_devices
        else:
            answer = Answer() if asked.path.endswith("/register") else self.behave(asked)
        if answer.never:
            await asyncio.Event().wait()
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
