"""Looks after the connection with the homeserver, in both directions, for as long as the bridge runs.

One call tests both: we ask the homeserver to call us (the ping of MSC2659). After failures Synapse waits up to 512
seconds before it tries us again, and a ping that succeeds makes it try at once, so we ping at every start and
whenever anything was amiss.

::

    STARTING ──ping answered──> CONNECTED ──a request failed, or an echo is missing──> ping again
        │                          ▲
        └──> UNREACHABLE   the homeserver does not answer        (retried with back-off)
        └──> REFUSED       it answers, and does not want us      (retried with back-off)
        └──> DEAF          it answers, but cannot or does not call us: what is said in Matrix does not reach us
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.answers import HomeserverTrouble
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.discretion import without_content
from chattor_bridge.matrix.hearing import Hearing
from chattor_bridge.node.patience import Backoff, unless
from chattor_bridge.node.ports import Clock

FIRST_RETRY = 1.0
"""Seconds before the first new try."""

LAST_RETRY = 30.0
"""Seconds between tries at most: somebody who restarts a homeserver watches it for longer than that."""

PING_INTERVAL = 300.0
"""Seconds between pings while all is well, which is what wakes a homeserver that gave us up while nobody spoke."""

CHECK_INTERVAL = 10.0
"""Seconds between looks for missing echoes."""

SILENT_ROUNDS_OF_THE_DEAF = 2
"""Rounds of missing echoes in a row before we call ourselves deaf. A repeated request has its echo behind it already,
so one round proves nothing; it is answered with a ping all the same."""

_log = logging.getLogger(__name__)


class Connection(StrEnum):
    """How things stand with the homeserver."""

    STARTING = "starting"
    CONNECTED = "connected"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    DEAF = "deaf"


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """``since`` is in seconds since the epoch; ``detail`` says in words what is wrong and is empty when nothing is."""

    connection: Connection
    since: int
    detail: str


class Watch:
    """The loop that pings, and what it found."""

    def __init__(self, client: Client, bot: MatrixUserId, hearing: Hearing, clock: Clock) -> None:
        self._client = client
        self._bot = bot
        self._hearing = hearing
        self._clock = clock
        self._amiss = asyncio.Event()
        self._reachable = asyncio.Event()
        self.status = ConnectionStatus(Connection.STARTING, clock.now(), "")
        self.on_change: Callable[[ConnectionStatus], None] = lambda _status: None
        client.on_trouble = self.look

    def look(self) -> None:
        """Ping now: something is amiss."""
        self._amiss.set()

    async def reachable(self) -> None:
        """Wait until the homeserver answers us."""
        await self._reachable.wait()

    async def run(self) -> None:
        """Watch until cancelled."""
        backoff = Backoff(FIRST_RETRY, LAST_RETRY, secrets.token_bytes)
        while True:
            self._amiss.clear()
            try:
                self._set(*await self._ping())
            except Exception as error:  # whoever watches must not fall asleep
                _log.error("The watch over the homeserver stumbled: %s", without_content(error))
                self._set(Connection.UNREACHABLE, f"unexpected {type(error).__name__}")
            if self.status.connection is Connection.CONNECTED:
                backoff.reset()
                await self._until_something_is_amiss()
            else:
                await self._clock.sleep(backoff.next())

    async def _ping(self) -> tuple[Connection, str]:
        pings = self._hearing.pings
        try:
            await self._client.ping(self._bot)
        except HomeserverTrouble as trouble:
            # Synapse that is repeating something calls us, stumbles over that, and says that it could not call.
            if trouble.errcode == "M_CONNECTION_FAILED" and self._hearing.pings > pings:
                return Connection.CONNECTED, ""
            if trouble.errcode in ("M_CONNECTION_FAILED", "M_CONNECTION_TIMEOUT", "M_BAD_STATUS", "M_URL_NOT_SET"):
                return Connection.DEAF, "the homeserver cannot call us: check the url in registration.yaml"
            if trouble.errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"):
                return Connection.REFUSED, str(trouble)
            return Connection.UNREACHABLE, str(trouble)
        except HomeserverUnavailable as error:
            return Connection.UNREACHABLE, str(error)
        except HomeserverRefused as refusal:
            if refusal.errcode == "M_URL_NOT_SET":
                return Connection.DEAF, "the homeserver cannot call us: it has no url for us in registration.yaml"
            return Connection.REFUSED, str(refusal)
        if self._hearing.silent_rounds >= SILENT_ROUNDS_OF_THE_DEAF:
            return Connection.DEAF, "the homeserver takes our messages and sends us none"
        return Connection.CONNECTED, ""

    async def _until_something_is_amiss(self) -> None:
        """Until a request failed, an echo is missing, or the next ping is due."""
        ping_due = self._clock.monotonic() + PING_INTERVAL
        while not self._amiss.is_set() and self._clock.monotonic() < ping_due and not self._hearing.check():
            await unless(self._amiss, self._clock.sleep(CHECK_INTERVAL))

    def _set(self, connection: Connection, detail: str) -> None:
        if (connection, detail) == (self.status.connection, self.status.detail):
            return
        self.status = ConnectionStatus(connection, self._clock.now(), detail)
        if connection is Connection.CONNECTED:
            _log.info("Connected with the homeserver.")
        else:
            _log.warning("Not connected with the homeserver: %s. Trying again.", detail)
        if connection in (Connection.CONNECTED, Connection.DEAF):
            self._reachable.set()
        else:
            self._reachable.clear()
        self.on_change(self.status)
