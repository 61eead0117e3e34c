"""What is arranged about the room of a conversation: that it is opened, looks right, is left or given up.

All of it inside the transaction that wants it: these methods wait for the database alone, and what they arrange is done
in the lane of the portal, behind what already waits there.
"""

from __future__ import annotations

import hashlib
import json

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.features import FEATURES
from chattor_bridge.bridge.ghosts import SECRET_BYTES, SECRET_NAME, Household
from chattor_bridge.bridge.lane_names import portal_lane, puppet_lane, space_lane
from chattor_bridge.bridge.puppets import puppet_of
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import NotFound
from chattor_bridge.ids import MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Clock, Transaction

FEATURES_SHOWN = "features"
"""The setting that says which table of features the rooms were told."""


class Conversations:
    """Finds portals and arranges what becomes of their rooms."""

    def __init__(self, store: BridgeStore, clock: Clock, household: Household, voice: Voice) -> None:
        self._store = store
        self._clock = clock
        self._household = household
        self._voice = voice

    async def portal(self, tx: Transaction, owner: MatrixUserId, node_id: NodeId, peer_id: PeerId) -> Portal:
        """The conversation's portal; its record is made if there is none."""
        portal = await self._store.portals.by_peer(tx, node_id, peer_id)
        if portal is None:
            secret = await self._store.secret(tx, SECRET_NAME, SECRET_BYTES)
            ghost = self._household.ghost(secret, owner, peer_id)
            portal = Portal(owner, node_id, peer_id, ghost, None, self._clock.now())
            await self._store.portals.add(tx, portal)
        return portal

    async def open(self, tx: Transaction, portal: Portal) -> None:
        """Have the room opened, and its owner invited."""
        action = actions.OpenPortal(portal.node_id.hex(), portal.peer_id.hex())
        await self._voice.arrange(tx, portal_lane(portal), action)

    async def open_unless_about_to(self, tx: Transaction, portal: Portal) -> None:
        """Have the room opened before what follows, unless that is what its lane begins with anyway. Opening an open
        room changes nothing, so now and then once too often does no harm."""
        first = await self._store.actions.next(tx, portal_lane(portal))
        if first is None or first.action.get("kind") != actions.to_json(actions.OpenPortal("", ""))["kind"]:
            await self.open(tx, portal)

    async def refresh(self, tx: Transaction, portal: Portal) -> None:
        """Have the room look as things are, unless what is done last in this lane will see to it anyway.

        Raises: HomeserverUnavailable when too much waits already.
        """
        action = actions.RenamePortal(portal.node_id.hex(), portal.peer_id.hex())
        last = await self._store.actions.last(tx, portal_lane(portal))
        if last is not None and last.attempts == 0 and last.action == actions.to_json(action):
            return
        await self._voice.check_room_for_more(tx, portal_lane(portal))
        await self._voice.arrange(tx, portal_lane(portal), action)

    async def show_new_features(self, tx: Transaction) -> None:
        """Have every room say what this version carries, if that is not what the last one to run did."""
        digest = hashlib.sha256(json.dumps(FEATURES, sort_keys=True).encode()).hexdigest()
        if await self._store.get_setting(tx, FEATURES_SHOWN) == digest:
            return
        await self._store.set_setting(tx, FEATURES_SHOWN, digest)
        for node in await self._store.nodes.all(tx):
            for portal in await self._store.portals.of_owner(tx, MatrixUserId(node.owner)):
                if portal.room_id is not None:
                    refresh = actions.RenamePortal(portal.node_id.hex(), portal.peer_id.hex())
                    await self._voice.arrange(tx, portal_lane(portal), refresh)

    async def part(self, tx: Transaction, portal: Portal, *, everybody: bool) -> None:
        """Give the room up, and keep the friend: what is said next opens another. With ``everybody`` its owner and
        guests are sent out of the old one.

        Raises: NotFound when there is none.
        """
        if portal.room_id is None:
            raise NotFound("this conversation has no room now; chat opens one")
        await self._store.portals.leave(tx, portal.room_id)
        action = actions.PartFromRoom(
            portal.node_id.hex(), portal.peer_id.hex(), portal.ghost, portal.room_id, everybody
        )
        await self._voice.arrange(tx, portal_lane(portal), action)
        await self.tend(tx, portal.owner)

    async def tend(self, tx: Transaction, owner: MatrixUserId) -> None:
        """Have the owner's space follow what became of their rooms."""
        action = actions.TendSpace(owner)
        last = await self._store.actions.last(tx, space_lane(owner))
        if last is None or last.attempts > 0 or last.action != actions.to_json(action):
            await self._voice.arrange(tx, space_lane(owner), action)
        await self.tend_puppet(tx, owner)

    async def tend_puppet(self, tx: Transaction, owner: MatrixUserId) -> None:
        """Have done in the owner's name what is due after they were invited somewhere, if they let us."""
        if await puppet_of(self._store, tx, owner) is not None:
            await self._voice.arrange(tx, puppet_lane(owner), actions.TendPuppet(owner))

    async def want_space(self, tx: Transaction, owner: MatrixUserId) -> None:
        """Have the owner invited to their space, also after they left it."""
        await self._store.spaces.want(tx, owner, wanted=True)
        await self.tend(tx, owner)

    async def close_space(self, tx: Transaction, owner: MatrixUserId, *, forget: bool = False) -> None:
        """The owner wants no space, until they ask for it; with ``forget`` there is no such owner any more."""
        first = await self._store.actions.next(tx, space_lane(owner))
        space = await self._store.spaces.of_owner(tx, owner)
        await self._store.actions.remove_lane(tx, space_lane(owner))
        if forget:
            await self._store.spaces.remove(tx, owner)
        else:
            await self._store.spaces.want(tx, owner, wanted=False)
            if space.room_id is not None:
                await self._store.spaces.leave(tx, space.room_id)
        begun = first is not None and first.attempts > 0
        if space.room_id is not None or begun:
            close = actions.CloseSpace(owner, space.room_id, search=begun, forget=forget)
            await self._voice.arrange(tx, space_lane(owner), close)
