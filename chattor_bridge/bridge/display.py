"""Actions that show what friends said, and what they change.

Like everything an action does, each method may be cut off anywhere and run again from its start. What it learns (the id
of the Matrix event it made) is returned as a deed, for the transaction that also removes the action.
"""

from __future__ import annotations

from chattor_bridge.bridge import actions, content, places, polls
from chattor_bridge.bridge.changes import Changes
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.look import Looks
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import EventLink, JsonObject, PendingAction, Portal
from chattor_bridge.bridge.showing import Make, Showing
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.ids import EventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import (
    Delete,
    Edit,
    Event,
    Location,
    Poll,
    PollEnd,
    Reaction,
    Text,
    Vote,
)

UNKNOWN = (
    "{name} sent something this version cannot show (“{type}”). It needs a newer version of the bridge; "
    "ask {name} to say it in plain text."
)

CRITICAL = (
    "⚠️ **{name} sent something important that this version does not know** (“{type}”). Do not go on as if it had not "
    "been said: upgrade the bridge, or ask {name} what it was."
)


class Display:
    """Shows events in portals."""

    def __init__(
        self, store: BridgeStore, homeserver: Homeserver, conversion: TextConversion, showing: Showing
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._showing = showing
        self._looks = Looks(store)
        self._changes = Changes(store, homeserver, conversion, showing)

    async def event(self, action: actions.ShowEvent, pending: PendingAction) -> Deed:
        """Show it, or change what is shown."""
        event = actions.said(action)
        async with self._store.transaction() as tx:
            portal = await self._showing.portal_in(tx, action.node, action.peer)
            form = await self._form(tx, portal, event.body)
        if form is not None:
            return await self.talk(portal, event, pending, form, _detail(event.body))
        match event.body:
            case Edit() as body:
                return await self._changes.edit(portal, event, body, pending)
            case Delete(target=target):
                return await self._changes.delete(portal, event, target)
            case Reaction() as body:
                return await self._changes.reaction(portal, event, body, pending)
            case Vote() as body:
                return await self._changes.vote(portal, event, body, pending)
            case PollEnd(target=target):
                return await self._changes.poll_end(portal, event, target, pending)
        raise TypeError("nothing that is shown")

    async def unknown(self, action: actions.ShowUnknown, pending: PendingAction) -> Deed:
        """Say that there is something this version does not know."""
        portal = await self._showing.portal(action.node, action.peer)
        name = (await self._looks.of(portal)).name
        text = (CRITICAL if action.critical else UNKNOWN).format(
            name=content.literal(name), type=content.literal(action.type)
        )

        def make(_room_id: MatrixRoomId, mark: str) -> tuple[str, JsonObject]:
            return "m.room.message", content.written(self._conversion, text, mark, notice=True)

        event_id = EventId(bytes.fromhex(action.event))
        return await self._shown(portal, self._homeserver.bot, event_id, make, pending, action.type)

    async def _form(self, tx: Transaction, portal: Portal, body: object) -> Make | None:
        """How this looks in Matrix; ``None`` when it is not shown by itself."""
        match body:
            case Text():
                return await self._text(tx, portal, body)
            case Location():
                return lambda _, mark: ("m.room.message", places.location(body, mark))
            case Poll():
                return lambda _, mark: polls.start(body, mark)
        return None

    async def _text(self, tx: Transaction, portal: Portal, body: Text) -> Make:
        mentions = await self._mentions(tx, portal) if "@" in body.text else content.NOBODY
        notice = body.kind == "notice" or await self._is_muted(tx, portal)
        emote = body.kind == "emote"
        return lambda _, mark: (
            "m.room.message",
            content.written(self._conversion, body.text, mark, notice=notice, emote=emote, mentions=mentions),
        )

    async def talk(
        self, portal: Portal, event: Event, pending: PendingAction, form: Make, detail: JsonObject | None = None
    ) -> Deed:
        """Show something of its own, as an answer or in a thread if it is that; ``detail`` is for its link."""
        reply, thread = await self._changes.shown(portal, event.reply), await self._changes.shown(portal, event.thread)

        def make(room_id: MatrixRoomId, mark: str) -> tuple[str, JsonObject]:
            event_type, message = form(room_id, mark)
            answered, begun = (
                link.matrix_event_id if link is not None and link.room_id == room_id else None
                for link in (reply, thread)
            )
            return event_type, content.in_relation(message, answered, begun)

        return await self._shown(portal, portal.ghost, event.event_id, make, pending, event.body.TYPE, detail)

    async def _shown(
        self,
        portal: Portal,
        sender: MatrixUserId,
        event_id: EventId,
        make: Make,
        pending: PendingAction,
        kind: str,
        detail: JsonObject | None = None,
    ) -> Deed:
        room_id, matrix_event_id = await self._showing.send(portal, sender, make, event_id, pending)

        async def deed(tx: Transaction) -> None:
            link = EventLink(
                portal.node_id, portal.peer_id, event_id, 0, room_id, matrix_event_id, False, kind, None, detail
            )
            await self._store.event_links.add(tx, link)
            await self._store.unread.add(tx, room_id, matrix_event_id, event_id)

        return deed

    async def _is_muted(self, tx: Transaction, portal: Portal) -> bool:
        """Whether the owner is not to be disturbed: clients ring no bell for a notice."""
        preferences = await self._store.preferences.get(tx, portal.node_id, portal.peer_id)
        return preferences is not None and preferences.muted

    async def _mentions(self, tx: Transaction, portal: Portal) -> dict[str, str]:
        """Whom the friend can mention, by the name it knows: our owner."""
        record = await self._store.nodes.get(tx, portal.node_id)
        return {} if record is None else {record.profile_name: portal.owner}


def _detail(body: object) -> JsonObject | None:
    return polls.detail_of(body) if isinstance(body, Poll) else None
