"""The keys of the outer layer (docs/protocol/session.md, Epochs).

An epoch is a secret and, from it, one key per direction: an envelope that is sent back to its own sender opens under
nothing. Epoch 0 grows from the knock; each later one from the one before it and a fresh ML-KEM-768 secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.primitives import KEY_SIZE, hkdf

SessionRole = Literal["knocker", "owner"]
"""Which side of the knock a node was on; fixed for the life of a friendship."""


def other(role: SessionRole) -> SessionRole:
    """The role of the other side."""
    return "owner" if role == "knocker" else "knocker"


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """One epoch of one side: its ``secret``, its keys (32 bytes each), and ``since`` when it has had them, in seconds
    since the epoch of Unix."""

    secret: bytes
    sending: bytes
    receiving: bytes
    since: int

    @classmethod
    def derive(cls, secret: bytes, role: SessionRole, now: int) -> EpochKeys:
        """The keys of the side that has ``role``."""
        return cls(
            secret,
            sending=hkdf(secret, label="envelope-key", info=[role.encode()]),
            receiving=hkdf(secret, label="envelope-key", info=[other(role).encode()]),
            since=now,
        )

    def to_list(self) -> list[object]:
        """For storage."""
        return [self.secret, self.sending, self.receiving, self.since]

    @classmethod
    def from_list(cls, stored: object) -> EpochKeys:
        """Read what `to_list` made. Raises: MalformedData."""
        match stored:
            case [bytes(secret), bytes(sending), bytes(receiving), int(since)] if (
                len(secret) == len(sending) == len(receiving) == KEY_SIZE
            ):
                return cls(secret, sending, receiving, since)
            case _:
                raise MalformedData("stored epoch keys are damaged")
