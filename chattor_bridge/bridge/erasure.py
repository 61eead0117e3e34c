"""Taking everything of one owner away: the node, and what the bridge keeps about its conversations.

All rows go in one transaction. What stands in Matrix rooms is the homeserver's; the ghosts and the bot leave them after
that, each in the lane of its portal, behind whatever is being done there at that moment.
"""

from __future__ import annotations

from chattor_bridge.bridge.actions import ClosePortal, Leave
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.files.notes import Notes
from chattor_bridge.bridge.lane_names import files_lane, owner_lane, portal_lane, puppet_lane, room_lane
from chattor_bridge.bridge.puppets import save_puppet
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.speech.answers import told_prefix
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.ports import Transaction


class Erasure:
    """Erases owners."""

    def __init__(self, store: BridgeStore, host: NodeHost, voice: Voice, conversations: Conversations) -> None:
        self._store = store
        self._host = host
        self._voice = voice
        self._conversations = conversations

    async def erase(self, tx: Transaction, owner: MatrixUserId) -> None:
        """Remove the owner's node and every row about it. Their newest management room is kept, for the answer."""
        node = self._host.node_of(owner)
        if node is not None:
            await self._host.remove(tx, node)
        for portal in await self._store.portals.of_owner(tx, owner):
            await self._close(tx, portal)
        await self._conversations.close_space(tx, owner, forget=True)
        await save_puppet(self._store, tx, owner, None)
        await self._store.actions.remove_lane(tx, puppet_lane(owner))
        await self._store.actions.remove_lane(tx, owner_lane(owner))
        rooms = await self._store.management_rooms.all_of_owner(tx, owner)
        for parked in await self._store.inbox.parked(tx, rooms):
            await self._store.inbox.remove(tx, parked.order)
        await self._store.room_keys.forget(tx, owner)
        for room_id in rooms:
            await self._store.knock_notices.remove_room(tx, room_id)
            await self._store.portal_notices.remove_room(tx, room_id)
        for room_id in rooms[:-1]:
            await self._store.management_rooms.remove(tx, room_id)
            await self._voice.arrange(tx, room_lane(room_id), Leave(self._voice.bot, room_id))

    async def _close(self, tx: Transaction, portal: Portal) -> None:
        lane = portal_lane(portal)
        await self._store.actions.remove_lane(tx, lane)
        await self._store.actions.remove_lane(tx, files_lane(portal))
        await Notes(self._store).remove_all(tx, portal)
        await self._store.remove_settings(tx, told_prefix(portal))
        await forget_portal(self._store, tx, portal)
        close = ClosePortal(portal.owner, portal.node_id.hex(), portal.peer_id.hex(), portal.ghost, portal.room_id)
        await self._voice.arrange(tx, lane, close)


async def forget_portal(store: BridgeStore, tx: Transaction, portal: Portal) -> None:
    """Remove every row about this conversation but its pending actions."""
    await store.event_links.remove(tx, portal.node_id, portal.peer_id)
    if portal.room_id is not None:
        await store.unread.remove_room(tx, portal.room_id)
        await store.portal_notices.remove_room(tx, portal.room_id)
        await store.inbox.remove_room(tx, portal.room_id)
    await store.portals.remove(tx, portal.node_id, portal.peer_id)
