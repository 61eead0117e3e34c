"""What a node keeps, as plain records. A field marked *sealed* is encrypted at rest by whoever stores the record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from chattor_bridge.ids import DoorId, EventId, FileId, KnockId, NodeId, OnionKey, PeerId
from chattor_bridge.node.preferences import SHARED_AT_FIRST, Shared
from chattor_bridge.protocol.chunks import Content
from chattor_bridge.protocol.slices import slice_count
from chattor_bridge.protocol.window import NO_DIGEST


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One identity. ``owner`` is opaque here: a Matrix user id in the bridge, ``"local"`` in the terminal program.
    ``shares`` is what friends see of the person unless there are `Preferences` for one; ``holds`` is how many blocks of
    friends' mail it holds at most, None for as many as the process allows."""

    node_id: NodeId
    owner: str
    profile_name: str  # sealed
    running: bool
    created_at: int
    shares: frozenset[Shared] = SHARED_AT_FIRST
    holds: int | None = None


@dataclass(frozen=True, slots=True)
class DoorRecord:
    """One friend code of ours. ``onion_seed`` and ``identity_key`` are 32 bytes each, *sealed*; so is ``secret``, 16
    bytes, which makes it a one-time code. ``uses`` counts the requests left there, of ``max_uses`` if that is bounded;
    it expires at ``expires_at``, and closes at ``closes_at`` because it was used up or rotated. ``parked`` is off for
    now.
    """

    door_id: DoorId
    node_id: NodeId
    label: str  # sealed
    onion_seed: bytes
    identity_key: bytes
    created_at: int
    retired_at: int | None = None
    secret: bytes = b""
    expires_at: int | None = None
    max_uses: int | None = None
    uses: int = 0
    parked: bool = False
    closes_at: int | None = None

    @property
    def ends_at(self) -> int | None:
        """When its time is over, for whichever reason; None for never."""
        return min((at for at in (self.expires_at, self.closes_at) if at is not None), default=None)

    def has_expired(self, now: int) -> bool:
        """Whether its time is over, ``now`` being in seconds since the epoch."""
        return self.ends_at is not None and self.ends_at <= now

    def closing(self, at: int) -> DoorRecord:
        """As it is when it closes at that time, unless it does so before."""
        return replace(self, closes_at=at if self.closes_at is None else min(self.closes_at, at))

    @property
    def is_used_up(self) -> bool:
        """Whether nobody else may knock there."""
        return self.max_uses is not None and self.uses >= self.max_uses


class KnockState(StrEnum):
    """Where a knock of ours stands."""

    CALLING = "calling"  # not yet stored at the door; retried
    LEFT = "left"  # stored at the door; now the owner decides
    FAILED = "failed"  # given up, with a reason


@dataclass(frozen=True, slots=True)
class OutgoingKnock:
    """A contact request of ours, from `add` until the owner dials us.

    One static key and one onion serve every attempt, so that the door can replace an earlier attempt whose receipt
    was lost instead of showing two requests. ``pairs``: whoever answers is asked to hold our mail.
    """

    knock_id: KnockId
    node_id: NodeId
    code: str  # sealed
    note: str  # sealed
    static_key: bytes  # sealed; X25519 private, 32 bytes
    onion_seed: bytes  # sealed; 32 bytes
    state: KnockState
    reason: str
    attempts: int
    next_attempt_at: int
    created_at: int
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class KnockAttempt:
    """One try of an outgoing knock: the session that begins if the owner accepts exactly this one."""

    knock_id: KnockId
    peer_id: PeerId
    session: bytes  # sealed
    created_at: int


@dataclass(frozen=True, slots=True)
class PendingKnock:
    """A contact request left at one of our doors. ``session`` is the serialized session accepting it would begin."""

    knock_id: KnockId
    node_id: NodeId
    door_id: DoorId
    peer_id: PeerId
    peer_static: bytes  # X25519 public, 32 bytes
    peer_onion: OnionKey  # sealed
    name: str  # sealed
    note: str  # sealed
    capabilities: tuple[str, ...]
    session: bytes  # sealed
    received_at: int
    effort: int  # bits of work that its proof shows
    exempt: bool = False  # from making room for others: left with a one-time code
    seen: bool = False  # by our owner, in the list of requests
    ignored: bool = False
    blocked: bool = False
    order: int = field(default=0, compare=False)  # drawn by the store, never twice


NO_VERSION: Final = 0
"""`Contact.version` of a friend with whom no link has been up yet."""


class Role(StrEnum):
    """Which side of the knock a node was on; fixed for the life of a friendship."""

    KNOCKER = "knocker"
    OWNER = "owner"


class Retired(StrEnum):
    """How far a friendship is on its way to its end, because of keys in other hands."""

    SAYING = "saying"  # our owner ended it; the friend has yet to hear
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Contact:
    """A friendship. ``established`` is false on the owner's side until the accepting handshake (IKpsk1) completed.

    ``hosted_since`` is when ``hosted_seed`` took its place; ``former_seed`` is the onion before it, hosted until the
    friend says that it dials the new one. ``keeps``: ours stays however many there are; else it is a spare.
    ``profile_due``: the friend is to be told how our owner's profile is, as soon as there is room for that.
    ``heard_at`` is when a link was last seen to be up.
    """

    peer_id: PeerId
    node_id: NodeId
    role: Role
    own_static: bytes  # sealed; X25519 private
    peer_static: bytes  # X25519 public
    hosted_seed: bytes | None  # sealed; seed of the onion we host for this friend
    peer_onion: OnionKey | None  # sealed; the onion the friend hosts for us
    session: bytes  # sealed; protocol.session.Session.serialize()
    peer_name: str  # sealed; what the friend calls itself
    alias: str  # sealed; what our owner calls the friend, or ""
    version: int  # highest protocol version used with this friend
    capabilities: tuple[str, ...]
    established: bool
    created_at: int
    blocked: bool = False  # by our owner: unreachable for this friend
    order: int = field(default=0, compare=False)  # drawn by the store, never twice
    verified: str | None = None  # sealed; the safety number that our owner found to be the same
    mismatch: bool = False  # one of the two people found a comparison to fail, and none has succeeded since
    verification: bytes | None = None  # sealed; protocol.verification.Run under way
    hosted_since: int = 0
    former_seed: bytes | None = None  # sealed
    keeps: bool = False
    profile_due: bool = False
    heard_at: int = 0
    merging: PeerId | None = None  # the friendship that our owner has found to be with the same person
    merge_claim: PeerId | None = None  # the friendship that the friend has shown to be its own too
    merge_done: bool = False  # the friend has given up the other of the two
    retired: Retired | None = None
    retired_at: int = 0


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An envelope on its way. ``event`` is the encoded event, kept until acknowledged because a resync re-seals it."""

    peer_id: PeerId
    seq: int
    event_id: EventId
    envelope: bytes
    event: bytes  # sealed
    created_at: int
    file_id: FileId | None = None  # whose slice it is, if it is one
    digest_before: bytes = NO_DIGEST  # of everything that was sealed before it


@dataclass(frozen=True, slots=True)
class SlicesWaiting:
    """Of a file of ours: how many ``slices`` of it are in the outbox, and whether carriers have all (``carried``)."""

    peer_id: PeerId
    file_id: FileId
    slices: int
    carried: bool


@dataclass(frozen=True, slots=True)
class HeldEvent:
    """An event that came past a gap and waits for what is missing before it."""

    peer_id: PeerId
    seq: int
    event: bytes  # sealed
    received_at: int


class TransferState(StrEnum):
    """How far a file is on its way."""

    OFFERED = "offered"  # the side it is for has not said yet whether it wants it
    ACCEPTED = "accepted"  # on its way
    ARRIVED = "arrived"  # incoming only: whole on our disk, sealed, and whoever embeds the node has yet to take it
    DONE = "done"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing of it is kept any more but that it was."""
        return self in (TransferState.DONE, TransferState.FAILED)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file offered to a friend (``outgoing``) or by one, as its offer ``event_id`` says.

    ``key``, ``size`` and ``root`` are those of its content; the first is erased when the transfer is over.
    ``reference`` is what whoever embeds the node calls the content of an outgoing one, and ``part_id``, random, names
    where an incoming one is kept on disk. ``came`` counts the chunks that are there, and ``slices`` those that came in
    envelopes and were not put together; of an outgoing one those that were put into the outbox. ``reason`` is a word of
    docs/protocol/files.md, "Cancelling", for one that failed.
    """

    node_id: NodeId
    peer_id: PeerId
    file_id: FileId
    event_id: EventId
    part_id: bytes
    outgoing: bool
    key: bytes  # sealed
    size: int
    root: bytes  # sealed
    name: str  # sealed
    mime: str  # sealed
    kind: str
    reference: str  # sealed
    state: TransferState
    reason: str
    created_at: int
    changed_at: int
    came: int = 0
    slices: int = 0

    @property
    def content(self) -> Content:
        """How its chunks are sealed and proved; not of one that is over."""
        return Content(self.file_id, self.key, self.size, self.root)

    @property
    def is_here(self) -> bool:
        """Whether every slice of an incoming one that is not over has come."""
        return not self.outgoing and self.slices == slice_count(self.content)
