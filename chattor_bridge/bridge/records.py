"""What the bridge keeps, as plain records. A field marked *sealed* is encrypted at rest by whoever stores it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chattor_bridge.ids import EventId, KnockId, MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A Matrix event the homeserver gave us and nobody has finished yet. ``event`` is *sealed*."""

    order: int
    room_id: MatrixRoomId
    event: JsonObject
    received_at: int


@dataclass(frozen=True, slots=True)
class PendingAction:
    """Something still to be done on the homeserver, in order within its ``lane``. ``action`` is *sealed*.

    ``attempts`` counts tries begun before this one, so a replay after a crash knows that it may be one. After a restart
    it counts one for all that waited, of which one in each lane may have been begun.
    """

    order: int
    lane: str
    action: JsonObject
    created_at: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Parked:
    """An inbox item or a pending action that was set aside, and why. ``queue`` is its room or lane, ``content`` its
    event or action, ``since`` when it came; ``content`` and ``reason`` are *sealed*."""

    order: int
    queue: str
    content: JsonObject
    since: int
    reason: str


@dataclass(frozen=True, slots=True)
class Portal:
    """One conversation of one owner's node, and the room that shows it. ``room_id`` is ``None`` until it exists."""

    owner: MatrixUserId
    node_id: NodeId
    peer_id: PeerId
    ghost: MatrixUserId
    room_id: MatrixRoomId | None
    created_at: int
    merged_into: PeerId | None = None  # the conversation in which this one goes on


@dataclass(frozen=True, slots=True)
class Space:
    """The space that groups an owner's conversations. ``room_id`` is ``None`` while there is none; ``unwanted`` once
    its owner has left it."""

    owner: MatrixUserId
    room_id: MatrixRoomId | None = None
    unwanted: bool = False


@dataclass(frozen=True, slots=True)
class EventLink:
    """Which Matrix event shows (or carried) which Chattor event; ``part`` counts the pieces of a split text from 0.

    ``ours`` is true when our owner said it, false when the friend did. ``kind`` is its type in the protocol, ``target``
    the event it changes or is put under, ``detail`` what else is to be known of a poll (`chattor_bridge.bridge.polls`).
    """

    node_id: NodeId
    peer_id: PeerId
    event_id: EventId
    part: int
    room_id: MatrixRoomId
    matrix_event_id: MatrixEventId
    ours: bool
    kind: str = "text"
    target: EventId | None = None
    detail: JsonObject | None = None  # sealed


@dataclass(frozen=True, slots=True)
class KnockNotice:
    """The notice in a management room that tells of a contact request and can be answered by reaction or reply."""

    knock_id: KnockId
    room_id: MatrixRoomId
    matrix_event_id: MatrixEventId


class Topic(StrEnum):
    """What a notice of the bot's is about."""

    WAITING = "waiting"  # what was said is on its way; the subject says how many friends hold it
    PENDING = "pending"  # a message of the owner's, by its own id: clients were told that it is on its way
    HELD = "held"  # what could not be sent now; the subject is its place in the inbox
    MISSED = "missed"  # how far catching up is, in the management room


@dataclass(frozen=True, slots=True)
class PortalNotice:
    """What the bot has said in a portal, or in the management room, to be taken back or put right later."""

    room_id: MatrixRoomId
    matrix_event_id: MatrixEventId
    topic: Topic
    subject: str
