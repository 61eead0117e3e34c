"""A stream on which somebody leaves blocks at a shelf. Implements docs/protocol/carriers.md, "Depositing".

Neither side knows the other. The depositor proves that it has the capability of the shelf, which is the handshake's
PSK, and the carrier that it has the key that the depositor was told. Bytes go in with ``receive`` and events come out,
as on a link:

    state       depositor sends                  carrier sends
    ----------  -------------------------------  --------------------------------------------------------------
    HANDSHAKE   its handshake message            its handshake message                              -> OPEN
    OPEN        Block, while there is room       Stored: at once, and after each block that is on disk

Either side ends it by closing the stream. What was not said to be stored is not. Anything else is a violation: it
raises, and so does every later call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from noise.connection import Keypair, NoiseConnection  # type: ignore[import-untyped]

from chattor_bridge.errors import MalformedData, PeerMisbehaved, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.handshake import Secured, read_padded, start, write_padded
from chattor_bridge.protocol.limits import BLOCK_SIZE, HANDSHAKE_SIZE, LINK_SIZES, MAX_SHELF_BLOCKS
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import KEY_SIZE, TAG_SIZE, RandomBytes, hkdf

NOISE_NAME: Final = b"Noise_NKpsk0_25519_AESGCM_SHA256"

_LABEL: Final = "chattor/v1/deposit"
_VERSION: Final = 1
_OVERHEAD: Final = KEY_SIZE + TAG_SIZE
"""Bytes of either handshake message without its payload: an ephemeral key and a tag."""

_MAX_STORED: Final = 2**32 - 1
"""Blocks on one stream: more than a shelf holds, for its owner may collect meanwhile."""

_SMALL, _LARGE = LINK_SIZES[0], LINK_SIZES[2]
"""Bytes of every message of the carrier and of the depositor; both are sizes of a link."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Of this stream ``count`` blocks are on the carrier's disk, and ``room`` more may be sent after those."""

    count: int
    room: int


@dataclass(frozen=True, slots=True)
class BlockReceived:
    """A block came: when it is on disk, `CarrierEnd.stored` says so."""

    block: bytes = field(repr=False)


def auth_key(capability: bytes, onion: OnionKey) -> bytes:
    """The X25519 private key, 32 bytes, that opens the descriptor of a shelf's onion; the carrier gives tor the public
    half."""
    return hkdf(capability, label="shelf-auth", info=[onion])


def prologue(onion: OnionKey) -> bytes:
    """What both sides must agree on before the handshake, byte by byte."""
    return cbor.encode([_LABEL, _VERSION, bytes(onion)])


class _End:
    """What both ends have in common."""

    def __init__(self, noise: NoiseConnection, expected: int) -> None:
        self._noise = noise
        self._expected = expected
        self._secured: Secured | None = None
        self._splitter = FrameSplitter(HANDSHAKE_SIZE)
        self._out = bytearray()
        self._violation: PeerMisbehaved | None = None

    @property
    def handshake_hash(self) -> bytes:
        """Noise's hash of this handshake, 32 bytes, once it is through."""
        assert self._secured is not None
        return self._secured.handshake_hash

    def data_to_send(self) -> bytes:
        """Everything that waits to be written to the stream."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def _receive(self, data: bytes) -> list[bytes]:
        """The plaintexts of the messages that have come."""
        if self._violation is not None:
            raise self._violation
        plaintexts = []
        try:
            self._splitter.feed(data)
            while (message := self._splitter.next_message()) is not None:
                if self._secured is None:
                    self._shake_hands(message)
                    self._splitter.max_length = self._expected
                    continue
                if len(message) != self._expected:
                    raise MalformedData("a message of a deposit has a size that none may have")
                plaintexts.append(unpad(self._secured.open(message)))
        except PeerMisbehaved as violation:
            self._violation = violation
            self._out.clear()
            raise
        return plaintexts

    def _refuse(self, violation: PeerMisbehaved) -> PeerMisbehaved:
        self._violation = violation
        self._out.clear()
        return violation

    def _shake_hands(self, message: bytes) -> None:
        raise NotImplementedError

    def _say(self, plaintext: bytes, size: int) -> None:
        if self._secured is None:
            raise UsageError("nothing is said before the handshake is through")
        self._out += frame(self._secured.seal(pad(plaintext, size - TAG_SIZE)))


class DepositorEnd(_End):
    """S at a shelf: `receive` what the carrier says, `send` while there is `room`."""

    def __init__(self, deposit: Deposit, random: RandomBytes) -> None:
        """Raises: AuthenticationFailed when the shelf's key is of small order."""
        noise = NoiseConnection.from_name(NOISE_NAME)
        noise.set_as_initiator()
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, deposit.static)
        start(noise, prologue(deposit.onion), deposit.capability, random)
        super().__init__(noise, _SMALL)
        self._out += frame(write_padded(self._noise, _OVERHEAD))
        self._sent = 0
        self._stored: Stored | None = None

    @property
    def told(self) -> bool:
        """Whether the carrier has said how much room there is."""
        return self._stored is not None

    @property
    def room(self) -> int:
        """Blocks that may be sent now; none when others took, meanwhile, the room for what was sent already."""
        return 0 if self._stored is None else max(0, self._stored.count + self._stored.room - self._sent)

    def receive(self, data: bytes) -> list[Stored]:
        """Take some bytes; what the carrier has on disk by now. Raises: PeerMisbehaved."""
        events = []
        for plaintext in self._receive(data):
            stored = _decode_stored(plaintext)
            before = self._stored
            if stored.count > self._sent or (before is not None and stored.count <= before.count):
                raise self._refuse(MalformedData("a carrier says that it has what was not sent to it"))
            self._stored = stored
            events.append(stored)
        return events

    def send(self, block: bytes) -> None:
        """Send a block. Raises: UsageError when there is no room, ValueError when it is none."""
        if not self.room:
            raise UsageError("this shelf has no room now")
        if len(block) != BLOCK_SIZE:
            raise ValueError("a block has not the size of one")
        self._say(block, _LARGE)
        self._sent += 1

    def _shake_hands(self, message: bytes) -> None:
        read_padded(self._noise, message, _OVERHEAD)
        self._secured = Secured(self._noise, b"")


class CarrierEnd(_End):
    """C at its own shelf: answers the handshake, then says of each block that it was `stored`."""

    def __init__(self, static: bytes, onion: OnionKey, capability: bytes, random: RandomBytes) -> None:
        """``static`` is the X25519 private key of the shelf."""
        noise = NoiseConnection.from_name(NOISE_NAME)
        noise.set_as_responder()
        noise.set_keypair_from_private_bytes(Keypair.STATIC, static)
        start(noise, prologue(onion), capability, random)
        super().__init__(noise, _LARGE)
        self._received = 0
        self._told: Stored | None = None

    @property
    def established(self) -> bool:
        """Whether somebody with the capability is there; by a replay, perhaps, until a block has come."""
        return self._secured is not None

    def receive(self, data: bytes) -> list[BlockReceived]:
        """Take some bytes; the blocks in them. Raises: PeerMisbehaved."""
        events = []
        for block in self._receive(data):
            if len(block) != BLOCK_SIZE or self._told is None or self._received >= self._told.count + self._told.room:
                raise self._refuse(MalformedData("not a block, or one for which there is no room"))
            self._received += 1
            events.append(BlockReceived(block))
        return events

    def stored(self, count: int, room: int) -> None:
        """Say that ``count`` blocks of this stream are on disk, 0 at first, and ``room`` more may come after those."""
        self._told = Stored(count, room)
        self._say(cbor.encode({"stored": count, "room": room}), _SMALL)

    def _shake_hands(self, message: bytes) -> None:
        read_padded(self._noise, message, _OVERHEAD)
        self._out += frame(write_padded(self._noise, _OVERHEAD))
        self._secured = Secured(self._noise, b"")


def _decode_stored(plaintext: bytes) -> Stored:
    fields = cbor.Fields(cbor.decode(plaintext), "shelf")
    return Stored(
        fields.integer("stored", low=0, high=_MAX_STORED), fields.integer("room", low=0, high=MAX_SHELF_BLOCKS)
    )
