"""Whoever was away takes, on the link with its carrier, what was left for it. Implements docs/protocol/carriers.md,
"Collecting"."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData, NotFound
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, PeerId, ShelfId
from chattor_bridge.node.carrying.pacing import MOST_HELD, MOST_SHELVES, Pacing
from chattor_bridge.node.mailbox import Mailbox, Taken
from chattor_bridge.node.patience import describe, heed_cancellation, unless
from chattor_bridge.node.records import Retired
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.blocks import open_block
from chattor_bridge.protocol.frames import Block, Collected, Holding
from chattor_bridge.protocol.limits import COSTLY, MAX_BLOCKS_UNCOLLECTED
from chattor_bridge.protocol.session import Session

log = logging.getLogger(__name__)

HANDING_PATIENCE: Final = 120.0
"""Seconds without a block after which a carrier is not waited for any more, whatever it said it holds: a slow circuit
takes a tenth of that for all that are under way."""

Took = Callable[[PeerId, Taken], None]
Spend = Callable[[PeerId, int], float]
Keys = dict[ShelfId, list[tuple[PeerId, bytes]]]


class Collecting:
    """What comes from one carrier on one link. `run` must be running for anything to be taken."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        carrier_id: PeerId,
        mailbox: Mailbox,
        counters: Counters,
        pacing: Pacing,
        *,
        spend: Spend,
        took: Took,
        say: Callable[[Collected], None],
    ) -> None:
        """``spend`` counts what a sender makes us store, and says for how long it has gone too far; ``took`` is told
        what to answer a sender; ``say`` answers the carrier."""
        self._around = around
        self._node_id = node_id
        self._carrier_id = carrier_id
        self._mailbox = mailbox
        self._counters = counters
        self._pacing = pacing
        self._spend = spend
        self._took = took
        self._say = say
        self._blocks: dict[ShelfId, deque[Block]] = {}
        self._news = asyncio.Event()
        self._left = 0
        self._told = False
        self._heard_at = self._counted_at = around.clock.monotonic()

    async def holding(self, frame: Holding) -> None:
        """The friend says how much there is; that counts once, and from carriers. Raises: DatabaseUnavailable."""
        if self._told:
            return
        async with self._around.store.transaction() as tx:
            shelves = await self._around.store.carriers.shelves(tx, self._node_id)
        self._told = True
        if any(shelf.carrier_id == self._carrier_id for shelf in shelves):
            self._heard_at = self._counted_at = self._around.clock.monotonic()
            self._expect(min(frame.blocks, MOST_HELD))
            self._news.set()

    def put(self, block: Block) -> None:
        """A block has come. Raises: MalformedData when the carrier does not wait for what it sent to be collected."""
        waiting = self._blocks.setdefault(block.shelf, deque())
        if len(waiting) >= MAX_BLOCKS_UNCOLLECTED or len(self._blocks) > MOST_SHELVES:
            raise MalformedData("a carrier sends more blocks than may be under way")
        waiting.append(block)
        self._heard_at = self._around.clock.monotonic()
        self._news.set()

    async def run(self) -> None:
        """Take what comes, the shelves in turn, until cancelled."""
        try:
            while True:
                ready = {one: tuple(blocks) for one, blocks in self._blocks.items() if self._pacing.wait(one) <= 0}
                if ready:
                    await self._take_all(ready)
                else:
                    await self._wait()
                self._count_delay()
        finally:
            self._expect(0)

    async def _wait(self) -> None:
        """For a block, for the end of a pause, or for the end of our patience."""
        pauses = [self._pacing.wait(shelf) for shelf in self._blocks]
        if self._left:
            pauses.append(self._heard_at + HANDING_PATIENCE - self._around.clock.monotonic())
        self._news.clear()
        if pauses:
            await unless(self._news, self._around.clock.sleep(min(pauses)))
        else:
            await self._news.wait()

    def _count_delay(self) -> None:
        """What it is waited for counts, however it spends that time."""
        now = self._around.clock.monotonic()
        spent, self._counted_at = now - self._counted_at, now
        if self._left and (self._pacing.delayed(spent) or now - self._heard_at >= HANDING_PATIENCE):
            self._expect(0)

    async def _take_all(self, ready: Mapping[ShelfId, Sequence[Block]]) -> None:
        """Take these, which have come and wait. What opens under nobody's key costs no transaction of its own."""
        keys = await self._around.insist(lambda: self._keys(ready.keys()), on_failure=lambda _error, _delay: None)
        for shelf_id, blocks in ready.items():
            for block in blocks:
                await self._take(block, keys.get(shelf_id))
                if self._pacing.wait(shelf_id) > 0:  # what is behind it stays there
                    break

    async def _take(self, block: Block, keys: Sequence[tuple[PeerId, bytes]] | None) -> None:
        """Take the first block of a shelf. ``keys``: None when that is none of ours."""
        opened = _opened(block, keys or [])
        try:
            taken = None if opened is None else await self._store(block.shelf, *opened)
        except Exception as error:  # whatever is in it that cannot be stored now: what is on other shelves can
            heed_cancellation()
            log.warning("what a carrier brought cannot be stored yet: %s", describe(error))
            self._pacing.slow_down(block.shelf)
            return
        failpoint("block-taken")
        self._drop_first(block.shelf)
        if opened is not None and taken is not None:
            sender, _ = opened
            self._took(sender, taken)
            # What the carrier hands over again is not the sender's doing.
            if self._spend(sender, taken.stored + COSTLY * taken.costly):
                self._pacing.slow_down(block.shelf)
        else:
            self._counters.undecryptable += 1
            if keys is None:
                self._pacing.unknown()
            else:
                self._pacing.made_up(block.shelf)
        self._say(Collected(block.shelf, block.number))

    def _drop_first(self, shelf_id: ShelfId) -> None:
        waiting = self._blocks[shelf_id]
        waiting.popleft()
        if not waiting:
            del self._blocks[shelf_id]
        self._expect(self._left - 1)

    async def _keys(self, shelf_ids: Set[ShelfId]) -> Keys:
        """Of our shelves among these, the keys under which a block may open, and whose they are."""
        keys: Keys = {}
        store = self._around.store
        async with store.transaction() as tx:
            for shelf_id in shelf_ids:
                shelf = await store.carriers.shelf(tx, self._node_id, self._carrier_id, shelf_id)
                if shelf is None or shelf.onion is None:
                    continue
                keys[shelf_id] = []
                for sender in shelf.senders:
                    contact = await store.contacts.get(tx, self._node_id, sender)
                    if contact is not None:
                        session = Session.deserialize(contact.session)
                        keys[shelf_id].append((sender, session.block_key(shelf.onion, ours=False)))
        return keys

    async def _store(self, shelf_id: ShelfId, sender: PeerId, envelopes: Sequence[bytes]) -> Taken | None:
        """None when we want nothing of this sender any more."""
        store = self._around.store
        try:
            async with store.transaction() as tx:
                contact = await self._mailbox.locked(tx, sender)
                if contact.blocked or contact.retired is Retired.OVER:
                    return None
                taken = await self._mailbox.receive(tx, sender, envelopes, carried=True)
                if taken.ack is not None and (taken.stored or self._pacing.answers_again(shelf_id)):
                    await store.deposits.owe(tx, self._node_id, sender)
        except NotFound:
            return None
        return taken

    def _expect(self, blocks: int) -> None:
        """How many more are to come before everything is collected."""
        before, self._left = self._left, max(0, blocks)
        self._mailbox.collecting += self._left - before


def _opened(block: Block, keys: Sequence[tuple[PeerId, bytes]]) -> tuple[PeerId, list[bytes]] | None:
    """Whose it is, and the envelopes in it; None when it opens under nobody's key, or holds anything else."""
    for sender, key in keys:
        try:
            return sender, open_block(key, block.block)
        except AuthenticationFailed:
            continue
        except MalformedData:
            return None
    return None
