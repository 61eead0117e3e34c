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
from chattor_bridge.node.patience import unless
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Retired
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.blocks import open_block
from chattor_bridge.protocol.frames import Block, Collected, Holding
from chattor_bridge.protocol.limits import COSTLY, MAX_BLOCKS_UNCOLLECTED, MAX_SHELF_BLOCKS, MAX_SHELVES
from chattor_bridge.protocol.session import Session

OVER_ALLOWANCE_PAUSE: Final = 60.0
"""Seconds before the next block of a friend who has said more than it may in a day: at a block a minute it adds little,
and whoever else left something there need not wait for a day."""

HANDING_PATIENCE: Final = 120.0
"""Seconds without a block after which a carrier is not waited for any more, whatever it said it holds: a slow circuit
takes a tenth of that for all that are under way."""

MOST_HELD: Final = 2 * MAX_SHELVES * MAX_SHELF_BLOCKS
"""Blocks that a carrier can hold: on the shelves it offers, and on those whose place they take."""

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
        self._told = False

    async def holding(self, frame: Holding) -> None:
        """The friend says how much there is; that counts once, and from carriers. Raises: DatabaseUnavailable."""
        if self._told:
            return
        async with self._around.store.transaction() as tx:
            shelves = await self._around.store.carriers.shelves(tx, self._node_id)
        self._told = True
        if any(shelf.carrier_id == self._carrier_id for shelf in shelves):
            self._expect(min(frame.blocks, MOST_HELD))
            self._news.set()

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
                if self._left:
                    await unless(self._news, self._around.clock.sleep(HANDING_PATIENCE))
                    if not self._news.is_set():
                        self._expect(0)
                else:
                    await self._news.wait()
                self._news.clear()
                while self._blocks:
                    await self._around.insist(self._take_first, on_failure=lambda _error, _delay: None)
        finally:
            self._expect(0)

    async def _take_first(self) -> None:
        block = self._blocks[0]
        taken: dict[PeerId, Taken] = {}
        async with self._around.store.transaction() as tx:
            shelf = await self._around.store.carriers.shelf(tx, self._node_id, self._carrier_id, block.shelf)
            opened = None if shelf is None else await self._open(tx, shelf, block.block)
            if opened is None:
                self._counters.undecryptable += 1
            else:
                sender, envelopes = opened
                one = taken[sender] = await self._mailbox.receive(tx, sender, envelopes, carried=True)
                if one.ack is not None:
                    await self._around.store.deposits.owe(tx, self._node_id, sender)
        failpoint("block-taken")
        self._blocks.popleft()
        for sender, one in taken.items():
            self._took(sender, one)
            # What the carrier hands over again is not the sender's doing.
            if self._spend(sender, one.stored + COSTLY * one.costly):
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
                if contact.blocked or contact.retired is Retired.OVER:
                    continue
                key = Session.deserialize(contact.session).block_key(shelf.onion, ours=False)
                return sender, open_block(key, block)
            except (AuthenticationFailed, NotFound):
                continue
            except MalformedData:
                return None
        return None

    def _expect(self, blocks: int) -> None:
        """How many more are to come before everything is collected."""
        before, self._left = self._left, max(0, blocks)
        self._mailbox.collecting += self._left - before
