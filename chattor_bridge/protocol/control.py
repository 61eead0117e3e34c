"""Bodies of the events by which two nodes look after a friendship. Nobody is shown them as they are.

Implements docs/protocol/events.md from "epoch_offer" to "retire".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import MAX_EPOCH, VERIFICATION_ID_SIZE
from chattor_bridge.protocol.primitives import KEM_CIPHERTEXT_SIZE, KEM_PUBLIC_SIZE, KEY_SIZE


@dataclass(frozen=True, slots=True)
class EpochOffer:
    """The next epoch is offered, under this ``epoch``; ``key`` is an ML-KEM-768 public key of 1,184 bytes."""

    TYPE: ClassVar = "epoch_offer"
    epoch: int
    key: bytes

    def to_fields(self) -> dict[str, object]:
        return {"epoch": self.epoch, "kem": self.key}

    @classmethod
    def read(cls, fields: Fields) -> EpochOffer:
        return cls(_epoch(fields), fields.bytes("kem", length=KEM_PUBLIC_SIZE))


@dataclass(frozen=True, slots=True)
class EpochAccept:
    """The offer made under this ``epoch`` is accepted; ``ciphertext`` is of ML-KEM-768, 1,088 bytes."""

    TYPE: ClassVar = "epoch_accept"
    epoch: int
    ciphertext: bytes

    def to_fields(self) -> dict[str, object]:
        return {"epoch": self.epoch, "kem": self.ciphertext}

    @classmethod
    def read(cls, fields: Fields) -> EpochAccept:
        return cls(_epoch(fields), fields.bytes("kem", length=KEM_CIPHERTEXT_SIZE))


@dataclass(frozen=True, slots=True)
class VerifyStart:
    """Emoji are to be compared, in a run with this id of 16 bytes."""

    TYPE: ClassVar = "verify_start"
    run_id: bytes

    def to_fields(self) -> dict[str, object]:
        return {"run": self.run_id}

    @classmethod
    def read(cls, fields: Fields) -> VerifyStart:
        return cls(_run(fields))


@dataclass(frozen=True, slots=True)
class VerifyAccept:
    """The other person agrees; ``commitment`` is to the key that will be shown, 32 bytes."""

    TYPE: ClassVar = "verify_accept"
    run_id: bytes
    commitment: bytes

    def to_fields(self) -> dict[str, object]:
        return {"run": self.run_id, "commitment": self.commitment}

    @classmethod
    def read(cls, fields: Fields) -> VerifyAccept:
        return cls(_run(fields), fields.bytes("commitment", length=KEY_SIZE))


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """``key`` is an X25519 public key made for this run, 32 bytes."""

    TYPE: ClassVar = "verify_key"
    run_id: bytes
    key: bytes

    def to_fields(self) -> dict[str, object]:
        return {"run": self.run_id, "key": self.key}

    @classmethod
    def read(cls, fields: Fields) -> VerifyKey:
        return cls(_run(fields), fields.bytes("key", length=KEY_SIZE))


@dataclass(frozen=True, slots=True)
class VerifyDone:
    """What the person who compared has found."""

    TYPE: ClassVar = "verify_done"
    run_id: bytes
    match: bool

    def to_fields(self) -> dict[str, object]:
        return {"run": self.run_id, "match": self.match}

    @classmethod
    def read(cls, fields: Fields) -> VerifyDone:
        return cls(_run(fields), fields.boolean("match"))


@dataclass(frozen=True, slots=True)
class Merge:
    """The sender wants this friendship and another between the same two people to become one; ``proof``, 32 bytes, says
    which (`Session.merge_proof`)."""

    TYPE: ClassVar = "merge"
    proof: bytes

    def to_fields(self) -> dict[str, object]:
        return {"proof": self.proof}

    @classmethod
    def read(cls, fields: Fields) -> Merge:
        return cls(fields.bytes("proof", length=KEY_SIZE))


@dataclass(frozen=True, slots=True)
class MergeDone:
    """Said in the surviving one of two friendships: the sender has given up the other."""

    TYPE: ClassVar = "merge_done"

    def to_fields(self) -> dict[str, object]:
        return {}

    @classmethod
    def read(cls, fields: Fields) -> MergeDone:
        return cls()


@dataclass(frozen=True, slots=True)
class Retire:
    """The sender believes its keys to be in other hands; this friendship is over."""

    TYPE: ClassVar = "retire"

    def to_fields(self) -> dict[str, object]:
        return {}

    @classmethod
    def read(cls, fields: Fields) -> Retire:
        return cls()


EpochEvent = EpochOffer | EpochAccept
"""What the two halves of one session say to each other."""

VerifyEvent = VerifyStart | VerifyAccept | VerifyKey | VerifyDone

MergeEvent = Merge | MergeDone

Control = EpochEvent | VerifyEvent | MergeEvent
"""What two nodes say to each other; nobody is shown it."""


def _run(fields: Fields) -> bytes:
    return fields.bytes("run", length=VERIFICATION_ID_SIZE)


def _epoch(fields: Fields) -> int:
    return fields.integer("epoch", low=0, high=MAX_EPOCH - 1)
