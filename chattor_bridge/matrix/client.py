"""Requests to the homeserver, by all our users.

Each of our users speaks through a device of its own (MSC4190, MSC4326). Synapse remembers a transaction id for a day
and across restarts when the request names a device, and until the next restart when it does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import aiohttp
from aiohttp_socks import ProxyConnector
from mautrix.api import Method, Path, PathBuilder
from mautrix.errors import MatrixConnectionError

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.answers import TROUBLE, Answer, HomeserverTrouble, QuietAPI, failure, unreachable
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.node.ports import Clock

DEVICE_ID = "CHATTORBRIDGE"
"""The device of each of our users. One constant tells nothing about anybody, and survives the loss of a database."""

CONNECT_TIMEOUT = 60.0
"""Seconds to reach the homeserver, enough for one that is an onion service."""

ANSWER_TIMEOUT = 90.0
"""Seconds of silence after a request: Synapse's slowest ordinary answer, a remote join, takes up to about a minute."""

PATIENCE = 30.0
"""Seconds one request may spend waiting because the homeserver said "too many requests" before its caller is told."""

LEAST_WAIT = 0.05
"""Seconds before the next try at least, however soon it lets us come again."""

CONNECTIONS = 64
"""Connections to the homeserver at once: rooms are worked on side by side, and a homeserver serves thousands."""

STREAMS = 64
"""Connections that carry files at once. They have a pool of their own: one whose friend reads slowly is open for long,
and no message may have to wait for it. Who finds all taken for `CONNECT_TIMEOUT` comes again later."""

LIST = ""
"""Under which name an answer that is a list, and no object as almost all are, comes back."""

MAX_COMPLAINT = 64 * 1024
"""Bytes read of an answer that is no success: what is wrong is said in fewer."""

Body = Callable[[], AsyncIterator[bytes]]
"""The body of a request in pieces, from its start each time it is called."""

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class _Sending:
    """A body on its way. It remembers why it could not be read, for aiohttp does not; and a homeserver that takes
    nothing for `ANSWER_TIMEOUT` ends ``limit``, while its own source may take any time."""

    def __init__(self, body: Body, limit: asyncio.Timeout) -> None:
        self._body = body
        self._limit = limit
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._body():
                self._limit.reschedule(asyncio.get_running_loop().time() + ANSWER_TIMEOUT)
                yield piece
                self._limit.reschedule(None)
        except Exception as error:
            self.error = error
            raise


class Client:
    """The connections to the homeserver for all our users: one pool for what is short, one for files."""

    def __init__(self, settings: MatrixSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._api: QuietAPI | None = None
        self._streams: QuietAPI | None = None
        self._with_device: set[tuple[MatrixUserId, str]] = set()
        self.on_trouble: Callable[[], None] = lambda: None
        """Called when the homeserver could not be used, so that somebody looks after it."""

    async def open(self) -> None:
        """Prepare to send; nothing is sent yet."""
        self._api = self._pool(CONNECTIONS)
        self._streams = self._pool(STREAMS)

    def _pool(self, connections: int) -> QuietAPI:
        proxy = self._settings.proxy
        connector = (
            aiohttp.TCPConnector(limit=connections)
            if proxy is None
            else ProxyConnector.from_url(proxy, rdns=True, limit=connections)
        )
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=ANSWER_TIMEOUT)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"User-Agent": "chattor-bridge"})
        return QuietAPI(self._settings.address, self._settings.as_token, client_session=session)

    async def close(self) -> None:
        """Close the connections; requests under way raise HomeserverUnavailable."""
        pools = [pool for pool in (self._api, self._streams) if pool is not None]
        self._api = self._streams = None
        for pool in pools:
            await pool.session.close()

    async def call(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | None = None,
        *,
        query: Mapping[str, str] | None = None,
        device: str = DEVICE_ID,
    ) -> JsonObject:
        """Ask something as ``user``, registering it and making its device first if this process has not done so yet.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        return await self._as_device(user, device, partial(self._once, user, method, path, content, query, device))

    async def call_with(
        self, token: str, method: Method, path: PathBuilder | str, content: JsonObject | None = None
    ) -> JsonObject:
        """Ask something as the person whose access token this is.

        Raises: HomeserverUnavailable; HomeserverRefused, with ``M_UNKNOWN_TOKEN`` when it is nobody's.
        """

        async def attempt() -> JsonObject:
            api = QuietAPI(self._settings.address, token, client_session=_connected(self._api).session)
            try:
                return await _ask(api, method, path, content, {})
            except HomeserverTrouble as trouble:
                if trouble.errcode != "M_UNKNOWN_TOKEN":
                    raise
                raise HomeserverRefused("the access token is not valid", trouble.status, trouble.errcode) from None

        return await self._patiently(attempt)

    @asynccontextmanager
    async def exchange(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[Answer]:
        """As `call`, for bodies and answers of any length: neither is ever held as a whole. With ``body`` the headers
        have to name its ``Content-Length``.

        Raises: HomeserverUnavailable, HomeserverRefused, and whatever ``body`` does.
        """
        begin = partial(self._begin, user, method, path, query or {}, headers or {}, body)
        async with await self._as_device(user, DEVICE_ID, begin) as response:
            yield Answer(response)

    async def ping(self, user: MatrixUserId) -> None:
        """Ask the homeserver to call our listener now (MSC2659); on success it delivers at once what it had kept back.

        Raises: HomeserverUnavailable (a HomeserverTrouble when it answered), HomeserverRefused.
        """
        path = Path.v1.appservice[self._settings.appservice_id].ping
        await self._ensure_device(user, DEVICE_ID)
        await self._once(user, Method.POST, path, {}, None, DEVICE_ID)

    async def _as_device(self, user: MatrixUserId, device: str, attempt: Callable[[], Awaitable[_T]]) -> _T:
        try:
            await self._ensure_device(user, device)
            try:
                return await self._patiently(attempt)
            except HomeserverRefused as refusal:
                if not refusal.errcode.endswith("M_UNKNOWN_DEVICE"):
                    raise
                # an administrator signed our device out; it can come back
                self._with_device.discard((user, device))
                await self._ensure_device(user, device)
                return await self._patiently(attempt)
        except HomeserverUnavailable as trouble:
            if trouble.retry_after is None:
                self.on_trouble()
            raise

    async def _ensure_device(self, user: MatrixUserId, device: str) -> None:
        if (user, device) in self._with_device:
            return
        localpart = user[1:].partition(":")[0]
        registration = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            await self._prepare(user, Method.POST, Path.v3.register, registration, {"kind": "user"})
        except HomeserverRefused as refusal:
            if refusal.errcode != "M_USER_IN_USE":
                raise
        try:
            await self._prepare(user, Method.PUT, Path.v3.devices[device], {"display_name": "chattor-bridge"})
        except HomeserverRefused as refusal:
            message = (
                "the homeserver lets us make no devices: has it loaded this registration.yaml since its last start?"
            )
            raise HomeserverTrouble(message, refusal.status, refusal.errcode) from None
        self._with_device.add((user, device))

    async def _prepare(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder,
        content: JsonObject,
        query: Mapping[str, str] | None = None,
    ) -> None:
        await self._patiently(partial(self._once, user, method, path, content, query, None))

    async def _patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            try:
                return await attempt()
            except HomeserverTrouble as trouble:
                wait = trouble.retry_after
                if wait is None or self._clock.monotonic() + wait > deadline:
                    raise
                _log.info("The homeserver asks us to wait %.1f s.", wait)
                await self._clock.sleep(max(wait, LEAST_WAIT))

    async def _begin(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body | None,
    ) -> aiohttp.ClientResponse:
        api = _connected(self._streams)
        sending: _Sending | None = None
        try:
            async with asyncio.timeout(None) as limit:
                sending = _Sending(body, limit) if body is not None else None
                response = await api.begin(method, path, _speaking_as(user, DEVICE_ID, query), headers, sending)
                if 200 <= response.status < 300:
                    return response
                async with response:
                    raise failure(response.status, response.headers, await response.content.read(MAX_COMPLAINT))
        except TROUBLE as error:
            if sending is not None and sending.error is not None:
                raise sending.error from None
            raise unreachable(error) from None

    async def _once(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | None,
        query: Mapping[str, str] | None,
        device: str | None,
    ) -> JsonObject:
        return await _ask(_connected(self._api), method, path, content, _speaking_as(user, device, query))


async def _ask(
    api: QuietAPI, method: Method, path: PathBuilder | str, content: JsonObject | None, query: dict[str, str]
) -> JsonObject:
    try:
        answer = await api.request(method, path, content, query_params=query)
    except (MatrixConnectionError, *TROUBLE) as error:
        raise unreachable(error) from None
    if isinstance(answer, list):
        return {LIST: answer}
    if not isinstance(answer, dict):
        raise HomeserverTrouble("the homeserver's answer is not an object", 200, "")
    return answer


def _connected(pool: QuietAPI | None) -> QuietAPI:
    if pool is None:
        raise HomeserverUnavailable("the connection to the homeserver is closed")
    return pool


def _speaking_as(user: MatrixUserId, device: str | None, query: Mapping[str, str] | None) -> dict[str, str]:
    devices = {} if device is None else {"device_id": device, "org.matrix.msc3202.device_id": device}
    return {**(query or {}), "user_id": user, **devices}
