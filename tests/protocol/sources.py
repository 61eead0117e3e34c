"""Randomness that repeats, and sessions and knocks made with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide, KnockArrived
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide
from chattor_bridge.protocol.primitives import RandomBytes, ed25519_public, x25519_public
from chattor_bridge.protocol.session import Session

NOW = 1_800_000_000


@dataclass
class Source:
    """Bytes that look random and are the same in every run: SHAKE-256 of a name and a counter."""

    name: str
    drawn: list[bytes] = field(default_factory=list)

    def __call__(self, size: int) -> bytes:
        seed = f"{self.name}/{len(self.drawn)}".encode()
        data = hashlib.shake_256(seed).digest(size)
        self.drawn.append(data)
        return data


def onion_key(name: str) -> OnionKey:
    return OnionKey(ed25519_public(Source(name)(32)))


def session_pair(name: str = "pair") -> tuple[Session, Session]:
    """Knocker's and owner's halves of a new friendship."""
    source = Source(name)
    root, transcript, door_private = source(32), source(32), source(32)
    knocker, first = Session.begin_as_knocker(
        root, transcript, door_key=x25519_public(door_private), random=source, now=NOW
    )
    owner = Session.begin_as_owner(root, transcript, door_private=door_private, first=first, random=source, now=NOW)
    return knocker, owner


@dataclass
class Meeting:
    """A door and somebody who knocks on it, over no network."""

    secrets: DoorSecrets
    code: FriendCode
    knocking: KnockingSide
    door: DoorSide
    static_key: bytes
    introduction: Introduction


def take(door: DoorSide, data: bytes, *, now: int = NOW) -> list[KnockArrived]:
    """Let a door take bytes, and open what knocks they complete."""
    return [door.open(proof.effort()) for proof in door.receive(data, now=now)]


def meeting(
    *,
    work_bits: int = 4,
    effort_bits: int = 0,
    knocker_now: int = NOW,
    random: Callable[[str], RandomBytes] = Source,
    introduction: Introduction | None = None,
    code_secret: bytes = b"",
) -> Meeting:
    secrets = DoorSecrets(random("door onion")(32), random("door identity")(32), code_secret)
    code = secrets.code
    introduction = introduction or Introduction("Alice", "We met at the market.\nCall me.", onion_key("alice"))
    static_key = random("static")(32)
    return Meeting(
        secrets,
        code,
        KnockingSide(code, introduction, static_key=static_key, random=random("knocker"), now=knocker_now),
        DoorSide(secrets, random=random("door"), work_bits=work_bits, effort_bits=effort_bits),
        static_key,
        introduction,
    )
