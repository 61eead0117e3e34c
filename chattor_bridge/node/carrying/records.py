"""What a node keeps about carrying. A field marked *sealed* is encrypted at rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from chattor_bridge.counting import counted
from chattor_bridge.ids import OnionKey, PeerId, ShelfId
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.limits import BLOCK_SIZE, MAX_HELD_SHELVES, MAX_SHELF_BLOCKS, MAX_SHELVES
from chattor_bridge.protocol.primitives import hash256


@dataclass(frozen=True, slots=True)
class CarryPolicy:
    """Whether friends who ask are carried for without asking the owner, and how much is offered: ``shelves`` of
    ``blocks`` blocks. All nodes of the process together hold ``in_all`` bytes of them at most."""

    automatic: bool = False
    shelves: int = MAX_SHELVES
    blocks: int = MAX_SHELF_BLOCKS
    in_all: int = MAX_HELD_SHELVES * MAX_SHELF_BLOCKS * BLOCK_SIZE


@dataclass(frozen=True, slots=True)
class Carrier:
    """As R: a friend who may carry for us. ``asked``: we want it to; ``shelves`` of ``blocks`` each are what it is
    willing to hold, 0 for nothing; ``used``: our senders are told of it."""

    peer_id: PeerId
    asked: bool = False
    shelves: int = 0
    blocks: int = 0
    used: bool = False

    @property
    def willing(self) -> bool:
        """Whether we may open shelves there."""
        return self.asked and self.shelves > 0


@dataclass(frozen=True, slots=True)
class OwnShelf:
    """As R: a shelf of ours at the carrier ``carrier_id``, for ``senders``, usually one. ``onion`` and ``static`` are
    None until the carrier has answered. ``superseded_at``: since when another takes its place, or none; ``closed``: the
    carrier has been told to take it down."""

    shelf_id: ShelfId
    carrier_id: PeerId
    capability: bytes = field(repr=False)  # sealed
    opened_at: int
    onion: OnionKey | None = None  # sealed
    static: bytes | None = None  # sealed
    superseded_at: int | None = None
    closed: bool = False
    senders: tuple[PeerId, ...] = ()

    @property
    def deposit(self) -> Deposit | None:
        """What a sender is told of it."""
        if self.onion is None or self.static is None:
            return None
        return Deposit(self.onion, self.static, self.capability)


@dataclass(frozen=True, slots=True)
class Carriage:
    """As C: a friend we carry for, on up to ``shelves`` shelves of ``blocks`` blocks each; not any more since
    ``ended_at``. ``offered``: the friend has been told so."""

    peer_id: PeerId
    shelves: int
    blocks: int
    offered: bool = False
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class HeldShelf:
    """As C: a shelf we hold for ``peer_id``. ``onion_seed`` and ``static`` (an X25519 private key) are 32 bytes.
    ``answered``: the friend has been told of the onion."""

    peer_id: PeerId
    shelf_id: ShelfId
    capability: bytes = field(repr=False)  # sealed
    onion_seed: bytes = field(repr=False)  # sealed
    static: bytes = field(repr=False)  # sealed
    opened_at: int
    closed_at: int | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class HeldBlock:
    """As C: a block on a shelf, numbered from 1. Whose it is and what is in it we cannot know."""

    shelf_id: ShelfId
    number: int
    block: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """As S: where what is for ``peer_id`` can be left."""

    peer_id: PeerId
    target_id: bytes
    deposit: Deposit  # sealed


def target_id(onion: OnionKey) -> bytes:
    """16 bytes by which a shelf is found again in a database that does not show its onion."""
    return hash256("node/target", onion)[:16]


def in_megabytes(blocks: int) -> str:
    """The size of so many blocks, for people."""
    return f"{blocks * BLOCK_SIZE / 1_000_000:,.1f} MB"


@dataclass(frozen=True, slots=True)
class HeldInAll:
    """As C: the ``blocks`` that a node holds for all its friends, of ``limit`` at most as its owner wants; ``most`` is
    what the process allows all its nodes together."""

    blocks: int
    limit: int
    most: int

    @property
    def in_words(self) -> str:
        """The same for people."""
        return f"You hold {in_megabytes(self.blocks)} of mail in all, of {in_megabytes(self.limit)} at most."


@dataclass(frozen=True, slots=True)
class CarryingInfo:
    """What is agreed with one friend, in both directions; ``held`` blocks of its mail are here, and ``shelves`` of its
    shelves, those included that are closed and not empty. ``is_ready``: this friend has not left every shelf that we
    asked it for unanswered."""

    peer_id: PeerId
    carrier: Carrier | None
    carriage: Carriage | None
    held: int
    shelves: int
    is_ready: bool = True

    @property
    def carries(self) -> bool:
        """Whether this friend holds our mail."""
        return self.carrier is not None and self.carrier.used

    @property
    def is_carried(self) -> bool:
        """Whether we hold this friend's."""
        return self.carriage is not None and self.carriage.shelves > 0 and self.carriage.ended_at is None

    @property
    def in_words(self) -> tuple[str, ...]:
        """The same for people, a line for each direction in which there is something."""
        lines = []
        if (carrier := self.carrier) is not None and (carrier.asked or carrier.shelves):
            if carrier.used and not self.is_ready:
                lines.append("is willing to hold your mail, and has had no room for it yet")
            elif carrier.used:
                lines.append(f"holds your mail on up to {_room(carrier.shelves, carrier.blocks)}")
            elif carrier.asked:
                lines.append(
                    "holds your mail when another cannot" if carrier.shelves else "was asked to hold your mail"
                )
            else:
                lines.append("is willing to hold your mail")
        if (carriage := self.carriage) is not None:
            held = counted(self.held, "block")
            if carriage.ended_at is not None:
                lines.append(f"collects the last of its mail from you: {held}, {in_megabytes(self.held)}")
            elif carriage.shelves:
                now = f"{held} on {counted(self.shelves, 'shelf', 'shelves')} now, {in_megabytes(self.held)}"
                most = f"{_room(carriage.shelves, carriage.blocks)}, {in_megabytes(carriage.shelves * carriage.blocks)}"
                lines.append(f"has its mail held by you: {now}, of up to {most}")
            else:
                lines.append("asks you to hold its mail")
        return tuple(lines)


def _room(shelves: int, blocks: int) -> str:
    return f"{counted(shelves, 'shelf', 'shelves')} of {counted(blocks, 'block')}"
