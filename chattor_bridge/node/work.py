"""The tasks of one node: what the database says there is to do, done.

One loop compares what is on disk with what is running and makes up the difference: doors and friends' onions to host,
knocks to leave, friends to dial. A commit only ever says "look again", so a crash between a commit and the work that
follows from it loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from chattor_bridge.ids import KnockId, NodeId, OnionKey, PeerId
from chattor_bridge.node.answering import LinkOnion
from chattor_bridge.node.carrying.work import CarryingWork
from chattor_bridge.node.expiry import Expiry, preferences_of
from chattor_bridge.node.filedesk import FileDesk
from chattor_bridge.node.friendship import Friendship
from chattor_bridge.node.friendships import Friendships
from chattor_bridge.node.hosted import HostedOnions
from chattor_bridge.node.hosting import Hostings
from chattor_bridge.node.housekeeping import Housekeeping
from chattor_bridge.node.knocking import Knocking
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.merging import Merging
from chattor_bridge.node.onions import OurOnions
from chattor_bridge.node.patience import describe, heed_cancellation, jitter
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Preferences, Shared
from chattor_bridge.node.records import (
    Contact,
    DoorRecord,
    KnockAttempt,
    KnockState,
    NodeRecord,
    OutgoingKnock,
    Retired,
)
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.transferring import Transferring
from chattor_bridge.node.views import Counters, Trouble, WorkStatus
from chattor_bridge.protocol.limits import RETIRE_PATIENCE
from chattor_bridge.protocol.signals import Here, Presence

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """What a node has to do."""

    record: NodeRecord
    doors: list[DoorRecord]
    knocks: list[tuple[OutgoingKnock, list[KnockAttempt]]]
    contacts: list[Contact]


class NodeWork:
    """Everything that runs for one node. `run` it; `look_again` after every change on disk."""

    def __init__(self, around: Surroundings, record: NodeRecord, *, spread: bool) -> None:
        """``spread``: other nodes begin with this one, so begin everything at a random moment of its own."""
        self._around = around
        self._node_id: NodeId = record.node_id
        self.record = record
        self.counters = Counters()
        self.presence = Here.UNKNOWN
        self.friendships = Friendships(self._friendship, self._start)
        self.expiry = Expiry(around, record.node_id, self._held_up, lambda *gone: self.desk.disappeared(*gone))
        self.mailbox = Mailbox(
            record.node_id,
            around,
            self.counters,
            on_change=self.look_again,
            on_parted=self._parted_from,
            on_carrying=lambda *said: self.carrying.agreements.take(*said),
            on_renewed=lambda *renewed: self.carrying.agreements.begin_anew(*renewed),
            on_file=lambda *said: self.desk.take(*said),
            on_expiry=self.expiry.look_again,
        )
        self.desk = FileDesk(around, record.node_id, self.mailbox, wake=self.wake, look_again=self._look_at_files)
        self.carrying = CarryingWork(
            around,
            record.node_id,
            self.mailbox,
            self.counters,
            self.desk,
            friendship=self.friendships.by_peer.get,
            wake=self.wake,
            run_stream=self._in_own_task,
        )
        self.transferring = Transferring(
            around, record.node_id, self.desk, online=self.friendships.online, follow=self.friendships.follow
        )
        self.merging = Merging(
            around, record.node_id, self.mailbox, wake=self.wake, join_carrying=self.carrying.agreements.join
        )
        self.hostings = Hostings(around, self._in_own_task)
        self._hosted = HostedOnions(
            around, record.node_id, self.mailbox, look_again=self.look_again, tell=self.friendships.tell_onions
        )
        self._onions = OurOnions(around, self.counters, self._link_onion)
        self._housekeeping = Housekeeping(
            around,
            record.node_id,
            self.mailbox,
            self.desk,
            self._hosted,
            friends=lambda: {peer_id: one.online for peer_id, one in self.friendships.by_peer.items()},
            look_again=self.look_again,
            on_failure=self._held_up,
        )
        self.trouble = Trouble()
        self._merges = around.repairing()
        self._merging_later: asyncio.Task[None] | None = None
        self._knockings: dict[KnockId, Knocking] = {}
        self._tasks: dict[KnockId, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._look = asyncio.Event()
        self._spread = spread

    def look_again(self) -> None:
        """Something changed on disk."""
        self._look.set()

    def _look_at_files(self) -> None:
        self.transferring.look_again()

    def wake(self, peer_id: PeerId) -> None:
        """Something was put into this friend's outbox."""
        self.friendships.wake(peer_id)
        self.carrying.wake(peer_id)

    async def show_presence(self, peer_id: PeerId) -> None:
        """Let a friend see whether our owner is there, if it may. Raises: DatabaseUnavailable."""
        async with self._around.store.transaction() as tx:
            preferences = await self.preferences(tx, peer_id)
        if Shared.PRESENCE in preferences.shares:
            self.friendships.signal(peer_id, Presence(self.presence))

    async def preferences(self, tx: Transaction, peer_id: PeerId) -> Preferences:
        """What our owner wants with this friend."""
        return await preferences_of(self._around.store, tx, self._node_id, peer_id)

    def _greeted_by(self, peer_id: PeerId) -> None:
        if self.presence is not Here.UNKNOWN and self._group is not None:
            self._group.create_task(self._guard(partial(self.show_presence, peer_id)))

    async def woken(self) -> None:
        """The machine slept, or its clock jumped: look at every link, dial and knock now, and see what is due."""
        await self.transferring.woken()
        self.friendships.woken()
        for knocking in self._knockings.values():
            knocking.woken()
        self._housekeeping.woken()
        self.expiry.look_again()
        self.look_again()

    def part(self, peer_id: PeerId, peer_onion: OnionKey | None) -> None:
        """Our owner has blocked or forgotten this friend: end every link, and keep no key of its onion."""
        self.friendships.part(peer_id)
        if peer_onion is not None and self._group is not None:
            self._group.create_task(self._guard(partial(self._around.transport.forget, peer_onion)))
        self.look_again()
        self._look_at_files()
        self.carrying.look_again()

    def _parted_from(self, contact: Contact) -> None:
        self.part(contact.peer_id, contact.peer_onion)

    async def _retire(self, tx: Transaction, contacts: Sequence[Contact]) -> list[Contact]:
        """Those whose friendship is not over. One that our owner has ended is, once the friend has heard of it or has
        had the time to; one that the friend has ended is at once."""
        left = []
        for contact in contacts:
            if contact.retired is Retired.SAYING and await self._has_heard(tx, contact):
                contact = await self.mailbox.end(tx, await self.mailbox.locked(tx, contact.peer_id))
                await self._around.store.contacts.save(tx, contact)
                self.mailbox.parted(tx, contact)
            elif contact.retired is Retired.OVER and contact.peer_id in self.friendships.by_peer:
                self.mailbox.parted(tx, contact)
            if contact.retired is not Retired.OVER:
                left.append(contact)
        return left

    async def _has_heard(self, tx: Transaction, contact: Contact) -> bool:
        """Whether the friend knows, or did not ask in time: the last thing said to it was that this is the end."""
        waiting = await self._around.store.outbox.count(tx, self._node_id, contact.peer_id)
        return waiting == 0 or self._around.clock.at_least() - contact.retired_at >= RETIRE_PATIENCE

    def meet_again(self, peer_id: PeerId) -> None:
        """Our owner has unblocked this friend."""
        self.friendships.meet_again(peer_id)
        self.look_again()

    async def run(self) -> None:
        """Work until cancelled. The friends' links end before the onions are taken down."""
        try:
            async with asyncio.TaskGroup() as onions, asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._housekeeping.run())
                group.create_task(self.expiry.run())
                group.create_task(self._keep_running(self.carrying.trouble, self.carrying.run))
                group.create_task(self._keep_running(self.trouble, self._catch_up))
                group.create_task(self._keep_running(self.trouble, self.transferring.run))
                await self._reconcile_for_ever(onions, group)
        finally:
            self._group = None
            self._tasks.clear()
            self.friendships.clear()
            self._knockings.clear()
            self.hostings.forget()
            self._around.budget.leave(self._node_id)
            self._spread = True

    async def _catch_up(self) -> None:
        await self.mailbox.catching_up.run(lambda: self.mailbox.collecting)

    def work_status(self) -> tuple[WorkStatus, ...]:
        """What every worker is doing."""
        lines = [self._line("node", self._node_id, self.trouble)]
        lines += [self._line("friend", one.peer_id, one.trouble) for one in self.friendships.by_peer.values()]
        lines += [self._line("knock", knock_id, one.trouble) for knock_id, one in self._knockings.items()]
        lines += [self._line("carrier", peer_id, trouble) for peer_id, trouble in self.carrying.troubles()]
        lines += [self._line("shelf", b"", trouble) for trouble in self.carrying.hostings.troubles().values()]
        by_onion = self._onions.names()
        for onion, trouble in self.hostings.troubles().items():
            what, ident = by_onion.get(onion, ("onion", b""))
            lines.append(self._line(what, ident, trouble))
        return tuple(lines)

    # --- comparing what is on disk with what runs --------------------------------------------------------------------

    async def _reconcile_for_ever(self, onions: asyncio.TaskGroup, group: asyncio.TaskGroup) -> None:
        while True:
            self._look.clear()
            await self._merge()
            on_disk = await self._around.insist(self._read, on_failure=self._held_up)
            self.trouble.well()
            if on_disk is not None:
                self._reconcile(on_disk, onions, group)
                self._spread = False
            await self._look.wait()

    async def _merge(self) -> None:
        """Make one of every two friendships that can be. What is in the way of that, which a friend may have put there,
        is in the way of nothing else; it is tried again."""
        try:
            async with self._around.store.transaction() as tx:
                contacts = await self._around.store.contacts.of_node(tx, self._node_id)
                await self.merging.settle(tx, [one for one in contacts if not one.blocked])
        except Exception as error:
            heed_cancellation()
            log.error("two friendships cannot become one yet: %s", describe(error))
            assert self._group is not None  # only called by what runs in it
            if self._merging_later is None or self._merging_later.done():
                self._merging_later = self._group.create_task(self._look_again_in(self._merges.next()))
        else:
            self._merges.reset()

    async def _look_again_in(self, delay: float) -> None:
        await self._around.clock.sleep(delay)
        self.look_again()

    async def _read(self) -> _OnDisk | None:
        store, now = self._around.store, self._around.clock.now()
        async with store.transaction() as tx:
            record = await store.nodes.get(tx, self._node_id)
            if record is None:
                return None
            doors = [one for one in await store.doors.of_node(tx, self._node_id) if not one.has_expired(now)]
            knocks = [
                (knock, await store.knocks.attempts(tx, knock.knock_id))
                for knock in await store.knocks.outgoing(tx, self._node_id)
                if knock.state is not KnockState.FAILED
            ]
            if not record.running:
                self._around.budget.leave(self._node_id)
                return _OnDisk(record, [], [], [])
            others = len(doors) + sum(bool(attempts) for _, attempts in knocks)
            contacts = [one for one in await store.contacts.of_node(tx, self._node_id) if not one.blocked]
            contacts = await self._retire(tx, contacts)
            contacts = await self._hosted.settle(tx, others, contacts)
        return _OnDisk(record, doors, knocks, contacts)

    def _reconcile(self, on_disk: _OnDisk, onions: asyncio.TaskGroup, group: asyncio.TaskGroup) -> None:
        # These two are told where they change; what was read before that may come here after it.
        now = self.record
        self.record = replace(on_disk.record, running=now.running, profile_name=now.profile_name)
        wanted = self._onions.wanted(on_disk.doors, on_disk.knocks, on_disk.contacts)
        self.hostings.want(wanted, onions, spread=self._spread)
        calling = {knock.knock_id for knock, _ in on_disk.knocks if knock.state is KnockState.CALLING}
        for over in self._knockings.keys() - calling:
            del self._knockings[over]
            self._tasks.pop(over).cancel()
        for knock_id in calling - self._knockings.keys():
            knocking = Knocking(
                self._around,
                knock_id,
                self.hostings,
                profile_name=lambda: self.record.profile_name,
                on_attempt=self.look_again,
            )
            self._knockings[knock_id] = knocking
            self._tasks[knock_id] = group.create_task(self._keep_running(knocking.trouble, knocking.run))
        longest = self._around.pace.start_jitter if self._spread else 0.0
        # As for onions: each moment is drawn by itself, and only their order is ours.
        moments = sorted(jitter(self._around.random, 0, longest) for _ in on_disk.contacts)
        latest_first = sorted(on_disk.contacts, key=lambda one: one.heard_at, reverse=True)
        for contact, moment in zip(latest_first, moments, strict=True):
            if not self.friendships.parted_from(contact.peer_id):  # since it was read
                self.friendships.begin(contact.peer_id, moment)

    def _link_onion(self, onion: OnionKey) -> LinkOnion:
        return LinkOnion(
            self._around,
            self._node_id,
            onion,
            self.mailbox,
            self.counters,
            befriend=self.friendships.begin,
            ask_to_carry=self.carrying.agreements.ask,
            transferring=self.transferring,
        )

    def _friendship(self, peer_id: PeerId) -> Friendship:
        return Friendship(
            self._around,
            self._node_id,
            peer_id,
            self.mailbox,
            asks=partial(self._hosted.asks, peer_id),
            carry=partial(self.carrying.on_link, peer_id),
            on_change=self.look_again,
            on_greeted=self._greeted_by,
            on_link=self._look_at_files,
        )

    def _start(self, friendship: Friendship, delay: float) -> asyncio.Task[None]:
        assert self._group is not None  # only called by what runs in it
        self.look_again()  # the friend's onion is open to one client only, now
        self.carrying.look_again()
        return self._group.create_task(self._keep_running(friendship.trouble, partial(friendship.run, delay)))

    # --- keeping it up -----------------------------------------------------------------------------------------------

    async def _keep_running(self, trouble: Trouble, run: Callable[[], Awaitable[None]]) -> None:
        """Run ``run`` to its end, again after every failure: one worker's failure stays its own."""
        await self._around.insist(run, on_failure=partial(self._failed, trouble))

    def _failed(self, trouble: Trouble, error: Exception, delay: float) -> None:
        log.error("a worker of a node failed and is started again: %s", describe(error))
        trouble.failed(describe(error), self._around.clock.monotonic() + delay)

    def _held_up(self, error: Exception, delay: float) -> None:
        self.trouble.failed(describe(error), self._around.clock.monotonic() + delay)

    async def _in_own_task(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the handler of a stream in the node's task tree, for as long as the stream's own task lives."""
        if self._group is None:
            return
        guarded = self._guard(work)
        try:
            task = self._group.create_task(guarded)
        except RuntimeError:  # the group is ending, and this stream with it
            guarded.close()
            return
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begun with in here: a task that is cancelled before its first step leaves nothing that was never awaited."""
        try:
            await work()
        except Exception as error:
            log.error("answering a friend or a stream failed: %s", describe(error))

    # --- status ------------------------------------------------------------------------------------------------------

    def _line(self, what: str, ident: bytes, trouble: Trouble) -> WorkStatus:
        waits = None
        if trouble.next_try is not None:
            waits = max(0.0, trouble.next_try - self._around.clock.monotonic())
        return WorkStatus(what, ident, trouble.phase, trouble.reason, trouble.failures, waits)
