"""Bodies of the events by which friends carry for each other. Implements docs/protocol/carriers.md, "Agreeing" and
"Shelves".

R is whoever is carried for, C the carrier, S somebody who writes to R. The first three are shown to people; the others
are between the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from chattor_bridge.ids import OnionKey, ShelfId
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import MAX_CARRIERS, MAX_SHELF_BLOCKS, MAX_SHELVES, SHELF_ID_SIZE
from chattor_bridge.protocol.primitives import KEY_SIZE, is_ed25519_key

CARRIER: Final = "carrier"
RECIPIENT: Final = "recipient"


@dataclass(frozen=True, slots=True)
class CarryAsk:
    """R asks C to carry for it."""

    TYPE: ClassVar = "carry_ask"

    def to_fields(self) -> dict[str, object]:
        return {}

    @classmethod
    def read(cls, fields: Fields) -> CarryAsk:
        return cls()


@dataclass(frozen=True, slots=True)
class CarryOffer:
    """C is willing to carry for R: up to ``shelves`` shelves of ``blocks`` blocks each. Asked or unasked; said again
    when either changes, and what is held beyond it stays until it is collected."""

    TYPE: ClassVar = "carry_offer"
    shelves: int
    blocks: int

    def to_fields(self) -> dict[str, object]:
        return {"shelves": self.shelves, "blocks": self.blocks}

    @classmethod
    def read(cls, fields: Fields) -> CarryOffer:
        return cls(
            fields.integer("shelves", low=1, high=MAX_SHELVES), fields.integer("blocks", low=1, high=MAX_SHELF_BLOCKS)
        )


@dataclass(frozen=True, slots=True)
class CarryEnd:
    """The end of it; ``role`` is the sender's part in what ends, for two friends may carry for each other:
    ``"recipient"`` wants no more to be carried for, ``"carrier"`` carries no more. What is held can still be collected,
    for a while; nothing more is deposited."""

    TYPE: ClassVar = "carry_end"
    role: str

    def to_fields(self) -> dict[str, object]:
        return {"role": self.role}

    @classmethod
    def read(cls, fields: Fields) -> CarryEnd:
        role = fields.text("role", at_most=len(RECIPIENT))
        if role not in (CARRIER, RECIPIENT):
            raise fields.wrong("role")
        return cls(role)


@dataclass(frozen=True, slots=True)
class ShelfOpen:
    """R wants a shelf of C, whose depositor knows ``capability``, 32 random bytes."""

    TYPE: ClassVar = "shelf_open"
    shelf: ShelfId
    capability: bytes = field(repr=False)

    def to_fields(self) -> dict[str, object]:
        return {"shelf": bytes(self.shelf), "capability": self.capability}

    @classmethod
    def read(cls, fields: Fields) -> ShelfOpen:
        return cls(_shelf(fields), fields.bytes("capability", length=KEY_SIZE))


@dataclass(frozen=True, slots=True)
class ShelfReady:
    """C hosts the shelf at ``onion``, with the X25519 key ``static``, made for this shelf alone."""

    TYPE: ClassVar = "shelf_ready"
    shelf: ShelfId
    onion: OnionKey
    static: bytes

    def to_fields(self) -> dict[str, object]:
        return {"shelf": bytes(self.shelf), "onion": bytes(self.onion), "key": self.static}

    @classmethod
    def read(cls, fields: Fields) -> ShelfReady:
        return cls(_shelf(fields), _onion(fields), fields.bytes("key", length=KEY_SIZE))


@dataclass(frozen=True, slots=True)
class ShelfClose:
    """R needs the shelf no more: C takes its onion down, and keeps what it holds there until that is collected."""

    TYPE: ClassVar = "shelf_close"
    shelf: ShelfId

    def to_fields(self) -> dict[str, object]:
        return {"shelf": bytes(self.shelf)}

    @classmethod
    def read(cls, fields: Fields) -> ShelfClose:
        return cls(_shelf(fields))


@dataclass(frozen=True, slots=True)
class Deposit:
    """Where S leaves what is for R: the onion of a shelf, its key, and the capability to deposit there."""

    onion: OnionKey
    static: bytes
    capability: bytes = field(repr=False)

    def to_fields(self) -> dict[str, object]:
        return {"onion": bytes(self.onion), "key": self.static, "capability": self.capability}


@dataclass(frozen=True, slots=True)
class Shelves:
    """R tells S where it can be left something, at up to ``MAX_CARRIERS`` carriers; instead of what it told before."""

    TYPE: ClassVar = "shelves"
    deposits: tuple[Deposit, ...]

    def to_fields(self) -> dict[str, object]:
        return {"shelves": [one.to_fields() for one in self.deposits]}

    @classmethod
    def read(cls, fields: Fields) -> Shelves:
        deposits = []
        for value in fields.list("shelves", at_most=MAX_CARRIERS):
            one = Fields(value, "shelf")
            deposits.append(
                Deposit(_onion(one), one.bytes("key", length=KEY_SIZE), one.bytes("capability", length=KEY_SIZE))
            )
            if one.unread():  # it would get lost: only the event itself keeps what a later version adds
                raise fields.wrong("shelves")
        return cls(tuple(deposits))


CarryEvent = CarryAsk | CarryOffer | CarryEnd
"""What people agree on."""

ShelfEvent = ShelfOpen | ShelfReady | ShelfClose | Shelves
"""What their nodes then do about it."""


def _shelf(fields: Fields) -> ShelfId:
    return ShelfId(fields.bytes("shelf", length=SHELF_ID_SIZE))


def _onion(fields: Fields) -> OnionKey:
    onion = fields.bytes("onion", length=KEY_SIZE)
    if not is_ed25519_key(onion):
        raise fields.wrong("onion")
    return OnionKey(onion)
