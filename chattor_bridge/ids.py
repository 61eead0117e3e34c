"""Opaque identifiers, so that a friendship can never be handed over where a node was meant.

Byte identifiers are drawn from a cryptographic random source or derived by hashing; none of them is secret except
where its line says so, and none of them belongs in a log.
"""

from __future__ import annotations

from typing import NewType

NodeId = NewType("NodeId", bytes)
"""One Chattor identity hosted here. 16 random bytes, never sent to anybody."""

PeerId = NewType("PeerId", bytes)
"""One friendship, as both sides name it: the friendship id, 16 bytes (docs/protocol/knock.md)."""

DoorId = NewType("DoorId", bytes)
"""One friend code of ours. 16 random bytes, never sent to anybody."""

KnockId = NewType("KnockId", bytes)
"""One contact request, going out or come in. 16 random bytes, never sent to anybody."""

EventId = NewType("EventId", bytes)
"""One thing said. 16 random bytes, drawn by its sender, carried inside the envelope (docs/protocol/events.md)."""

FileId = NewType("FileId", bytes)
"""One file offered to one friend. 16 random bytes, drawn by its sender (docs/protocol/files.md)."""

ShelfId = NewType("ShelfId", bytes)
"""One sender's queue at a carrier, as recipient and carrier name it. 16 random bytes, drawn by the recipient."""

OnionKey = NewType("OnionKey", bytes)
"""The Ed25519 public key of a v3 onion service, 32 bytes: what an address encodes. Secret."""

GHOST_PREFIX = "chattor_"
"""Localparts of ghosts, the Matrix users who stand for friends, begin so: the registration reserves them."""

MatrixUserId = NewType("MatrixUserId", str)
MatrixRoomId = NewType("MatrixRoomId", str)
MatrixEventId = NewType("MatrixEventId", str)
