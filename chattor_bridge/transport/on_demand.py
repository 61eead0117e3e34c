"""A transport that is started when something is to be hosted on it for the first time, and not before: most nodes hold
nobody's mail, and need no second tor for that."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import Publication, Stream, StreamHandler, Transport


class ManagedTransport(Transport, Protocol):
    """A transport that is ours to start and stop. ``start`` need not wait until the network is reached."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class OnDemand:
    """See `chattor_bridge.node.ports.Transport`."""

    def __init__(self, make: Callable[[], ManagedTransport]) -> None:
        self._make = make
        self._started: ManagedTransport | None = None
        self._starting = asyncio.Lock()

    async def stop(self) -> None:
        """Stop what was started."""
        if self._started is not None:
            await self._started.stop()

    async def publish(
        self,
        seed: bytes,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool = False,
        recency: float = math.inf,
    ) -> Publication:
        transport = await self._ready()
        return await transport.publish(seed, handler, clients=clients, proof_of_work=proof_of_work, recency=recency)

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> Stream:
        transport = await self._ready()
        return await transport.dial(onion, client_key=client_key, isolation=isolation, timeout=timeout)

    async def forget(self, onion: OnionKey) -> None:
        if self._started is not None:
            await self._started.forget(onion)

    async def woken(self, slept: float) -> None:
        if self._started is not None:
            await self._started.woken(slept)

    async def _ready(self) -> ManagedTransport:
        async with self._starting:
            if self._started is None:
                transport = self._make()
                try:
                    await transport.start()
                except BaseException:  # nobody else knows that it runs, half of it perhaps
                    await transport.stop()
                    raise
                self._started = transport
        return self._started
