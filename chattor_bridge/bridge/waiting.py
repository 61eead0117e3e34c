"""Noticing that what an owner said does not arrive.

A message to a friend who is online arrives within a second or two, so nothing is said of it at first. What still waits
after a while, for a friend who is not there, is told of once; when it has arrived the notice is taken back
(`chattor_bridge.bridge.statuses`). When to look is kept in memory alone and found again at every start.
"""

from __future__ import annotations

import logging

from chattor_bridge.bridge.actions import TellWaiting
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import Alarm, describe
from chattor_bridge.node.ports import Clock

GRACE = 15.0
"""Seconds in which a message may wait without a word: a link that broke is dialled again within them."""

RETRY = 5.0
"""Seconds after which a look that the database did not allow is tried again."""

NOTHING_DUE = 3600.0
"""Seconds of a pause that only what is said ends."""

log = logging.getLogger(__name__)


class Waiting:
    """Tell it what was `said`, and `run` it."""

    def __init__(self, store: BridgeStore, host: NodeHost, voice: Voice, clock: Clock) -> None:
        self._store = store
        self._host = host
        self._voice = voice
        self._clock = clock
        self._due: dict[tuple[NodeId, PeerId], float] = {}
        self._alarm = Alarm(clock)

    def said(self, node_id: NodeId, peer_id: PeerId) -> None:
        """Something is on its way to this friend. Never blocks."""
        self._due.setdefault((node_id, peer_id), self._clock.monotonic() + GRACE)
        self._alarm.ring()

    async def run(self) -> None:
        """Until cancelled."""
        while not await self._recalled():
            await self._clock.sleep(RETRY)
        while True:
            now = self._clock.monotonic()
            for friend in [friend for friend, at in self._due.items() if at <= now]:
                del self._due[friend]
                try:
                    await self._look(*friend)
                except Unavailable as error:
                    log.info("what waits cannot be looked at yet: %s", describe(error))
                    self._due[friend] = now + RETRY
            due = min(self._due.values(), default=now + NOTHING_DUE)
            await self._alarm.sleep(max(due - self._clock.monotonic(), 0.0))

    async def _recalled(self) -> bool:
        """Look at what an earlier run has left on its way. False when the database does not answer."""
        try:
            for node in self._host.nodes():
                for contact in await node.contacts():
                    if contact.queued:
                        self.said(node.node_id, contact.peer_id)
        except Unavailable as error:
            log.info("what waits cannot be looked at yet: %s", describe(error))
            return False
        return True

    async def _look(self, node_id: NodeId, peer_id: PeerId) -> None:
        node = self._host.node(node_id)
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            if node is None or portal is None or portal.room_id is None:
                return
            if not await self._store.event_links.waiting(tx, node_id, peer_id, 1):
                return
            if node.online(peer_id):  # a slow link, or one of which it is not known yet that it is dead
                self.said(node_id, peer_id)
            else:
                await self._voice.arrange(tx, portal_lane(portal), TellWaiting(node_id.hex(), peer_id.hex()))
