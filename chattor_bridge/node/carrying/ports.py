"""What carrying needs of a node's store: R's half, C's and S's (docs/protocol/carriers.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chattor_bridge.ids import EventId, NodeId, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carriage, Carrier, HeldBlock, HeldShelf, OwnShelf, Target
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.protocol.carrying import Deposit


class Carriers(Protocol):
    """What R keeps: its carriers, its shelves at them, and what it has told its senders."""

    async def put(self, tx: Transaction, node_id: NodeId, carrier: Carrier) -> None:
        """Add, or replace by peer."""

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Carrier | None: ...
    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[Carrier]: ...
    async def open_shelf(self, tx: Transaction, node_id: NodeId, shelf: OwnShelf) -> None: ...
    async def save_shelf(self, tx: Transaction, node_id: NodeId, shelf: OwnShelf) -> None:
        """Save what may change: onion, key, since when it is superseded, and its senders."""

    async def shelf(
        self, tx: Transaction, node_id: NodeId, carrier_id: PeerId, shelf_id: ShelfId
    ) -> OwnShelf | None: ...
    async def shelves(self, tx: Transaction, node_id: NodeId) -> list[OwnShelf]:
        """The oldest first."""

    async def remove_shelf(self, tx: Transaction, node_id: NodeId, shelf_id: ShelfId) -> None: ...
    async def told(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> bytes:
        """The digest of what this sender was told last, empty for nothing."""

    async def tell(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, digest: bytes) -> None: ...


class Carriages(Protocol):
    """What C keeps: for whom it carries, the shelves, and the blocks on them."""

    async def put(self, tx: Transaction, node_id: NodeId, carriage: Carriage) -> None:
        """Add, or replace by peer."""

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Carriage | None: ...
    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[Carriage]: ...
    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """With all its shelves and blocks."""

    async def open_shelf(self, tx: Transaction, node_id: NodeId, shelf: HeldShelf) -> None: ...
    async def save_shelf(self, tx: Transaction, node_id: NodeId, shelf: HeldShelf) -> None:
        """Save what may change: since when it is closed, and whether it was answered."""

    async def shelves(self, tx: Transaction, node_id: NodeId, peer_id: PeerId | None = None) -> list[HeldShelf]:
        """Of one friend, or of all; the oldest first, closed ones included."""

    async def lock_shelf(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId
    ) -> HeldShelf | None:
        """Read and lock until the end of the transaction: nothing is put on it meanwhile."""

    async def remove_shelf(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId) -> None: ...
    async def keep(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, blocks: Sequence[bytes], at: int
    ) -> None:
        """Put blocks on a shelf, after those that were ever there. Raises: NotFound when the shelf is gone."""

    async def count(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId | None = None) -> int:
        """Blocks held for this friend, on one shelf or on all."""

    async def after(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, number: int, limit: int
    ) -> list[HeldBlock]:
        """Blocks of a shelf with a higher number, in order."""

    async def collected(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, up_to: int
    ) -> None: ...
    async def expire(self, tx: Transaction, node_id: NodeId, kept_before: int, now: int, limit: int) -> int:
        """Remove blocks kept before that, ``limit`` at most; how many. What was kept later than ``now``, by a clock
        that was wrong, was kept now."""

    async def count_all(self, tx: Transaction, node_id: NodeId) -> tuple[int, int]:
        """Blocks on all shelves of this node, and of all nodes; nobody else counts until the end of ``tx``."""

    async def count_shelves(self, tx: Transaction) -> tuple[int, int]:
        """How many shelves are open and how many there are, of all nodes of this store; nobody opens another until the
        end of the transaction."""


class Deposits(Protocol):
    """What S keeps: where its friends' mail can be left, and what was left there."""

    async def set_targets(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, deposits: Sequence[Deposit]) -> None:
        """These and no others; what was left at one that stays is not forgotten."""

    async def targets(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> list[Target]: ...
    async def to_leave(
        self,
        tx: Transaction,
        node_id: NodeId,
        target: Target,
        *,
        after: int,
        left_before: int,
        left_after: int,
        limit: int,
    ) -> list[OutboxEntry]:
        """Entries of the outbox, with a number above ``after``, that were not left there, or before that time, or after
        the other, by a clock that was wrong, or were lost there: one that was left later has been acknowledged. In
        order, ``limit`` at most, without their events."""

    async def left(
        self, tx: Transaction, node_id: NodeId, target: Target, entries: Sequence[OutboxEntry], at: int
    ) -> list[int]:
        """Note that these entries of the outbox are there now; at how many places each is, 0 for one that has been
        acknowledged or sealed anew meanwhile."""

    async def places(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> int:
        """At how many places an event waits that is in the outbox: without those where it was lost, 0 for any other."""

    async def acknowledged(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, seqs: Sequence[tuple[int, int]]
    ) -> None:
        """Note what is about to leave the outbox, within these inclusive ranges: what was left before it, and stays,
        was lost where that was left."""

    async def owe(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """An acknowledgement is due at every place where something can be left for this friend."""

    async def owed(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> dict[bytes, int]:
        """How many fell due at each place, by its id, since one was left there; places where none is due are left
        out."""

    async def paid(self, tx: Transaction, node_id: NodeId, target: Target, owed: int) -> None:
        """One was left there when ``owed`` had fallen due."""

    async def said(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """One is on its way to this friend: none is due at any place."""
