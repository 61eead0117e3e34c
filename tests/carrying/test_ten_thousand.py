"""Coming back to ten thousand messages: in order, each once, in bounded memory, and told of."""

from __future__ import annotations

import asyncio
import ctypes
from collections import Counter
from collections.abc import Awaitable, Callable

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.happenings import EventArrived, Happening, Missed
from chattor_bridge.protocol.events import Text
from tests.memory import grows_less_than
from tests.node.world import Person, World

MESSAGES = 10_000

IN_ONE = 250
"""Messages said in one transaction."""

MEMORY = 16_000_000
"""Bytes: less than the blocks have that are held at two carriers, of what was not read yet."""

LONG = 600.0
"""Real seconds for each step of it on a busy machine; each takes some thirty."""


class Tally(list[tuple[NodeId, Happening]]):
    """Entries of a diary without the texts that arrived: those are only counted, and compared with what is next."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: Counter[PeerId] = Counter()
        self.amiss: list[str] = []

    def append(self, entry: tuple[NodeId, Happening]) -> None:
        match entry[1]:
            case EventArrived(peer_id, event) if isinstance(event.body, Text):
                if event.body.text != f"word {self.texts[peer_id]}":
                    self.amiss.append(event.body.text)
                self.texts[peer_id] += 1
            case EventArrived():
                pass
            case _:
                super().append(entry)


async def _until(world: World, is_so: Callable[[], Awaitable[bool]]) -> None:
    """Let little time pass, for what is under way takes long here and would time out."""
    async with asyncio.timeout(LONG):
        while not await is_so():
            await world.clock.advance(1)
            await asyncio.sleep(0.2)


async def _say(sender: Person, peer_id: PeerId, count: int) -> None:
    for first in range(0, count, IN_ONE):
        async with sender.house.store.transaction() as tx:
            for number in range(first, min(first + IN_ONE, count)):
                await sender.node.send(tx, peer_id, Text(f"word {number}"))


async def _come_back(rita: Person, friends: int) -> None:
    """Rita, who was away, gets everything her friends have said."""
    world, tally = rita.house.world, Tally()
    rita.house.diary.entries = tally

    async def all_have_come() -> bool:
        return tally.texts.total() >= MESSAGES

    ctypes.CDLL(None).malloc_trim(0)  # what saying it has left behind would hide what reading it takes
    with grows_less_than(MEMORY, f"coming back to {friends} friends"):
        await rita.house.start()
        await _until(world, all_have_come)
    assert tally.amiss == []
    assert tally.texts.most_common()[-1][1] == MESSAGES // friends
    await rita.until(lambda: any(one.over for one in rita.of(Missed)), time_passes=True)
    told = [(one.messages, one.over) for one in rita.of(Missed)]
    assert told == sorted(set(told))
    assert rita.of(Missed)[-1] == Missed(MESSAGES, friends, over=True)


async def test_by_two_carriers_in_parallel(world: World) -> None:
    """As many as fit on shelves: 2,000 short ones of each of five friends."""
    rita = await world.person("Rita")
    carriers = [await world.person(name) for name in ("Carl", "Cora")]
    senders = [await world.person(f"Sam {number}") for number in range(5)]
    with_carriers = [await rita.befriend(carrier) for carrier in carriers]
    with_senders = [await rita.befriend(sender) for sender in senders]
    for carrier, peer_id in zip(carriers, with_carriers, strict=True):
        async with rita.house.store.transaction() as tx:
            await rita.node.carrying.ask(tx, peer_id)
        async with carrier.house.store.transaction() as tx:
            await carrier.node.carrying.offer(tx, peer_id, 16, 128)

    async def to_leave(sender: Person, peer_id: PeerId) -> int | None:
        """How much is still to be left at the carriers; None before both are known."""
        deposits = sender.house.store.deposits
        async with sender.house.store.transaction() as tx:
            targets = await deposits.targets(tx, sender.node_id, peer_id)
            left = [
                await deposits.to_leave(tx, sender.node_id, target, after=0, left_before=0, left_after=1 << 62, limit=1)
                for target in targets
            ]
        return None if len(targets) < 2 else sum(map(len, left))

    async def all_know() -> bool:
        return None not in [await to_leave(*one) for one in zip(senders, with_senders, strict=True)]

    async def all_is_left() -> bool:
        return not any([await to_leave(*one) for one in zip(senders, with_senders, strict=True)])

    async def held() -> tuple[int, int]:
        counts = []
        for carrier, peer_id in zip(carriers, with_carriers, strict=True):
            async with carrier.house.store.transaction() as tx:
                counts.append(await carrier.house.store.carriages.count(tx, carrier.node_id, peer_id))
        return counts[0], counts[1]

    await _until(world, all_know)
    await rita.house.stop()
    for sender, peer_id in zip(senders, with_senders, strict=True):
        await _say(sender, peer_id, MESSAGES // len(senders))
    await world.clock.pass_slowly(480)  # until all begin to leave it
    await _until(world, all_is_left)
    for sender in senders:
        await sender.house.stop()
    before = await held()
    assert min(before) >= MESSAGES // 16
    seen = [before]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.5)
            seen.append(await held())

    watching = asyncio.create_task(watch())
    try:
        await _come_back(rita, len(senders))
    finally:
        watching.cancel()
    assert any(0 < first < before[0] and 0 < second < before[1] for first, second in seen)
    assert await held() == (0, 0)


async def test_by_links(world: World) -> None:
    rita = await world.person("Rita")
    senders = [await world.person(f"Sam {number}") for number in range(2)]
    with_senders = [await rita.befriend(sender) for sender in senders]
    await rita.house.stop()
    for sender, peer_id in zip(senders, with_senders, strict=True):
        await _say(sender, peer_id, MESSAGES // len(senders))
    await _come_back(rita, len(senders))
