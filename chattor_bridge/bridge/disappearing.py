"""Taking away what was said in a portal and whose time is over.

The bot removes it, whoever said it: the owner gave it the power to when the room was made. A redaction has one
transaction id over all tries, so a death in between removes nothing twice.
"""

from __future__ import annotations

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.changes import GONE
from chattor_bridge.bridge.ghosts import transaction_id
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import EventLink
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import EventId, MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction

STAYS = (
    "⚠ A message here should have disappeared, and the homeserver does not let me remove it: perhaps I lack the power "
    "to in this room. Please remove it yourself."
)


class Disappearing:
    """Does what `actions.Disappear` wants."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, voice: Voice) -> None:
        self._store = store
        self._homeserver = homeserver
        self._voice = voice

    async def disappear(self, action: actions.Disappear) -> Deed:
        """Remove an event with all that changes it."""
        node_id, peer_id = NodeId(bytes.fromhex(action.node)), PeerId(bytes.fromhex(action.peer))
        event_id = EventId(bytes.fromhex(action.event))
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
            links = await self._store.event_links.by_event(tx, node_id, peer_id, event_id)
            links += await self._store.event_links.of_target(tx, node_id, peer_id, event_id)
        ghost = None if portal is None else portal.ghost
        shown = {(link.room_id, link.matrix_event_id): link for link in links}
        stays = [link for link in shown.values() if not await self._redact(link, ghost)]
        failpoint("message-redacted")

        async def deed(tx: Transaction) -> None:
            for link in links:
                await self._store.event_links.remove_link(tx, link)
            for link in stays:
                if portal is not None and link.room_id == portal.room_id:
                    await self._voice.say(tx, Place.portal(portal), STAYS, reply_to=link.matrix_event_id)

        return deed

    async def _redact(self, link: EventLink, ghost: MatrixUserId | None) -> bool:
        """Whether it is gone. What a friend said its ghost can remove too, should the bot have lost its power."""
        users = [self._homeserver.bot, *([ghost] if ghost is not None and not link.ours else [])]
        for user in users:
            try:
                await self._remove(user, link.room_id, link.matrix_event_id)
            except HomeserverRefused as error:
                if error.errcode not in GONE:
                    raise
                if error.errcode == "M_NOT_FOUND":
                    return True
            else:
                return True
        return False

    async def _remove(self, user: MatrixUserId, room_id: MatrixRoomId, matrix_event_id: MatrixEventId) -> None:
        mark = transaction_id(user, room_id, matrix_event_id.encode(), "disappear")
        await self._homeserver.redact(user, room_id, matrix_event_id, mark)
