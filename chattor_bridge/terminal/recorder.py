"""Writes down what happens to the node: the history, inside the transaction that made it happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.happenings import (
    CodeClosed,
    ContactAdded,
    ContactRenamed,
    ContactsMerged,
    EventArrived,
    EventDelivered,
    EventFailed,
    EventsForgotten,
    Happening,
    KnockFailed,
    KnockGone,
    KnockLeft,
    KnockReceived,
)
from chattor_bridge.node.notices import in_words
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.protocol.events import Event, Receipt, Text, Unknown
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.terminal.bell import Bell, Change, Changed, ContactChanged, MessageChanged
from chattor_bridge.terminal.ports import Direction, TerminalStore

Notice = KnockReceived | KnockFailed | CodeClosed | ContactAdded
"""What the person at `chattor run` is told of at once."""


class Recorder:
    """Implements `chattor_bridge.node.ports.Observer`.

    ``bell`` rings after every commit that changed something to see; ``notify`` is called, after the commit too, with
    what deserves a line in the daemon's terminal.
    """

    def __init__(self, store: TerminalStore, clock: Clock, bell: Bell, notify: Callable[[Notice], None]) -> None:
        self._store = store
        self._clock = clock
        self._bell = bell
        self._notify = notify

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        """See `Observer.record`."""
        history = self._store.history
        changes: list[Change] = []
        match happening:
            case EventArrived(peer_id):
                changes = [*await self._arrived(tx, node_id, happening), ContactChanged(peer_id)]
            case EventDelivered(peer_id, event_id):
                await history.mark_delivered(tx, node_id, peer_id, event_id, self._clock.now())
                changes = [MessageChanged(peer_id, event_id), ContactChanged(peer_id)]
            case EventFailed(peer_id, event_id, reason):
                await history.mark_failed(tx, node_id, peer_id, event_id, reason)
                changes = [MessageChanged(peer_id, event_id), ContactChanged(peer_id)]
            case ContactsMerged(peer_id, former):
                await history.move(tx, node_id, former, peer_id)
                changes = [Changed.EVERYTHING]
            case ContactRenamed():
                changes = [Changed.CONTACTS]
            case KnockGone() | KnockLeft():
                changes = [Changed.REQUESTS]
            case KnockReceived() | KnockFailed() | CodeClosed() | ContactAdded():
                notice: Notice = happening
                tx.after_commit(lambda: self._notify(notice))
                # a friend's answer ends a request, and whoever knocks uses a code
                changes = [Changed.REQUESTS, Changed.CODES, Changed.CONTACTS]
            case EventsForgotten():
                pass
        tx.after_commit(lambda: self._bell.ring(*changes))

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        """See `Observer.link_changed`."""
        self._bell.ring(ContactChanged(peer_id))

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        """See `Observer.signalled`."""
        self._bell.ring(ContactChanged(peer_id))

    async def _arrived(self, tx: Transaction, node_id: NodeId, arrived: EventArrived) -> list[Change]:
        """The messages that it added or changed."""
        peer_id, event = arrived.peer_id, arrived.event
        match event.body:
            case Text(text=text):
                pass
            case Unknown(type_name, fields):
                text = _in_words(event, type_name, fields)
            case Receipt(_, event_ids):
                await self._store.history.mark_read(tx, node_id, peer_id, event_ids, Direction.OUT, arrived.received_at)
                return [MessageChanged(peer_id, event_id) for event_id in event_ids]
            case body:
                text = _in_words(event, body.TYPE, {})
        await self._store.history.add(
            tx,
            node_id,
            peer_id,
            event.event_id,
            Direction.IN,
            text,
            sent_at=event.time,
            stored_at=arrived.received_at,
        )
        return [MessageChanged(peer_id, event.event_id)]


def _in_words(event: Event, type_name: str, fields: Mapping[str, object]) -> str:
    """What to show for an event that is no text this version knows."""
    said = in_words(type_name, fields)
    if said is None and event.critical:
        said = (
            f"WARNING: an important message of a kind this version does not know ({type_name}). Do not go on as if it "
            "had not been said: upgrade chattor, or ask your friend what it was"
        )
    return f"[{said or f'a message of a kind this version cannot show ({type_name}): upgrade chattor to see it'}]"
