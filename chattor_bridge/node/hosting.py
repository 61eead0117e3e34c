"""The onions a node hosts: each published for as long as it is wanted, again after every failure.

What is wanted comes from the database by way of `NodeWork`; here it is only compared with what is there. The streams
that come in are answered by tasks of the node, so that they end with it and not with the transport.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.patience import describe, jitter, within
from chattor_bridge.node.ports import Publication, Stream, StreamHandler
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble

WITHDRAW_TIMEOUT = 5.0
"""Seconds to wait for tor to take an onion down; it goes down with its control connection in any case."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An onion to host. ``clients`` are the public keys that may read its descriptor, ``None`` for everybody.
    ``recency`` is when it was last of use, in seconds since the epoch; ``proof_of_work``: a door, which strangers
    dial."""

    seed: bytes
    clients: frozenset[bytes] | None
    handler: StreamHandler
    recency: int
    proof_of_work: bool = False


class Hostings:
    """Every onion of one node. `run` must be running for anything to happen."""

    def __init__(
        self, around: Surroundings, run_stream: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
    ) -> None:
        self._around = around
        self._run_stream = run_stream
        self._hostings: dict[OnionKey, _Hosting] = {}
        self._tasks: dict[OnionKey, asyncio.Task[None]] = {}
        self._turn = asyncio.Event()

    def want(self, wanted: Mapping[OnionKey, Wanted], group: asyncio.TaskGroup, *, spread: bool) -> None:
        """Host these and no others. ``spread``: others begin too, so begin with each at a random moment of its own,
        with those of use most recently first; else somebody waits for them."""
        for onion in self._hostings.keys() - wanted.keys():
            del self._hostings[onion]
            self._tasks.pop(onion).cancel()
        for onion in wanted.keys() & self._hostings.keys():
            self._hostings[onion].change(wanted[onion])
        new = sorted(wanted.keys() - self._hostings.keys(), key=lambda onion: wanted[onion].recency, reverse=True)
        longest = self._around.pace.start_jitter if spread else 0.0
        # Who is first is not told by the moments: each is drawn by itself, and only their order is ours.
        moments = sorted(jitter(self._around.random, 0, longest) for _ in new)
        for onion, moment in zip(new, moments, strict=True):
            hosting = _Hosting(self._around, self, wanted[onion])
            self._hostings[onion] = hosting
            self._tasks[onion] = group.create_task(hosting.run(moment, wanted[onion].recency if spread else math.inf))

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

    @property
    def counts(self) -> tuple[int, int]:
        """How many onions there are to host, and how many of them can be reached now, as far as we know."""
        return len(self._hostings), sum(hosting.published is not None for hosting in self._hostings.values())

    def troubles(self) -> dict[OnionKey, Trouble]:
        return {onion: hosting.trouble for onion, hosting in self._hostings.items()}

    def turned(self) -> None:
        """Something was published or withdrawn."""
        self._turn.set()
        self._turn = asyncio.Event()

    async def enter(self, handler: StreamHandler, stream: Stream) -> None:
        """Answer a stream in a task of the node."""
        await self._run_stream(partial(handler, stream))


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

    async def run(self, delay: float, recency: float) -> None:
        """Be hosted from ``delay`` seconds on, until cancelled; ``recency`` as `Transport.publish` has it."""
        await self._around.clock.sleep(delay)
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                publishing = group.create_task(self._keep_published(self._wanted, recency))
                await self._changed.wait()
                recency = math.inf  # whoever may read it from now on waits for it
                publishing.cancel()
                await asyncio.wait({publishing})

    async def _keep_published(self, wanted: Wanted, recency: float) -> None:
        backoff = self._around.repairing()
        while True:
            self.trouble.trying()
            try:
                await self._publish(wanted, recency)
            except Exception as error:
                delay = backoff.next()
                self.trouble.failed(describe(error), self._around.clock.monotonic() + delay)
            await self._around.clock.sleep(delay)

    async def _publish(self, wanted: Wanted, recency: float) -> None:
        """Hold one publication until cancelled. Raises: what the transport raises."""
        publication = await self._around.transport.publish(
            wanted.seed,
            lambda stream: self._hostings.enter(wanted.handler, stream),
            clients=None if wanted.clients is None else sorted(wanted.clients),
            proof_of_work=wanted.proof_of_work,
            recency=recency,
        )
        try:
            while True:
                await publication.published()
                self.published = wanted
                self.trouble.well()
                self._hostings.turned()
                reason = await publication.lost()
                self.published = None
                self.trouble.failed(reason, self._around.clock.monotonic())
                self.trouble.trying()
                self._hostings.turned()
        finally:
            self.published = None
            self._hostings.turned()
            await self._withdraw(publication)

    async def _withdraw(self, publication: Publication) -> None:
        try:
            await within(self._around.clock, WITHDRAW_TIMEOUT, publication.withdraw())
        except (TimeoutError, TorUnavailable) as error:
            self.trouble.reason = describe(error)
