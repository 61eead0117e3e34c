"""Writes down what happens to the node: the history, inside the transaction that made it happen."""

from __future__ import annotations

from collections.abc import Callable

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.files import Files
from chattor_bridge.node.happenings import (
    CarriersLost,
    CodeClosed,
    ContactAdded,
    ContactPictured,
    ContactRenamed,
    ContactsMerged,
    EventArrived,
    EventCarried,
    EventDelivered,
    EventFailed,
    EventsExpired,
    EventsForgotten,
    FileArrived,
    FileFailed,
    FileSent,
    Happening,
    KnockFailed,
    KnockGone,
    KnockLeft,
    KnockReceived,
    Missed,
)
from chattor_bridge.node.ports import Clock, Transaction
from chattor_bridge.protocol.events import Delete, Edit, PollEnd, Receipt, Vote
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.terminal.bell import Bell, Change, Changed, ContactChanged, MessageChanged
from chattor_bridge.terminal.forms import Form, form_of
from chattor_bridge.terminal.ports import Direction, History, HistoryEntry, TerminalStore

MOST_CHANGES = 500
"""Changes of one message that are looked at, the newest: a conversation of two people has a few."""

OF_ITS_SENDER_ALONE = frozenset({Edit.TYPE, Delete.TYPE, PollEnd.TYPE})
"""Changes that count for events of their own sender alone (docs/protocol/events.md, "Who may change what")."""

Notice = KnockReceived | KnockFailed | CodeClosed | ContactAdded | FileArrived | FileFailed | Missed
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
        self.files: Files | None = None
        """Those of the node, once there is one: what a friend takes back of its files is erased."""

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        """See `Observer.record`."""
        history = self._store.history
        changes: list[Change] = []
        match happening:
            case EventArrived(peer_id):
                changes = [*await self._arrived(tx, node_id, happening), ContactChanged(peer_id)]
            case EventCarried(peer_id, event_id):  # at how many carriers is on disk already
                changes = [MessageChanged(peer_id, event_id)]
            case EventDelivered(peer_id, event_id):
                await history.mark_delivered(tx, node_id, peer_id, event_id, self._clock.now())
                changes = [MessageChanged(peer_id, event_id), ContactChanged(peer_id)]
            case EventFailed(peer_id, event_id, reason):
                await history.mark_failed(tx, node_id, peer_id, event_id, reason)
                changes = [MessageChanged(peer_id, event_id), ContactChanged(peer_id)]
            case ContactsMerged(peer_id, former):
                await history.move(tx, node_id, former, peer_id)
                changes = [Changed.EVERYTHING]
            case CarriersLost(peer_id):  # at how many each message is, is on disk
                changes = [ContactChanged(peer_id)]
            case ContactRenamed() | ContactPictured():
                changes = [Changed.CONTACTS]
            case KnockGone() | KnockLeft():
                changes = [Changed.REQUESTS]
            case KnockReceived() | KnockFailed() | CodeClosed() | ContactAdded():
                notice: Notice = happening
                tx.after_commit(lambda: self._notify(notice))
                # a friend's answer ends a request, and whoever knocks uses a code
                changes = [Changed.REQUESTS, Changed.CODES, Changed.CONTACTS]
            case FileArrived(peer_id, event_id) | FileSent(peer_id, event_id):
                changes = [MessageChanged(peer_id, event_id), ContactChanged(peer_id)]
                if isinstance(happening, FileArrived):
                    tx.after_commit(lambda: self._notify(happening))
            case FileFailed(peer_id, event_id, _file, reason):
                entry = await history.get(tx, node_id, peer_id, event_id)
                if entry is not None and entry.direction is Direction.OUT:
                    await history.mark_failed(tx, node_id, peer_id, event_id, f"the file {reason}")
                tx.after_commit(lambda: self._notify(happening))
                changes = [MessageChanged(peer_id, event_id), ContactChanged(peer_id)]
            case EventsExpired(peer_id, event_ids):
                for event_id in event_ids:
                    await history.expire(tx, node_id, peer_id, event_id)
                changes = [*(MessageChanged(peer_id, event_id) for event_id in event_ids), ContactChanged(peer_id)]
            case Missed():
                tx.after_commit(lambda: self._notify(happening))
                changes = [happening]
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
        if isinstance(event.body, Receipt):
            read = event.body.event_ids
            await self._store.history.mark_read(tx, node_id, peer_id, read, Direction.OUT, arrived.received_at)
            return [MessageChanged(peer_id, event_id) for event_id in read]
        form, shown = form_of(event), event.event_id
        if form.target is not None:
            changed = await self._store.history.get(tx, node_id, peer_id, form.target)
            if changed is not None and not _may_change(changed, form):
                return []
            shown = form.target if changed is None or changed.target is None else changed.target
        await self._store.history.add(
            tx,
            node_id,
            peer_id,
            event.event_id,
            Direction.IN,
            form.text,
            sent_at=event.time,
            stored_at=arrived.received_at,
            kind=form.kind,
            target=form.target,
            reply=event.reply,
            thread=event.thread,
            detail=form.detail,
        )
        if form.kind == Delete.TYPE and form.target is not None:
            if self.files is not None:
                await self.files.taken_back(tx, peer_id, form.target)
            await take_back(self._store.history, tx, node_id, peer_id, form.target, Direction.IN, arrived.received_at)
        elif form.target is None:
            # past a gap, what takes it back may have come before it
            changes = await self._store.history.changes(tx, node_id, peer_id, event.event_id, MOST_CHANGES)
            if any(one.kind == Delete.TYPE and one.direction is Direction.IN for one in changes):
                await self._store.history.take_back(tx, node_id, peer_id, event.event_id, arrived.received_at)
        return [MessageChanged(peer_id, shown)]


def _may_change(changed: HistoryEntry, form: Form) -> bool:
    """Whether a friend's change of this counts."""
    if form.kind in OF_ITS_SENDER_ALONE and changed.direction is not Direction.IN:
        return False
    return form.kind == Delete.TYPE or (changed.deleted_at is None and changed.target is None)


async def take_back(
    history: History,
    tx: Transaction,
    node_id: NodeId,
    peer_id: PeerId,
    target: EventId,
    direction: Direction,
    at: int,
) -> None:
    """Erase what ``target`` said, if it was said in this direction. Of a vote everything its sender chose in that poll:
    or the vote before it would count again."""
    entry = await history.get(tx, node_id, peer_id, target)
    if entry is None or entry.direction is not direction:
        return
    votes = [] if entry.target is None else await history.changes(tx, node_id, peer_id, entry.target, MOST_CHANGES)
    for one in votes:
        if entry.kind == one.kind == Vote.TYPE and one.direction is direction:
            await history.take_back(tx, node_id, peer_id, one.event_id, at)
    await history.take_back(tx, node_id, peer_id, target, at)
