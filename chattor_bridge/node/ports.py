"""What a node needs from outside: a store, a transport, a clock, randomness, and somebody to tell.

Every write takes the `Transaction` it belongs to, so that whoever embeds a node can put its own rows into the same
commit: that is how a Matrix event leaves the inbox exactly when its envelope enters the outbox.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chattor_bridge.ids import DoorId, EventId, FileId, KnockId, NodeId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carriage, Carrier, HeldBlock, HeldShelf, OwnShelf, Target
from chattor_bridge.node.happenings import Happening
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
    Transfer,
)
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.protocol.talk import Avatar

RandomBytes = Callable[[int], bytes]


class Clock(Protocol):
    """Time as an argument: tests hand in their own."""

    def now(self) -> int:
        """Wall-clock time, in whole seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go backwards, and go on while the machine sleeps."""

    async def sleep(self, seconds: float) -> None:
        """Wait; longer by however long the machine sleeps meanwhile."""


# --- store ---------------------------------------------------------------------------------------------------------


class Transaction(Protocol):
    """One database transaction, held for a moment and never across a network call."""

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` (wake a worker, say) once this transaction is on disk; never if it is rolled back."""


class Nodes(Protocol):
    async def add(self, tx: Transaction, node: NodeRecord) -> None: ...
    async def save(self, tx: Transaction, node: NodeRecord) -> None: ...
    async def remove(self, tx: Transaction, node_id: NodeId) -> None:
        """Remove the node and everything that belongs to it."""

    async def get(self, tx: Transaction, node_id: NodeId) -> NodeRecord | None: ...
    async def by_owner(self, tx: Transaction, owner: str) -> NodeRecord | None: ...
    async def all(self, tx: Transaction) -> list[NodeRecord]: ...


class Doors(Protocol):
    async def add(self, tx: Transaction, door: DoorRecord) -> None: ...
    async def save(self, tx: Transaction, door: DoorRecord) -> None:
        """Save what may change: expiry, uses and whether it is parked."""

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
    async def get_outgoing(self, tx: Transaction, knock_id: KnockId) -> OutgoingKnock | None: ...
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

    async def get_pending(self, tx: Transaction, knock_id: KnockId) -> PendingKnock | None: ...
    async def pending(self, tx: Transaction, node_id: NodeId) -> list[PendingKnock]:
        """Those with the most effort first, the older first of equals; ignored ones included."""

    async def count_pending(self, tx: Transaction, node_id: NodeId) -> int: ...
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
    async def expire(self, tx: Transaction, node_id: NodeId, kept_before: int) -> int:
        """Remove blocks kept before that; how many."""

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
        self, tx: Transaction, node_id: NodeId, target: Target, *, after: int, left_before: int, limit: int
    ) -> list[OutboxEntry]:
        """Entries of the outbox, with a number above ``after``, that were not left there, or before that time, or were
        lost there: one that was left later has been acknowledged. In order, ``limit`` at most, without their events."""

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
        """Save its state; key, reference, outline and bitmap are erased when it is over."""

    async def get(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, file_id: FileId) -> Transfer | None:
        """Read and lock until the end of the transaction."""

    async def of_node(self, tx: Transaction, node_id: NodeId, *, over: bool) -> list[Transfer]:
        """Oldest first; those that are over only if they are asked for."""

    async def count_open(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> int:
        """How many of this friendship are not over."""

    async def kept(self, tx: Transaction, node_id: NodeId | None = None, peer_id: PeerId | None = None) -> int:
        """Bytes of incoming files that are on their way or to be taken: of this friend, or of all friends of all
        nodes."""

    async def outline(self, tx: Transaction, transfer: Transfer) -> bytes: ...
    async def bitmap(self, tx: Transaction, transfer: Transfer) -> bytes: ...
    async def note_chunks(self, tx: Transaction, transfer: Transfer, bitmap: bytes, came: int) -> None:
        """These chunks of an incoming one are on disk."""

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

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin; commit on leaving, roll back on any exception, cancellation included. When the block has been left
        without an exception the data is on disk.

        Raises: DatabaseUnavailable.
        """


# --- transport -----------------------------------------------------------------------------------------------------


class Stream(Protocol):
    """A byte stream to or from an onion."""

    async def read(self) -> bytes:
        """Some bytes as they come, ``b""`` at the end. Raises: OnionUnreachable when the stream broke."""

    async def write(self, data: bytes) -> None:
        """Write and wait until the buffer is below its mark. Raises: OnionUnreachable when the stream broke."""

    async def close(self) -> None:
        """Close at once; never raises."""


StreamHandler = Callable[[Stream], Awaitable[None]]


class Publication(Protocol):
    """An onion of ours, published for as long as this object lives."""

    @property
    def onion(self) -> OnionKey: ...

    async def published(self) -> None:
        """Wait until the descriptor has been uploaded. Raises: TorUnavailable when the publication was withdrawn."""

    async def lost(self) -> str:
        """Wait until it can no longer be reached, as far as is known; why, in words for `status`. It is published
        again by itself, and `published` waits for that."""

    async def withdraw(self) -> None:
        """Take the onion down (DEL_ONION); open streams go on."""


class Transport(Protocol):
    """The onion network. Implemented over tor, and in memory for tests; one contract suite runs over both."""

    async def publish(
        self,
        seed: bytes,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool = False,
        recency: float = math.inf,
    ) -> Publication:
        """Host an onion on a unix socket of its own; nothing in a stream ever chooses the handler.

        ``seed`` is the 32-byte Ed25519 seed. ``clients`` are the X25519 public keys (32 bytes each) allowed to read
        the descriptor, ``None`` for a public onion. ``proof_of_work`` turns on Tor's own defence. Returns at once
        when queued; publication is staged, and of those that wait the one with the latest ``recency`` is next: when
        it was last of use, in seconds since the epoch, or infinite when somebody waits for it now.

        Raises: LimitReached when this transport hosts as many onions as it can.
        """

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> Stream:
        """Open a stream. ``client_key`` is our X25519 private key for the descriptor; streams with different
        ``isolation`` never share a circuit; ``timeout`` in seconds covers everything.

        Raises: OnionUnreachable, OnionNotAuthorised, TorUnavailable.
        """

    async def forget(self, onion: OnionKey) -> None:
        """Drop the client key of an onion that will not be dialled again."""

    async def woken(self, slept: float) -> None:
        """The machine slept for this many seconds, or its clock jumped (0): see whether what is hosted can still be
        reached, and publish it again where not. Open streams go on, if they can."""


# --- files ---------------------------------------------------------------------------------------------------------


class FileSource(Protocol):
    """The content of a file we offer, where our owner has it."""

    async def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end of the file.

        Raises: FileChanged when it is gone; an Unavailable when it may be there later.
        """

    async def close(self) -> None:
        """Never raises."""


class FileSources(Protocol):
    """Opens what we offer. Implemented by whoever embeds nodes."""

    async def open(self, node_id: NodeId, reference: str) -> FileSource:
        """The content that was offered under this reference. Raises: as `FileSource.read`."""


class Part(Protocol):
    """The chunks of one incoming file, sealed as they came, on our disk."""

    async def write(self, index: int, sealed: bytes) -> None:
        """Keep a chunk, on disk after the next `sync`. Raises: FileUnavailable."""

    async def read(self, index: int, length: int) -> bytes:
        """The first ``length`` bytes of a chunk that was kept. Raises: FileUnavailable."""

    async def sync(self) -> None:
        """What was written is on disk now. Raises: FileUnavailable."""

    async def close(self) -> None:
        """Never raises."""


class Parts(Protocol):
    """Where chunks of incoming files are kept until the file is taken."""

    async def open(self, part_id: bytes) -> Part:
        """Make it, if it is not there. Raises: FileUnavailable."""

    async def remove(self, part_id: bytes) -> None:
        """Erase one; there may be none. Never raises."""

    async def all(self) -> set[bytes]:
        """The ids of all that are there."""


# --- whoever embeds nodes ------------------------------------------------------------------------------------------


class Observer(Protocol):
    """Told of everything that happens to a node."""

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        """Store what must not be lost, inside the transaction that made it happen. Must not wait for anything but
        the database. An exception rolls the whole happening back; it will be offered again."""

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        """A friend came online or went away. Nothing durable; must not block."""

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        """A friend's person shows this of itself from now on. Nothing durable; must not block."""
