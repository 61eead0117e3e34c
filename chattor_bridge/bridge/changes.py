"""What friends change about what was said: edits, what is taken back, reactions, votes.

Who may change what is checked here, with the links at hand (docs/protocol/events.md, "Who may change what"): an edit, a
deletion and the end of a poll count for events of the friend's own. What is not to be seen, because it was taken back
or forgotten, is not changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.bridge import content, polls
from chattor_bridge.bridge.actions import ShowEvent, from_json, said
from chattor_bridge.bridge.files.content import recaptioned
from chattor_bridge.bridge.ghosts import transaction_id
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import EventLink, JsonObject, PendingAction, Portal
from chattor_bridge.bridge.showing import Make, Showing
from chattor_bridge.bridge.speech.targets import CHANGES
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import EventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Delete, Edit, Event, FileOffer, Poll, Reaction, Text, Vote

ALREADY_THERE = "M_DUPLICATE_ANNOTATION"
GONE = frozenset({"M_NOT_FOUND", "M_FORBIDDEN", "M_UNKNOWN"})
"""How a homeserver refuses to remove what is not there any more, or in a room that is lost."""


class Changes:
    """Each method makes the change in the room and returns what to write down."""

    def __init__(
        self,
        store: BridgeStore,
        homeserver: Homeserver,
        conversion: TextConversion,
        showing: Showing,
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._showing = showing

    async def shown(self, portal: Portal, event_id: EventId | None) -> EventLink | None:
        """Where an event that a friend names is shown: of an edit, the first version."""
        links = [] if event_id is None else await self._links(portal, event_id)
        if links and links[0].kind == Edit.TYPE and links[0].target is not None:
            links = await self._links(portal, links[0].target)
        return links[0] if links and links[0].kind not in CHANGES else None

    async def edit(self, portal: Portal, event: Event, body: Edit, pending: PendingAction) -> Deed:
        """Replace a text of the friend's, or the caption of a file, by another."""
        links = await self._links(portal, body.target)
        if not links:
            return nothing
        original = links[0]
        if original.ours or original.kind not in (Text.TYPE, FileOffer.TYPE):
            return nothing
        file = original.detail["content"] if original.kind == FileOffer.TYPE and original.detail else None
        is_sticker = file is not None and "msgtype" not in file
        if not body.text and (file is None or is_sticker):  # it can take away the caption of a file alone
            return nothing
        notice, emote = body.kind == "notice", body.kind == "emote"

        def make(room_id: str, mark: str) -> tuple[str, JsonObject]:
            if file is None or is_sticker:
                new = content.written(self._conversion, body.text, mark, notice=notice, emote=emote)
            else:
                new = recaptioned(self._conversion, file, body.text, mark)
            if room_id != original.room_id:  # another room by now, in which the first version is not to be seen
                return "m.room.message", new
            # Matrix has no way to change a sticker: what stands with it now is said below it.
            placed = content.as_reply if is_sticker else content.as_edit
            return "m.room.message", placed(new, original.matrix_event_id)

        return await self._send(portal, event, make, pending, body.target)

    async def reaction(self, portal: Portal, event: Event, body: Reaction, pending: PendingAction) -> Deed:
        """Put something under what either side said."""
        original = await self.shown(portal, body.target)
        if original is None:
            return nothing
        if original.room_id != portal.room_id:
            return nothing
        target = original.matrix_event_id
        try:
            return await self._send(
                portal,
                event,
                lambda _, mark: ("m.reaction", content.reaction(target, body.emoji, mark)),
                pending,
                body.target,
            )
        except HomeserverRefused as error:
            if error.errcode != ALREADY_THERE:
                raise
        return nothing

    async def vote(self, portal: Portal, event: Event, body: Vote, pending: PendingAction) -> Deed:
        """Choose in a poll of either side."""
        poll = await self._poll(portal, body.target)
        if poll is None:
            return nothing
        detail = poll.detail
        if detail is None or poll.room_id != portal.room_id or polls.is_void(detail, body.choices):
            return nothing
        target = poll.matrix_event_id
        return await self._send(
            portal, event, lambda _, mark: polls.response(detail, target, body.choices, mark), pending, body.target
        )

    async def poll_end(self, portal: Portal, event: Event, target: EventId, pending: PendingAction) -> Deed:
        """End a poll of the friend's."""
        poll = await self._poll(portal, target)
        if poll is None:
            return nothing
        detail, begun = poll.detail, poll.matrix_event_id
        if detail is None or poll.ours or poll.room_id != portal.room_id:
            return nothing
        return await self._send(portal, event, lambda _, mark: polls.end(detail, begun, mark), pending, target)

    async def delete(self, portal: Portal, event: Event, target: EventId) -> Deed:
        """Remove something of the friend's from the room, with every edit of it. Of a vote all the friend has given in
        that poll: or the one before it would count again."""
        links = await self._links(portal, target)
        if not links:
            return lambda tx: self._give_up_parked(tx, portal, target)
        if links[0].ours:
            return nothing
        async with self._store.transaction() as tx:
            changes = await self._store.event_links.of_target(tx, portal.node_id, portal.peer_id, target)
            edits = [link for link in changes if not link.ours and link.kind == Edit.TYPE]
            votes: list[EventLink] = []
            if links[0].kind == Vote.TYPE and (poll := links[0].target) is not None:
                votes = await self._store.event_links.of_target(tx, portal.node_id, portal.peer_id, poll)
        gone = [*links, *edits, *(link for link in votes if not link.ours and link.kind == Vote.TYPE)]
        for room_id, matrix_event_id in dict.fromkeys((link.room_id, link.matrix_event_id) for link in gone):
            mark = transaction_id(portal.ghost, room_id, event.event_id, f"redact {matrix_event_id}")
            try:
                await self._homeserver.redact(portal.ghost, room_id, matrix_event_id, mark)
            except HomeserverRefused as error:
                if room_id == portal.room_id and error.errcode not in GONE:
                    raise

        async def deed(tx: Transaction) -> None:
            for link in (*gone, *(change for change in changes if change.kind != Delete.TYPE)):
                await self._store.event_links.remove_link(tx, link)

        return deed

    async def _poll(self, portal: Portal, event_id: EventId) -> EventLink | None:
        shown = await self.shown(portal, event_id)
        return shown if shown is not None and shown.kind == Poll.TYPE else None

    async def _links(self, portal: Portal, event_id: EventId) -> Sequence[EventLink]:
        """Of an id that both sides have used, the one that our owner said is meant."""
        async with self._store.transaction() as tx:
            links = await self._store.event_links.by_event(tx, portal.node_id, portal.peer_id, event_id)
        ours = [link for link in links if link.ours]
        return ours or links

    async def _send(self, portal: Portal, event: Event, make: Make, pending: PendingAction, target: EventId) -> Deed:
        room_id, matrix_event_id = await self._showing.send(portal, portal.ghost, make, event.event_id, pending)
        detail = {"choices": list(event.body.choices)} if isinstance(event.body, Vote) else None
        link = EventLink(
            portal.node_id,
            portal.peer_id,
            event.event_id,
            0,
            room_id,
            matrix_event_id,
            False,
            event.body.TYPE,
            target,
            detail,
        )

        async def deed(tx: Transaction) -> None:
            await self._store.event_links.add(tx, link)
            # a client may set its receipt to this, and so to all above it
            await self._store.unread.add(
                tx, room_id, matrix_event_id, event.event_id if event.body.TYPE == Edit.TYPE else None
            )

        return deed

    async def _give_up_parked(self, tx: Transaction, portal: Portal, target: EventId) -> None:
        """What could not be shown and was taken back is not to be shown later."""
        for parked in await self._store.actions.parked(tx, [portal_lane(portal)]):
            action = from_json(parked.content)
            if isinstance(action, ShowEvent) and said(action).event_id == target:
                await self._store.actions.remove(tx, parked.order)
