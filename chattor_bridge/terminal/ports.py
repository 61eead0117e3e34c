"""What the terminal program needs from outside beside a node's: its history.

A bridge keeps no delivered plaintext, because the homeserver shows the conversation. A terminal has nobody else to show
it, so it keeps what was said, sealed, for as long as its owner wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.store_ports import NodeStore

JsonObject = dict[str, Any]


class Direction(StrEnum):
    """Who said it."""

    IN = "in"  # the friend
    OUT = "out"  # our owner


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing said, as the terminal shows it. Times are seconds since the epoch.

    ``order`` rises with every entry of this store and is never used twice, so it serves as a cursor.
    ``sent_at`` is the sender's clock, ``stored_at`` ours: when it arrived, or when it was put on its way.
    ``delivered_at`` is set once the friend has it on disk (``OUT`` only); ``read_at`` once it was read, by the friend
    (``OUT``) or by our owner (``IN``). ``failure`` is a sentence for a person, empty unless it will not arrive.

    ``kind`` is the type of the event, for a text its kind if it has one (``"emote"``, ``"notice"``), and ``"note"`` for
    what a node says itself. A change has the event it changes as its ``target``, and nobody has to read it by itself.
    ``detail`` is what an event has beside its text (`chattor_bridge.terminal.forms`). Of what was taken back
    (``deleted_at``) neither text nor detail is left.
    """

    order: int
    node_id: NodeId
    peer_id: PeerId
    event_id: EventId
    direction: Direction
    text: str  # sealed
    sent_at: int
    stored_at: int
    delivered_at: int | None
    read_at: int | None
    failure: str  # sealed
    kind: str = "text"
    target: EventId | None = None
    reply: EventId | None = None
    thread: EventId | None = None
    detail: JsonObject | None = None  # sealed
    deleted_at: int | None = None


class History(Protocol):
    """What was said, in the order in which this store learnt of it."""

    async def add(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        event_id: EventId,
        direction: Direction,
        text: str,
        *,
        sent_at: int,
        stored_at: int,
        kind: str = "text",
        target: EventId | None = None,
        reply: EventId | None = None,
        thread: EventId | None = None,
        detail: JsonObject | None = None,
    ) -> int:
        """Add an entry; its ``order``. Adding the same event again changes nothing and gives the order it has. A change
        (with a ``target``) counts as read."""

    async def get(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId
    ) -> HistoryEntry | None: ...

    async def by_order(self, tx: Transaction, node_id: NodeId, order: int) -> HistoryEntry | None: ...

    async def changes(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, target: EventId, limit: int
    ) -> list[HistoryEntry]:
        """What changes this event: the newest ``limit``, oldest of them first."""

    async def take_back(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, at: int) -> None:
        """Erase the text and detail of an entry, and every change of it but deletions; a change itself is removed.
        Nothing of them is left in the database."""

    async def mark_delivered(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, at: int
    ) -> bool:
        """The friend has it; the first time counts. False when there is no such entry of ours (pruned, or no text)."""

    async def mark_read(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        event_ids: Sequence[EventId],
        direction: Direction,
        at: int,
    ) -> int:
        """These entries of this direction were read; the first time counts. An entry of ours that was read was also
        delivered. The number newly marked; unknown ids change nothing."""

    async def mark_failed(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, reason: str
    ) -> bool:
        """It will not arrive. False when there is no such entry of ours."""

    async def last(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        count: int,
        before: int | None = None,
        thread: EventId | None = None,
    ) -> list[HistoryEntry]:
        """The newest ``count`` entries with this friend (below the order ``before``) that are no changes, oldest of
        them first; with ``thread`` that message and those in its thread alone."""

    async def after(
        self,
        tx: Transaction,
        node_id: NodeId,
        order: int,
        limit: int,
        peer_id: PeerId | None = None,
        thread: EventId | None = None,
        *,
        changes: bool = True,
    ) -> list[HistoryEntry]:
        """Entries above ``order``, in order, ``limit`` at most; of one friend, or of all; of one thread, as `last`;
        with changes or without."""

    async def unread(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, limit: int) -> list[HistoryEntry]:
        """What this friend said and our owner has not read, in order, ``limit`` at most."""

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        """Make what was said with one friend what was said with another: the two have become one. Where both have an
        entry of one event, the other's stands."""

    async def expire(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> None:
        """Remove an entry, of either side, and what changes it, as if nothing had been said. Unknown ids change
        nothing."""

    async def erase(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """Forget everything said with this friend."""

    async def shorten(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, size: int) -> int:
        """Forget the oldest of what this friend said until at most ``size`` bytes of it are left, as they are stored;
        the number of entries forgotten."""

    async def prune(self, tx: Transaction, stored_before: int) -> int:
        """Forget everything stored before this time; the number of entries forgotten."""


class TerminalStore(NodeStore, Protocol):
    """One database for the node and its history, so that one transaction spans both."""

    @property
    def history(self) -> History: ...
