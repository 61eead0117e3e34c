"""What may be waiting to be done on the homeserver, as records that go into the database as JSON and come back.

Each names everything it needs, because it may be carried out long after, by another run of this program. In the
database it is known by its name, so a class that gets another name makes a new kind. Byte identifiers are in
hexadecimal.
"""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.events import Event, decode_event, encode_event

KEY_BYTES = 16
"""128 random bits: no two actions ever share a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sends:
    """Sends something. ``key`` is drawn when the action is made and stays with it: the transaction id of what it sends
    is made from it, so a replay after a crash sends nothing twice."""

    key: str = field(default_factory=lambda: secrets.token_hex(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class Say(_Sends):
    """The bot says something, written in CommonMark. Without ``room`` in the owner's management room, made if there
    is none; so too where ``room`` is closed to the bot by then, unless it makes sense ``only_there``. With ``edits``
    it replaces an earlier message of the bot."""

    owner: str
    room: str | None
    text: str
    reply_to: str | None = None
    edits: str | None = None
    only_there: bool = False


@dataclass(frozen=True, slots=True)
class ShowImage(_Sends):
    """The bot shows a PNG image; ``data`` is base64, ``width`` its side in pixels."""

    owner: str
    room: str
    data: str
    filename: str
    caption: str
    width: int


@dataclass(frozen=True, slots=True)
class AskAboutKnock(_Sends):
    """The bot tells of a contact request in the management room, to be answered by reaction or reply."""

    owner: str
    knock: str
    text: str


@dataclass(frozen=True, slots=True)
class TellMissed(_Sends):
    """The bot says in the management room how far catching up is: the first time in a message, and then there until it
    is ``over``."""

    owner: str
    text: str
    over: bool


@dataclass(frozen=True, slots=True)
class React(_Sends):
    """The bot reacts to a message, so that the owner needs one touch to do the same."""

    owner: str
    room: str
    target: str
    emoji: str


@dataclass(frozen=True, slots=True)
class Welcome(_Sends):
    """The bot was invited: join, see what room it is, and say the words that fit."""

    owner: str
    room: str
    greeting: str
    crowded: str


@dataclass(frozen=True, slots=True)
class OpenManagement(_Sends):
    """Open a new management room, invite the owner and greet there."""

    owner: str
    greeting: str


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
class ClosePortal(_Sends):
    """The conversation is over for good: say so in its room if there is one, and leave it."""

    owner: str
    node: str
    peer: str
    ghost: str
    room: str | None


@dataclass(frozen=True, slots=True)
class TellWaiting(_Sends):
    """Say in a portal that what was said there is still on its way, unless it is not any more by then; ``carried``:
    by how many friends of the friend, which is said instead. Also when it was more before, if it ``falls``."""

    node: str
    peer: str
    carried: int = 0
    falls: bool = False


@dataclass(frozen=True, slots=True)
class TellHeld(_Sends):
    """Say why something could not be sent now; ``order`` is its place in the inbox, in which it is kept."""

    owner: str
    room: str
    text: str
    reply_to: str
    order: int


@dataclass(frozen=True, slots=True)
class TakeBack(_Sends):
    """The bot removes what it has said."""

    room: str
    event: str


@dataclass(frozen=True, slots=True)
class ReportStatus(_Sends):
    """Tell clients that show it how far a message has come; ``status`` is one of Beeper's words, ``ghost`` who has it,
    ``reason`` a sentence for a person."""

    room: str
    event: str
    status: str
    ghost: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ShowEvent:
    """Show what a friend said, or what it changes, as the ghost; ``said`` is the encoded event in base64."""

    node: str
    peer: str
    said: str


@dataclass(frozen=True, slots=True)
class PartFromRoom(_Sends):
    """Bot and ghost leave the room of a conversation that may go on in another; with ``everybody`` its owner and guests
    are sent out first."""

    node: str
    peer: str
    ghost: str
    room: str
    everybody: bool


@dataclass(frozen=True, slots=True)
class ConsiderRoom:
    """Find out whether this room becomes that of a conversation: its owner has invited the ghost there, or it replaces
    the one there is."""

    node: str
    peer: str
    room: str


@dataclass(frozen=True, slots=True)
class ProvePuppet(_Sends):
    """Remove the message ``event``, which held an access token, and find out whether that is the owner's own."""

    owner: str
    room: str
    event: str


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
    | ShowUnknown
    | FileAction
    | MarkRead
)

_NAMES: dict[type[Any], str] = {
    kind: re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower() for kind in get_args(Action)
}
_KINDS = {name: kind for kind, name in _NAMES.items()}


def to_json(action: Action) -> JsonObject:
    return {"kind": _NAMES[type(action)], **asdict(action)}


def from_json(stored: JsonObject) -> Action:
    """The action again.

    Raises: ValueError when a newer version of this program stored it.
    """
    fields = dict(stored)
    kind = _KINDS.get(str(fields.pop("kind", "")))
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
