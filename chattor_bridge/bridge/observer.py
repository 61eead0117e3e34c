"""What happens to the nodes, turned into pending actions in the very transaction that made it happen.

Nothing here waits for anything but the database: the rooms, messages and receipts are the action workers' business.
"""

from __future__ import annotations

from collections.abc import Callable

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.content import literal, room_link
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.early import Early
from chattor_bridge.bridge.files.news import FileNews
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.lane_names import owner_lane, portal_lane
from chattor_bridge.bridge.listener import Announcer
from chattor_bridge.bridge.records import EventLink, Portal, Topic
from chattor_bridge.bridge.statuses import FAILED, SUCCESS, is_news, take_back_if_nothing_waits
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import NotFound
from chattor_bridge.ids import EventId, FileId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.happenings import (
    VERIFICATION_FAILED,
    CarriersLost,
    CodeClosed,
    ContactAdded,
    ContactPictured,
    ContactRenamed,
    ContactsMerged,
    EventArrived,
    EventCarried,
    EventDelivered,
    EventFailed,
    EventsExpired,
    EventsForgotten,
    FileArrived,
    FileFailed,
    FileSent,
    Happening,
    KnockFailed,
    KnockGone,
    KnockLeft,
    KnockReceived,
    Missed,
)
from chattor_bridge.node.notices import in_words
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import (
    Delete,
    Edit,
    Event,
    FileOffer,
    Location,
    Poll,
    PollEnd,
    Reaction,
    Receipt,
    Text,
    Unknown,
    Vote,
)
from chattor_bridge.protocol.signals import Signal

GOES_ON_ELSEWHERE = (
    "This conversation has become one with {where}, as both of you wanted: everything goes on there. You can leave "
    "this room."
)

NOT_DELIVERED = "⚠ This could not be delivered: {reason}"


class NodeObserver:
    """Implements `chattor_bridge.node.ports.Observer` for every node the bridge hosts."""

    def __init__(
        self, store: BridgeStore, household: Household, voice: Voice, announcer: Announcer, conversations: Conversations
    ) -> None:
        self._store = store
        self._household = household
        self._voice = voice
        self._early = Early(store, voice)
        self._files = FileNews(store, voice)
        self._conversations = conversations
        self._announcer = announcer
        self.on_signal: Callable[[NodeId, PeerId, Signal], None] = lambda node_id, peer_id, signal: None
        """Called with what a friend's person shows of itself; must not block."""

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        """Arrange what the owner is to see.

        Raises: HomeserverUnavailable when too much waits already, so that the friend keeps the message;
        DatabaseUnavailable; NotFound when the node is nobody's.
        """
        record = await self._store.nodes.get(tx, node_id)
        if record is None:
            raise NotFound("something happened to a node that is not in the database")
        owner = MatrixUserId(record.owner)
        match happening:
            case EventArrived(peer_id, event):
                portal = await self._conversations.portal(tx, owner, node_id, peer_id)
                await self._voice.check_room_for_more(tx, portal_lane(portal))
                await self._arrived(tx, portal, event)
            case FileArrived(peer_id, _, file_id):
                portal = await self._conversations.portal(tx, owner, node_id, peer_id)
                await self._files.arrived(tx, portal, file_id)
            case FileSent(peer_id, event_id, file_id):
                portal = await self._conversations.portal(tx, owner, node_id, peer_id)
                links = await self._store.event_links.by_event(tx, node_id, peer_id, event_id)
                if links:
                    await self._has_it(tx, portal, links[-1])
                await self._files.ended(tx, portal, file_id)
            case FileFailed(peer_id, event_id, file_id, reason):
                portal = await self._conversations.portal(tx, owner, node_id, peer_id)
                await self._file_failed(tx, portal, event_id, file_id, reason)
            case EventsForgotten(peer_id, event_ids):
                for event_id in event_ids:
                    await self._store.event_links.remove_event(tx, node_id, peer_id, event_id)
            case EventsExpired(peer_id, event_ids):
                portal = await self._conversations.portal(tx, owner, node_id, peer_id)
                for event_id in event_ids:
                    action = actions.Disappear(node_id.hex(), peer_id.hex(), event_id.hex())
                    await self._voice.arrange(tx, portal_lane(portal), action)
            case EventDelivered(peer_id, event_id):
                await self._delivered(tx, node_id, peer_id, event_id)
            case EventCarried(peer_id, _, carriers):
                await self._carried(tx, node_id, peer_id, carriers)
            case CarriersLost(peer_id, carriers):
                await self._carried(tx, node_id, peer_id, carriers, falls=True)
            case EventFailed(peer_id, event_id, reason):
                await self._failed(tx, await self._conversations.portal(tx, owner, node_id, peer_id), event_id, reason)
            case ContactRenamed(peer_id) | ContactPictured(peer_id):
                await self._conversations.refresh(tx, await self._conversations.portal(tx, owner, node_id, peer_id))
            case ContactsMerged(peer_id, former):
                await self._merged(tx, owner, node_id, peer_id, former)
            case ContactAdded(peer_id):
                await self._announcer.happened(tx, owner, node_id, happening)
                await self._conversations.open(tx, await self._conversations.portal(tx, owner, node_id, peer_id))
            case KnockReceived():
                await self._voice.check_room_for_more(tx, owner_lane(owner))
                await self._announcer.happened(tx, owner, node_id, happening)
            case KnockLeft() | KnockFailed() | KnockGone() | CodeClosed() | Missed():
                await self._announcer.happened(tx, owner, node_id, happening)

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        """Nothing shows it in Matrix, where a ghost's presence is its person's; the bot's lists ask the node itself."""

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        """See `Observer.signalled`."""
        self.on_signal(node_id, peer_id, signal)

    async def _arrived(self, tx: Transaction, portal: Portal, event: Event) -> None:
        node, peer, event_id = portal.node_id.hex(), portal.peer_id.hex(), event.event_id.hex()
        action: actions.Action
        match event.body:
            case Text() | Location() | Poll():
                action = actions.showing(portal, event)
            case FileOffer() as offer:
                await self._files.offered(tx, portal, event, offer)
                if portal.room_id is None:
                    await self._conversations.open_unless_about_to(tx, portal)
                return
            case Edit(target=target) | Delete(target) | Reaction(target=target) | Vote(target=target) | PollEnd(target):
                file_id = await self._files.awaited(tx, portal, target)
                if file_id is not None and isinstance(event.body, Delete):
                    await self._files.taken_back(tx, portal, file_id)
                elif file_id is not None or await self._early.is_early(tx, portal, target):
                    await self._early.keep(tx, portal, event, target)
                else:
                    await self._voice.arrange(tx, portal_lane(portal), actions.showing(portal, event))
                return
            case Unknown(kind, fields):
                notice = in_words(kind, fields, typed=_typed, quoted=literal)
                if notice is not None:
                    await self._voice.say(tx, Place.portal(portal), notice)
                    if kind == VERIFICATION_FAILED:
                        await self._conversations.refresh(tx, portal)
                    return
                action = actions.ShowUnknown(node, peer, event_id, kind, event.critical)
            case Receipt(_, event_ids):
                await self._read(tx, portal, event_ids)
                return
            case body:  # nothing that a friend says is dropped for being nothing that Matrix shows
                action = actions.ShowUnknown(node, peer, event_id, body.TYPE, event.critical)
        if portal.room_id is None:
            await self._conversations.open_unless_about_to(tx, portal)
        await self._voice.arrange(tx, portal_lane(portal), action)
        await self._early.has_come(tx, portal, event.event_id)

    async def _read(self, tx: Transaction, portal: Portal, event_ids: tuple[EventId, ...]) -> None:
        """The friend read these: the ghost's receipt goes to the last of them, and so covers what stands above."""
        for event_id in reversed(event_ids):
            links = await self._store.event_links.by_event(tx, portal.node_id, portal.peer_id, event_id)
            said = [link for link in links if link.ours]
            if said:
                action = actions.MarkRead(portal.ghost, said[-1].room_id, said[-1].matrix_event_id)
                await self._voice.arrange(tx, portal_lane(portal), action)
                return

    async def _delivered(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, event_id: EventId) -> None:
        """The friend has it on disk: the bot's receipt goes to the message, once its last part has arrived."""
        portal = await self._store.portals.by_peer(tx, node_id, peer_id)
        links = await self._store.event_links.by_event(tx, node_id, peer_id, event_id)
        if portal is None or not links:  # a receipt of ours: nothing shows it
            return
        parts = await self._store.event_links.by_matrix_event(tx, links[-1].matrix_event_id)
        with_file = any(part.kind == FileOffer.TYPE for part in parts)  # which the friend only knows of so far
        if links[-1].part == max(part.part for part in parts) and not with_file:
            await self._has_it(tx, portal, links[-1])
        await take_back_if_nothing_waits(self._store, self._voice, tx, portal)

    async def _has_it(self, tx: Transaction, portal: Portal, link: EventLink) -> None:
        """The friend has all of a message."""
        action = actions.MarkRead(self._household.bot, link.room_id, link.matrix_event_id)
        await self._voice.arrange(tx, portal_lane(portal), action)
        if await self._store.portal_notices.by_matrix_event(tx, link.matrix_event_id) is not None:
            await self._store.portal_notices.remove(tx, link.matrix_event_id)
            report = actions.ReportStatus(link.room_id, link.matrix_event_id, SUCCESS, portal.ghost)
            await self._voice.arrange(tx, portal_lane(portal), report)

    async def _carried(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, carriers: int, *, falls: bool = False
    ) -> None:
        """Friends of the friend hold something: said instead of that it waits here, and again when there are more; or
        the friend has none any more that could, which whoever relies on them has to know."""
        portal = await self._store.portals.by_peer(tx, node_id, peer_id)
        if portal is None or portal.room_id is None:
            return
        said = await self._store.portal_notices.of_room(tx, portal.room_id, Topic.WAITING)
        if is_news(said, carriers, falls=falls):
            action = actions.TellWaiting(node_id.hex(), peer_id.hex(), carriers, falls)
            await self._voice.arrange(tx, portal_lane(portal), action)

    async def _failed(self, tx: Transaction, portal: Portal, event_id: EventId, reason: str) -> None:
        links = await self._store.event_links.by_event(tx, portal.node_id, portal.peer_id, event_id)
        if links:
            await self._never(tx, portal, links[-1], NOT_DELIVERED.format(reason=literal(reason)), reason)
            await take_back_if_nothing_waits(self._store, self._voice, tx, portal)

    async def _file_failed(
        self, tx: Transaction, portal: Portal, event_id: EventId, file_id: FileId, reason: str
    ) -> None:
        links = await self._store.event_links.by_event(tx, portal.node_id, portal.peer_id, event_id)
        text = await self._files.ended(tx, portal, file_id)
        if text is not None and links and links[-1].ours:
            await self._never(tx, portal, links[-1], text, reason)
        elif text is not None:
            await self._voice.say(tx, Place.portal(portal), text)

    async def _never(self, tx: Transaction, portal: Portal, link: EventLink, text: str, reason: str) -> None:
        """The friend will not get a message of the owner's."""
        await self._voice.say(tx, Place.portal(portal), text, reply_to=link.matrix_event_id)
        await self._store.portal_notices.remove(tx, link.matrix_event_id)
        failed = actions.ReportStatus(link.room_id, link.matrix_event_id, FAILED, portal.ghost, reason)
        await self._voice.arrange(tx, portal_lane(portal), failed)

    async def _merged(
        self, tx: Transaction, owner: MatrixUserId, node_id: NodeId, peer_id: PeerId, former_id: PeerId
    ) -> None:
        """One room remains; the other stays to be read, and says where the conversation goes on."""
        portal = await self._conversations.portal(tx, owner, node_id, peer_id)
        former = await self._conversations.portal(tx, owner, node_id, former_id)
        await self._store.event_links.move(tx, node_id, former_id, peer_id)
        await self._files.merged(tx, former, portal)
        await self._store.portals.merge(tx, node_id, former_id, peer_id)
        if former.room_id is not None:
            text = GOES_ON_ELSEWHERE.format(where=room_link(portal))
            action = actions.Say(owner, former.room_id, text, only_there=True)
            await self._voice.arrange(tx, portal_lane(former), action)
        await self._conversations.open_unless_about_to(tx, portal)
        await self._conversations.tend(tx, owner)
        rename = actions.RenamePortal(node_id.hex(), peer_id.hex())  # it may have the other's alias now
        await self._voice.arrange(tx, portal_lane(portal), rename)


def _typed(command: str, rest: str = "") -> str:
    """In the room of a conversation, whose friend is meant."""
    return f"`{f'!chattor {command} {rest}'.rstrip()}`"
