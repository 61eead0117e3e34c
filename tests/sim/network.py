"""An onion network in one process: streams with latency, which break, between hosts that come and go.

It keeps the promises of `chattor_bridge.node.ports.Transport` under the contract tests of tests/transport, on any event
loop: every wait is the loop's own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chattor_bridge.errors import (
    ChattorError,
    LimitReached,
    OnionNotAuthorised,
    OnionUnreachable,
    TorUnavailable,
    UsageError,
)
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import StreamHandler
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public
from chattor_bridge.transport.memory import FirmPublication
from tests.sim.process import DEAD, Process

log = logging.getLogger(__name__)

WINDOW = 262_144
"""Bytes that are on their way or wait to be read before the writer has to wait."""

ONIONS_PER_HOST = 60
"""As one tor process."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is. Durations in seconds, drawn evenly between two bounds for each stream."""

    latency: tuple[float, float] = (0.2, 1.5)
    """One way, for each write: tor's streams take about that."""

    dial: tuple[float, float] = (0.5, 4.0)
    """Until a stream is open, or until it is known that it will not be."""

    lost_dials: float = 0.0
    """Share of the dials that fail although the onion is there."""

    stream_life: float = math.inf
    """Mean time until a stream breaks by itself, on both sides."""


CALM = Weather(latency=(0.0, 0.0), dial=(0.0, 0.0))


class SimNetwork:
    """Where hosts meet. ``apart`` says of two names whether they cannot reach each other now."""

    def __init__(self, dice: random.Random, weather: Weather = CALM) -> None:
        self.dice = dice
        self.weather = weather
        self.apart: Callable[[str, str], bool] = lambda one, other: False
        self.onions: dict[OnionKey, SimPublication] = {}
        self.hosts: dict[OnionKey, str] = {}
        """Who has ever hosted an onion."""
        self.streams: dict[SimStream, None] = {}

    def transport(
        self, name: str = "", process: Process | None = None, *, limit: int = ONIONS_PER_HOST
    ) -> SimTransport:
        """Another participant."""
        return SimTransport(self, name, process or Process(), limit)

    def part(self) -> None:
        """Break what runs between those who are apart now: nothing arrives any more, and neither end is told."""
        for stream in list(self.streams):
            if self.apart(stream.host.name, stream.peer.host.name):
                stream.fall_silent()
                stream.peer.fall_silent()


class SimPublication(FirmPublication):
    """What others find of it: who hosts it, and what answers there."""

    def __init__(
        self, host: SimTransport, onion: OnionKey, handler: StreamHandler, clients: frozenset[bytes] | None
    ) -> None:
        super().__init__(onion)
        self.host = host
        self.handler = handler
        self.clients = clients

    async def withdraw(self) -> None:
        await super().withdraw()
        if self.host.network.onions.get(self._onion) is self:
            del self.host.network.onions[self._onion]
        self.host.hosted.pop(self._onion, None)


class SimTransport:
    """Implements `chattor_bridge.node.ports.Transport`. Made by `SimNetwork.transport`."""

    def __init__(self, network: SimNetwork, name: str, process: Process, limit: int) -> None:
        self.network = network
        self.name = name
        self.process = process
        self.hosted: dict[OnionKey, SimPublication] = {}
        self.answering: dict[asyncio.Task[None], None] = {}
        self._limit = limit
        process.on_death(self._die)

    async def start(self) -> None:
        """Ready as soon as it is made; here because every transport has a start."""

    async def stop(self) -> None:
        """Withdraw every onion and end every stream that came in."""
        for publication in list(self.hosted.values()):
            await publication.withdraw()
        answering = list(self.answering)
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)

    async def publish(
        self,
        seed: bytes,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool = False,
        recency: float = math.inf,
    ) -> SimPublication:
        self._require_life()
        onion = OnionKey(ed25519_public(seed))
        if onion in self.hosted:
            raise UsageError("this onion is published already")
        if len(self.hosted) >= self._limit:
            raise LimitReached(f"this transport hosts {self._limit} onions, as many as it may")
        publication = SimPublication(self, onion, handler, None if clients is None else frozenset(clients))
        self.hosted[onion] = self.network.onions[onion] = publication
        self.network.hosts[onion] = self.name
        return publication

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> SimStream:
        self._require_life()
        network, weather = self.network, self.network.weather
        pause = network.dice.uniform(*weather.dial)
        if pause > timeout:
            await asyncio.sleep(timeout)
            raise OnionUnreachable("the onion service does not answer in time")
        await asyncio.sleep(pause)
        self._require_life()
        found = network.onions.get(onion)
        if found is None or network.apart(self.name, found.host.name) or network.dice.random() < weather.lost_dials:
            raise OnionUnreachable("the onion service does not answer")
        if found.clients is not None and (client_key is None or x25519_public(client_key) not in found.clients):
            raise OnionNotAuthorised("the onion service does not know our client key")
        ours, theirs = _joined(self, found.host)
        task = asyncio.get_running_loop().create_task(_answer(found.handler, theirs))
        found.host.answering[task] = None
        task.add_done_callback(lambda done: found.host.answering.pop(done, None))
        return ours

    async def forget(self, onion: OnionKey) -> None:
        """Keys are handed in at each dial; there is none to drop."""

    async def woken(self, slept: float) -> None:
        """Nobody sleeps here."""

    def _require_life(self) -> None:
        if not self.process.step():
            raise TorUnavailable(DEAD)

    def _die(self) -> None:
        for onion, publication in self.hosted.items():
            if self.network.onions.get(onion) is publication:
                del self.network.onions[onion]
        self.hosted.clear()
        for stream in [one for one in self.network.streams if one.host is self]:
            if self.process.falls_silent:
                self.network.streams.pop(stream, None)
                stream.peer.fall_silent()
            else:
                stream.break_off()


class SimStream:
    """One end of a stream. Implements `chattor_bridge.node.ports.Stream`."""

    def __init__(self, host: SimTransport, latency: float) -> None:
        self.host = host
        self.peer: SimStream
        self._latency = latency
        self._waiting: deque[bytes] = deque()
        self._under_way = 0  # bytes of ours that the peer has not read
        self._next_arrival = 0.0
        self._ended = self._broken = self._closed = self._silent = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._life: asyncio.TimerHandle | None = None

    async def read(self) -> bytes:
        while not self._waiting:
            if self._broken:
                raise OnionUnreachable("the stream broke while reading")
            if self._ended or self._closed:
                return b""
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if not self.host.process.step():
            raise OnionUnreachable(DEAD)
        data = b"".join(self._waiting)
        self._waiting.clear()
        self.peer._was_read(len(data))
        return data

    async def write(self, data: bytes) -> None:
        if self._closed:
            raise OnionUnreachable("the stream is closed")
        if self._broken or not self.host.process.step():
            raise OnionUnreachable("the stream broke while writing")
        self._under_way += len(data)
        self._after_latency(lambda: self.peer._arrived(data))
        while self._under_way > WINDOW and not self._broken:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        if self._broken:
            raise OnionUnreachable("the stream broke while writing")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._leave()
        if self.host.process.step():
            self._after_latency(self.peer._end)

    def break_off(self) -> None:
        """Both ends see it break: a circuit is gone, or the process at one end."""
        for end in (self, self.peer):
            end._broken = True
            end._leave()

    def fall_silent(self) -> None:
        """Nothing arrives at this end any more, and nobody says so."""
        self._silent = True

    def live_for(self, seconds: float) -> None:
        """Break by itself after that."""
        self._life = asyncio.get_running_loop().call_later(seconds, self.break_off)

    def _leave(self) -> None:
        self.host.network.streams.pop(self, None)
        if self._life is not None:
            self._life.cancel()
        self._wake()

    def _after_latency(self, arrival: Callable[[], None]) -> None:
        """Let something arrive at the peer, behind what was sent before."""
        loop = asyncio.get_running_loop()
        self._next_arrival = max(self._next_arrival, loop.time() + self._latency)
        loop.call_at(self._next_arrival, arrival)

    def _arrived(self, data: bytes) -> None:
        if self._closed or self._broken:  # it drains into nothing
            self.peer._was_read(len(data))
        elif not self._silent:
            self._waiting.append(data)
            self._wake()

    def _end(self) -> None:
        if not self._silent:
            self._ended = True
            self._wake()

    def _was_read(self, length: int) -> None:
        self._under_way -= length
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _wake(self) -> None:
        for waiting in (self._news, self._room):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)


def _joined(dialler: SimTransport, host: SimTransport) -> tuple[SimStream, SimStream]:
    network = dialler.network
    latency = network.dice.uniform(*network.weather.latency)
    ours, theirs = SimStream(dialler, latency), SimStream(host, latency)
    ours.peer, theirs.peer = theirs, ours
    network.streams[ours] = network.streams[theirs] = None
    if network.weather.stream_life < math.inf:
        ours.live_for(network.dice.expovariate(1 / network.weather.stream_life))
    return ours, theirs


async def _answer(handler: StreamHandler, stream: SimStream) -> None:
    try:
        await handler(stream)
    except ChattorError as error:
        log.info("a stream ended: %s", error)
    except Exception as error:
        # Not its message: that may quote what came over the stream.
        log.error("the handler of a stream failed with %s; the stream is closed", type(error).__name__)
    finally:
        await stream.close()
