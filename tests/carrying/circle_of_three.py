"""R, C and S of docs/protocol/carriers.md, with the words a test of them uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.node.carrying.records import HeldShelf, OwnShelf, Target
from chattor_bridge.node.happenings import CARRY_ASKED, EventArrived
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.frames import Frame
from tests.node.world import PATIENCE, Person, World

T = TypeVar("T")


@dataclass
class Three:
    """Rita is away sometimes, Carl carries for her, and Sam writes to her. Sam and Carl do not know each other."""

    rita: Person
    carl: Person
    sam: Person
    with_carl: PeerId
    with_sam: PeerId

    @classmethod
    async def meet(cls, world: World) -> Three:
        rita, carl, sam = [await world.person(name) for name in ("Rita", "Carl", "Sam")]
        return cls(rita, carl, sam, await rita.befriend(carl), await rita.befriend(sam))

    async def agree(self) -> None:
        """Rita asks Carl, who agrees; and Sam learns where to leave what is for her."""
        async with self.rita.house.store.transaction() as tx:
            await self.rita.node.carrying.ask(tx, self.with_carl)
        await self.carl.until(lambda: any(_is_ask(one) for one in self.carl.of(EventArrived)))
        async with self.carl.house.store.transaction() as tx:
            await self.carl.node.carrying.offer(tx, self.with_carl, 16, 128)
        await until_many(self.targets, 1)

    async def targets(self) -> list[Target]:
        store = self.sam.house.store
        async with store.transaction() as tx:
            return await store.deposits.targets(tx, self.sam.node_id, self.with_sam)

    async def shelves(self) -> list[OwnShelf]:
        store = self.rita.house.store
        async with store.transaction() as tx:
            return await store.carriers.shelves(tx, self.rita.node_id)

    async def held_shelves(self) -> list[HeldShelf]:
        """Those that Carl holds for Rita."""
        store = self.carl.house.store
        async with store.transaction() as tx:
            return await store.carriages.shelves(tx, self.carl.node_id, self.with_carl)

    async def held(self) -> int:
        """How many blocks Carl holds for Rita."""
        store = self.carl.house.store
        async with store.transaction() as tx:
            return await store.carriages.count(tx, self.carl.node_id, self.with_carl)

    async def until_held(self, blocks: int, *, step: float = 20.0) -> None:
        """Let time pass, in steps of that many seconds, until Carl holds that many."""
        await self.sam.house.world.clock.pass_until(until(self.held, lambda held: held == blocks), step=step)


def _is_ask(arrived: EventArrived) -> bool:
    return isinstance(arrived.event.body, Unknown) and arrived.event.body.type == CARRY_ASKED


async def until_many(things: Callable[[], Awaitable[Sequence[object]]], count: int) -> None:
    """Wait, with the clock standing still, until there are that many."""
    await asyncio.wait_for(until(things, lambda found: len(found) == count), PATIENCE)


async def until(ask: Callable[[], Awaitable[T]], is_so: Callable[[T], bool]) -> None:
    """What is in a database is asked for again and again: nobody tells of it."""
    while not is_so(await ask()):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def until_true(condition: Callable[..., object]) -> None:
    """Wait, with the clock standing still, for what nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_hosted(world: World, onion: OnionKey) -> None:
    """A network in memory tells nobody what is hosted."""
    while not world.network.hosts(onion):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def say_on_link(person: Person, peer_id: PeerId, *frames: Frame) -> None:
    """Say what no program says, on the only link with a friend."""
    [connection] = person.node.work.friendships.by_peer[peer_id]._live
    for frame in frames:
        connection._link.send(frame)
    connection.wake()
