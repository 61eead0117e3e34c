"""Everything a node does about carrying, at work: says what is to be said, hosts the shelves it holds, and leaves at
others' what its friends cannot be told now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.carrying.agreements import Agreements
from chattor_bridge.node.carrying.collecting import Collecting
from chattor_bridge.node.carrying.depositing import Depositing
from chattor_bridge.node.carrying.enclosing import Enclosing
from chattor_bridge.node.carrying.handing import Handing
from chattor_bridge.node.carrying.pacing import Pacing
from chattor_bridge.node.carrying.records import HeldShelf, Target
from chattor_bridge.node.carrying.shelf import Shelf
from chattor_bridge.node.filedesk import FileDesk
from chattor_bridge.node.friendship import DAY, Friendship
from chattor_bridge.node.hosting import Hostings, Wanted
from chattor_bridge.node.mailbox import Mailbox, Taken
from chattor_bridge.node.patience import describe, unless
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters, Trouble
from chattor_bridge.protocol.frames import Collected
from chattor_bridge.protocol.limits import MAX_CARRIERS, MAX_NEW_ONIONS

log = logging.getLogger(__name__)

SETTLE_INTERVAL: Final = 3600.0
"""Seconds between two looks at what has become old: lifetimes are counted in days."""

SETTLE_REST: Final = 3
"""How much longer than a look the rest after it takes: friends who say ever new things keep us busy for a quarter of
the time, and one look serves everything that came meanwhile."""

LONGEST_REST: Final = 10.0
"""Seconds of it at most: a database that did not answer is no look that took long."""


class CarryingWork:
    """Of one node. `run` it beside its friendships."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        mailbox: Mailbox,
        counters: Counters,
        desk: FileDesk,
        *,
        friendship: Callable[[PeerId], Friendship | None],
        wake: Callable[[PeerId], None],
        run_stream: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> None:
        """``friendship`` finds the live half of a contact; ``wake`` is called when something was put into its outbox;
        ``run_stream`` runs a stream's handler in the node's tasks."""
        self._around = around
        self._node_id = node_id
        self._mailbox = mailbox
        self._counters = counters
        self._friendship = friendship
        self._enclosing = Enclosing(around, node_id, desk)
        self._look = asyncio.Event()
        self.agreements = Agreements(around, node_id, mailbox, look_again=self.look_again, wake=wake)
        # Shelves have a tor of their own: who uses them must not be able to tell that our friends' onions are near.
        self.hostings = Hostings(replace(around, transport=around.shelf_transport), run_stream)
        self._shelves: dict[OnionKey, Shelf] = {}
        self._depositing: dict[tuple[PeerId, bytes], Depositing] = {}
        self._tasks: dict[tuple[PeerId, bytes], asyncio.Task[None]] = {}
        self._followed: dict[PeerId, dict[bytes, float]] = {}
        self._pacings: dict[PeerId, Pacing] = {}
        self.trouble = Trouble()

    def look_again(self) -> None:
        """Something changed on disk."""
        self._look.set()

    def wake(self, peer_id: PeerId) -> None:
        """Something was put into this friend's outbox, or an acknowledgement is due."""
        for (whose, _), depositing in self._depositing.items():
            if whose == peer_id:
                depositing.wake()

    def on_link(self, peer_id: PeerId, say: Callable[[Collected], None]) -> tuple[Handing, Collecting]:
        """What a link with this friend needs to carry."""
        collecting = Collecting(
            self._around,
            self._node_id,
            peer_id,
            self._mailbox,
            self._counters,
            self._pacings.setdefault(peer_id, Pacing(self._around.clock)),
            spend=self._spend,
            took=self._took,
            say=say,
        )
        return Handing(self._around, self._node_id, peer_id, on_last=self.look_again), collecting

    def troubles(self) -> list[tuple[PeerId, Trouble]]:
        """What is the matter with leaving something for a friend."""
        return [(peer_id, one.trouble) for (peer_id, _), one in self._depositing.items()]

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as onions, asyncio.TaskGroup() as group:
                clock = asyncio.get_running_loop().time
                while True:
                    began = clock()
                    self._look.clear()
                    await self._around.insist(self.agreements.settle, on_failure=self._held_up)
                    shelves, targets = await self._around.insist(self._read, on_failure=self._held_up)
                    self.trouble.well()
                    await self._host(shelves, onions)
                    self._deposit(targets, group)
                    await asyncio.sleep(min(SETTLE_REST * (clock() - began), LONGEST_REST))
                    await unless(self._look, self._around.clock.sleep(SETTLE_INTERVAL))
        finally:
            self.hostings.forget()
            self._depositing.clear()
            self._tasks.clear()

    async def _read(self) -> tuple[list[HeldShelf], list[Target]]:
        store, targets = self._around.store, list[Target]()
        async with store.transaction() as tx:
            shelves = await store.carriages.shelves(tx, self._node_id)
            contacts = await store.contacts.of_node(tx, self._node_id)
            friends = [one.peer_id for one in contacts if not one.blocked and one.retired is None]
            for peer_id in friends:
                targets += await store.deposits.targets(tx, self._node_id, peer_id)
        return [shelf for shelf in shelves if shelf.closed_at is None and shelf.peer_id in friends], targets

    async def _host(self, held: list[HeldShelf], onions: asyncio.TaskGroup) -> None:
        known, self._shelves = self._shelves, {}
        wanted: dict[OnionKey, Wanted] = {}
        for record in held:
            on_kept, quota = partial(self._kept, record.peer_id), self.agreements.quota
            shelf = Shelf(self._around, self._node_id, record, self._counters, quota, on_kept)
            shelf = self._shelves[shelf.onion] = known.get(shelf.onion, shelf)
            wanted[shelf.onion] = Wanted(record.onion_seed, shelf.clients, shelf.serve, record.opened_at)
        self.hostings.want(wanted, onions, spread=True)
        for onion in known.keys() - wanted.keys():
            await known[onion].close()

    def _deposit(self, targets: list[Target], group: asyncio.TaskGroup) -> None:
        wanted = {(target.peer_id, target.target_id): target for target in targets}
        for key, old in list(self._depositing.items()):
            # Who was blocked and unblocked meanwhile has another live half, and only that one knows of links.
            if key not in wanted or not old.is_with(self._friendship(old.peer_id)):
                del self._depositing[key]
                self._tasks.pop(key).cancel()
                if key not in wanted:
                    group.create_task(self._forget(old.onion))
        for key, target in wanted.items():
            friendship = self._friendship(target.peer_id)
            if key in self._depositing or friendship is None or not self._may_follow(target):
                continue
            depositing = self._depositing[key] = Depositing(
                self._around, self._node_id, friendship, target, enclose=self._enclosing.enclose
            )
            run = partial(self._around.insist, depositing.run, on_failure=partial(self._failed, depositing.trouble))
            self._tasks[key] = group.create_task(run())

    def _may_follow(self, target: Target) -> bool:
        """Whether something may be left where this friend says now: by its shelves it could move us as by its own
        onion, see `MAX_NEW_ONIONS`. What is not followed is looked at again."""
        now, before = self._around.clock.monotonic(), self._followed.get(target.peer_id, {})
        followed = {ident: at for ident, at in before.items() if now - at < DAY}
        self._followed[target.peer_id] = followed
        if target.target_id not in followed and len(followed) >= MAX_CARRIERS * MAX_NEW_ONIONS:
            return False
        followed.setdefault(target.target_id, now)
        return True

    async def _forget(self, onion: OnionKey) -> None:
        """Have tor forget the key of a shelf at which nothing will be left any more."""
        try:
            await self._around.transport.forget(onion)
        except Unavailable as error:
            log.info("the key of a shelf could not be dropped: %s", describe(error))

    def _kept(self, peer_id: PeerId) -> None:
        friendship = self._friendship(peer_id)
        if friendship is not None:
            friendship.hand_over()

    def _spend(self, peer_id: PeerId, size: int) -> float:
        friendship = self._friendship(peer_id)
        return 0.0 if friendship is None else friendship.spend(size)

    def _took(self, peer_id: PeerId, taken: Taken) -> None:
        friendship = self._friendship(peer_id)
        if friendship is not None and friendship.online:
            friendship.took(taken)
        else:
            self.wake(peer_id)

    def _held_up(self, error: Exception, delay: float) -> None:
        self._failed(self.trouble, error, delay)

    def _failed(self, trouble: Trouble, error: Exception, delay: float) -> None:
        trouble.failed(describe(error), self._around.clock.monotonic() + delay)
