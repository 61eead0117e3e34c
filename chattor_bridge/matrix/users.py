"""Which Matrix users are ours: one bot, and one ghost for each friend of each owner."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from chattor_bridge.config import GHOST_PREFIX
from chattor_bridge.ids import MatrixUserId, PeerId

_LABEL = b"chattor ghost 1\x00"

GHOST_BYTES = 20
"""Bytes of the HMAC in a ghost's name: 160 bits, so that no two friendships share one, in exactly 32 base32 letters."""

DEVICE_ID = "CHATTORBRIDGE"
"""The MSC4190 device of each of our users. One constant tells nothing about anybody, and survives a lost database."""


def ghost_id(secret: bytes, domain: str, owner: MatrixUserId, peer_id: PeerId) -> MatrixUserId:
    """The ghost that stands for one friend before one owner.

    Keyed with a ``secret`` of this installation (32 bytes): whoever knows neither it nor the friendship can tell from
    two ghosts neither whose they are nor whether they stand for the same friend.
    """
    owner_bytes = owner.encode()
    message = _LABEL + len(owner_bytes).to_bytes(2, "big") + owner_bytes + peer_id
    digest = hmac.digest(secret, message, hashlib.sha256)[:GHOST_BYTES]
    return MatrixUserId(f"@{GHOST_PREFIX}{base64.b32encode(digest).decode().lower()}:{domain}")


class OwnUsers:
    """The bot and the ghosts of one homeserver, and the sender that is never used."""

    def __init__(self, domain: str, bot_localpart: str, sender_localpart: str) -> None:
        self.bot = MatrixUserId(f"@{bot_localpart}:{domain}")
        self._sender = f"@{sender_localpart}:{domain}"
        self._ghost = re.compile(rf"@{re.escape(GHOST_PREFIX)}[a-z2-7]+:{re.escape(domain)}")

    def __contains__(self, user: object) -> bool:
        return isinstance(user, str) and (user in (self.bot, self._sender) or self._ghost.fullmatch(user) is not None)
