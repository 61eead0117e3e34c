"""What a carrier sees of who leaves something at its shelves, in two worlds that it must not be able to tell apart.

A carrier C holds a shelf for each of two friends, R1 and R2, who are away. In one world a single hand writes to both,
always at the same moment; in the other two hands do, always at the same moment. docs/protocol/carriers.md says that C
sees two random onions with blocks of the same size, and when they are used; docs/threat-model.md, that it cannot tell
whether two blocks come from one hand. So, the moments at which something is said being the same:

- how far apart the two shelves are used, how often, and how much is left, is distributed alike in both worlds;
- nothing that arrives at one shelf, encrypted or opened as far as C can, has bytes in common with the other;
- when a shelf is used does not tell when something was said: a time between 0 and 60 seconds lies between.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from chattor_bridge.ids import EventId, OnionKey
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Publication, Stream, StreamHandler, Transport
from chattor_bridge.protocol.limits import MAX_SHELF_BLOCKS
from chattor_bridge.protocol.primitives import ed25519_public
from tests.sim.household import Household
from tests.sim.loop import run
from tests.sim.network import SimNetwork, Weather
from tests.sim.plan import Ending, Message
from tests.sim.seeded import seeded_encapsulation

CARRIER, ONE_FRIEND, OTHER_FRIEND, ONE_HAND, OTHER_HAND = range(5)

ROUNDS = 40
"""How often something is said."""

ROUND = 180.0
"""Seconds between two of these: what is said later is left within 60 seconds and a dial."""

BURST = 6
"""Messages said in a row, at most: the same number to both."""

WINDOW = 8
"""Bytes in a row that chance does not make equal: of some 10**11 pairs, one in a hundred million."""


@dataclass(slots=True)
class Visit:
    """A stream to a shelf."""

    at: float
    received: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class View:
    """What C sees of its two shelves, that of R1 first, and what it cannot see: when something was said."""

    visits: tuple[list[Visit], list[Visit]]
    blocks: tuple[list[bytes], list[bytes]]
    secrets: tuple[list[bytes], list[bytes]]
    """Keys and ids of each shelf."""

    said: list[float]

    def gaps(self) -> list[float]:
        """For each moment at which something was said, how much later the second shelf was used than the first."""
        first, second = (self._first_after(visits) for visits in self.visits)
        return [other - one for one, other in zip(first, second, strict=True)]

    def delays(self) -> list[float]:
        """How long after something was said each shelf was used."""
        return [
            visit - said
            for visits in self.visits
            for said, visit in zip(self.said, self._first_after(visits), strict=True)
        ]

    def amounts(self) -> list[float]:
        """How many bytes came with each visit."""
        return [float(len(visit.received)) for visits in self.visits for visit in visits]

    def frequencies(self) -> list[float]:
        """How many visits followed each moment, at each shelf."""
        ends = [*self.said[1:], self.said[-1] + ROUND]
        return [
            float(sum(begin <= visit.at < end for visit in visits))
            for visits in self.visits
            for begin, end in zip(self.said, ends, strict=True)
        ]

    def in_common(self) -> set[bytes]:
        """Bytes that both shelves have seen: some of every run of twice `WINDOW` that is the same at both."""
        one, other = (
            [*(bytes(visit.received) for visit in self.visits[shelf]), *self.blocks[shelf], *self.secrets[shelf]]
            for shelf in (0, 1)
        )
        seen = {some[place : place + WINDOW] for some in one for place in range(0, len(some) - WINDOW + 1, WINDOW)}
        return seen.intersection(
            some[place : place + WINDOW] for some in other for place in range(len(some) - WINDOW + 1)
        )

    def _first_after(self, visits: list[Visit]) -> list[float]:
        return [next(visit.at for visit in visits if visit.at >= said) for said in self.said]


def view(hands: int, seed: int) -> View:
    """What C sees when so many hands write, 1 or 2. The moments and the amounts do not depend on ``hands``."""
    with seeded_encapsulation(seed):
        return run(_view(hands, seed))


async def _view(hands: int, seed: int) -> View:
    network = SimNetwork(random.Random(f"network {seed} {hands}"), Weather())
    watch = _Watch()
    writers = [ONE_HAND, OTHER_HAND][:hands]
    pairs = list(zip((ONE_FRIEND, OTHER_FRIEND), (ONE_HAND, writers[-1]), strict=True))
    everybody = {
        number: Household(
            number, seed * 2 + hands, network, _NoLedger(), Pace(), watch=watch.over if number == CARRIER else None
        )
        for number in (CARRIER, ONE_FRIEND, OTHER_FRIEND, *writers)
    }
    for household in everybody.values():
        await household.start()
        await household.create()
    accepting = [asyncio.create_task(household.accept_all()) for household in everybody.values()]
    for friend, writer in pairs:
        for other in (CARRIER, writer):
            await everybody[other].knock(friend, await everybody[friend].code())
    await asyncio.sleep(900.0)
    for friend, _ in pairs:
        await everybody[friend].ask_to_carry(CARRIER)
    await asyncio.sleep(900.0)
    for task in accepting:
        task.cancel()
    shelves = [await _shelf(everybody[CARRIER], friend) for friend, _ in pairs]
    for friend, _ in pairs:
        await everybody[friend].end(Ending.STOPPED)
    dice = random.Random(f"said {seed}")
    said = []
    for number in range(-1, ROUNDS):
        begin = asyncio.get_running_loop().time()
        if number >= 0:
            said.append(begin)
        for _ in range(dice.randint(1, BURST)):
            length = dice.choice([10, 10, 1_000])
            for friend, writer in pairs:
                await everybody[writer].say(friend, "x" * length)
        # the first time waits for a link, and not for what else may be said
        await asyncio.sleep((ROUND if number >= 0 else 1_200.0) + begin - asyncio.get_running_loop().time())
    blocks = [await _blocks(everybody[CARRIER], friend) for friend, _ in pairs]
    for number in (CARRIER, *writers):
        await everybody[number].end(Ending.STOPPED)
    (first, ones), (second, others) = shelves
    return View((watch.visits[first], watch.visits[second]), (blocks[0], blocks[1]), (ones, others), said)


async def _shelf(carrier: Household, friend: int) -> tuple[OnionKey, list[bytes]]:
    """The onion of the shelf that the carrier hosts for what is left for that friend, and what else it knows of it."""
    async with carrier.store.transaction() as tx:
        shelf = (await carrier.store.carriages.shelves(tx, carrier.node.node_id, carrier.friends[friend]))[0]
    onion = OnionKey(ed25519_public(shelf.onion_seed))
    return onion, [onion, shelf.shelf_id, shelf.capability, shelf.onion_seed, shelf.static]


async def _blocks(carrier: Household, friend: int) -> list[bytes]:
    node_id, peer_id = carrier.node.node_id, carrier.friends[friend]
    async with carrier.store.transaction() as tx:
        shelf = (await carrier.store.carriages.shelves(tx, node_id, peer_id))[0]
        held = await carrier.store.carriages.after(tx, node_id, peer_id, shelf.shelf_id, 0, MAX_SHELF_BLOCKS)
    return [one.block for one in held]


class _Watch:
    """Sees every stream to the shelves of a carrier, byte by byte."""

    def __init__(self) -> None:
        self.visits: dict[OnionKey, list[Visit]] = {}

    def over(self, transport: Transport) -> Transport:
        return _WatchedTransport(transport, self.visits)


class _WatchedTransport:
    def __init__(self, inner: Transport, visits: dict[OnionKey, list[Visit]]) -> None:
        self._inner = inner
        self._visits = visits
        self.dial, self.forget, self.woken = inner.dial, inner.forget, inner.woken

    async def publish(
        self,
        seed: bytes,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool = False,
        recency: float = 0.0,
    ) -> Publication:
        async def watched(stream: Stream) -> None:
            visit = Visit(asyncio.get_running_loop().time())
            self._visits.setdefault(publication.onion, []).append(visit)
            await handler(_WatchedStream(stream, visit))

        publication = await self._inner.publish(seed, watched, clients=clients, recency=recency)
        return publication


class _WatchedStream:
    def __init__(self, inner: Stream, visit: Visit) -> None:
        self._inner = inner
        self._visit = visit
        self.write, self.close = inner.write, inner.close

    async def read(self) -> bytes:
        data = await self._inner.read()
        self._visit.received += data
        return data


class _NoLedger:
    def said(self, message: Message, event_id: EventId) -> None: ...
    def arrived(self, recipient: int, sender: int, text: str) -> None: ...
    def delivered(self, sender: int, event_id: EventId) -> None: ...
    def left(self, carrier: int, event_ids: Sequence[EventId]) -> None: ...
    def noticed(self, node: int, peer: int, what: str) -> None: ...
    def online(self, node: int, *, up: bool) -> None: ...


# --- comparing -------------------------------------------------------------------------------------------------------

SURE = 1.95
"""Kolmogorov-Smirnov's statistic, scaled by the numbers of samples, which chance exceeds once in a thousand times."""


def differ(ones: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two samples come from different distributions, by the test of Kolmogorov and Smirnov."""
    distance = max(abs(_share(ones, value) - _share(others, value)) for value in (*ones, *others))
    return distance > SURE * math.sqrt((len(ones) + len(others)) / (len(ones) * len(others)))


def differ_from_even(values: Sequence[float], low: float, high: float) -> bool:
    """The same against values drawn evenly between two bounds."""
    distance = max(abs(_share(values, value) - min(max((value - low) / (high - low), 0.0), 1.0)) for value in values)
    return distance > SURE / math.sqrt(len(values))


def _share(values: Sequence[float], at_most: float) -> float:
    return sum(value <= at_most for value in values) / len(values)
