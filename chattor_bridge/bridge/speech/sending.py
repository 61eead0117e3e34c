"""Handing the owner's words to the node, and writing down which Matrix event they came from."""

from __future__ import annotations

from collections.abc import Callable

from chattor_bridge.bridge.records import EventLink, InboxItem, JsonObject, Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import FriendshipEnded, NotFound, NotNow, UsageError
from chattor_bridge.ids import EventId, MatrixEventId, NodeId, PeerId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Body

STOPPED = "This was not sent, because your Chattor node is stopped: write !chattor start first."
GONE = "This could not be sent: the friend of this conversation is not among your contacts any more."


class Sending:
    """Sends within the transaction of a deed."""

    def __init__(
        self, store: BridgeStore, host: NodeHost, clock: SteadyClock, on_sent: Callable[[NodeId, PeerId], None]
    ) -> None:
        """``on_sent`` is called after a commit with which there is something more on its way to this friend."""
        self._store = store
        self._host = host
        self._clock = clock
        self._on_sent = on_sent

    def node(self, portal: Portal) -> Node:
        """Raises: NotNow when it is stopped."""
        node = self._host.node(portal.node_id)
        if node is None or not node.running:
            raise NotNow(STOPPED)
        return node

    async def understood(self, tx: Transaction, portal: Portal, event_type: str) -> bool:
        """Whether the friend's program knows this type of event. Raises: NotNow, NotFound."""
        return await self.node(portal).understands(tx, portal.peer_id, event_type)

    async def send(
        self,
        tx: Transaction,
        portal: Portal,
        item: InboxItem,
        body: Body,
        *,
        part: int = 0,
        of: MatrixEventId | None = None,
        reply: EventId | None = None,
        thread: EventId | None = None,
        target: EventId | None = None,
        detail: JsonObject | None = None,
    ) -> None:
        """Send ``body`` as the ``part`` of the Matrix event in ``item``, or of another one (``of``) that was sent
        before; the other arguments are for its link.

        Raises: UsageError, which says why it was not sent: NotNow when it can be tried again.
        """
        node, time = self.node(portal), said_at(item.event, self._clock.wall())
        try:
            sent = await node.send(tx, portal.peer_id, body, time=time, reply=reply, thread=thread)
        except UsageError as error:
            raise why_not(error) from error
        event_id = of or MatrixEventId(item.event["event_id"])
        link = EventLink(
            portal.node_id, portal.peer_id, sent, part, item.room_id, event_id, True, body.TYPE, target, detail
        )
        await self._store.event_links.add(tx, link)
        self.announce(tx, portal)

    def announce(self, tx: Transaction, portal: Portal) -> None:
        """Something more is on its way to this friend, once this is committed."""
        tx.after_commit(lambda: self._on_sent(portal.node_id, portal.peer_id))


def why_not(error: UsageError) -> UsageError:
    """What becomes of words that the node refuses: they are kept to be tried again, unless no try can ever do."""
    if isinstance(error, NotFound):
        return UsageError(GONE)
    said = f"This could not be sent: {error}."
    return UsageError(said) if isinstance(error, FriendshipEnded) else NotNow(said)


def said_at(event: JsonObject, now: int) -> int | None:
    """When a Matrix event was sent, in seconds; ``None`` when it does not say."""
    at = event.get("origin_server_ts")
    return min(at // 1000, now) if isinstance(at, int) and at > 0 else None
