"""What the answers of a homeserver mean: mautrix's request sender, with our reading of HTTP and of Matrix's errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from mautrix.api import HTTPAPI, Method, PathBuilder
from yarl import URL

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.matrix.parsing import parse, parse_object

DEFAULT_RETRY_AFTER = 1.0
"""Seconds to wait when the homeserver says "too many requests" without saying for how long."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds, whatever it says: homeservers ask for some seconds or minutes, and what waits for ever is lost."""

TROUBLE = (aiohttp.ClientError, ProxyError, ProxyConnectionError, ProxyTimeoutError, TimeoutError, OSError)
"""What a request raises that did not come to an answer."""


class HomeserverTrouble(HomeserverUnavailable):
    """The homeserver answered, and the answer is no use now. ``status`` is HTTP's, ``errcode`` Matrix's or empty."""

    def __init__(self, message: str, status: int, errcode: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.status = status
        self.errcode = errcode


class HomeserverSlow(HomeserverUnavailable):
    """The homeserver is there, and took longer for an answer than we or a proxy wait."""


def failure(status: int, headers: Mapping[str, str], body: bytes) -> HomeserverTrouble | HomeserverRefused:
    """What an answer other than 2xx means.

    A 4xx is a refusal only when the homeserver itself says so: a proxy in front of one that is down answers 404 or
    403 too, and an unknown token means that the registration is not loaded yet. Nothing may be lost to either.
    """
    try:
        answer = parse(body)
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
    if status in (413, 416) or (400 <= status < 500 and errcode):
        return HomeserverRefused(f"the homeserver refused: HTTP {status} {errcode}", status, errcode)
    return HomeserverTrouble(f"the homeserver answered HTTP {status} {errcode}".rstrip(), status, errcode)


def _retry_after(headers: Mapping[str, str], answer: object) -> float:
    """Seconds, from the header (Matrix 1.10) or from the deprecated field of the body."""
    try:
        seconds = float(headers["Retry-After"])
    except (KeyError, ValueError):
        milliseconds = answer.get("retry_after_ms") if isinstance(answer, dict) else None
        if not isinstance(milliseconds, int | float) or milliseconds < 0:
            return DEFAULT_RETRY_AFTER
        seconds = min(milliseconds, 1_000 * LONGEST_RETRY_AFTER) / 1_000
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


class QuietAPI(HTTPAPI):
    """mautrix's request sender, with our reading of the answers.

    It never logs: mautrix's own logging of requests holds message text.
    """

    async def begin(
        self,
        method: Method,
        path: PathBuilder | str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        content: Any,
    ) -> aiohttp.ClientResponse:
        """Ask, and return as soon as the answer begins. Raises what aiohttp does."""
        url = self.base_url.with_path(self._full_path(path), encoded=True)
        headers = {**headers, "Authorization": f"Bearer {self.token}"}
        return await self.session.request(
            str(method), url, data=content, params=query, headers=headers, allow_redirects=False
        )

    async def _send(
        self, method: Method, url: URL, content: Any, query_params: dict[str, str], headers: dict[str, str]
    ) -> tuple[Any, aiohttp.ClientResponse]:
        async with self.session.request(
            str(method), url, data=content, params=query_params, headers=headers, allow_redirects=False
        ) as response:
            body = await response.read()
            if not 200 <= response.status < 300:
                raise failure(response.status, response.headers, body)
            try:
                return parse(body), response
            except ValueError:
                raise HomeserverTrouble("the homeserver's answer is not JSON", response.status, "") from None

    def _log_request(self, *_args: object, **_kwargs: object) -> None:
        pass

    def _log_request_done(self, *_args: object, **_kwargs: object) -> None:
        pass


class Answer:
    """A successful answer whose body is still to come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises: HomeserverUnavailable when it ends too early."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except TROUBLE as error:
            raise unreachable(error) from None

    async def json(self) -> JsonObject:
        """Raises: HomeserverUnavailable when the body is no object."""
        return _object(b"".join([piece async for piece in self.pieces()]), self.status)


def unreachable(error: Exception) -> HomeserverUnavailable:
    """What ``error`` means to whoever asked."""
    if isinstance(error.__cause__ or error, aiohttp.SocketTimeoutError):
        return HomeserverSlow("the homeserver took too long for an answer")
    # the message of the cause may name an onion address
    return HomeserverUnavailable(f"the homeserver cannot be reached ({type(error).__name__})")


def _object(body: bytes, status: int) -> JsonObject:
    try:
        return parse_object(body)
    except ValueError:
        raise HomeserverTrouble("the homeserver's answer is not an object", status, "") from None
