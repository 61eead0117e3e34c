"""How a conversation looks in Matrix: what its room and its ghost are called, and what stands below that.

This is the one place that decides it. Whatever else a friend tells of itself (a picture, say) becomes a part of `Look`
here, and `chattor_bridge.bridge.rooms.PortalRooms.show` brings it into the room.
"""

from __future__ import annotations

from dataclasses import dataclass

from chattor_bridge.bridge.attachment import Picture
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.node.names import presentable, told_apart
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact

BOT_NAME = "Chattor"

NAMELESS = "A Chattor friend"
"""What to show for a friend who gives no name, and what every ghost is called outside its portal: whoever has seen a
ghost's id could ask the homeserver for its profile for ever after, so a friend's name is said in the portal alone."""

TOPIC = "A conversation over Chattor"
TOPIC_VERIFIED = "A conversation over Chattor, with somebody you have verified"
TOPIC_MISMATCH = "⚠ A conversation over Chattor, with somebody you could not verify"


@dataclass(frozen=True, slots=True)
class Look:
    """``name`` and ``avatar`` (an ``mxc://`` address) are shown for room and ghost alike; ``None`` is no picture.
    ``picture`` is what is to lie at that address, which is known once it does."""

    name: str
    topic: str
    avatar: str | None = None
    picture: Picture | None = None


class Looks:
    """Finds the look of a portal as things are now."""

    def __init__(self, store: BridgeStore) -> None:
        self._store = store

    async def of(self, portal: Portal) -> Look:
        """Raises: DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            return await self.in_transaction(tx, portal)

    async def in_transaction(self, tx: Transaction, portal: Portal) -> Look:
        """The same inside a transaction."""
        contacts = await self._store.contacts.of_node(tx, portal.node_id)
        contact = next((one for one in contacts if one.peer_id == portal.peer_id), None)
        if contact is None:
            return Look(NAMELESS, TOPIC)
        avatar = await self._store.pictures.of_friend(tx, portal.node_id, portal.peer_id)
        picture = None if avatar is None else Picture(avatar.data, avatar.mime_type)
        return Look(_name(contact, contacts), _topic(contact), picture=picture)


def _name(contact: Contact, contacts: list[Contact]) -> str:
    """As our owner says, else as the friend says, told apart from other people's."""
    if contact.alias:
        return contact.alias
    others = [one.alias or one.peer_name for one in contacts if one is not contact]
    return told_apart(presentable(contact.peer_name) or NAMELESS, contact.peer_id, [BOT_NAME, *others])


def _topic(contact: Contact) -> str:
    if contact.mismatch:
        return TOPIC_MISMATCH
    return TOPIC if contact.verified is None else TOPIC_VERIFIED
