"""What can happen to a node, as its observer is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from chattor_bridge.counting import counted
from chattor_bridge.ids import EventId, FileId, KnockId, PeerId
from chattor_bridge.node.carrying.records import in_megabytes
from chattor_bridge.protocol.events import Event

UNREADABLE: Final = "node.unreadable"
"""Type of the `Unknown` event a node puts in the place of one that a friend sealed and nobody can read."""

MISSING: Final = "node.missing"
"""Type of the `Unknown` event a node puts where events are missing; its field ``count`` says how many."""

SESSION_RENEWED: Final = "node.renewed"
"""Type of the `Unknown` event that says that the session with a friend began anew; its field ``reason`` is a
`chattor_bridge.protocol.renewal.Reason`."""

SESSION_NOT_RENEWED: Final = "node.not-renewed"
"""Type of the `Unknown` event that says that the session should begin anew, and may not yet."""

EMOJI_INVITED: Final = "node.emoji-invited"
"""Type of the `Unknown` event that says that a friend wants to compare emoji."""

EMOJI_READY: Final = "node.emoji-ready"
"""Type of the `Unknown` event with the emoji to compare; its field ``emoji`` is a list of signs with their names."""

VERIFICATION_MATCHED: Final = "node.verification-matched"
"""Type of the `Unknown` event that says that the friend has found the emoji to be the same."""

VERIFICATION_FAILED: Final = "node.verification-failed"
"""Type of the `Unknown` event that says that a comparison failed: on the friend's side, or because its node cheated."""


MERGE_ASKED: Final = "node.merge-asked"
"""Type of the `Unknown` event that says that a friend has shown another friendship of ours to be its own too; its field
``name`` is what that one is called."""

MERGE_UNPROVEN: Final = "node.merge-unproven"
"""Type of the `Unknown` event that says that a friend claims such a thing and has not shown it."""

MERGED: Final = "node.merged"
"""Type of the `Unknown` event that says that another friendship has become one with this; ``name`` as above."""

RETIRED: Final = "node.retired"
"""Type of the `Unknown` event that says that the friend has ended the friendship because of keys in other hands."""

CARRY_ASKED: Final = "node.carry-asked"
"""Type of the `Unknown` event that says that a friend wants us to carry for it."""

CARRY_BEGUN: Final = "node.carry-begun"
"""Type of the `Unknown` event that says that we carry for a friend who asked, as its owner has allowed beforehand."""

CARRY_OFFERED: Final = "node.carry-offered"
"""Type of the `Unknown` event that says that a friend is willing to carry for us; its field ``wanted`` whether we had
asked, so that it does."""

CARRY_ENDED: Final = "node.carry-ended"
"""Type of the `Unknown` event that says that a friend has ended that; its field ``ours``: we were the carrier."""


TIMER_SET: Final = "node.timer"
"""Type of the `Unknown` event that says after how many ``seconds`` what is said disappears from now on, 0 for never;
``ours`` when our owner set it. What a friend ``wanted`` may be something else, if both have set it at once."""


@dataclass(frozen=True, slots=True)
class KnockReceived:
    """Somebody left a request at one of our doors. The same ``knock_id`` again means it was replaced (a retry).
    ``order`` is that of `chattor_bridge.node.views.RequestInfo`."""

    knock_id: KnockId
    name: str
    note: str
    door_label: str
    order: int


@dataclass(frozen=True, slots=True)
class KnockGone:
    """A request at one of our doors is not there any more, and our owner did nothing about it; ``reason`` is a
    sentence for a person."""

    knock_id: KnockId
    reason: str


@dataclass(frozen=True, slots=True)
class CodeClosed:
    """Nobody else can knock with a friend code of ours, without our owner having done anything now; ``reason`` is the
    rest of a sentence that begins with the code."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class KnockLeft:
    """A request of ours is stored at its door; the owner decides now."""

    knock_id: KnockId


@dataclass(frozen=True, slots=True)
class KnockFailed:
    """A request of ours was given up; ``reason`` is a sentence for a person."""

    knock_id: KnockId
    reason: str


@dataclass(frozen=True, slots=True)
class ContactAdded:
    """A friendship exists now, by our accepting (``knock_id`` of the pending one) or by the other side's (of ours)."""

    peer_id: PeerId
    knock_id: KnockId
    name: str


@dataclass(frozen=True, slots=True)
class ContactRenamed:
    """The friend's profile name changed, or our owner's alias for it. ``name`` is what to show."""

    peer_id: PeerId
    name: str


@dataclass(frozen=True, slots=True)
class ContactPictured:
    """The friend shows another picture of itself, or none any more."""

    peer_id: PeerId


@dataclass(frozen=True, slots=True)
class EventArrived:
    """An event from a friend, exactly once and in order. ``received_at`` in seconds since the epoch."""

    peer_id: PeerId
    event: Event
    received_at: int


@dataclass(frozen=True, slots=True)
class Missed:
    """So many messages of so many friends have come that were said while there was no link; ``over``: these were all,
    otherwise more may come. Counted from the first of them on. Carriers have said that they hold so many ``blocks``
    more; what is in them shows when they are opened."""

    messages: int
    friends: int
    over: bool
    blocks: int = field(default=0, compare=False)

    @property
    def in_words(self) -> str:
        """The same for people."""
        if not self.messages:
            return "All missed messages have come; who had sent them is no friend any more."
        who = "a friend" if self.friends == 1 else f"{self.friends} friends"
        missed = counted(self.messages, "missed message")
        if self.over:
            return f"{missed} {'has' if self.messages == 1 else 'have'} come, from {who}."
        more = f"; carriers hold about {in_megabytes(self.blocks)} more" if self.blocks else ""
        return f"Catching up: {missed} so far, from {who}{more}."


@dataclass(frozen=True, slots=True)
class EventsForgotten:
    """The ids of these events of a friend, long arrived, are not remembered any more: nothing needs to be that refers
    to them by id."""

    peer_id: PeerId
    event_ids: tuple[EventId, ...]


@dataclass(frozen=True, slots=True)
class EventsExpired:
    """These events, of either side, are to disappear now, with all that changes them or is put under them."""

    peer_id: PeerId
    event_ids: tuple[EventId, ...]


@dataclass(frozen=True, slots=True)
class EventDelivered:
    """The friend has an event of ours on disk."""

    peer_id: PeerId
    event_id: EventId


@dataclass(frozen=True, slots=True)
class EventCarried:
    """An event of ours waits for the friend at so many of its ``carriers``."""

    peer_id: PeerId
    event_id: EventId
    carriers: int


@dataclass(frozen=True, slots=True)
class CarriersLost:
    """The friend has named fewer carriers than before: what waits for it is at so many of its ``carriers`` at most."""

    peer_id: PeerId
    carriers: int


@dataclass(frozen=True, slots=True)
class EventFailed:
    """An event of ours will not arrive; ``reason`` is a sentence for a person."""

    peer_id: PeerId
    event_id: EventId
    reason: str


@dataclass(frozen=True, slots=True)
class ContactsMerged:
    """Two friendships have become one: ``peer_id`` goes on, and ``former`` is gone, with what its friend said and was
    said to it now belonging to ``peer_id``."""

    peer_id: PeerId
    former: PeerId


@dataclass(frozen=True, slots=True)
class FileArrived:
    """A file that a friend offered by this event is whole on our disk, and is to be taken: `Files.read`, then
    `Files.release`."""

    peer_id: PeerId
    event_id: EventId
    file_id: FileId


@dataclass(frozen=True, slots=True)
class FileSent:
    """The friend has the file that we offered by this event on disk."""

    peer_id: PeerId
    event_id: EventId
    file_id: FileId


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file offered by this event, by either side, will not go over; ``reason`` is a sentence for a person, or the end
    of one that begins with the file."""

    peer_id: PeerId
    event_id: EventId
    file_id: FileId
    reason: str


Happening = (
    KnockReceived
    | KnockGone
    | CodeClosed
    | KnockLeft
    | KnockFailed
    | ContactAdded
    | ContactRenamed
    | ContactPictured
    | ContactsMerged
    | EventArrived
    | Missed
    | EventsForgotten
    | EventsExpired
    | EventDelivered
    | EventCarried
    | CarriersLost
    | EventFailed
    | FileArrived
    | FileSent
    | FileFailed
)
