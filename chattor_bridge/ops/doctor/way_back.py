"""The way back, from the homeserver to us: is somebody listening, is it us, and does what is sent get there?

Where the bridge does not run, its listener is opened for the examination. It stores nothing and says so (503), so a
homeserver that kept something back for us goes on keeping it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.config import AppserviceOptions
from chattor_bridge.errors import AddressInUse, DatabaseUnavailable, HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.matrix.listener import Listener
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.ops.doctor.asking import Answer, Asker, asking
from chattor_bridge.ops.doctor.finding import Finding, fine, from_error, problem, warning
from chattor_bridge.registration import Registration

LARGEST_TRANSACTION = 16 * 1024 * 1024
"""Bytes, a little more than Synapse sends at once: 100 events of 64 KiB and as many of what is not kept."""

_PING = "/_matrix/app/v1/ping"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class WayBackCheck:
    def __init__(self, options: AppserviceOptions, registration: Registration, registration_file: Path) -> None:
        self._options = options
        self._registration = registration
        self._file = registration_file

    async def findings(self, homeserver: Asker | None) -> AsyncIterator[Finding]:
        """``homeserver`` asks with our as_token; ``None`` when it would not know us."""
        if self._registration.url != self._options.url:
            yield problem(
                "registration",
                "its url is not the one in appservice.url",
                "run `chattor-bridge registration`, and restart the homeserver",
            )
        async with asking(self._listening_address(), self._registration.hs_token) as listener:
            try:
                found = await listener.ask("POST", _PING, b"{}")
            except HomeserverUnavailable:
                try:
                    async with self._listening():
                        yield fine("listener", "the bridge does not run; its port is free")
                        async for finding in self._from_outside(homeserver):
                            yield finding
                except AddressInUse as error:
                    yield from_error("listener", error)
                return
        yield self._judge_listener(found)
        if found.status == 200:
            async for finding in self._from_outside(homeserver):
                yield finding

    def _judge_listener(self, found: Answer) -> Finding:
        port = self._options.listen_port
        if found.status == 200:
            return fine("listener", f"the bridge runs, and listens on port {port}")
        if found.errcode == "M_FORBIDDEN":
            said = f"what listens on port {port} has another hs_token than our registration"
            return problem("listener", said, "restart the bridge: its registration changed, or it has another one")
        said = f"another program listens on port {port} (HTTP {found.status})"
        return problem("listener", said, "stop it, or choose another appservice.listen_port")

    async def _from_outside(self, homeserver: Asker | None) -> AsyncIterator[Finding]:
        if homeserver is not None:
            try:
                path = f"/_matrix/client/v1/appservice/{self._registration.id}/ping"
                body = json.dumps({"transaction_id": secrets.token_hex(8)}).encode()
                yield self._judge_ping(await homeserver.ask("POST", path, body))
            except HomeserverUnavailable as error:
                yield problem("way back", f"the homeserver was asked to call us: {error}", "look into its log")
        yield await self._large_body()

    def _judge_ping(self, answer: Answer) -> Finding:
        url = self._options.url
        reload = f"let homeserver.yaml name {self._file.resolve()}, and restart the homeserver"
        if answer.status == 200:
            return fine("way back", "the homeserver reaches us, with the right hs_token")
        if answer.errcode == "M_BAD_STATUS" and answer.body.get("status") == 403:
            return problem("way back", "the homeserver calls us with another hs_token than our registration's", reload)
        if answer.errcode == "M_BAD_STATUS":
            said = f"what the homeserver calls answers HTTP {answer.body.get('status')}, and is not us"
            return problem(
                "way back", said, f"correct appservice.url ({url}) or the proxy in front of us; then {reload}"
            )
        if answer.errcode in ("M_CONNECTION_FAILED", "M_CONNECTION_TIMEOUT"):
            said = f"the homeserver cannot reach us at the url it was given; ours is {url}"
            mend = "correct appservice.url, or appservice.listen_host if it listens where nobody else gets; "
            return problem("way back", said, f"{mend}then run `chattor-bridge registration` and restart the homeserver")
        if answer.errcode == "M_URL_NOT_SET":
            return problem("way back", "the registration that the homeserver has loaded has no url", reload)
        if answer.errcode == "M_FORBIDDEN":
            said = "the registration that the homeserver has loaded has another id than ours"
            return problem("way back", said, reload)
        if answer.errcode == "M_UNRECOGNIZED":
            said = "the homeserver is too old to be asked to call us"
            return warning("way back", said, "upgrade it: Synapse from 1.81 on can")
        return problem(
            "way back", f"asked to call us, the homeserver answered HTTP {answer.status} {answer.errcode}", reload
        )

    async def _large_body(self) -> Finding:
        """One refused transaction stops the homeserver's queue for ever, so the largest must fit."""
        body = json.dumps({"events": [], "filling": "x" * LARGEST_TRANSACTION}).encode()
        try:
            async with asking(self._options.url, self._registration.hs_token) as outside:
                answer = await outside.ask("PUT", "/_matrix/app/v1/transactions/doctor", body)
        except HomeserverUnavailable:
            return fine("body limits", "not tried: appservice.url cannot be called from here, only from elsewhere")
        if answer.status == 413:
            return problem(
                "body limits",
                f"what stands before us at appservice.url refuses a transaction of {len(body) // 2**20} MiB (HTTP 413)",
                "raise its limit to 64 MiB, in nginx with: client_max_body_size 64m;",
            )
        return fine("body limits", f"a transaction of {len(body) // 2**20} MiB gets through")

    def _listening_address(self) -> str:
        host = _EVERYWHERE.get(self._options.listen_host, self._options.listen_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._options.listen_port}"

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """The bridge's own listener, which accepts nothing. Raises: AddressInUse."""
        registration = self._registration
        settings = MatrixSettings(
            address="",
            domain=registration.domain,
            appservice_id=registration.id,
            bot_localpart=registration.bot_localpart,
            as_token=registration.as_token,
            hs_token=registration.hs_token,
            listen_host=self._options.listen_host,
            listen_port=self._options.listen_port,
        )
        bot = MatrixUserId(f"@{registration.bot_localpart}:{registration.domain}")
        listener = Listener(settings, Household(bot, registration.domain), _refuse, Hearing(SystemClock()))
        await listener.start()
        try:
            yield
        finally:
            await listener.stop()


async def _refuse(_txn_id: str, _events: Sequence[JsonObject], _receipts: Sequence[JsonObject]) -> NoReturn:
    raise DatabaseUnavailable("the bridge does not run: only its listener was opened, for an examination")
