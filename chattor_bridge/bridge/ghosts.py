"""The Matrix users that are ours: the bot, and one ghost for each contact of each owner.

A ghost's name is a keyed hash of owner and friendship, so two users of one bridge who have the same friend see two
ghosts, and nobody on the homeserver learns a friendship from a user id, a profile or the user directory.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from chattor_bridge.ids import GHOST_PREFIX, EventId, MatrixRoomId, MatrixUserId, PeerId

GHOST_HASH_BYTES = 20
"""160 bits: no two ghosts ever meet, and 32 letters keep the id short. A multiple of 5, so base32 needs no padding."""

SECRET_NAME = "ghosts"  # noqa: S105 - a name, not the secret
SECRET_BYTES = 32

MARK_KEY = "chattor_bridge.mark"
"""Where each message of ours carries its transaction id, so that it is found again when the homeserver forgot that."""


class Household:
    """Which user ids of a homeserver are the bridge's own."""

    def __init__(self, bot: MatrixUserId, domain: str) -> None:
        self.bot = bot
        self.domain = domain

    def ghost(self, secret: bytes, owner: MatrixUserId, peer_id: PeerId) -> MatrixUserId:
        """The ghost that stands for this friendship of ``owner``; ``secret`` is this installation's, 32 bytes."""
        digest = hmac.digest(secret, _prefixed(b"chattor-bridge/ghost", owner.encode(), peer_id), hashlib.sha256)
        name = base64.b32encode(digest[:GHOST_HASH_BYTES]).decode().lower()
        return MatrixUserId(f"@{GHOST_PREFIX}{name}:{self.domain}")

    def is_ours(self, user: str) -> bool:
        """The bot or any ghost, whether it exists yet or not."""
        return user == self.bot or self.is_ghost(user)

    def is_ghost(self, user: str) -> bool:
        localpart, _, domain = user.partition(":")
        return localpart.startswith(f"@{GHOST_PREFIX}") and domain == self.domain


def transaction_id(sender: MatrixUserId, room_id: MatrixRoomId, event_id: EventId | bytes, part: int | str) -> str:
    """What makes sending the same thing twice send it once.

    The sender and the room are in it because Synapse gives two ghosts that use one id in one room the same event; and
    because it is a hash, it can stand in a message without telling two rooms' readers that they share a friend.
    """
    content = _prefixed(b"chattor-bridge/send", sender.encode(), room_id.encode(), event_id, str(part).encode())
    return hashlib.sha256(content).hexdigest()[:40]


def _prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
