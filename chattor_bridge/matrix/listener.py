"""Where the homeserver calls us: the Application Service API, as a small HTTP server.

A transaction is answered with 200 only after it was accepted, which means stored; with 503 when it could not be, and
then the homeserver keeps it and sends it again. mautrix's own handler answers 200 whatever happens, knows repeated
transactions only until the next restart, and compares tokens in variable time; that is why it is not used here.
Repetitions are harmless: whoever accepts knows events by their id.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import AddressInUse, OutOfTurn, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.matrix.discretion import without_content
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.matrix.parsing import parse_object
from chattor_bridge.matrix.receipts import foreign_receipts
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.matrix.signals import foreign_signals

MAXIMUM_BODY = 64 * 1024 * 1024
"""Bytes. Synapse sends up to 100 events of 64 KiB and as many ephemeral ones; one 413 would wedge its queue."""

STOPPING_TIME = 10.0
"""Seconds granted to requests under way when we stop; an event refused then comes again after the next start."""

Accept = Callable[[str, Sequence[JsonObject], Sequence[JsonObject]], Awaitable[None]]
"""Called with the transaction id, its events in order, and the read receipts, typing and presence of people in it;
returns when what is to be kept is stored. Raises: Unavailable when it could not be, or anything else: the homeserver
then sends the events again."""

_log = logging.getLogger(__name__)


class Listener:
    """The server behind the ``url`` of the registration."""

    def __init__(self, settings: MatrixSettings, household: Household, accept: Accept, hearing: Hearing) -> None:
        self._settings = settings
        self._household = household
        self._accept = accept
        self._hearing = hearing
        self._expected_token = settings.hs_token.encode()
        self._one_at_a_time = asyncio.Lock()
        self._runner: web.AppRunner | None = None
        self.port = settings.listen_port
        """The port that is listened on, once started."""

    async def start(self) -> None:
        """Listen. Raises: AddressInUse."""
        app = web.Application(client_max_size=MAXIMUM_BODY, middlewares=[self._only_the_homeserver])
        app.router.add_put("/_matrix/app/v1/transactions/{txn_id}", self._transaction)
        app.router.add_post("/_matrix/app/v1/ping", self._ping)
        app.router.add_get("/_matrix/app/v1/users/{user_id}", self._not_found)
        app.router.add_get("/_matrix/app/v1/rooms/{alias}", self._not_found)
        # no access log: it would note when somebody writes
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOPPING_TIME)
        await runner.setup()
        host, port = self._settings.listen_host, self._settings.listen_port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise AddressInUse(
                f"cannot listen on {host} port {port} ({error.strerror}): stop what uses it, "
                "or choose another appservice.listen_port"
            ) from error
        self._runner = runner
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; requests under way get `STOPPING_TIME`."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _only_the_homeserver(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._expected_token) or scheme.lower() != "bearer":
            return _error(403, "M_FORBIDDEN", "The hs_token is missing or wrong")
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return _error(404, "M_UNRECOGNIZED", "Unrecognised request")

    async def _transaction(self, request: web.Request) -> web.Response:
        try:
            body = parse_object(await request.read())
        except ValueError:
            return _error(400, "M_NOT_JSON", "The body is not a JSON object")
        events = body.get("events")
        ephemeral = body.get("ephemeral", [])
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            return _error(400, "M_BAD_JSON", "events is not a list of objects")
        ephemeral = ephemeral if isinstance(ephemeral, list) else []
        is_ours = self._household.is_ours
        foreign = [*foreign_receipts(ephemeral, is_ours), *foreign_signals(ephemeral, is_ours)]
        try:
            async with self._one_at_a_time:  # a homeserver that lost patience may send the next before this one is done
                await self._accept(request.match_info["txn_id"], events, foreign)
        except OutOfTurn:  # no trouble of ours
            return _error(503, "M_UNKNOWN", "Begin again with the oldest")
        except Unavailable as error:
            _log.warning("A transaction could not be stored and will come again: %s", error)
            return _error(503, "M_UNKNOWN", "Not stored; try again")
        except Exception as error:  # whatever it was, it is not stored
            _log.error("A transaction could not be stored and will come again: %s", without_content(error))
            return _error(503, "M_UNKNOWN", "Not stored; try again")
        self._hearing.heard(event["event_id"] for event in events if isinstance(event.get("event_id"), str))
        answer = web.json_response({})
        await answer.prepare(request)
        await answer.write_eof()
        failpoint("inbox-answered")
        return answer

    async def _ping(self, _request: web.Request) -> web.Response:
        self._hearing.pings += 1
        return web.json_response({})

    async def _not_found(self, _request: web.Request) -> web.Response:
        """Users and aliases that do not exist are not made because somebody asks for them."""
        return _error(404, "M_NOT_FOUND", "No such user or alias")


def _error(status: int, errcode: str, message: str) -> web.Response:
    return web.json_response({"errcode": errcode, "error": message}, status=status)
