"""How many messages come that were said while there was no link: what a person is told of being away.

A message is *missed* when a carrier brought it, or when the friend had sealed it before its hello on the link that is
up. The friend says itself which these are: it is believed until nothing of it comes for a while. Each is counted on
disk in the transaction in which it arrives, so that a crash neither loses the count nor has the end told twice. Nothing
says beforehand how many there will be: a block shows what is in it only when it is opened. How many blocks there are,
carriers say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.happenings import Missed
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.events import Body, FileOffer, Location, Poll, Text

MANY: Final = 20
"""Missed messages from which on a person is told: fewer are seen at a glance, and come whenever a link broke."""

SOON: Final = 5.0
"""Seconds between two looks at whether there are so many."""

TOLD_EVERY: Final = 30.0
"""Seconds between two words about how far it is: often enough to see it go on, and no burden on a homeserver."""

QUIET: Final = 60.0
"""Seconds without a missed message after which that was all, unless a carrier has said that it holds more: a slow
circuit takes a few for what is under way."""

LIVE_AFTER: Final = 180.0
"""Seconds without anything of a friend's after which what comes is said now, whatever number the friend has named: what
is past a gap waits for a third of that."""


class CatchingUp:
    """Of one node. `run` it, or nobody is told."""

    def __init__(self, around: Surroundings, node_id: NodeId) -> None:
        self._around = around
        self._node_id = node_id
        self._waited: dict[PeerId, int] = {}
        self._came_at: dict[PeerId, float] = {}
        self._news = asyncio.Event()

    def greeted(self, peer_id: PeerId, highest_sent: int) -> None:
        """A link is up, and the friend says up to which number it had sealed something before."""
        self._waited[peer_id] = highest_sent
        self._came_at[peer_id] = self._around.clock.monotonic()

    def carried(self, peer_id: PeerId, seq: int) -> None:
        """Something of this number has come by a carrier."""
        self._waited[peer_id] = max(seq, self._waited.get(peer_id, 0))
        self._came_at[peer_id] = self._around.clock.monotonic()

    async def arrived(self, tx: Transaction, peer_id: PeerId, seq: int, body: Body) -> None:
        """Something is shown to our owner: count it, if it is a message that was missed."""
        if seq > self._waited.get(peer_id, 0):
            return
        now = self._around.clock.monotonic()
        if now - self._came_at[peer_id] >= LIVE_AFTER:
            del self._waited[peer_id], self._came_at[peer_id]
            return
        self._came_at[peer_id] = now
        if isinstance(body, Text | FileOffer | Location | Poll):
            await self._around.store.missed.add(tx, self._node_id, peer_id)
            tx.after_commit(self._news.set)

    async def so_far(self, tx: Transaction, collecting: int) -> Missed | None:
        """What has come, if it is worth a word; carriers hold so many blocks more."""
        return _so_far(await self._around.store.missed.of_node(tx, self._node_id), collecting)

    async def run(self, collecting: Callable[[], int]) -> None:
        """Tell of it, until cancelled. ``collecting``: how many blocks are to come. Raises: DatabaseUnavailable."""
        self._news.set()  # what came before we were stopped
        while True:
            await self._news.wait()
            self._news.clear()
            await self._follow(collecting)

    async def _follow(self, collecting: Callable[[], int]) -> None:
        """From the first that has come to the last. What was told of is told as over, whoever is forgotten meanwhile:
        what that friend had said does not count any more."""
        clock, before, since, told = self._around.clock, 0, 0.0, False
        while (came := await self._tell(before, collecting())) or told:
            told = told or came >= MANY
            if came != before:
                before, since = came, clock.monotonic()
            elif not collecting() and clock.monotonic() - since >= QUIET:
                await self._end(told=told)
                return
            await clock.sleep(TOLD_EVERY if came >= MANY else SOON)

    async def _tell(self, before: int, collecting: int) -> int:
        """Say how many have come, if it is more than ``before``; how many."""
        async with self._around.store.transaction() as tx:
            counts = await self._around.store.missed.of_node(tx, self._node_id)
            missed = _so_far(counts, collecting)
            if missed is not None and missed.messages != before:
                await self._around.observer.record(tx, self._node_id, missed)
        return sum(counts.values())

    async def _end(self, *, told: bool) -> None:
        async with self._around.store.transaction() as tx:
            counts = await self._around.store.missed.take(tx, self._node_id)
            messages = sum(counts.values())
            if told or messages >= MANY:
                missed = Missed(messages, len(counts), over=True)
                await self._around.observer.record(tx, self._node_id, missed)


def _so_far(counts: dict[PeerId, int], collecting: int) -> Missed | None:
    messages = sum(counts.values())
    return Missed(messages, len(counts), over=False, blocks=collecting) if messages >= MANY else None
