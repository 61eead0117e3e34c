"""What a history does not keep: what is older than its owner wants, and of one friend more than anybody says."""

from __future__ import annotations

import logging
import secrets

from chattor_bridge.counting import counted
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.protocol.limits import EVENT_ID_SIZE, MAX_HISTORY_SIZE
from chattor_bridge.terminal.bell import Bell, Changed
from chattor_bridge.terminal.ports import Direction, TerminalStore

INTERVAL = 3600.0
"""Seconds between two rounds: options count in days, and what a friend may send in one."""

DAY = 86_400

TOO_MUCH = (
    "[Removed here: the oldest {count} of this friend, for it has said more than this program keeps. If it "
    "floods you, `chattor block NAME` or `chattor forget NAME` ends that]"
)

log = logging.getLogger(__name__)


class Forgetting:
    """Forgets, every hour. ``keep_days`` is what the owner wants, `None` for everything."""

    def __init__(
        self, store: TerminalStore, node_id: NodeId, clock: SteadyClock, bell: Bell, keep_days: int | None
    ) -> None:
        self._store = store
        self._node_id = node_id
        self._clock = clock
        self._bell = bell
        self._keep_days = keep_days

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.forget()
            except Unavailable as error:
                log.warning("old history could not be forgotten yet: %s", error)
            await self._clock.sleep(INTERVAL)

    async def forget(self) -> None:
        """One round. Raises: DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            if self._keep_days is not None and await self._store.history.prune(
                tx, self._clock.at_least() - self._keep_days * DAY
            ):
                tx.after_commit(lambda: self._bell.ring(Changed.EVERYTHING))
            contacts = await self._store.contacts.of_node(tx, self._node_id)
        for contact in contacts:
            await self._shorten(contact.peer_id)

    async def _shorten(self, peer_id: PeerId) -> None:
        """The owner is told, in the conversation: nothing that was acknowledged goes without a word."""
        async with self._store.transaction() as tx:
            count = await self._store.history.shorten(tx, self._node_id, peer_id, MAX_HISTORY_SIZE)
            if not count:
                return
            event_id, now = EventId(secrets.token_bytes(EVENT_ID_SIZE)), self._clock.now()
            await self._store.history.add(
                tx,
                self._node_id,
                peer_id,
                event_id,
                Direction.IN,
                TOO_MUCH.format(count=counted(count, "message")),
                sent_at=now,
                stored_at=now,
                kind="note",
            )
            tx.after_commit(lambda: self._bell.ring(Changed.EVERYTHING))
