"""What two friends agreed to let disappear: which timer holds, and taking away what is due.

See docs/protocol/events.md, "timer". What is to disappear is a row (`chattor_bridge.node.store_ports.Expiring`) from
the transaction in which it was said or came, and goes in the transaction in which whoever embeds the node is told; so a
crash, a night or a month in between makes it late and not forgotten, and nothing is told twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Final

from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.happenings import EventsExpired
from chattor_bridge.node.patience import unless
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Preferences
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.events import FileOffer, Location, Poll, Text, Timer
from chattor_bridge.protocol.limits import MAX_TIMER, MAX_TIMER_STEP

EXPIRED_AT_ONCE: Final = 100
"""Messages taken away in one transaction: a fraction of a second."""

LONGEST_LOOK: Final = 3_600.0
"""Seconds after which what is due is looked at anew in any case: a clock may have been set."""

DISAPPEAR: Final = frozenset({FileOffer.TYPE, Location.TYPE, Poll.TYPE, Text.TYPE})
"""Types of events that stand for themselves in a conversation. What changes them goes with them."""


async def preferences_of(store: NodeStore, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Preferences:
    """What our owner wants with this friend, or with every one."""
    preferences = await store.preferences.get(tx, node_id, peer_id)
    if preferences is not None:
        return preferences
    record = await store.nodes.get(tx, node_id)
    return Preferences() if record is None else Preferences(record.shares)


def agreed(ours: Preferences, theirs: Timer) -> Preferences:
    """What holds after a friend has set the timer. Both sides come to the same: the higher round wins, and of two that
    were set at once the one after which messages stay for the shorter time."""
    ahead = theirs.round - ours.timer_round
    if ahead < 0 or ahead > MAX_TIMER_STEP or (ahead == 0 and _length(theirs.seconds) >= _length(ours.timer)):
        return ours
    return replace(ours, timer=theirs.seconds, timer_round=theirs.round)


def _length(seconds: int) -> int:
    return seconds or MAX_TIMER + 1


class Expiry:
    """Takes away what is due, for one node. `run` it; `look_again` when something may be due sooner."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        on_failure: Callable[[Exception, float], None],
        files_of: Callable[[Transaction, PeerId, Collection[EventId]], Awaitable[None]],
    ) -> None:
        """``on_failure`` as for `Surroundings.insist`; ``files_of`` takes away what was offered by these events."""
        self._files_of = files_of
        self._around = around
        self._node_id = node_id
        self._on_failure = on_failure
        self._look = asyncio.Event()

    def look_again(self) -> None:
        self._look.set()

    async def run(self) -> None:
        """Until cancelled; what became due while nobody ran goes first."""
        clock = self._around.clock
        while True:
            self._look.clear()
            due = await self._around.insist(self._take, on_failure=self._on_failure)
            wait = LONGEST_LOOK if due is None else min(LONGEST_LOOK, due - clock.at_least())
            if wait > 0:
                await unless(self._look, clock.sleep(wait))

    async def _take(self) -> int | None:
        """Tell of some that are due; when the next one is."""
        store = self._around.store
        async with store.transaction() as tx:
            gone: dict[PeerId, list[EventId]] = {}
            for peer_id, event_id in await store.expiring.take(
                tx, self._node_id, self._around.clock.at_least(), EXPIRED_AT_ONCE
            ):
                gone.setdefault(peer_id, []).append(event_id)
            for peer_id, event_ids in gone.items():
                await self._files_of(tx, peer_id, event_ids)
                await self._around.observer.record(tx, self._node_id, EventsExpired(peer_id, tuple(event_ids)))
            if gone:
                tx.after_commit(lambda: failpoint("expiry-committed"))
            due = await store.expiring.next_due(tx, self._node_id)
        if gone:
            await store.scrub()
        return due
