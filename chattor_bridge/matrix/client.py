"""Requests to the homeserver: mautrix's request sender, and the errors of HTTP turned into ours.

Each of our users speaks through a device of its own (MSC4190, MSC4326). Synapse remembers a transaction id for a day
and across restarts when the request names a device, and until the next restart when it does not.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from mautrix.api import HTTPAPI, Method, Path, PathBuilder
from mautrix.errors import MatrixConnectionError
from yarl import URL

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.node.ports import Clock

DEVICE_ID = "CHATTORBRIDGE"
"""The device of each of our users. One constant tells nothing about anybody, and survives the loss of a database."""

CONNECT_TIMEOUT = 60.0
"""Seconds to reach the homeserver, enough for one that is an onion service."""

ANSWER_TIMEOUT = 90.0
"""Seconds of silence after a request: Synapse's slowest ordinary answer, a remote join, takes up to about a minute."""

STREAMED_FROM = 256 * 1024
"""Bytes of a body from which on it is sent in pieces, so that nobody else's turn has to wait for the whole of it."""

PATIENCE = 30.0
"""Seconds one request may spend waiting because the homeserver said "too many requests" before its caller is told."""

DEFAULT_RETRY_AFTER = 1.0
"""Seconds to wait when the homeserver says "too many requests" without saying for how long."""

CONNECTIONS = 64
"""Connections to the homeserver at once: rooms are worked on side by side, and a homeserver serves thousands."""

_PROXY_TROUBLE = (ProxyError, ProxyConnectionError, ProxyTimeoutError)

_log = logging.getLogger(__name__)


class HomeserverTrouble(HomeserverUnavailable):
    """The homeserver answered, and the answer is no use now. ``status`` is HTTP's, ``errcode`` Matrix's or empty."""

    def __init__(self, message: str, status: int, errcode: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.status = status
        self.errcode = errcode


def _failure(status: int, headers: Mapping[str, str], body: bytes) -> HomeserverTrouble | HomeserverRefused:
    """What an answer other than 2xx means.

    A 4xx is a refusal only when the homeserver itself says so: a proxy in front of one that is down answers 404 or
    403 too, and an unknown token means that the registration is not loaded yet. Nothing may be lost to either.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    errcode = answer.get("errcode") if isinstance(answer, dict) else None
    errcode = errcode if isinstance(errcode, str) else ""
    if status == 429:
        return HomeserverTrouble(
            "the homeserver asks for patience (HTTP 429)", status, errcode, _retry_after(headers, answer)
        )
    if errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"):
        message = (
            "the homeserver does not know our as_token: has it loaded this registration.yaml since its last start?"
        )
        return HomeserverTrouble(message, status, errcode)
    if status == 413 or (400 <= status < 500 and errcode):
        return HomeserverRefused(f"the homeserver refused: HTTP {status} {errcode}", status, errcode)
    return HomeserverTrouble(f"the homeserver answered HTTP {status} {errcode}".rstrip(), status, errcode)


def _retry_after(headers: Mapping[str, str], answer: object) -> float:
    """Seconds, from the header (Matrix 1.10) or from the deprecated field of the body."""
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        pass
    milliseconds = answer.get("retry_after_ms") if isinstance(answer, dict) else None
    if isinstance(milliseconds, int | float) and milliseconds >= 0:
        return milliseconds / 1000
    return DEFAULT_RETRY_AFTER


class QuietAPI(HTTPAPI):
    """mautrix's request sender, with our reading of the answers.

    It never logs: mautrix's own logging of requests holds message text.
    """

    async def _send(
        self, method: Method, url: URL, content: Any, query_params: dict[str, str], headers: dict[str, str]
    ) -> tuple[Any, aiohttp.ClientResponse]:
        async with self.session.request(
            str(method), url, data=content, params=query_params, headers=headers, allow_redirects=False
        ) as response:
            body = await response.read()
            if not 200 <= response.status < 300:
                raise _failure(response.status, response.headers, body)
            try:
                return json.loads(body), response
            except ValueError:
                raise HomeserverTrouble("the homeserver's answer is not JSON", response.status, "") from None

    def _log_request(self, *_args: object, **_kwargs: object) -> None:
        pass

    def _log_request_done(self, *_args: object, **_kwargs: object) -> None:
        pass


class Client:
    """One connection pool to the homeserver for all our users."""

    def __init__(self, settings: MatrixSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._api: QuietAPI | None = None
        self._with_device: set[tuple[MatrixUserId, str]] = set()
        self.on_trouble: Callable[[], None] = lambda: None
        """Called when the homeserver could not be used, so that somebody looks after it."""

    async def open(self) -> None:
        """Prepare to send; nothing is sent yet."""
        proxy = self._settings.proxy
        connector = (
            aiohttp.TCPConnector(limit=CONNECTIONS)
            if proxy is None
            else ProxyConnector.from_url(proxy, rdns=True, limit=CONNECTIONS)
        )
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=ANSWER_TIMEOUT)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers={"User-Agent": "chattor-bridge"}
        )
        self._api = QuietAPI(self._settings.address, self._settings.as_token, client_session=self._session)

    async def close(self) -> None:
        """Close the connections; requests under way raise HomeserverUnavailable."""
        if self._session is not None:
            await self._session.close()
            self._session = self._api = None

    async def call(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        device: str = DEVICE_ID,
    ) -> JsonObject:
        """Ask something as ``user``, registering it and making its device first if this process has not done so yet.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        try:
            await self._ensure_device(user, device)
            try:
                return await self._patiently(user, method, path, content, query, content_type, device)
            except HomeserverRefused as refusal:
                if not refusal.errcode.endswith("M_UNKNOWN_DEVICE"):
                    raise
                # an administrator signed our device out; it can come back
                self._with_device.discard((user, device))
                await self._ensure_device(user, device)
                return await self._patiently(user, method, path, content, query, content_type, device)
        except HomeserverUnavailable as trouble:
            if trouble.retry_after is None:
                self.on_trouble()
            raise

    async def ping(self, user: MatrixUserId) -> None:
        """Ask the homeserver to call our listener now (MSC2659); on success it delivers at once what it had kept back.

        Raises: HomeserverUnavailable (a HomeserverTrouble when it answered), HomeserverRefused.
        """
        path = Path.v1.appservice[self._settings.appservice_id].ping
        await self._ensure_device(user, DEVICE_ID)
        await self._once(user, Method.POST, path, {}, None, "application/json", DEVICE_ID)

    async def _ensure_device(self, user: MatrixUserId, device: str) -> None:
        if (user, device) in self._with_device:
            return
        localpart = user[1:].partition(":")[0]
        registration = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            await self._patiently(user, Method.POST, Path.v3.register, registration, {"kind": "user"})
        except HomeserverRefused as refusal:
            if refusal.errcode != "M_USER_IN_USE":
                raise
        await self._patiently(user, Method.PUT, Path.v3.devices[device], {"display_name": "chattor-bridge"})
        self._with_device.add((user, device))

    async def _patiently(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | bytes | None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        device: str | None = None,
    ) -> JsonObject:
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            try:
                return await self._once(user, method, path, content, query, content_type, device)
            except HomeserverTrouble as trouble:
                wait = trouble.retry_after
                if wait is None or self._clock.monotonic() + wait > deadline:
                    raise
                _log.info("The homeserver asks us to wait %.1f s.", wait)
                await self._clock.sleep(max(wait, 0.05))

    async def _once(
        self,
        user: MatrixUserId,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | bytes | None,
        query: Mapping[str, str] | None,
        content_type: str,
        device: str | None,
    ) -> JsonObject:
        if self._api is None:
            raise HomeserverUnavailable("the connection to the homeserver is closed")
        whole_query = {**(query or {}), "user_id": user}
        if device is not None:
            whole_query |= {"device_id": device, "org.matrix.msc3202.device_id": device}
        try:
            answer = await self._api.request(
                method,
                path,
                content,
                headers={"Content-Type": content_type},
                query_params=whole_query,
                min_iter_size=STREAMED_FROM if isinstance(content, bytes) else sys.maxsize,
            )
        except (MatrixConnectionError, *_PROXY_TROUBLE, TimeoutError, OSError) as error:
            # the message of the cause may name an onion address
            raise HomeserverUnavailable(f"the homeserver cannot be reached ({type(error).__name__})") from None
        if not isinstance(answer, dict):
            raise HomeserverTrouble("the homeserver's answer is not an object", 200, "")
        return answer
