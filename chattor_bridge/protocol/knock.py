"""Skeleton: signatures final, bodies on their way.

The knocker speaks first (a hello saying what it wants), the door answers with a signed bundle, the knocker knocks,
the door sends a receipt. All messages travel in frames (framing.py); both classes cut and frame themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.primitives import RandomBytes, kem_encapsulate
from chattor_bridge.protocol.session import Session

KNOCK_VERSIONS: tuple[int, ...] = (1,)


@dataclass(frozen=True, slots=True)
class DoorSecrets:
    """``onion_seed`` and ``identity_key`` (X25519 private), 32 bytes each."""

    onion_seed: bytes
    identity_key: bytes


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a knocker says of itself. ``name`` up to 64 bytes, ``note`` up to 1,000; ``onion`` is what it hosts."""

    name: str
    note: str
    onion: OnionKey
    capabilities: tuple[str, ...] = ()
    versions: tuple[int, ...] = KNOCK_VERSIONS


@dataclass(frozen=True, slots=True)
class KnockReady:
    """Store ``session`` as an attempt, then write ``message`` (framed bytes) to the stream."""

    message: bytes
    session: Session
    peer_id: PeerId


@dataclass(frozen=True, slots=True)
class Receipt:
    """The door's authenticated answer: ``stored``, ``known`` or ``full``."""

    status: str


@dataclass(frozen=True, slots=True)
class KnockArrived:
    """Store it, then send what `DoorSide.acknowledge` returns."""

    introduction: Introduction
    peer_static: bytes
    session: Session
    peer_id: PeerId


class KnockingSide:
    def __init__(
        self,
        code: FriendCode,
        introduction: Introduction,
        *,
        static_key: bytes,
        random: RandomBytes,
        now: int,
        encapsulate: Callable[[bytes], tuple[bytes, bytes]] = kem_encapsulate,
    ) -> None:
        raise NotImplementedError

    def start(self) -> bytes:
        """The first bytes to write to the stream."""
        raise NotImplementedError

    def receive(self, data: bytes) -> list[KnockReady | Receipt]:
        """Finding the stamp is seconds of one core at worst: call this in a thread."""
        raise NotImplementedError


class DoorSide:
    def __init__(
        self, door: DoorSecrets, *, random: RandomBytes, now: int, work_bits: int, capabilities: Sequence[str] = ()
    ) -> None:
        raise NotImplementedError

    def receive(self, data: bytes, *, now: int) -> list[KnockArrived]:
        """``now`` is needed here: the knock must come before its bundle expires."""
        raise NotImplementedError

    def data_to_send(self) -> bytes:
        raise NotImplementedError

    def acknowledge(self, status: str) -> bytes:
        raise NotImplementedError
