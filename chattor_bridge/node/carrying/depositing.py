"""What a friend cannot be told now is left at its carriers. Implements docs/protocol/carriers.md, "When to deposit"."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from chattor_bridge.errors import NotFound, OnionUnreachable, PeerMisbehaved, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.carrying.records import Target
from chattor_bridge.node.friendship import Friendship
from chattor_bridge.node.happenings import EventCarried
from chattor_bridge.node.patience import DIAL_TIMEOUT, Alarm, describe, jitter, unless, within
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Phase, Trouble
from chattor_bridge.protocol.blocks import fitting, seal_block
from chattor_bridge.protocol.deposit import DepositorEnd, Stored, auth_key
from chattor_bridge.protocol.limits import (
    CLOCK_TOLERANCE,
    DEPOSIT_TIMEOUT,
    FULL_SHELF_WAIT,
    SHELF_LIFETIME,
)
from chattor_bridge.protocol.primitives import hash256
from chattor_bridge.protocol.session import Session

BATCH: Final = 64
"""Envelopes read from the outbox at a time: a megabyte in memory at most."""

WINDOW: Final = 8
"""Blocks sent and not said to be stored: a slow circuit never waits for a round trip."""

RECHECK: Final = 6 * 3600.0
"""Seconds after which is looked for what was left too long ago, when nothing else wakes us."""


class ShelfFull(Exception):
    """There is no room now."""


class Depositing:
    """Leaves what waits for one friend at one of its carriers. `run` it for as long as the friend names that shelf."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        friendship: Friendship,
        target: Target,
        *,
        enclose: Callable[[PeerId], Awaitable[None]],
    ) -> None:
        """``enclose`` puts small files for the friend into its outbox."""
        self._around = around
        self._node_id = node_id
        self._friendship = friendship
        self._target = target
        self._enclose = enclose
        self._alarm = Alarm(around.clock)
        self._all_left = asyncio.Event()
        self._unread = False
        self.trouble = Trouble(Phase.LISTENING)

    @property
    def peer_id(self) -> PeerId:
        """For whom."""
        return self._target.peer_id

    @property
    def onion(self) -> OnionKey:
        """Of the shelf."""
        return self._target.deposit.onion

    def is_with(self, friendship: Friendship | None) -> bool:
        """Whether it is this one whose links we wait for."""
        return self._friendship is friendship

    def wake(self) -> None:
        """Something was put into the outbox, or an acknowledgement is due."""
        self._alarm.ring()

    async def run(self) -> None:
        """Until cancelled."""
        clock, random, pace = self._around.clock, self._around.random, self._around.pace
        while True:
            self.trouble.well(Phase.LISTENING)
            await self._friendship.unlinked.wait()
            wait = pace.deposit_wait + jitter(random, 0, pace.deposit_jitter)
            await unless(self._friendship.linked, clock.sleep(wait))
            await unless(self._friendship.linked, self._leave_for_long())

    async def _leave_for_long(self) -> None:
        """For as long as no link comes about."""
        self._all_left.clear()
        self._unread = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._put_files())
            await self._leave_words()

    async def _leave_words(self) -> None:
        """What is in the outbox, and what is put there later."""
        backoff = self._around.dialling()
        while True:
            try:
                self.trouble.trying()
                await self._leave()
            except ShelfFull:
                await self._pause("its carrier has no room left for it", FULL_SHELF_WAIT)
            except (Unavailable, PeerMisbehaved, NotFound, TimeoutError) as error:
                await self._pause(describe(error) or "its carrier did not answer in time", backoff.next())
            else:
                backoff.reset()
                if not self._unread:
                    self.trouble.well(Phase.LISTENING)
                self._all_left.set()
                await self._alarm.sleep(RECHECK)
                await self._around.clock.sleep(jitter(self._around.random, 0, self._around.pace.deposit_gathering))

    async def _put_files(self) -> None:
        """Put small files into the outbox, which rings the alarm, whenever all else is left. One that cannot be read,
        or is read for long, holds up nothing that is said meanwhile."""
        backoff = self._around.dialling()
        while True:
            await self._all_left.wait()
            self._all_left.clear()
            try:
                await self._enclose(self.peer_id)
            except (Unavailable, NotFound) as error:
                self._unread = True
                await self._pause(describe(error), backoff.next())
                self._all_left.set()
            else:
                self._unread = False
                backoff.reset()

    async def _pause(self, reason: str, seconds: float) -> None:
        self.trouble.failed(reason, self._around.clock.monotonic() + seconds)
        await self._around.clock.sleep(seconds)

    async def _leave(self) -> None:
        """Leave everything that is not there yet. Raises: ShelfFull, Unavailable, PeerMisbehaved, TimeoutError."""
        entries = await self._next(0)
        key, acknowledgement, owed = await self._keys()
        if not entries and not owed:
            return
        if owed:
            failpoint("acknowledgement-due")
        deposit = self._target.deposit
        stream = await self._around.transport.dial(
            deposit.onion,
            client_key=auth_key(deposit.capability, deposit.onion),
            isolation=hash256("node/deposit-isolation", self._node_id, self._target.target_id).hex(),
            timeout=DIAL_TIMEOUT,
        )
        try:
            end = DepositorEnd(deposit, self._around.random)
            await self._leave_on(stream, end, key, entries, [acknowledgement] if owed else [], owed)
        finally:
            await stream.close()

    async def _leave_on(
        self, stream: Stream, end: DepositorEnd, key: bytes, entries: list[OutboxEntry], loose: list[bytes], owed: int
    ) -> None:
        """``loose``: what goes before the entries, after which nothing is ``owed`` any more."""
        waiting: deque[OutboxEntry] = deque(entries)
        under_way: deque[list[OutboxEntry]] = deque()
        stored = 0
        await stream.write(end.data_to_send())
        while True:
            while end.room and len(under_way) < WINDOW and (waiting or loose):
                sizes = [len(one) for one in loose] + [len(entry.envelope) for entry in waiting]
                count = fitting(sizes) - len(loose)
                packed = [waiting.popleft() for _ in range(count)]
                end.send(seal_block(key, loose + [entry.envelope for entry in packed], self._around.random))
                loose = []
                under_way.append(packed)
                if not waiting and packed:
                    waiting.extend(await self._next(packed[-1].seq))
            await stream.write(end.data_to_send())
            if not under_way and not waiting and not loose and stored:
                return
            if end.told and not end.room and not under_way:
                raise ShelfFull
            for told in await within(self._around.clock, DEPOSIT_TIMEOUT, _hear(stream, end)):
                left = [entry for _ in range(told.count - stored) for entry in under_way.popleft()]
                await self._left(left, 0 if stored else owed)
                stored = told.count

    async def _next(self, after: int) -> list[OutboxEntry]:
        store, now = self._around.store, self._around.clock.now()
        async with store.transaction() as tx:
            return await store.deposits.to_leave(
                tx,
                self._node_id,
                self._target,
                after=after,
                left_before=now - SHELF_LIFETIME,
                left_after=now + CLOCK_TOLERANCE,
                limit=BATCH,
            )

    async def _keys(self) -> tuple[bytes, bytes, int]:
        """The key of blocks, a standalone acknowledgement, and how many are owed."""
        store, target = self._around.store, self._target
        async with store.transaction() as tx:
            owed = await store.deposits.owed(tx, self._node_id, target.peer_id)
            contact = await store.contacts.get(tx, self._node_id, target.peer_id)
        if contact is None:
            raise NotFound("no such contact")
        session = Session.deserialize(contact.session)
        key = session.block_key(target.deposit.onion, ours=True)
        acknowledgement = session.seal_ack(session.received.ack(), random=self._around.random)
        return key, acknowledgement, owed.get(target.target_id, 0)

    async def _left(self, entries: list[OutboxEntry], owed: int) -> None:
        """The carrier has these on disk, and what was owed: so do we, as a note."""
        if not entries and not owed:
            return
        store, peer_id, now = self._around.store, self._target.peer_id, self._around.clock.now()
        async with store.transaction() as tx:
            await store.deposits.paid(tx, self._node_id, self._target, owed)
            places = await store.deposits.left(tx, self._node_id, self._target, entries, now)
            for entry, count in zip(entries, places, strict=True):
                if count:
                    carried = EventCarried(peer_id, entry.event_id, count)
                    await self._around.observer.record(tx, self._node_id, carried)
        failpoint("block-left")


async def _hear(stream: Stream, end: DepositorEnd) -> list[Stored]:
    """What the carrier says next; bytes that come to no message are no answer. Raises: OnionUnreachable."""
    while True:
        data = await stream.read()
        if not data:
            raise OnionUnreachable("a carrier hung up before it had stored everything")
        if said := end.receive(data):
            return said
