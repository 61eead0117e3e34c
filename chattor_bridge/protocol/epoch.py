"""The keys of the outer layer, and how they are changed (docs/protocol/session.md, Epochs).

An epoch is a secret and, from it, one key per direction: an envelope that is sent back to its own sender opens under
nothing. Epoch 0 grows from the knock; each later one from the one before it and a fresh ML-KEM-768 secret, which two
ordinary events carry::

    offerer                                    accepter
    offer of n  --(sealed under n)-->          E_{n+1} known, still seals under n
    E_{n+1} known, seals under it  <--(n)--    accept of n
    anything    --(sealed under n+1)-->        seals under n+1 (an acknowledgement of the accept does as well)

Under an even epoch the knocker offers, under an odd one the owner, so there is never more than one negotiation. No
step waits for another: whoever hears nothing goes on under the epoch it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import (
    EPOCH_KEY_LIFETIME,
    EPOCH_LIFETIME,
    EPOCH_MESSAGES,
    MAX_EPOCH,
    MAX_LIVE_EPOCHS,
    MAX_SEQ,
)
from chattor_bridge.protocol.primitives import KEM_SEED_SIZE, KEY_SIZE, hash256, hkdf
from chattor_bridge.protocol.window import Ack

SessionRole = Literal["knocker", "owner"]
"""Which side of the knock a node was on; fixed for the life of a friendship."""

_OFFERER: Final[tuple[SessionRole, SessionRole]] = ("knocker", "owner")
"""Who offers under an even epoch, and under an odd one."""

_MAX_STORED_OFFER: Final = 2_048
"""Bytes of an encoded offer that is kept until its answer: a key of 1,184 and the fields every event has."""


def other(role: SessionRole) -> SessionRole:
    """The role of the other side."""
    return "owner" if role == "knocker" else "knocker"


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """One epoch of one side: its ``secret`` and its keys (32 bytes each), of which those that have done their work are
    None; ``since`` when it has had them, in seconds since 1970; ``first`` the lowest number of an event that came
    under it, 0 for none yet, and ``seen_at`` when the first one came.
    """

    secret: bytes | None = field(repr=False)
    sending: bytes | None = field(repr=False)
    receiving: bytes = field(repr=False)
    since: int
    first: int = 0
    seen_at: int = 0

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
        return [self.secret, self.sending, self.receiving, self.since, self.first, self.seen_at]

    @classmethod
    def from_list(cls, stored: object) -> EpochKeys:
        """Read what `to_list` made. Raises: MalformedData."""
        match stored:
            case [
                (bytes() | None) as secret,
                (bytes() | None) as sending,
                bytes(receiving),
                int(since),
                int(first),
                int(seen_at),
            ] if all(key is None or len(key) == KEY_SIZE for key in (secret, sending, receiving)):
                return cls(secret, sending, receiving, since, first, seen_at)
            case _:
                raise MalformedData("stored epoch keys are damaged")


@dataclass(frozen=True, slots=True)
class Offered:
    """Our offer of the next epoch is on its way: the ``seed`` of its ML-KEM key (64 bytes), and the encoded event."""

    seed: bytes = field(repr=False)
    offer: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """Our accept is on its way, as the event numbered ``seq``; we may not seal under the new epoch yet."""

    seq: int


@dataclass(slots=True)
class Epochs:
    """The live epochs of one side. ``sending`` is the number of the one it seals under, ``counted`` how many events
    went under it, either way."""

    role: SessionRole
    keys: dict[int, EpochKeys]
    sending: int = 0
    counted: int = 0
    negotiation: Offered | Accepted | None = None

    @classmethod
    def begin(cls, secret: bytes, role: SessionRole, now: int) -> Epochs:
        """Epoch 0, from its secret of 32 bytes."""
        return cls(role, {0: EpochKeys.derive(secret, role, now)})

    @property
    def newest(self) -> int:
        """The newest epoch there are keys for: the one we seal under, or the next."""
        return max(self.keys)

    def sending_key(self) -> bytes:
        """The key to seal with, 32 bytes."""
        key = self.keys[self.sending].sending
        assert key is not None  # erased only when another epoch takes its place
        return key

    def receiving_keys(self) -> list[tuple[int, bytes]]:
        """Number and key of every epoch the friend may still seal under, the newest first."""
        return [(number, self.keys[number].receiving) for number in sorted(self.keys, reverse=True)]

    # --- negotiating -------------------------------------------------------------------------------------------------

    def offer_due(self, now: int) -> bool:
        """Whether it is our turn to offer, and time."""
        epoch = self.keys[self.sending]
        return (
            self.negotiation is None
            and _OFFERER[self.sending % 2] == self.role
            and self.sending < MAX_EPOCH
            and (self.counted >= EPOCH_MESSAGES or not 0 <= now - epoch.since < EPOCH_LIFETIME)
        )

    def offered(self, seed: bytes, offer: bytes) -> None:
        """Our encoded ``offer``, whose ML-KEM key has this ``seed``, is to be sent."""
        self.negotiation = Offered(seed, offer)

    def may_accept(self, number: int, opened_under: int) -> bool:
        """Whether an offer of epoch ``number``, which came under epoch ``opened_under``, is to be accepted."""
        return (
            self.negotiation is None
            and number == opened_under == self.sending < MAX_EPOCH
            and _OFFERER[number % 2] != self.role
        )

    def accepted(self, secret: bytes, offer: bytes, accept: bytes, *, seq: int, now: int) -> None:
        """Our encoded ``accept`` goes out as event ``seq``: what comes under the next epoch opens from now on."""
        self._add(secret, offer, accept, now)
        self.negotiation = Accepted(seq)

    def offer_answered(self, number: int, opened_under: int) -> Offered | None:
        """Our offer, when an accept of epoch ``number`` that came under ``opened_under`` answers it."""
        offered = self.negotiation
        return offered if isinstance(offered, Offered) and number == opened_under == self.sending else None

    def finish(self, secret: bytes, offer: bytes, accept: bytes, *, now: int) -> None:
        """The friend accepted our offer: seal under the next epoch from now on."""
        self._add(secret, offer, accept, now)
        self._switch()

    def acknowledged(self, ack: Ack) -> bool:
        """The friend has these: perhaps our accept. Whether that changed something."""
        if isinstance(self.negotiation, Accepted) and ack.covers(self.negotiation.seq):
            self._switch()
            return True
        return False

    # --- using -------------------------------------------------------------------------------------------------------

    def opened(self, number: int, seq: int, *, up_to: int, now: int) -> None:
        """An envelope opened under epoch ``number``; ``seq`` is 0 in a standalone acknowledgement, and every number
        up to ``up_to`` has been accepted."""
        if number > self.sending:
            self._switch()
        if seq:
            epoch = self.keys[number]
            first = min(seq, epoch.first or seq)
            self.keys[number] = replace(epoch, first=first, seen_at=epoch.seen_at or now)
            if number == self.sending:
                self.counted += 1
        self.forget_old(up_to, now)

    def _add(self, secret: bytes, offer: bytes, accept: bytes, now: int) -> None:
        current = self.keys[self.sending]
        assert current.secret is not None  # only the newest epoch is negotiated under
        following = next_epoch_secret(current.secret, secret, offer, accept)
        self.keys[self.sending] = replace(current, secret=None)
        self.keys[self.sending + 1] = EpochKeys.derive(following, self.role, now)
        while len(self.keys) > MAX_LIVE_EPOCHS:
            del self.keys[min(self.keys)]

    def _switch(self) -> None:
        self.keys[self.sending] = replace(self.keys[self.sending], sending=None)
        self.sending += 1
        self.counted = 0
        self.negotiation = None

    def forget_old(self, up_to: int, now: int, *, sure: bool = False) -> bool:
        """Erase the epochs of which nothing can come any more. An event that came under a later epoch shows that the
        friend has left them, and that whatever it sealed under them has a lower number. Until one comes they stay,
        however long: the friend may not know yet that it may go on. If ``now`` is ``sure``, dates of a clock that was
        ahead become that of now. Whether anything changed."""
        before = self.keys
        if sure and any(epoch.seen_at > now for epoch in before.values()):
            self.keys = {number: replace(one, seen_at=min(one.seen_at, now)) for number, one in before.items()}
        left = [
            number
            for number, epoch in self.keys.items()
            if epoch.first and (up_to >= epoch.first or now - epoch.seen_at >= EPOCH_KEY_LIFETIME)
        ]
        if left:
            self.keys = {number: epoch for number, epoch in self.keys.items() if number >= max(left)}
        return self.keys != before

    # --- keeping -----------------------------------------------------------------------------------------------------

    def to_fields(self) -> dict[str, object]:
        """The state as a CBOR map; secret throughout."""
        match self.negotiation:
            case Offered(seed, offer):
                negotiation: list[object] | None = [seed, offer]
            case Accepted(seq):
                negotiation = [seq]
            case None:
                negotiation = None
        return {
            "keys": {number: keys.to_list() for number, keys in self.keys.items()},
            "sending": self.sending,
            "counted": self.counted,
            "negotiation": negotiation,
        }

    @classmethod
    def from_fields(cls, role: SessionRole, fields: Fields) -> Epochs:
        """Read what `to_fields` made. Raises: MalformedData."""
        stored = fields.raw("keys")
        if not isinstance(stored, dict):
            raise fields.wrong("keys")
        keys = {number: EpochKeys.from_list(one) for number, one in stored.items()}
        sending = fields.integer("sending", low=0, high=MAX_EPOCH)
        if sending not in keys or keys[sending].sending is None or keys[max(keys)].secret is None:
            raise fields.wrong("keys")
        negotiation: Offered | Accepted | None
        match fields.raw("negotiation"):
            case None:
                negotiation = None
            case [bytes(seed), bytes(offer)] if len(seed) == KEM_SEED_SIZE and len(offer) <= _MAX_STORED_OFFER:
                negotiation = Offered(seed, offer)
            case [int(seq)]:
                negotiation = Accepted(seq)
            case _:
                raise fields.wrong("negotiation")
        return cls(role, keys, sending, fields.integer("counted", low=0, high=MAX_SEQ), negotiation)


def next_epoch_secret(secret: bytes, kem_secret: bytes, offer: bytes, accept: bytes) -> bytes:
    """E_{n+1}, 32 bytes, from E_n, the ML-KEM secret and the two events as they were encoded."""
    return hkdf(kem_secret, label="next-epoch", info=[hash256("epoch", offer, accept)], salt=secret)
