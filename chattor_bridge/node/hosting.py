"""The onions a node hosts: each published for as long as it is wanted, again after every failure.

What is wanted comes from the database by way of `NodeWork`; here it is only compared with what is there. The streams
that come in are answered by tasks of the node, so that they end with it and not with the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.patience import describe, jitter, within
from chattor_bridge.node.ports import Publication, Stream
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble

WITHDRAW_TIMEOUT = 5.0
"""Seconds to wait for tor to take an onion down; it goes down with its control connection in any case."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An onion to host. ``clients`` are the public keys that may read its descriptor, ``None`` for everybody.
    ``proof_of_work``: a door, which strangers dial."""

    seed: bytes
    clients: frozenset[bytes] | None
    handler: Callable[[Stream], Coroutine[Any, Any, None]]
    proof_of_work: bool = False


class Hostings:
    """Every onion of one node. `run` must be running for anything to happen."""

    def __init__(
        self, around: Surroundings, run_stream: Callable[[Coroutine[Any, Any, None]], Awaitable[None]]
    ) -> None:
        self._around = around
        self._run_stream = run_stream
        self._hostings: dict[OnionKey, _Hosting] = {}
        self._tasks: dict[OnionKey, asyncio.Task[None]] = {}
        self._turn = asyncio.Event()

    def want(self, wanted: Mapping[OnionKey, Wanted], group: asyncio.TaskGroup, *, spread: bool) -> None:
        """Host these and no others. ``spread``: begin with each one at a random moment of its own."""
        for onion in self._hostings.keys() - wanted.keys():
            del self._hostings[onion]
            self._tasks.pop(onion).cancel()
        for onion, one in wanted.items():
            hosting = self._hostings.get(onion)
            if hosting is not None:
                hosting.change(one)
                continue
            delay = jitter(self._around.random, 0, self._around.pace.start_jitter) if spread else 0.0
            hosting = _Hosting(self._around, self, one)
            self._hostings[onion] = hosting
            self._tasks[onion] = group.create_task(hosting.run(delay))

    def forget(self) -> None:
        """The tasks have ended with their group."""
        self._hostings.clear()
        self._tasks.clear()

    def is_published(self, onion: OnionKey) -> bool:
        """Whether this onion can be reached now, as far as we know."""
        hosting = self._hostings.get(onion)
        return hosting is not None and hosting.published is not None

    async def reachable(self, onion: OnionKey, client: bytes | None = None) -> None:
        """Wait until ``onion`` is published, open to ``client`` if one is named."""
        while True:
            turn = self._turn
            hosting = self._hostings.get(onion)
            if hosting is not None and hosting.published is not None:
                clients = hosting.published.clients
                if client is None or clients is None or client in clients:
                    return
            await turn.wait()

    def troubles(self) -> dict[OnionKey, Trouble]:
        return {onion: hosting.trouble for onion, hosting in self._hostings.items()}

    def turned(self) -> None:
        """Something was published or withdrawn."""
        self._turn.set()
        self._turn = asyncio.Event()

    async def enter(self, handler: Callable[[Stream], Coroutine[Any, Any, None]], stream: Stream) -> None:
        """Answer a stream in a task of the node."""
        await self._run_stream(handler(stream))


class _Hosting:
    """One onion."""

    def __init__(self, around: Surroundings, hostings: Hostings, wanted: Wanted) -> None:
        self._around = around
        self._hostings = hostings
        self._wanted = wanted
        self._changed = asyncio.Event()
        self.published: Wanted | None = None
        self.trouble = Trouble()

    def change(self, wanted: Wanted) -> None:
        if wanted.clients != self._wanted.clients:
            self._wanted = wanted
            self._changed.set()

    async def run(self, delay: float) -> None:
        await self._around.clock.sleep(delay)
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                publishing = group.create_task(self._keep_published(self._wanted))
                await self._changed.wait()
                publishing.cancel()
                await asyncio.wait({publishing})

    async def _keep_published(self, wanted: Wanted) -> None:
        backoff = self._around.repairing()
        while True:
            self.trouble.trying()
            try:
                await self._publish(wanted)
            except Exception as error:
                delay = backoff.next()
                self.trouble.failed(describe(error), self._around.clock.monotonic() + delay)
            await self._around.clock.sleep(delay)

    async def _publish(self, wanted: Wanted) -> None:
        """Hold one publication until cancelled. Raises: what the transport raises."""
        publication = await self._around.transport.publish(
            wanted.seed,
            lambda stream: self._hostings.enter(wanted.handler, stream),
            clients=None if wanted.clients is None else sorted(wanted.clients),
            proof_of_work=wanted.proof_of_work,
        )
        try:
            await publication.published()
            self.published = wanted
            self.trouble.well()
            self._hostings.turned()
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            self.published = None
            self._hostings.turned()
            await self._withdraw(publication)

    async def _withdraw(self, publication: Publication) -> None:
        try:
            await within(self._around.clock, WITHDRAW_TIMEOUT, _withdraw(publication))
        except (TimeoutError, TorUnavailable) as error:
            self.trouble.reason = describe(error)


async def _withdraw(publication: Publication) -> None:
    await publication.withdraw()
