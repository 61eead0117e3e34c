"""What the bridge needs of a store, beside what its nodes do: `BridgeStore`, and each of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from chattor_bridge.bridge.records import (
    EventLink,
    InboxItem,
    JsonObject,
    KnockNotice,
    Parked,
    PendingAction,
    Portal,
    PortalNotice,
    Space,
    Topic,
)
from chattor_bridge.ids import EventId, KnockId, MatrixEventId, MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.store_ports import NodeStore

NEVER_CAME = "its key never came to me"
"""Why an encrypted message was set aside that comes back by itself with its key."""

MOST_UNREAD = 500
"""Messages of one room: somebody who comes back to more has stopped reading one by one."""


class MatrixInbox(Protocol):
    """Matrix events on their way to Chattor or to the bot: stored before the homeserver gets its 200."""

    async def add(self, tx: Transaction, events: Sequence[JsonObject], at: int) -> int:
        """Add what is not known yet by its ``event_id``; the number added. An id stays known after its item is done.
        Events keep their order."""

    async def add_before(self, tx: Transaction, room_id: MatrixRoomId, events: Sequence[JsonObject], at: int) -> None:
        """Add events of one room, oldest first, that came late: as far as they are older than all that waits there,
        before it."""

    async def rooms(self, tx: Transaction) -> list[MatrixRoomId]:
        """Rooms with items waiting that are not parked."""

    async def next(self, tx: Transaction, room_id: MatrixRoomId) -> InboxItem | None:
        """The oldest item of the room that is not parked."""

    async def replace(self, tx: Transaction, item: InboxItem, event: JsonObject) -> None:
        """Put another reading of the same event in its place, such as the decrypted one."""

    async def remove(self, tx: Transaction, order: int) -> None: ...
    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        """Everything of this room, parked or not."""

    async def park(self, tx: Transaction, order: int, reason: str) -> None:
        """Set a poisoned item aside: it blocks nobody and is kept for the operator."""

    async def parked(self, tx: Transaction, rooms: Sequence[MatrixRoomId] | None = None) -> list[Parked]:
        """The parked items of these rooms, or of all, oldest first."""

    async def unpark(self, tx: Transaction, order: int) -> None:
        """Let a parked item wait again, in its old place. Raises: NotFound."""

    async def count(self, tx: Transaction) -> int:
        """Items waiting, parked ones left out."""

    async def count_parked(self, tx: Transaction) -> int: ...

    async def known(self, tx: Transaction, event_ids: Iterable[str]) -> set[str]:
        """Those of these that were ever added and are not forgotten."""

    async def forget(self, tx: Transaction, before: int) -> None:
        """Forget known event ids first seen before this time; items still waiting stay."""


class PendingActions(Protocol):
    """What is still to be done on the homeserver."""

    async def add(self, tx: Transaction, lane: str, action: JsonObject, at: int) -> None: ...
    async def lanes(self, tx: Transaction) -> list[str]:
        """Lanes with actions waiting that are not parked."""

    async def next(self, tx: Transaction, lane: str) -> PendingAction | None:
        """The oldest action of the lane that is not parked."""

    async def last(self, tx: Transaction, lane: str) -> PendingAction | None:
        """The newest action of the lane that is not parked."""

    async def begun(self, tx: Transaction, order: int) -> None:
        """Count one more attempt: in memory, which costs no disk, for most succeed. It is on disk once it has `failed`
        or is parked."""

    async def failed(self, tx: Transaction, order: int) -> None:
        """The attempt that was begun last did not succeed."""

    async def interrupted(self, tx: Transaction) -> None:
        """Count an attempt of all that wait and count none: an earlier run may have ended in one of them."""

    async def remove(self, tx: Transaction, order: int) -> None: ...
    async def remove_lane(self, tx: Transaction, lane: str) -> None:
        """Everything in this lane, parked or not."""

    async def park(self, tx: Transaction, order: int, reason: str) -> None:
        """Set an action aside, the attempt that was begun last included in its count. Raises: NotFound."""

    async def parked(self, tx: Transaction, lanes: Sequence[str]) -> list[Parked]:
        """The parked actions of these lanes, oldest first."""

    async def unpark(self, tx: Transaction, order: int) -> None:
        """Let a parked action wait again, in its old place; its attempts stay counted. Raises: NotFound."""

    async def count(self, tx: Transaction, lane: str | None = None) -> int:
        """How many wait, in one lane or in all; parked ones do not count."""

    async def count_parked(self, tx: Transaction, lane: str | None = None) -> int:
        """How many are parked, in one lane or in all."""


class Portals(Protocol):
    """What changes of one changes by itself: while its room is made, its friendship may become one with another."""

    async def add(self, tx: Transaction, portal: Portal) -> None:
        """Add one, unless this friendship has one. Raises: AlreadyExists when the room shows another conversation."""

    async def move(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, room_id: MatrixRoomId) -> None:
        """Have this room show it from now on. Raises: NotFound; AlreadyExists when it shows another conversation."""

    async def leave(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        """Whichever this room shows has none from now on."""

    async def merge(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, into: PeerId) -> None:
        """It goes on in that of another friendship. Raises: NotFound."""

    async def by_peer(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Portal | None: ...
    async def by_room(self, tx: Transaction, room_id: MatrixRoomId) -> Portal | None: ...
    async def by_ghost(self, tx: Transaction, ghost: MatrixUserId) -> Portal | None: ...
    async def of_owner(self, tx: Transaction, owner: MatrixUserId) -> list[Portal]: ...
    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None: ...


class ManagementRooms(Protocol):
    """The room in which each Matrix user talks to the bot; the newest one counts."""

    async def save(self, tx: Transaction, owner: MatrixUserId, room_id: MatrixRoomId, at: int) -> None: ...
    async def of_owner(self, tx: Transaction, owner: MatrixUserId) -> MatrixRoomId | None: ...
    async def all_of_owner(self, tx: Transaction, owner: MatrixUserId) -> list[MatrixRoomId]:
        """The newest last."""

    async def owner_of(self, tx: Transaction, room_id: MatrixRoomId) -> MatrixUserId | None: ...
    async def remove(self, tx: Transaction, room_id: MatrixRoomId) -> None: ...


class Spaces(Protocol):
    """The space of each owner."""

    async def move(self, tx: Transaction, owner: MatrixUserId, room_id: MatrixRoomId) -> None: ...
    async def leave(self, tx: Transaction, room_id: MatrixRoomId) -> None:
        """Whoever's space this was has none from now on."""

    async def want(self, tx: Transaction, owner: MatrixUserId, *, wanted: bool) -> None: ...
    async def of_owner(self, tx: Transaction, owner: MatrixUserId) -> Space:
        """One without a room when nothing is known."""

    async def owner_of(self, tx: Transaction, room_id: MatrixRoomId) -> MatrixUserId | None: ...
    async def remove(self, tx: Transaction, owner: MatrixUserId) -> None: ...


class EventLinks(Protocol):
    async def add(self, tx: Transaction, link: EventLink) -> None:
        """Adding the same link again changes nothing."""

    async def by_event(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> list[EventLink]:
        """In order of part."""

    async def by_matrix_event(self, tx: Transaction, matrix_event_id: MatrixEventId) -> list[EventLink]: ...
    async def of_target(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, target: EventId) -> list[EventLink]:
        """Of what changes this event or is put under it, in no order."""

    async def waiting(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, limit: int) -> list[EventLink]:
        """Of what our owner said and the friend has not acknowledged yet, the first ``limit``."""

    async def remove_link(self, tx: Transaction, link: EventLink) -> None: ...
    async def move(self, tx: Transaction, node_id: NodeId, from_peer: PeerId, to_peer: PeerId) -> None:
        """Make the links of one conversation those of another: the two have become one."""

    async def remove(self, tx: Transaction, node_id: NodeId, peer_id: PeerId) -> None:
        """All of this conversation."""

    async def remove_event(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> None:
        """Those of this event of the friend's."""


class Unread(Protocol):
    """What a portal shows and its owner has not read, in the order it was shown. Of each room the newest
    `MOST_UNREAD` are kept."""

    async def add(
        self, tx: Transaction, room_id: MatrixRoomId, matrix_event_id: MatrixEventId, event_id: EventId | None
    ) -> None:
        """``event_id`` is ``None`` for what no friend said. Adding a Matrix event again changes nothing."""

    async def take(self, tx: Transaction, room_id: MatrixRoomId, up_to: MatrixEventId) -> list[EventId]:
        """Take out everything up to and including this Matrix event: the event ids in it, in order. Nothing when that
        event is not unread."""

    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None: ...


class KnockNotices(Protocol):
    async def save(self, tx: Transaction, notice: KnockNotice) -> None:
        """Add, or replace the notice of this knock: only the latest can be answered."""

    async def by_knock(self, tx: Transaction, knock_id: KnockId) -> KnockNotice | None: ...
    async def by_matrix_event(self, tx: Transaction, matrix_event_id: MatrixEventId) -> KnockNotice | None: ...
    async def remove(self, tx: Transaction, knock_id: KnockId) -> None: ...
    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None: ...


class PortalNotices(Protocol):
    async def save(self, tx: Transaction, notice: PortalNotice) -> None:
        """Add, or replace the one with this Matrix event."""

    async def by_matrix_event(self, tx: Transaction, matrix_event_id: MatrixEventId) -> PortalNotice | None: ...
    async def of_room(self, tx: Transaction, room_id: MatrixRoomId, topic: Topic) -> list[PortalNotice]: ...
    async def remove(self, tx: Transaction, matrix_event_id: MatrixEventId) -> None: ...
    async def remove_room(self, tx: Transaction, room_id: MatrixRoomId) -> None: ...


class RoomKeys(Protocol):
    """What our Matrix users need for encrypted rooms, as small records: of one of them (``account``), or with an empty
    ``account`` of all. Values are sealed."""

    async def get(self, tx: Transaction, account: str, kind: str, name: str) -> JsonObject | None: ...
    async def put(self, tx: Transaction, account: str, kind: str, name: str, value: JsonObject) -> None: ...
    async def remove(self, tx: Transaction, account: str, kind: str, name: str) -> None: ...
    async def names(self, tx: Transaction, account: str, kind: str) -> list[str]: ...
    async def count(self, tx: Transaction, account: str, kind: str) -> int: ...
    async def accounts(self, tx: Transaction, kind: str) -> list[str]:
        """Whoever has a record of this kind."""

    async def forget(self, tx: Transaction, name: str) -> None:
        """Remove all records of an account, or what all share about a room or a person of this name."""


class BridgeStore(NodeStore, Protocol):
    """One database for the nodes and the bridge, so that one transaction spans both."""

    @property
    def inbox(self) -> MatrixInbox: ...
    @property
    def actions(self) -> PendingActions: ...
    @property
    def portals(self) -> Portals: ...
    @property
    def management_rooms(self) -> ManagementRooms: ...
    @property
    def spaces(self) -> Spaces: ...
    @property
    def event_links(self) -> EventLinks: ...
    @property
    def unread(self) -> Unread: ...
    @property
    def knock_notices(self) -> KnockNotices: ...
    @property
    def portal_notices(self) -> PortalNotices: ...
    @property
    def room_keys(self) -> RoomKeys: ...

    async def secret(self, tx: Transaction, name: str, length: int) -> bytes:
        """A random secret of this installation, made at the first call and sealed; ``length`` in bytes."""

    async def setting_for_update(self, tx: Transaction, name: str) -> str | None:
        """Read and lock until the end of the transaction, also one that is not there yet: what is written back is made
        of what is read."""

    async def remove_settings(self, tx: Transaction, prefix: str) -> None:
        """Remove every setting whose name begins so."""
