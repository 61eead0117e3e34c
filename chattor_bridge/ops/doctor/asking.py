"""Requests of the doctor, to the homeserver and to our own listener: one short answer each, errors as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError

from chattor_bridge.errors import HomeserverUnavailable

TIMEOUT = 60.0
"""Seconds for a whole request; one to an onion homeserver may take half of them. The homeserver tries a ping for 30."""

ANSWER_LIMIT = 64 * 1024
"""Bytes read of an answer, far more than any of those we ask for has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is empty when the answer is no JSON object; ``date`` is what its server's clock said, in seconds since
    the epoch, or ``None``."""

    status: int
    body: Mapping[str, Any]
    date: float | None

    @property
    def errcode(self) -> str:
        """Matrix's error code, or ``""``."""
        return str(self.body.get("errcode", ""))

    @property
    def error(self) -> str:
        """The words to it. They may quote what was asked: never shown, only compared."""
        return str(self.body.get("error", ""))


class Asker:
    """Asks one server. ``token`` is what it knows us by."""

    def __init__(self, session: aiohttp.ClientSession, address: str, token: str) -> None:
        self._session = session
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
    ) -> Answer:
        """``anonymous`` leaves the token out, for what everybody may ask.

        Raises: HomeserverUnavailable when there is no answer; its message names no address."""
        headers = {"Content-Type": "application/json"} | ({} if anonymous else self._headers)
        try:
            async with self._session.request(
                method,
                self._address + path,
                data=None if content is None else BytesIO(content),
                params=query,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                body = await answer.content.read(ANSWER_LIMIT)
                return Answer(answer.status, _json_object(body), _date(answer.headers.get("Date")))
        except aiohttp.ClientSSLError:
            raise HomeserverUnavailable("its TLS certificate is not valid for this address") from None
        except TimeoutError:
            raise HomeserverUnavailable(f"no answer within {TIMEOUT:.0f} s") from None
        except (aiohttp.ClientError, ProxyError, ProxyConnectionError, ProxyTimeoutError, OSError) as error:
            raise HomeserverUnavailable(f"no connection ({type(error).__name__})") from None


@asynccontextmanager
async def asking(address: str, token: str, proxy: str | None = None) -> AsyncIterator[Asker]:
    """An `Asker` of the server at ``address``, by way of ``proxy`` if there is one."""
    connector = aiohttp.TCPConnector() if proxy is None else ProxyConnector.from_url(proxy, rdns=True)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Asker(session, address, token)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
