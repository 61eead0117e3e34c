"""Frames: what two friends say to each other inside a link. Implements docs/protocol/link.md, "Frames".

A Noise message holds frames one after the other, each a type byte, a u16 big-endian length and a body, and then
padding (docs/protocol/encoding.md). Types below 0x80 must be known to their reader, for passing over them would lose
something; types from 0x80 up may be passed over, so that later versions can add to a link without asking first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import OnionKey, ShelfId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import (
    BLOCK_SIZE,
    DIGEST_SIZE,
    ENVELOPE_SIZES,
    MAX_EPOCH,
    MAX_HELLO,
    MAX_ONIONS_FRAME,
    MAX_RESYNC,
    MAX_SEQ,
    MAX_SIGNAL,
    SESSION_ID_SIZE,
    SHELF_ID_SIZE,
)
from chattor_bridge.protocol.offer import read_capabilities, read_versions
from chattor_bridge.protocol.primitives import KEM_CIPHERTEXT_SIZE, KEM_PUBLIC_SIZE, KEY_SIZE, is_ed25519_key
from chattor_bridge.protocol.ratchet import HEADER_SIZE
from chattor_bridge.protocol.reasons import decode_reason
from chattor_bridge.protocol.window import Ack


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame each side sends: what it speaks, and where its half of the session stands.

    ``versions`` ascending, ``capabilities`` sorted. ``highest_sent`` is the highest sequence number this side has
    given an envelope, ``highest_received`` the highest it has accepted, 0 for none; ``seen`` is the digest of the
    envelope it accepted under that number, zeros for none (16 bytes).
    """

    versions: tuple[int, ...]
    capabilities: tuple[str, ...]
    session_id: bytes
    epoch: int
    highest_sent: int
    highest_received: int
    seen: bytes = bytes(DIGEST_SIZE)


@dataclass(frozen=True, slots=True)
class EnvelopeFrame:
    """A sealed envelope (docs/protocol/session.md)."""

    envelope: bytes


@dataclass(frozen=True, slots=True)
class AckFrame:
    """What this side has on disk."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class SignalFrame:
    """Something not worth keeping; its content is opaque here, ``MAX_SIGNAL`` bytes at most."""

    signal: bytes


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Nothing, so that silence means something. On the wire it looks like any small message."""


@dataclass(frozen=True, slots=True)
class Onions:
    """Where this side can be dialled, and where it dials the other; ``None`` for nowhere. ``keeps``: it will not take
    down what it hosts however many there are. ``asks``: it hosts more than it should, and wants to leave hosting to the
    other. Said again whenever one of them changes, so that each side learns what the other has on disk."""

    hosts: OnionKey | None
    dials: OnionKey | None
    keeps: bool = False
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Bye:
    """The last frame a side sends, before it closes the stream.

    ``reason`` is a word for the other program: one of ``BYE_REASONS``, or one a later version has added.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class ResyncStart:
    """This side begins a resync; ``encoded`` is a map in deterministic CBOR of ``key`` (X25519, 32 bytes) and ``kem``
    (an ML-KEM-768 public key), kept as it came because it is hashed."""

    encoded: bytes


@dataclass(frozen=True, slots=True)
class ResyncAnswer:
    """The other side's part: ``head``, a map like the one it answers but with a ciphertext in ``kem``, and the first
    message of the new ratchet."""

    head: bytes
    ratchet_header: bytes
    ratchet_ciphertext: bytes


@dataclass(frozen=True, slots=True)
class ResyncDone:
    """The side that began has the new session on disk."""


@dataclass(frozen=True, slots=True)
class Block:
    """The carrier hands its friend a block of that shelf; numbers rise, from 1, in the order of depositing."""

    shelf: ShelfId
    number: int
    block: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Collected:
    """The friend has on disk what was in all blocks of that shelf up to this number; the carrier may delete them."""

    shelf: ShelfId
    number: int


@dataclass(frozen=True, slots=True)
class Holding:
    """How many blocks the carrier holds for its friend that it has not handed over on this link."""

    blocks: int


Collecting = Block | Collected | Holding
Resync = ResyncStart | ResyncAnswer | ResyncDone
Frame = Hello | EnvelopeFrame | AckFrame | SignalFrame | KeepAlive | Onions | Bye | Resync | Collecting

BYE_REASONS: Final = ("closing", "renewed", "replaced", "too-soon", "unsupported")
"""Why a link ends: this node goes offline; the session was renewed, and the next link uses it; another link of the
same friendship stays; the session was renewed less than a day ago; there is no common version. Who broke the protocol
gets no reason."""

_HEAD_SIZE: Final = 3
_OPTIONAL: Final = 0x80
_ONION_NAMES: Final = ("hosts", "dials")
_ONION_WORDS: Final = ("keeps", "asks")


def encode_frame(frame: Frame) -> bytes:
    """One frame, its type and length before its body.

    Raises: ValueError when the frame breaks a rule of the specification, which is a mistake of the caller.
    """
    kind, body = _encode_body(frame)
    try:
        _DECODERS[kind](body)
    except MalformedData as error:
        raise ValueError(str(error)) from error
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def decode_frames(data: bytes) -> list[Frame]:
    """The one or more frames in a message, padding already taken off; unknown ones that may be passed over are left
    out.

    Raises: MalformedData.
    """
    if not data:
        raise MalformedData("frame: a message without any")
    frames = []
    rest = memoryview(data)
    while rest:
        if len(rest) < _HEAD_SIZE:
            raise MalformedData("frame: the message ends within a head")
        kind, length = rest[0], int.from_bytes(rest[1:_HEAD_SIZE], "big")
        body = bytes(rest[_HEAD_SIZE : _HEAD_SIZE + length])
        if len(body) < length:
            raise MalformedData("frame: the message ends within a body")
        rest = rest[_HEAD_SIZE + length :]
        decoder = _DECODERS.get(kind)
        if decoder is not None:
            frames.append(decoder(body))
        elif kind < _OPTIONAL:
            raise MalformedData("frame: of an unknown type that must not be passed over")
    return frames


def _encode_body(frame: Frame) -> tuple[int, bytes]:
    match frame:
        case Hello():
            return _HELLO, cbor.encode(
                {
                    "versions": frame.versions,
                    "capabilities": frame.capabilities,
                    "session": frame.session_id,
                    "epoch": frame.epoch,
                    "sent": frame.highest_sent,
                    "received": frame.highest_received,
                    "seen": frame.seen,
                }
            )
        case EnvelopeFrame(envelope):
            return _ENVELOPE, envelope
        case AckFrame(ack):
            return _ACK, cbor.encode(ack.to_cbor())
        case SignalFrame(signal):
            return _SIGNAL, signal
        case KeepAlive():
            return _KEEP_ALIVE, b""
        case Onions():
            known = {name: getattr(frame, name) for name in _ONION_NAMES}
            said: dict[str, object] = {name: bytes(onion) for name, onion in known.items() if onion is not None}
            return _ONIONS, cbor.encode(said | {name: True for name in _ONION_WORDS if getattr(frame, name)})
        case Bye(reason):
            return _BYE, reason.encode()
        case ResyncStart(encoded):
            return _RESYNC_START, encoded
        case ResyncAnswer(head, header, ciphertext):
            return _RESYNC_ANSWER, cbor.encode({"head": head, "ratchet": [header, ciphertext]})
        case ResyncDone():
            return _RESYNC_DONE, b""
        case Block(shelf, number, block):
            return _BLOCK, shelf + number.to_bytes(_NUMBER_SIZE, "big") + block
        case Collected(shelf, number):
            return _COLLECTED, shelf + number.to_bytes(_NUMBER_SIZE, "big")
        case Holding(blocks):
            return _HOLDING, blocks.to_bytes(_COUNT_SIZE, "big")


def _decode_hello(body: bytes) -> Hello:
    if len(body) > MAX_HELLO:
        raise MalformedData("hello: too large")
    fields = Fields(cbor.decode(body), "hello")
    return Hello(
        versions=read_versions(fields),
        capabilities=read_capabilities(fields),
        session_id=fields.bytes("session", length=SESSION_ID_SIZE),
        epoch=fields.integer("epoch", low=0, high=MAX_EPOCH),
        highest_sent=fields.integer("sent", low=0, high=MAX_SEQ),
        highest_received=fields.integer("received", low=0, high=MAX_SEQ),
        seen=fields.bytes("seen", length=DIGEST_SIZE),
    )


def _decode_envelope(body: bytes) -> EnvelopeFrame:
    if len(body) not in ENVELOPE_SIZES:
        raise MalformedData("envelope: not of a size that envelopes have")
    return EnvelopeFrame(body)


def _decode_ack(body: bytes) -> AckFrame:
    return AckFrame(Ack.from_cbor(cbor.decode(body)))


def _decode_signal(body: bytes) -> SignalFrame:
    if not 1 <= len(body) <= MAX_SIGNAL:
        raise MalformedData("signal: empty or too large")
    return SignalFrame(body)


def _decode_resync_start(body: bytes) -> ResyncStart:
    _check_resync(body, KEM_PUBLIC_SIZE)
    return ResyncStart(body)


def _decode_resync_answer(body: bytes) -> ResyncAnswer:
    if len(body) > MAX_RESYNC:
        raise MalformedData("resync: too large")
    fields = Fields(cbor.decode(body), "resync")
    head = fields.bytes("head", at_most=MAX_RESYNC)
    _check_resync(head, KEM_CIPHERTEXT_SIZE)
    match fields.raw("ratchet"):
        case [bytes(header), bytes(ciphertext)] if len(header) == HEADER_SIZE:
            return ResyncAnswer(head, header, ciphertext)
        case _:
            raise fields.wrong("ratchet")


def _check_resync(encoded: bytes, kem_size: int) -> None:
    if len(encoded) > MAX_RESYNC:
        raise MalformedData("resync: too large")
    fields = Fields(cbor.decode(encoded), "resync")
    fields.bytes("key", length=KEY_SIZE)
    fields.bytes("kem", length=kem_size)


def _decode_resync_done(body: bytes) -> ResyncDone:
    if body:
        raise MalformedData("resync: its end is not empty")
    return ResyncDone()


def _decode_keep_alive(body: bytes) -> KeepAlive:
    if body:
        raise MalformedData("keep-alive: not empty")
    return KeepAlive()


def _decode_onions(body: bytes) -> Onions:
    if len(body) > MAX_ONIONS_FRAME:
        raise MalformedData("onions: too large")
    fields = Fields(cbor.decode(body), "onions")
    hosts, dials = (_read_onion(fields, name) if name in fields else None for name in _ONION_NAMES)
    keeps, asks = (_read_word(fields, name) for name in _ONION_WORDS)
    onions = Onions(hosts, dials, keeps, asks)
    if onions.keeps and onions.hosts is None:
        raise MalformedData("onions: none is hosted, and it is kept")
    return onions


def _read_onion(fields: Fields, name: str) -> OnionKey:
    onion = fields.bytes(name, length=KEY_SIZE)
    if not is_ed25519_key(onion):
        raise fields.wrong(name)
    return OnionKey(onion)


def _read_word(fields: Fields, name: str) -> bool:
    if name in fields and fields.raw(name) is not True:
        raise fields.wrong(name)
    return name in fields


def _decode_bye(body: bytes) -> Bye:
    return Bye(decode_reason(body, "bye"))


def _decode_block(body: bytes) -> Block:
    if len(body) != _PLACE_SIZE + BLOCK_SIZE:
        raise MalformedData("block: not of the size that blocks have")
    return Block(*_read_place(body), body[_PLACE_SIZE:])


def _decode_collected(body: bytes) -> Collected:
    if len(body) != _PLACE_SIZE:
        raise MalformedData("collected: not a shelf and a number")
    return Collected(*_read_place(body))


def _read_place(body: bytes) -> tuple[ShelfId, int]:
    number = int.from_bytes(body[SHELF_ID_SIZE:_PLACE_SIZE], "big")
    if not 1 <= number <= MAX_SEQ:
        raise MalformedData("block: of a number that none has")
    return ShelfId(body[:SHELF_ID_SIZE]), number


def _decode_holding(body: bytes) -> Holding:
    if len(body) != _COUNT_SIZE:
        raise MalformedData("holding: not a number of blocks")
    return Holding(int.from_bytes(body, "big"))


_NUMBER_SIZE: Final = 8
_COUNT_SIZE: Final = 4
_PLACE_SIZE: Final = SHELF_ID_SIZE + _NUMBER_SIZE

_HELLO: Final = 0x01
_ENVELOPE: Final = 0x02
_ACK: Final = 0x03
_SIGNAL: Final = 0x04
_BYE: Final = 0x05
_KEEP_ALIVE: Final = 0x06
_ONIONS: Final = 0x07
_RESYNC_START: Final = 0x08
_RESYNC_ANSWER: Final = 0x09
_RESYNC_DONE: Final = 0x0A
_BLOCK: Final = 0x0B
_COLLECTED: Final = 0x0C
_HOLDING: Final = 0x0D

_DECODERS: Final[Mapping[int, Callable[[bytes], Frame]]] = {
    _HELLO: _decode_hello,
    _ENVELOPE: _decode_envelope,
    _ACK: _decode_ack,
    _SIGNAL: _decode_signal,
    _BYE: _decode_bye,
    _KEEP_ALIVE: _decode_keep_alive,
    _RESYNC_START: _decode_resync_start,
    _RESYNC_ANSWER: _decode_resync_answer,
    _RESYNC_DONE: _decode_resync_done,
    _ONIONS: _decode_onions,
    _BLOCK: _decode_block,
    _COLLECTED: _decode_collected,
    _HOLDING: _decode_holding,
}
