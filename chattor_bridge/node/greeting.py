"""What two friends say of themselves on a link, and what of it each keeps: the hello, and who hosts which onion.

Implements docs/protocol/link.md, "Negotiation" and "Who hosts". Every method is a transaction of its own and may be
called again after it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chattor_bridge.errors import NoCommonVersion, NotFound, PeerMisbehaved
from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.ending import LinkEnded
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.records import Contact, Role
from chattor_bridge.node.resyncing import Resyncing
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.frames import Hello, Onions
from chattor_bridge.protocol.negotiation import Ours, negotiate
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.window import Ack


class Greeting:
    """Makes our hello and our onions for one link, and takes the friend's."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        peer_id: PeerId,
        mailbox: Mailbox,
        resync: Resyncing,
        *,
        settles: bool,
        asks: Callable[[], bool],
        on_moved: Callable[[], None],
    ) -> None:
        """As for `chattor_bridge.node.connection.Connection`."""
        self._around = around
        self._node_id = node_id
        self._peer_id = peer_id
        self._mailbox = mailbox
        self._resync = resync
        self._settles = settles
        self._asks = asks
        self._on_moved = on_moved

    async def session(self) -> Session:
        """The session as it is on disk: its state is what our hello says. Raises: NotFound."""
        return Session.deserialize((await self._look_up()).session)

    async def onions(self) -> Onions:
        """What we host and dial. Raises: NotFound."""
        contact = await self._look_up()
        hosts = hosted_onion(contact)
        keeps = contact.keeps and hosts is not None
        return Onions(hosts, contact.peer_onion, keeps=keeps, asks=keeps and self._asks())

    async def take_hello(self, hello: Hello) -> Ack | None:
        """Agree on a version, and see that the two halves of the session belong together. The acknowledgement that is
        owed to the friend, if one is: what was said before its hello may have gone to nobody.

        Raises: LinkEnded when there is no version, or no session, that both have; NotFound, also of a friend who was
        blocked meanwhile.
        """
        async with self._around.store.transaction() as tx:
            contact = await self._mailbox.unblocked(tx, self._peer_id)
            try:
                agreed = negotiate(Ours(), hello, contact.version)
            except NoCommonVersion as error:
                raise LinkEnded(str(error), bye="unsupported") from error
            greeted = replace(
                contact,
                version=agreed.version,
                capabilities=agreed.capabilities,
                established=contact.established or self._settles,
                heard_at=self._around.clock.now(),
            )
            greeted = await self._resync.compare(tx, greeted, hello)
            if not self._resync.muted:
                greeted = await self._mailbox.rekey(tx, greeted)
            await self._around.store.contacts.save(tx, greeted)
            owed = await self._around.store.deposits.owed(tx, self._node_id, self._peer_id)
        return Session.deserialize(greeted.session).received.ack() if owed else None

    async def take_onions(self, onions: Onions) -> None:
        """Remember where the friend can be dialled, take down what it no longer dials, and see that one of us keeps
        hosting: we do when the friend would rather not, and leave it when we asked the friend, who does."""
        async with self._around.store.transaction() as tx:
            contact = await self._mailbox.locked(tx, self._peer_id)
            ours = hosted_onion(contact)
            if onions.hosts is None and ours is None:
                raise PeerMisbehaved("neither this friend nor we would host an onion for the other")
            moved = replace(contact, peer_onion=onions.hosts)
            if onions.dials is not None and onions.dials == ours:
                moved = replace(moved, former_seed=None)
            if onions.keeps and contact.role is Role.KNOCKER and self._asks():
                moved = replace(moved, keeps=False)
            elif ours is not None and (onions.asks or not onions.keeps):
                moved = replace(moved, keeps=True)
            if moved != contact:
                await self._around.store.contacts.save(tx, moved)
                tx.after_commit(self._on_moved)

    async def _look_up(self) -> Contact:
        async with self._around.store.transaction() as tx:
            contact = await self._around.store.contacts.get(tx, self._node_id, self._peer_id)
        if contact is None:
            raise NotFound("no such contact")
        return contact


def hosted_onion(contact: Contact) -> OnionKey | None:
    """The onion we host for this friend."""
    return None if contact.hosted_seed is None else OnionKey(ed25519_public(contact.hosted_seed))
