"""What changes an event of a friend's that is still to come: past a gap, a change may arrive before what it changes.

Kept until that has come, and then done right after it. Bounded, the oldest given up first: a change of what never comes
changes nothing.
"""

from __future__ import annotations

import json

from chattor_bridge.bridge.actions import ShowEvent, showing
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.speech.answers import told_prefix
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.ids import EventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Event

MOST_EARLY = 64
"""Changes kept of one friend: more than anybody makes within the minute that a gap lasts, and 1.3 MB at most."""


class Early:
    """Within transactions."""

    def __init__(self, store: BridgeStore, voice: Voice) -> None:
        self._store = store
        self._voice = voice

    async def is_early(self, tx: Transaction, portal: Portal, target: EventId) -> bool:
        """Whether an event that a friend names has not come yet, as far as we remember."""
        node_id, peer_id = portal.node_id, portal.peer_id
        if await self._store.received.knows(tx, node_id, peer_id, target):
            return False
        return not await self._store.event_links.by_event(tx, node_id, peer_id, target)

    async def keep(self, tx: Transaction, portal: Portal, event: Event, target: EventId) -> None:
        """Keep a change until ``target`` has come."""
        waiting = _read(await self._store.setting_for_update(tx, _name(portal)))
        waiting.append([target.hex(), showing(portal, event).said])
        await self._store.set_setting(tx, _name(portal), json.dumps(waiting[-MOST_EARLY:]))

    async def has_come(self, tx: Transaction, portal: Portal, event_id: EventId) -> None:
        """``event_id`` has come: have done what changes it, after what was arranged for itself."""
        if event_id.hex() not in (one[0] for one in _read(await self._store.get_setting(tx, _name(portal)))):
            return
        waiting = _read(await self._store.setting_for_update(tx, _name(portal)))
        rest = [one for one in waiting if one[0] != event_id.hex()]
        await self._store.set_setting(tx, _name(portal), json.dumps(rest))
        for target, said in waiting:
            if target == event_id.hex():
                action = ShowEvent(portal.node_id.hex(), portal.peer_id.hex(), said)
                await self._voice.arrange(tx, portal_lane(portal), action)


def _read(stored: str | None) -> list[list[str]]:
    return [] if stored is None else json.loads(stored)


def _name(portal: Portal) -> str:
    return told_prefix(portal) + "early"
