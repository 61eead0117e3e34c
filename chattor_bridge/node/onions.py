"""What answers at each onion of a node: a door, or one friend's link. Which they are to be is on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chattor_bridge.ids import DoorId, OnionKey
from chattor_bridge.node.answering import LinkOnion
from chattor_bridge.node.door import Door
from chattor_bridge.node.hosting import Wanted
from chattor_bridge.node.proving import Proving
from chattor_bridge.node.records import Contact, DoorRecord, KnockAttempt, OutgoingKnock
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public
from chattor_bridge.protocol.session import Session


class OurOnions:
    """The doors and link onions of one node."""

    def __init__(
        self,
        around: Surroundings,
        counters: Counters,
        link_onion: Callable[[OnionKey], LinkOnion],
    ) -> None:
        """``link_onion`` makes what answers at an onion for one friend."""
        self._around = around
        self._counters = counters
        self._new_link_onion = link_onion
        self._proving = Proving(around.clock, around.labour)
        self._doors: dict[DoorId, Door] = {}
        self._link_onions: dict[OnionKey, LinkOnion] = {}

    def wanted(
        self,
        doors: Sequence[DoorRecord],
        knocks: Sequence[tuple[OutgoingKnock, Sequence[KnockAttempt]]],
        contacts: Sequence[Contact],
    ) -> dict[OnionKey, Wanted]:
        """What is to be hosted, each with what answers there."""
        wanted: dict[OnionKey, Wanted] = {}
        for record in doors:
            door = self._doors.get(record.door_id)
            if door is None:
                door = self._doors[record.door_id] = Door(self._around, record, self._counters, self._proving)
            if not record.parked:
                wanted[door.onion] = Wanted(
                    record.onion_seed, door.clients, door.serve, record.created_at, proof_of_work=True
                )
        for knock, attempts in knocks:
            onion = _onion(knock.onion_seed)
            clients = frozenset(_client_key(attempt.session, onion) for attempt in attempts)
            if clients:
                link_onion = self._link_onion(onion)
                if link_onion.peer_id is None:
                    link_onion.knock_id = knock.knock_id
                wanted[onion] = Wanted(knock.onion_seed, clients, link_onion.serve, knock.created_at)
        for contact in contacts:
            for seed in filter(None, (contact.hosted_seed, contact.former_seed)):
                onion = _onion(seed)
                link_onion = self._link_onion(onion)
                link_onion.peer_id, link_onion.knock_id = contact.peer_id, None
                clients = frozenset({_client_key(contact.session, onion)})
                recency = max(contact.heard_at, contact.created_at)
                wanted[onion] = Wanted(seed, clients, link_onion.serve, recency)
        self._forget_handlers({door.door_id for door in doors}, wanted)
        return wanted

    def _forget_handlers(self, doors: set[DoorId], wanted: dict[OnionKey, Wanted]) -> None:
        self._doors = {door_id: door for door_id, door in self._doors.items() if door_id in doors}
        self._link_onions = {onion: one for onion, one in self._link_onions.items() if onion in wanted}

    def _link_onion(self, onion: OnionKey) -> LinkOnion:
        link_onion = self._link_onions.get(onion)
        if link_onion is None:
            link_onion = self._link_onions[onion] = self._new_link_onion(onion)
        return link_onion

    def names(self) -> dict[OnionKey, tuple[str, bytes]]:
        """What each onion is, and whose, in words and ids for `status`."""
        names: dict[OnionKey, tuple[str, bytes]] = {}
        for onion, one in self._link_onions.items():
            names[onion] = ("onion", one.peer_id or one.knock_id or b"")
        for door_id, door in self._doors.items():
            names[door.onion] = ("door", door_id)
        return names


def _onion(seed: bytes) -> OnionKey:
    return OnionKey(ed25519_public(seed))


def _client_key(session: bytes, onion: OnionKey) -> bytes:
    """The public key with which the friend of this session may read our onion's descriptor."""
    return x25519_public(Session.deserialize(session).onion_auth_key(onion))
