"""Skeleton: signatures final, bodies on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chattor_bridge.errors import PeerMisbehaved
from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.protocol.primitives import RandomBytes
from chattor_bridge.protocol.window import Ack, ReceiveWindow

SessionRole = Literal["knocker", "owner"]


class Duplicate(Exception):
    """This envelope was accepted before: acknowledge ``seq`` again and drop it."""

    def __init__(self, seq: int) -> None:
        super().__init__("an envelope came again")
        self.seq = seq


class SessionBroken(PeerMisbehaved):
    """An envelope is authentic outside and wrong inside: the two states differ. A reason to resync, never to ack."""


class OutOfWindow(PeerMisbehaved):
    """Too much would be missing before this envelope. Not acknowledged; the sender comes again in order."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope to send: ``seq`` from 1, ``envelope`` of 1,000, 4,000 or 16,000 bytes."""

    seq: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """``inner`` is None (and ``seq`` 0) in a standalone acknowledgement."""

    seq: int
    inner: bytes | None
    ack: Ack | None


class Session:
    peer_id: PeerId
    role: SessionRole
    link_psk: bytes
    session_id: bytes
    epoch: int
    highest_sent: int
    received: ReceiveWindow

    def onion_auth_key(self, onion: OnionKey) -> bytes:
        raise NotImplementedError

    def seal(self, inner: bytes, *, random: RandomBytes, now: int, ack: Ack | None = None) -> Sealed:
        raise NotImplementedError

    def seal_ack(self, ack: Ack, *, random: RandomBytes) -> bytes:
        raise NotImplementedError

    def open(self, envelope: bytes, *, random: RandomBytes, now: int) -> Opened:
        raise NotImplementedError

    def serialize(self) -> bytes:
        raise NotImplementedError

    @classmethod
    def deserialize(cls, data: bytes) -> Session:
        raise NotImplementedError

    def clone(self) -> Session:
        raise NotImplementedError
