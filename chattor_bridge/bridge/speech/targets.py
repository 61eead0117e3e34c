"""Which Chattor event a Matrix event stands for, when the owner refers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chattor_bridge.bridge import content
from chattor_bridge.bridge.records import EventLink, JsonObject, Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.ids import EventId, MatrixEventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Delete, Edit, PollEnd, Reaction, Vote

CHANGES = frozenset(body.TYPE for body in (Edit, Delete, Reaction, Vote, PollEnd))
"""Types of events that stand for nothing of their own."""


@dataclass(frozen=True, slots=True)
class Relations:
    """What a message answers and which thread it is in, as far as the friend knows these; ``lost`` when it refers to
    what the friend does not know."""

    reply: EventId | None
    thread: EventId | None
    lost: bool


class Targets:
    """Looks up links within the transaction of a deed."""

    def __init__(self, store: BridgeStore) -> None:
        self._store = store

    async def linked(self, tx: Transaction, portal: Portal, target: object) -> list[EventLink]:
        """The links of this Matrix event in this conversation, in order of part."""
        if not isinstance(target, str):
            return []
        links = await self._store.event_links.by_matrix_event(tx, MatrixEventId(target))
        return [one for one in links if (one.node_id, one.peer_id) == (portal.node_id, portal.peer_id)]

    async def originals(self, tx: Transaction, portal: Portal, target: object) -> list[EventLink]:
        """The links of what this Matrix event shows, in order of part: those of the first version if it is an edit, and
        none if it shows nothing of its own."""
        links = await self.linked(tx, portal, target)
        edit = next((one for one in links if one.kind == Edit.TYPE and one.target is not None), None)
        if edit is not None and edit.target is not None:
            first = await self._store.event_links.by_event(tx, portal.node_id, portal.peer_id, edit.target)
            links = await self.linked(tx, portal, first[0].matrix_event_id) if first else []
        return [one for one in links if one.kind not in CHANGES]

    async def relations(self, tx: Transaction, portal: Portal, body: JsonObject) -> Relations:
        """What this message is in relation to."""
        relates_to = content.relation(body)
        reply_to = content.reply_target(body)
        thread_of = relates_to.get("event_id") if relates_to.get("rel_type") == "m.thread" else None
        reply = await self.originals(tx, portal, reply_to)
        thread = await self.originals(tx, portal, thread_of)
        lost = (reply_to is not None and not reply) or (thread_of is not None and not thread)
        return Relations(_first(reply), _first(thread), lost)

    async def changes(self, tx: Transaction, portal: Portal, target: EventId) -> list[EventLink]:
        """What changes this event or is put under it."""
        return await self._store.event_links.of_target(tx, portal.node_id, portal.peer_id, target)


def _first(links: Sequence[EventLink]) -> EventId | None:
    return links[0].event_id if links else None
