"""What attackers hold in these tests: streams to onions of others, and what they recorded on the way."""

from __future__ import annotations

import base64
import secrets

from chattor_bridge.ids import NodeId, OnionKey
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import Contact
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.protocol.link import Link, LinkKeys, Pattern
from chattor_bridge.protocol.primitives import ed25519_public, onion_address
from chattor_bridge.protocol.session import Session
from tests.node.world import PATIENCE, Person, World


async def contacts_of(person: Person) -> list[Contact]:
    async with person.house.store.transaction() as tx:
        return await person.house.store.contacts.of_node(tx, person.node_id)


async def hosted_by(person: Person) -> tuple[OnionKey, bytes]:
    """The onion this person hosts for its first friend, and the key that opens its descriptor."""
    (contact, *_) = await contacts_of(person)
    assert contact.hosted_seed is not None
    onion = OnionKey(ed25519_public(contact.hosted_seed))
    return onion, Session.deserialize(contact.session).onion_auth_key(onion)


async def first_message_of(person: Person, onion: OnionKey) -> bytes:
    """How this person's first friendship begins a link to ``onion``: what somebody on the way can record."""
    (contact, *_) = await contacts_of(person)
    session = Session.deserialize(contact.session)
    keys = LinkKeys(contact.own_static, contact.peer_static, session.link_psk, Pattern.KK, contact.role)
    return Link.dial(keys, onion, secrets.token_bytes).data_to_send()


async def open_stream(world: World, onion: OnionKey, client_key: bytes | None = None) -> Stream:
    """A stream of somebody without a name."""
    transport = world.network.transport()
    return await transport.dial(onion, client_key=client_key, isolation="attacker", timeout=PATIENCE)


async def secrets_of(store: NodeStore, node_id: NodeId) -> list[str]:
    """Every key and address of a node's, as a log might show them."""
    async with store.transaction() as tx:
        contacts = await store.contacts.of_node(tx, node_id)
        doors = await store.doors.of_node(tx, node_id)
    keys = [door.onion_seed for door in doors]
    onions = [OnionKey(ed25519_public(door.onion_seed)) for door in doors]
    for contact in contacts:
        session = Session.deserialize(contact.session)
        keys += [contact.own_static, contact.peer_static, session.link_psk, session.epochs.sending_key()]
        keys += [] if contact.hosted_seed is None else [contact.hosted_seed]
        onions += [] if contact.hosted_seed is None else [OnionKey(ed25519_public(contact.hosted_seed))]
        onions += [] if contact.peer_onion is None else [OnionKey(contact.peer_onion)]
    keys += onions
    forms = [repr(key)[2:-1] for key in keys] + [key.hex() for key in keys]
    forms += [base64.b64encode(key).decode().rstrip("=") for key in keys]
    return forms + [onion_address(onion).removesuffix(".onion") for onion in onions]
