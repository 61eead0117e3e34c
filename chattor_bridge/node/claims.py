"""What a friend claims about which friendships of ours are with the same person (docs/protocol/merge.md)."""

from __future__ import annotations

import hmac
from dataclasses import replace

from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import MERGE_ASKED, MERGE_UNPROVEN
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.session import Session


async def take_claim(
    store: NodeStore, tx: Transaction, contact: Contact, proof: bytes
) -> tuple[Contact, Unknown | None]:
    """The contact after its friend has said ``proof``, and what our owner is to be shown of that.

    The proof fits one other friendship of ours or none: it is made with a key that only this friend and we have, from
    what only the friend of that one and we know. It counts for this half alone; the other friendship has to say the
    same of this one.
    """
    session = Session.deserialize(contact.session)
    for other in await store.contacts.of_node(tx, contact.node_id):
        transcript = Session.deserialize(other.session).transcript
        if not hmac.compare_digest(session.merge_proof(transcript, ours=False), proof):
            continue
        if other.peer_id == contact.peer_id:  # one with itself alone
            return replace(contact, merge_claim=None), None
        known = contact.merge_claim == other.peer_id or contact.merging == other.peer_id
        asked = Unknown(MERGE_ASKED, {"name": other.alias or other.peer_name})
        return replace(contact, merge_claim=other.peer_id), None if known else asked
    return contact, Unknown(MERGE_UNPROVEN, {})


def agreed(survivor: Contact, former: Contact) -> bool:
    """Whether our owner and the friend of each of the two say that they are one."""
    return (
        survivor.merging == survivor.merge_claim == former.peer_id
        and former.merging == former.merge_claim == survivor.peer_id
    )


def survivor_of(contact: Contact) -> PeerId:
    """The friendship under which this contact's events are told apart: of two that are becoming one, the same."""
    return contact.peer_id if contact.merging is None else min(contact.peer_id, contact.merging)
