"""Records to put into a store: whole, with every secret recognisable."""

from __future__ import annotations

from chattor_bridge.bridge.records import Portal
from chattor_bridge.ids import DoorId, EventId, KnockId, MatrixRoomId, MatrixUserId, NodeId, OnionKey, PeerId
from chattor_bridge.node.records import (
    Contact,
    DoorRecord,
    KnockAttempt,
    KnockState,
    NodeRecord,
    OutboxEntry,
    OutgoingKnock,
    PendingKnock,
    Role,
)
from chattor_bridge.storage import Store

NODE = NodeId(b"N" * 16)
PEER = PeerId(b"P" * 16)
DOOR = DoorId(b"D" * 16)
KNOCK = KnockId(b"K" * 16)
OWNER = MatrixUserId("@alice:example.org")
ROOM = MatrixRoomId("!room:example.org")


def numbered(number: int) -> bytes:
    """A 16-byte identifier."""
    return number.to_bytes(16, "big")


def secret(name: str) -> bytes:
    """32 bytes that a search for ``planted`` finds."""
    return f"planted-{name}".encode().ljust(32, b".")


def node(node_id: NodeId = NODE, owner: str = OWNER) -> NodeRecord:
    return NodeRecord(node_id, owner, profile_name="planted profile Ünï🧅", running=True, created_at=1_700_000_000)


def door(door_id: DoorId = DOOR, node_id: NodeId = NODE, code_secret: bytes = b"") -> DoorRecord:
    return DoorRecord(
        door_id,
        node_id,
        "planted label",
        secret("onion-seed"),
        secret("identity-key"),
        1_700_000_001,
        secret=code_secret,
    )


def outgoing(knock_id: KnockId = KNOCK, node_id: NodeId = NODE) -> OutgoingKnock:
    return OutgoingKnock(
        knock_id=knock_id,
        node_id=node_id,
        code="chattor:planted-code",
        note="planted note",
        static_key=secret("static"),
        onion_seed=secret("knock-onion"),
        state=KnockState.CALLING,
        reason="",
        attempts=0,
        next_attempt_at=1_700_000_002,
        created_at=1_700_000_002,
        pairs=True,
    )


def attempt(number: int, knock_id: KnockId = KNOCK) -> KnockAttempt:
    return KnockAttempt(knock_id, PeerId(numbered(number)), secret(f"session-{number}"), 1_700_000_003)


def pending(
    knock_id: KnockId = KNOCK,
    node_id: NodeId = NODE,
    peer_static: bytes = b"S" * 32,
    received_at: int = 1_700_000_004,
    effort: int = 0,
) -> PendingKnock:
    return PendingKnock(
        knock_id=knock_id,
        node_id=node_id,
        door_id=DOOR,
        peer_id=PEER,
        peer_static=peer_static,
        peer_onion=OnionKey(secret("peer-onion")),
        name="planted name",
        note="planted pending note",
        capabilities=("text", "receipts"),
        session=secret("pending-session"),
        received_at=received_at,
        effort=effort,
    )


def contact(
    peer_id: PeerId = PEER, node_id: NodeId = NODE, peer_static: bytes = b"S" * 32, role: Role = Role.OWNER
) -> Contact:
    return Contact(
        peer_id=peer_id,
        node_id=node_id,
        role=role,
        own_static=secret("own-static"),
        peer_static=peer_static,
        hosted_seed=secret("hosted-seed"),
        peer_onion=OnionKey(secret("contact-onion")),
        session=secret("session"),
        peer_name="planted peer name",
        alias="planted alias",
        version=1,
        capabilities=("text",),
        established=False,
        created_at=1_700_000_005,
        keeps=role is Role.KNOCKER,
        profile_due=True,
    )


def entry(seq: int, peer_id: PeerId = PEER) -> OutboxEntry:
    return OutboxEntry(
        peer_id=peer_id,
        seq=seq,
        event_id=EventId(numbered(seq)),
        envelope=b"sealed envelope %d" % seq,
        event=b"planted event %d" % seq,
        created_at=1_700_000_006,
        digest_before=numbered(seq),
    )


def portal(peer_id: PeerId = PEER, room_id: MatrixRoomId | None = ROOM, node_id: NodeId = NODE) -> Portal:
    return Portal(OWNER, node_id, peer_id, MatrixUserId("@chattor_abc:example.org"), room_id, 1_700_000_007)


async def settle(store: Store) -> None:
    """A node with a door and a friend, for the tables that refer to them."""
    async with store.transaction() as tx:
        await store.nodes.add(tx, node())
        await store.doors.add(tx, door())
        await store.contacts.add(tx, contact())
