"""What may be waiting to be done on the homeserver, as records that go into the database as JSON and come back.

Each names everything it needs, because it may be carried out long after, by another run of this program. ``key`` is
drawn when an action is made and stays with it: the transaction id of what it sends is made from it, so a replay after
a crash sends nothing twice. Byte identifiers are in hexadecimal.

A *lane* is the queue an action waits in. Everything said in a portal shares one lane, and everything the bot says to
one owner elsewhere shares another, so that it is read in the order it happened.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any

from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.protocol.events import Event, decode_event, encode_event

KEY_BYTES = 16
"""128 random bits: no two actions ever share a key."""


def _new_key() -> str:
    return secrets.token_hex(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class Say:
    """The bot says something, written in CommonMark. Without ``room`` in the owner's management room, made if there
    is none; so too where ``room`` is closed to the bot by then, unless it makes sense ``only_there``. With ``edits``
    it replaces an earlier message of the bot."""

    owner: str
    room: str | None
    text: str
    reply_to: str | None = None
    edits: str | None = None
    only_there: bool = False
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class ShowImage:
    """The bot shows a PNG image; ``data`` is base64, ``width`` its side in pixels."""

    owner: str
    room: str
    data: str
    filename: str
    caption: str
    width: int
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class AskAboutKnock:
    """The bot tells of a contact request in the management room, to be answered by reaction or reply."""

    owner: str
    knock: str
    text: str
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class TellMissed:
    """The bot says in the management room how far catching up is: the first time in a message, and then there until it
    is ``over``."""

    owner: str
    text: str
    over: bool
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class React:
    """The bot reacts to a message, so that the owner needs one touch to do the same."""

    owner: str
    room: str
    target: str
    emoji: str
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The bot was invited: join, see what room it is, and say the words that fit."""

    owner: str
    room: str
    greeting: str
    crowded: str
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class OpenManagement:
    """Open a new management room, invite the owner and greet there."""

    owner: str
    greeting: str
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class Leave:
    """The bot or a ghost leaves a room, or turns an invitation down; ``reason`` stands beside that in the room."""

    user: str
    room: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenPortal:
    """Make sure that the room of a conversation exists and its owner is in it or invited."""

    node: str
    peer: str


@dataclass(frozen=True, slots=True)
class RenamePortal:
    """Give the ghost and the room the name the contact has by then."""

    node: str
    peer: str


@dataclass(frozen=True, slots=True)
class ClosePortal:
    """The conversation is over for good: say so in its room if there is one, and leave it."""

    owner: str
    node: str
    peer: str
    ghost: str
    room: str | None
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class TellWaiting:
    """Say in a portal that what was said there is still on its way, unless it is not any more by then; ``carried``:
    by how many friends of the friend, which is said instead."""

    node: str
    peer: str
    carried: int = 0
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class TellHeld:
    """Say why something could not be sent now; ``order`` is its place in the inbox, in which it is kept."""

    owner: str
    room: str
    text: str
    reply_to: str
    order: int
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The bot removes what it has said."""

    room: str
    event: str
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """Tell clients that show it how far a message has come; ``status`` is one of Beeper's words, ``ghost`` who has it,
    ``reason`` a sentence for a person."""

    room: str
    event: str
    status: str
    ghost: str
    reason: str = ""
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class ShowEvent:
    """Show what a friend said, or what it changes, as the ghost; ``said`` is the encoded event in base64."""

    node: str
    peer: str
    said: str


@dataclass(frozen=True, slots=True)
class PartFromRoom:
    """Bot and ghost leave the room of a conversation that may go on in another; with ``everybody`` its owner and guests
    are sent out first."""

    node: str
    peer: str
    ghost: str
    room: str
    everybody: bool
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class ConsiderRoom:
    """Find out whether this room becomes that of a conversation: its owner has invited the ghost there, or it replaces
    the one there is."""

    node: str
    peer: str
    room: str


@dataclass(frozen=True, slots=True)
class ProvePuppet:
    """Remove the message ``event``, which held an access token, and find out whether that is the owner's own."""

    owner: str
    room: str
    event: str
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True, slots=True)
class TendPuppet:
    """Join what the owner is invited to, and list it among their direct chats, if they let us."""

    owner: str


@dataclass(frozen=True, slots=True)
class TendSpace:
    """Make sure that the owner's space holds their conversations as they are by then, and nothing else."""

    owner: str


@dataclass(frozen=True, slots=True)
class CloseSpace:
    """Send the owner out of their space, and leave it. ``room`` is where it was known to be; with ``search`` one may
    have been made and not noted; with ``forget`` nothing is to be remembered of it."""

    owner: str
    room: str | None
    search: bool = False
    forget: bool = False


@dataclass(frozen=True, slots=True)
class ShowText:
    """As earlier versions of this program stored a text; ``text`` is CommonMark, ``event`` the id of the event."""

    node: str
    peer: str
    event: str
    text: str


@dataclass(frozen=True, slots=True)
class ShowUnknown:
    """Tell that a friend said something this version does not know; a ``critical`` one must not be passed over."""

    node: str
    peer: str
    event: str
    type: str
    critical: bool = False


@dataclass(frozen=True, slots=True)
class OfferFile:
    """Offer the friend a file of the owner's; ``event`` is the Matrix event that carries it."""

    node: str
    peer: str
    event: JsonObject


@dataclass(frozen=True, slots=True)
class WeighFile:
    """Decide whether a file that a friend offers is fetched."""

    node: str
    peer: str
    file: str


@dataclass(frozen=True, slots=True)
class ShowFile:
    """Show a friend's file, which has come whole."""

    node: str
    peer: str
    file: str


@dataclass(frozen=True, slots=True)
class TellProgress:
    """Say for the first time how far a file is; ``text`` is CommonMark."""

    node: str
    peer: str
    file: str
    text: str


FileAction = OfferFile | WeighFile | ShowFile | TellProgress


@dataclass(frozen=True, slots=True)
class MarkRead:
    """Set the read receipt of the bot (it was delivered) or of a ghost (it was read) on a message."""

    user: str
    room: str
    event: str


@dataclass(frozen=True, slots=True)
class Disappear:
    """The time of an event of either side is over: remove what shows it, and what was put under it."""

    node: str
    peer: str
    event: str


Action = (
    Say
    | ShowImage
    | AskAboutKnock
    | TellMissed
    | React
    | Welcome
    | OpenManagement
    | Leave
    | OpenPortal
    | RenamePortal
    | ClosePortal
    | TellWaiting
    | TellHeld
    | TakeBack
    | ReportStatus
    | ShowEvent
    | PartFromRoom
    | ConsiderRoom
    | Disappear
    | ProvePuppet
    | TendPuppet
    | TendSpace
    | CloseSpace
    | ShowText
    | ShowUnknown
    | FileAction
    | MarkRead
)

_KINDS: dict[str, type[Any]] = {
    "say": Say,
    "show-image": ShowImage,
    "ask-about-knock": AskAboutKnock,
    "tell-missed": TellMissed,
    "react": React,
    "welcome": Welcome,
    "open-management": OpenManagement,
    "leave": Leave,
    "open-portal": OpenPortal,
    "rename-portal": RenamePortal,
    "close-portal": ClosePortal,
    "tell-waiting": TellWaiting,
    "tell-held": TellHeld,
    "take-back": TakeBack,
    "report-status": ReportStatus,
    "show-event": ShowEvent,
    "part-from-room": PartFromRoom,
    "consider-room": ConsiderRoom,
    "disappear": Disappear,
    "prove-puppet": ProvePuppet,
    "tend-puppet": TendPuppet,
    "tend-space": TendSpace,
    "close-space": CloseSpace,
    "show-text": ShowText,
    "show-unknown": ShowUnknown,
    "offer-file": OfferFile,
    "weigh-file": WeighFile,
    "show-file": ShowFile,
    "tell-progress": TellProgress,
    "mark-read": MarkRead,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_json(action: Action) -> JsonObject:
    return {"kind": _NAMES[type(action)], **asdict(action)}


def from_json(stored: JsonObject) -> Action:
    """The action again.

    Raises: ValueError when a newer version of this program stored it.
    """
    fields = dict(stored)
    kind = _KINDS.get(fields.pop("kind", ""))
    if kind is None:
        raise ValueError("a kind of action this version does not know")
    try:
        action: Action = kind(**fields)
    except TypeError as error:
        raise ValueError("an action of another version") from error
    return action


def showing(portal: Portal, event: Event) -> ShowEvent:
    """The action that shows this event of the friend's."""
    said = base64.b64encode(encode_event(event)).decode()
    return ShowEvent(portal.node_id.hex(), portal.peer_id.hex(), said)


def said(action: ShowEvent) -> Event:
    """The event again. Raises: ValueError when this version cannot read it."""
    try:
        return decode_event(base64.b64decode(action.said))
    except MalformedData as error:
        raise ValueError("an event of another version") from error


def owner_lane(owner: MatrixUserId) -> str:
    """The lane of everything the bot says to this owner outside portals."""
    return f"owner:{owner}"


def portal_lane(portal: Portal) -> str:
    """The lane of everything that happens in this portal."""
    return f"portal:{portal.ghost}"


def space_lane(owner: MatrixUserId) -> str:
    """The lane of everything about this owner's space."""
    return f"space:{owner}"


FILES = "files:"
"""How lanes of files begin."""


def files_lane(portal: Portal) -> str:
    """The lane of files in this portal, which may take long: what is said there does not wait for them."""
    return f"{FILES}{portal.ghost}"


def puppet_lane(owner: MatrixUserId) -> str:
    """The lane of everything done in this owner's name."""
    return f"puppet:{owner}"


def room_lane(room_id: MatrixRoomId) -> str:
    """The lane of a room that belongs to no owner."""
    return f"room:{room_id}"
