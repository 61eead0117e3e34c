"""Whoever was away takes, on the link with its carrier, what was left for it. Implements docs/protocol/carriers.md,
"Collecting"."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData, NotFound
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.carrying.records import OwnShelf
from chattor_bridge.node.mailbox import Mailbox, Taken
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.blocks import open_block
from chattor_bridge.protocol.frames import Block, Collected, Holding
from chattor_bridge.protocol.limits import MAX_BLOCKS_UNCOLLECTED
from chattor_bridge.protocol.session import Session

OVER_ALLOWANCE_PAUSE: Final = 60.0
"""Seconds before the next block of a friend who has said more than it may in a day: at a block a minute it adds little,
and whoever else left something there need not wait for a day."""

Took = Callable[[PeerId, Taken], None]
Spend = Callable[[PeerId, int], float]


class Collecting:
    """What comes from one carrier on one link. `run` must be running for anything to be taken."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        carrier_id: PeerId,
        mailbox: Mailbox,
        counters: Counters,
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
        self._spend = spend
        self._took = took
        self._say = say
        self._blocks: deque[Block] = deque()
        self._news = asyncio.Event()
        self._left = 0

    def holding(self, frame: Holding) -> None:
        """The carrier says how much there is."""
        self._expect(frame.blocks)

    def put(self, block: Block) -> None:
        """A block has come. Raises: MalformedData when the carrier does not wait for what it sent to be collected."""
        if len(self._blocks) >= MAX_BLOCKS_UNCOLLECTED:
            raise MalformedData("a carrier sends more blocks than may be under way")
        self._blocks.append(block)
        self._news.set()

    async def run(self) -> None:
        """Take one block after the other, until cancelled."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._blocks:
                    await self._around.insist(self._take_first, on_failure=lambda _error, _delay: None)
        finally:
            self._expect(0)

    async def _take_first(self) -> None:
        block = self._blocks[0]
        taken: dict[PeerId, Taken] = {}
        size = 0
        async with self._around.store.transaction() as tx:
            shelf = await self._around.store.carriers.shelf(tx, self._node_id, self._carrier_id, block.shelf)
            opened = None if shelf is None else await self._open(tx, shelf, block.block)
            if opened is None:
                self._counters.undecryptable += 1
            else:
                sender, envelopes = opened
                size = sum(map(len, envelopes))
                taken[sender] = await self._mailbox.receive(tx, sender, envelopes)
        failpoint("block-taken")
        self._blocks.popleft()
        for sender, one in taken.items():
            self._took(sender, one)
            if self._spend(sender, size):
                await self._around.clock.sleep(OVER_ALLOWANCE_PAUSE)
        self._expect(self._left - 1)
        self._say(Collected(block.shelf, block.number))

    async def _open(self, tx: Transaction, shelf: OwnShelf, block: bytes) -> tuple[PeerId, list[bytes]] | None:
        """Whose it is, and the envelopes in it; None when it opens under nobody's key."""
        if shelf.onion is None:
            return None
        for sender in shelf.senders:
            try:
                contact = await self._mailbox.locked(tx, sender)
                key = Session.deserialize(contact.session).block_key(shelf.onion, ours=False)
                return sender, open_block(key, block)
            except AuthenticationFailed:
                continue
            except (MalformedData, NotFound):
                return None
        return None

    def _expect(self, blocks: int) -> None:
        """How many more are to come before everything is collected."""
        before, self._left = self._left, max(0, blocks)
        self._mailbox.collecting += self._left - before
