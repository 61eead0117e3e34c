"""What a node needs of a store: `NodeStore`, and each of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chattor_bridge.ids import DoorId, EventId, FileId, KnockId, NodeId, PeerId
from chattor_bridge.node.carrying.ports import Carriages, Carriers, Deposits
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Preferences
from chattor_bridge.node.records import (
    Contact,
    DoorRecord,
    HeldEvent,
    KnockAttempt,
    NodeRecord,
    OutboxEntry,
    OutgoingKnock,
    PendingKnock,
    SlicesWaiting,
    Transfer,
)
from chattor_bridge.protocol.talk import Avatar


class Nodes(Protocol):
    async def add(self, tx: Transaction, node: NodeRecord) -> None: ...
    async def save(self, tx: Transaction, node: NodeRecord) -> None: ...
    async def remove(self, tx: Transaction, node_id: NodeId) -> None:
        """Remove the node and everything that belongs to it."""

    async def get(self, tx: Transaction, node_id: NodeId) -> NodeRecord | None: ...
    async def for_update(self, tx: Transaction, node_id: NodeId) -> NodeRecord:
        """Read and lock until the end of the transaction, before any contact: what is saved then undoes nothing that
        somebody else saved. Raises: NotFound."""

    async def by_owner(self, tx: Transaction, owner: str) -> NodeRecord | None: ...
    async def all(self, tx: Transaction) -> list[NodeRecord]: ...


class Doors(Protocol):
    async def add(self, tx: Transaction, door: DoorRecord) -> None: ...
    async def save(self, tx: Transaction, door: DoorRecord) -> None:
        """Save what may change: when it ends, uses and whether it is parked."""

    async def for_update(self, tx: Transaction, door_id: DoorId) -> DoorRecord | None:
        """Read and lock until the end of the transaction, unless it is retired: uses are counted one by one."""

    async def retire(self, tx: Transaction, door_id: DoorId, at: int) -> None:
        """Mark the door retired and erase its keys; pending knocks of it stay."""

    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[DoorRecord]:
        """Doors that are not retired, oldest first."""


class Knocks(Protocol):
    # going out
    async def add_outgoing(self, tx: Transaction, knock: OutgoingKnock) -> None: ...
    async def save_outgoing(self, tx: Transaction, knock: OutgoingKnock) -> None: ...
    async def outgoing(self, tx: Transaction, node_id: NodeId) -> list[OutgoingKnock]: ...
    async def get_outgoing(self, tx: Transaction, knock_id: KnockId) -> OutgoingKnock | None:
        """Read and lock until the end of the transaction: its door may answer while it is given up."""

    async def remove_outgoing(self, tx: Transaction, knock_id: KnockId) -> None:
        """Remove the knock and its attempts."""

    async def add_attempt(self, tx: Transaction, attempt: KnockAttempt, *, keep: int) -> None:
        """Add an attempt and forget all but the newest ``keep`` of this knock."""

    async def attempts(self, tx: Transaction, knock_id: KnockId) -> list[KnockAttempt]:
        """Newest first."""

    # come in
    async def put_pending(self, tx: Transaction, knock: PendingKnock) -> KnockId:
        """Add, or replace in place the pending knock of the same node and ``peer_static``, keeping that row's
        ``knock_id``, ``received_at``, ``seen`` and ``ignored``. Returns the id under which it stands."""

    async def decide_pending(self, tx: Transaction, node_id: NodeId) -> None:
        """Let only one transaction at a time, until it ends, decide what becomes of the requests of a node."""

    async def get_pending(self, tx: Transaction, knock_id: KnockId) -> PendingKnock | None: ...
    async def pending(self, tx: Transaction, node_id: NodeId) -> list[PendingKnock]:
        """Those with the most effort first, the older first of equals; ignored ones included."""

    async def see_pending(self, tx: Transaction, node_id: NodeId, knock_ids: Sequence[KnockId]) -> None:
        """Mark these as seen by their owner; ids that are not there change nothing."""

    async def ignore_pending(self, tx: Transaction, knock_id: KnockId) -> None: ...
    async def block_pending(self, tx: Transaction, knock_id: KnockId) -> None:
        """Mark as blocked, and ignored; it stays until it would have expired."""

    async def unblock_pending(self, tx: Transaction, knock_id: KnockId) -> None:
        """Undo `block_pending`; it stays ignored."""

    async def remove_pending(self, tx: Transaction, knock_id: KnockId) -> None: ...
    async def expire_pending(self, tx: Transaction, node_id: NodeId, received_before: int, now: int) -> list[KnockId]:
        """Remove what came before that; which it was. What came later than ``now``, by a clock that was wrong, has
        come now."""


class Contacts(Protocol):
    async def add(self, tx: Transaction, contact: Contact) -> None: ...
    async def save(self, tx: Transaction, contact: Contact) -> None: ...
    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Contact | None: ...
    async def for_update(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Contact | None:
        """Read and lock until the end of the transaction: ratchet state has one writer at a time."""

    async def lock_all(self, tx: Transaction, node_id: NodeId) -> list[Contact]:
        """Read and lock all, in the order in which contacts are locked: by peer. Whoever changes several begins so."""

    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """Erase a friendship, with its outbox and everything received."""

    async def of_node(self, tx: Transaction, node_id: NodeId) -> list[Contact]: ...
    async def by_static(self, tx: Transaction, node_id: NodeId, peer_static: bytes) -> Contact | None: ...


class Outbox(Protocol):
    async def add(self, tx: Transaction, node_id: NodeId, entry: OutboxEntry) -> None: ...
    async def after(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, seq: int, limit: int) -> list[OutboxEntry]:
        """Entries with a sequence number above ``seq``, in order, ``limit`` at most."""

    async def remove(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, seqs: Sequence[tuple[int, int]]
    ) -> list[EventId]:
        """Remove the entries within these inclusive ranges; the event ids of those that were there, in order."""

    async def count(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int: ...
    async def slices(self, tx: Transaction, node_id: NodeId) -> list[SlicesWaiting]:
        """Of every file, for any friend, of which there is a slice."""


class FriendPreferences(Protocol):
    """They go when the contact goes."""

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Preferences | None:
        """None when our owner wants with this friend what it wants with every one."""

    async def of_node(self, tx: Transaction, node_id: NodeId) -> dict[PeerId, Preferences]: ...
    async def save(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, preferences: Preferences) -> None: ...


MOST_EXPIRING = 10_000
"""Messages of one friendship that wait to disappear, a megabyte or two; of more, the oldest do so at once."""


class Expiring(Protocol):
    """What was said by either side and is to disappear, of each friendship; also of one that is over."""

    async def add(
        self,
        tx: Transaction,
        node_id: NodeId,
        peer_id: PeerId,
        event_id: EventId,
        seconds: int,
        *,
        said_at: int,
        begins: bool,
    ) -> None:
        """An event came or was said at this time; its time ``begins`` then, or with `begin`. Adding it again changes
        nothing."""

    async def begin(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_ids: Sequence[EventId], now: int
    ) -> bool:
        """The time of these begins, if it has not; whether it did for any."""

    async def begin_all(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, now: int) -> None:
        """The time of everything with this friend begins, where it has not."""

    async def next_due(self, tx: Transaction, node_id: NodeId) -> int | None: ...
    async def take(self, tx: Transaction, node_id: NodeId, now: int, limit: int) -> list[tuple[PeerId, EventId]]:
        """Remove those whose time is over, the longest due first, ``limit`` at most; which they were."""

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        """Make what expires in one friendship expire in another: the two have become one."""


class Pictures(Protocol):
    """Small pictures of people; a friend's goes when the contact goes."""

    async def own(self, tx: Transaction, node_id: NodeId) -> Avatar | None:
        """What friends see of our owner."""

    async def save_own(self, tx: Transaction, node_id: NodeId, picture: Avatar | None) -> None: ...
    async def of_friend(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Avatar | None: ...
    async def save_of_friend(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, picture: Avatar | None
    ) -> None: ...


class Received(Protocol):
    async def remember(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId, at: int) -> bool:
        """Remember an event id; false if it was known already (a re-sealed duplicate)."""

    async def knows(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> bool:
        """Whether it is remembered."""

    async def forget(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, *, keep: int, at_most: int
    ) -> list[EventId]:
        """Forget the oldest event ids of this friend, ``at_most`` at a time, until ``keep`` are left; which it were."""

    async def copy(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        """Remember for the second friend every event id that is remembered for the first."""

    async def hold(self, tx: Transaction, node_id: NodeId, held: HeldEvent) -> None: ...
    async def held(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> list[HeldEvent]:
        """In order of sequence."""

    async def release(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, up_to: int) -> None:
        """Forget held events up to and including this sequence number."""


class MissedMessages(Protocol):
    """How many messages have come, in all that is one catching up, that were said while there was no link."""

    async def add(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """One more of this friend."""

    async def of_node(self, tx: Transaction, node_id: NodeId) -> dict[PeerId, int]:
        """The counts of friends of whom there are some."""

    async def take(self, tx: Transaction, node_id: NodeId) -> dict[PeerId, int]:
        """The same, and begin anew."""


class Transfers(Protocol):
    async def add(self, tx: Transaction, transfer: Transfer, outline: bytes) -> bool:
        """Add one, with the outline of an outgoing one; false when this friendship has a file of that id already."""

    async def save(self, tx: Transaction, transfer: Transfer) -> None:
        """Save its state; slices are erased when it is whole or over, key, reference, outline and bitmap when it is
        over."""

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, file_id: FileId) -> Transfer | None:
        """Read and lock until the end of the transaction."""

    async def of_node(self, tx: Transaction, node_id: NodeId, *, over: bool) -> list[Transfer]:
        """Oldest first; those that are over only if they are asked for."""

    async def count_open(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int:
        """How many of this friendship are not over."""

    async def kept(self, tx: Transaction, node_id: NodeId | None = None, peer_id: PeerId | None = None) -> int:
        """Bytes of incoming files that are on their way or to be taken: of this friend, or of all friends of all
        nodes, and then until the end of the transaction."""

    async def outline(self, tx: Transaction, transfer: Transfer) -> bytes: ...
    async def bitmap(self, tx: Transaction, transfer: Transfer) -> bytes: ...
    async def note_chunks(self, tx: Transaction, transfer: Transfer, bitmap: bytes, came: int) -> None:
        """These chunks of an incoming one are on disk."""

    async def keep_slice(self, tx: Transaction, transfer: Transfer, number: int, data: bytes) -> int:
        """Keep a slice of an incoming one, unless it is there; how many are."""

    async def slices(self, tx: Transaction, transfer: Transfer, first: int, limit: int) -> list[bytes]:
        """Slices that are kept, from this number on, in order."""

    async def count_slices(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int:
        """How many are kept of all files of this friend."""

    async def to_slice(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, at_most: int) -> list[Transfer]:
        """Outgoing ones, not empty and of ``at_most`` bytes, that were never put into the outbox in slices, and are
        accepted or cannot be yet because the offer waits in the outbox. Oldest first."""

    async def note_sliced(self, tx: Transaction, transfer: Transfer, slices: int) -> None:
        """So many slices of an outgoing one were put into the outbox."""

    async def parts(self, tx: Transaction) -> set[bytes]:
        """The part ids of all incoming files, of all nodes, that are not over."""

    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        """The two friends have become one. Where both have a file of one id, the other's stands."""

    async def forget(self, tx: Transaction, node_id: NodeId, changed_before: int) -> None:
        """Remove those that are over since before that time."""


class NodeStore(Protocol):
    """The durable half of every node of this process."""

    @property
    def nodes(self) -> Nodes: ...
    @property
    def doors(self) -> Doors: ...
    @property
    def knocks(self) -> Knocks: ...
    @property
    def contacts(self) -> Contacts: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def received(self) -> Received: ...
    @property
    def carriers(self) -> Carriers: ...
    @property
    def carriages(self) -> Carriages: ...
    @property
    def deposits(self) -> Deposits: ...
    @property
    def preferences(self) -> FriendPreferences: ...
    @property
    def expiring(self) -> Expiring: ...
    @property
    def pictures(self) -> Pictures: ...
    @property
    def missed(self) -> MissedMessages: ...

    async def scrub(self) -> None:
        """Leave nothing on disk of what has been removed, as far as that is ours to do: a file is wiped, a database
        server does it in its own time. Never raises; what could not be done now is done the next time."""

    @property
    def transfers(self) -> Transfers: ...

    async def get_setting(self, tx: Transaction, name: str) -> str | None:
        """A small piece of state under a name, such as a sync token. Sealed."""

    async def set_setting(self, tx: Transaction, name: str, value: str) -> None: ...
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin; commit on leaving, roll back on any exception, cancellation included. When the block has been left
        without an exception the data is on disk.

        Raises: DatabaseUnavailable.
        """
