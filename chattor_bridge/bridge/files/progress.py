"""How far files are, told in the room while they take their time: one notice for each, edited as it goes on.

Nothing here is durable but the notice, which is an action like any other. Files are looked at every few seconds; one
that is there before anybody could wonder is not talked of.
"""

from __future__ import annotations

import logging

from chattor_bridge.bridge.actions import TellProgress
from chattor_bridge.bridge.files.notes import Notes
from chattor_bridge.bridge.files.words import how_far
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import FileId, MatrixEventId
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import describe, heed_cancellation
from chattor_bridge.node.ports import Clock
from chattor_bridge.node.records import TransferState
from chattor_bridge.node.views import TransferInfo

LOOK_INTERVAL = 5.0
"""Seconds between two looks at the files that are on their way."""

WORTH_TELLING = 10.0
"""Seconds a file is on its way before it is talked of."""

STEPS = 10
"""A notice changes as often at most until the file is there: each change stays in the room's history for ever."""

log = logging.getLogger(__name__)


class Progress:
    """`run` it."""

    def __init__(self, store: BridgeStore, host: NodeHost, clock: Clock, voice: Voice) -> None:
        self._store = store
        self._host = host
        self._clock = clock
        self._voice = voice
        self._notes = Notes(store)
        self._since: dict[FileId, float] = {}
        self._told: dict[FileId, int] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_INTERVAL)
            try:
                await self.look()
            except Exception as error:
                heed_cancellation()
                log.log(
                    logging.INFO if isinstance(error, Unavailable) else logging.ERROR,
                    "the progress of files could not be told: %s",
                    describe(error),
                )

    async def look(self) -> None:
        """Tell what there is to tell. Raises: DatabaseUnavailable."""
        under_way = [(node, one) for node in self._host.nodes() for one in await node.files.list() if _moves(one)]
        known = {one.file_id for _, one in under_way}
        self._since = {file_id: since for file_id, since in self._since.items() if file_id in known}
        self._told = {file_id: step for file_id, step in self._told.items() if file_id in known}
        for node, one in under_way:
            since = self._since.setdefault(one.file_id, self._clock.monotonic())
            step = STEPS * one.done // one.size if one.size else 0
            if self._clock.monotonic() - since >= WORTH_TELLING and self._told.get(one.file_id) != step:
                await self._tell(node, one)
                self._told[one.file_id] = step

    async def _tell(self, node: Node, one: TransferInfo) -> None:
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node.node_id, one.peer_id)
            if portal is None or portal.room_id is None:
                return
            notice = (await self._notes.get(tx, portal, one.file_id)).notice
            if notice is not None:
                await self._voice.edit(tx, Place.portal(portal), MatrixEventId(notice), how_far(one))
            else:
                action = TellProgress(node.node_id.hex(), one.peer_id.hex(), one.file_id.hex(), how_far(one))
                await self._voice.arrange(tx, portal_lane(portal), action)


def _moves(one: TransferInfo) -> bool:
    return one.state is TransferState.ACCEPTED
