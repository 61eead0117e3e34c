"""Telling the friend what the owner has read."""

from __future__ import annotations

from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import Unavailable, UsageError
from chattor_bridge.ids import MatrixEventId
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.ports import Transaction


class Receipts:
    """Makes deeds of read receipts."""

    def __init__(self, store: BridgeStore, host: NodeHost, voice: Voice) -> None:
        self._store = store
        self._host = host
        self._voice = voice

    def read(self, portal: Portal, target: MatrixEventId) -> Deed:
        """The owner has read ``target``: the friend is told of it and what stands above it."""

        async def deed(tx: Transaction) -> None:
            node = self._host.node(portal.node_id)
            if node is None or portal.room_id is None:
                return
            read = await self._store.unread.take(tx, portal.room_id, target)
            if not read and await self._voice.is_under_way(tx, portal_lane(portal)):
                raise Unavailable("a receipt came before its message was saved")
            try:
                await node.read(tx, portal.merged_into or portal.peer_id, read)
            except UsageError:  # no such friend any more, or too much waits for them: a receipt may be spared
                return

        return deed
