"""What a node shows of itself: lists for people and programs, and its state of health."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from chattor_bridge.counting import counted
from chattor_bridge.ids import DoorId, EventId, FileId, KnockId, NodeId, PeerId
from chattor_bridge.node.happenings import Missed
from chattor_bridge.node.preferences import Preferences
from chattor_bridge.node.records import KnockState, TransferState
from chattor_bridge.protocol.events import Body
from chattor_bridge.protocol.signals import Here


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """One friend code. ``code`` is the text to hand out; ``published`` says that its door can be reached now.

    It is used up after ``max_uses`` requests, of which there were ``uses``, and closes at ``expires_at`` (seconds since
    the epoch), unless these are None. ``one_time``: its door is hidden from whoever lacks the code. ``parked``: off.
    """

    door_id: DoorId
    label: str
    code: str
    created_at: int
    published: bool
    one_time: bool = False
    expires_at: int | None = None
    max_uses: int | None = None
    uses: int = 0
    parked: bool = False

    @property
    def is_used_up(self) -> bool:
        """Whether nobody else may knock with it."""
        return self.max_uses is not None and self.uses >= self.max_uses


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A contact request waiting for its owner's answer. ``door_label`` is empty when the code was retired since;
    ``effort`` is what the request has cost its sender, in bits: each one more is twice the work; ``one_time``: it came
    with a code for one person only. ``order`` rises with every request this store has had and is never used twice."""

    knock_id: KnockId
    name: str
    note: str
    door_label: str
    received_at: int
    ignored: bool
    effort: int
    one_time: bool = False
    order: int = 0


@dataclass(frozen=True, slots=True)
class OutgoingInfo:
    """A contact request of ours. ``reason`` says why it failed, or what is in its way."""

    knock_id: KnockId
    state: KnockState
    reason: str
    note: str
    created_at: int


class Verification(StrEnum):
    """What comparing has shown about a friend."""

    NONE = "unverified"  # nothing was compared
    VERIFIED = "verified"
    MISMATCH = "mismatch"  # somebody may stand between


Emoji = tuple[tuple[str, str], ...]
"""Signs and their names."""


@dataclass(frozen=True, slots=True)
class VerificationInfo:
    """``number`` has 60 digits and is the same on both sides; ``emoji`` are there while they are to be compared."""

    state: Verification
    number: str
    emoji: Emoji | None


@dataclass(frozen=True, slots=True)
class ContactInfo:
    """A friend. ``name`` is what the friend calls itself and may be empty, ``alias`` what our owner calls it. ``order``
    rises with every friend this store has had and is never used twice. ``retired``: this friendship is over, or about
    to be, because somebody else may have its keys. ``capabilities``: what the friend's program and ours both know, None
    before the first link. ``typing`` and ``here`` are what the friend's person shows of itself now."""

    peer_id: PeerId
    name: str
    alias: str
    online: bool
    queued: int
    created_at: int
    blocked: bool = False
    order: int = 0
    verification: Verification = Verification.NONE
    retired: bool = False
    capabilities: tuple[str, ...] | None = None
    preferences: Preferences = field(default_factory=Preferences)
    typing: bool = False
    here: Here = Here.UNKNOWN

    def understands(self, body: Body) -> bool:
        """Whether the friend's program knows what this is, as far as we know: one we have not met may know all."""
        return self.capabilities is None or body.TYPE in self.capabilities


@dataclass(frozen=True, slots=True)
class TransferInfo:
    """A file offered to a friend (``outgoing``) or by one. ``done`` of ``size`` bytes have gone over; ``streams``
    says on how many streams it does so now. ``carried``: all that is still to go over is with carriers. ``reason`` is a
    sentence for a person: why it failed, or what it waits for."""

    peer_id: PeerId
    file_id: FileId
    event_id: EventId
    outgoing: bool
    state: TransferState
    reason: str
    name: str
    mime: str
    kind: str
    size: int
    done: int
    streams: int
    created_at: int
    carried: bool


class Phase(StrEnum):
    """What somebody who works for a node is doing."""

    STARTING = "starting"
    WAITING = "waiting"  # until the next try
    TRYING = "trying"
    UP = "up"
    LISTENING = "listening"  # for a friend who dials us


@dataclass(slots=True)
class Trouble:
    """What one worker is doing, and what went wrong last. Written by the worker, read by `status`.

    ``failures`` counts since the last success; ``next_try`` is a time of the monotonic clock, or ``None``.
    """

    phase: Phase = Phase.STARTING
    reason: str = ""
    failures: int = 0
    next_try: float | None = None

    def trying(self) -> None:
        self.phase, self.next_try = Phase.TRYING, None

    def failed(self, reason: str, next_try: float) -> None:
        self.phase, self.reason, self.next_try = Phase.WAITING, reason, next_try
        self.failures += 1

    def well(self, phase: Phase = Phase.UP) -> None:
        self.phase, self.reason, self.failures, self.next_try = phase, "", 0, None


@dataclass(frozen=True, slots=True)
class WorkStatus:
    """One line of `status`. ``next_try_in`` is in seconds; ``what`` names the kind of work: ``door``, ``knock``,
    ``friend``, ``carrier`` (for a friend), ``shelf``, ``onion`` or ``node``; ``ident`` is the door, knock or friend
    it is about."""

    what: str
    ident: bytes
    phase: Phase
    reason: str
    failures: int
    next_try_in: float | None

    @property
    def amiss(self) -> bool:
        """Whether its owner should see it: it fails, or is up and something is the matter all the same."""
        return self.failures > 0 or (self.phase is Phase.UP and bool(self.reason))


@dataclass(slots=True)
class Counters:
    """What this node met since it started, and dropped.

    ``door_refused``: streams at the doors that broke the protocol, stalled or came when too many were open;
    ``strangers`` that came to a friend's onion and could not say who they are; ``undecryptable`` envelopes that opened
    under no key; ``unreadable`` events that a friend sealed but nobody can read; ``duplicates`` absorbed.
    """

    door_refused: int = 0
    strangers: int = 0
    undecryptable: int = 0
    unreadable: int = 0
    duplicates: int = 0

    @property
    def in_words(self) -> str:
        """What was dropped, for its owner; empty when nothing was. Duplicates come after every break of a link, and
        say nothing."""
        dropped = [
            (self.door_refused, "caller", "at friend codes who broke the rules"),
            (self.strangers, "caller", "who could not say who they are"),
            (self.undecryptable, "message", "that no key opened"),
            (self.unreadable, "message", "that nobody can read"),
        ]
        return ", ".join(f"{counted(number, what)} {why}" for number, what, why in dropped if number)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node's state of health. ``queued`` envelopes wait for their friends' acknowledgement; of ``onions``, those of
    codes included, ``onions_published`` can be reached. ``missed`` is how far catching up is."""

    node_id: NodeId
    owner: str
    profile_name: str
    running: bool
    codes: int
    codes_published: int
    contacts: int
    contacts_online: int
    requests: int
    outgoing: int
    queued: int
    onions: int
    onions_published: int
    work: tuple[WorkStatus, ...]
    counters: Counters = field(default_factory=Counters)
    missed: Missed | None = None
