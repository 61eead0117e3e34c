"""The Noise handshake that opens a link, and the two ciphers it leaves. Implements docs/protocol/link.md, "Handshake".

The ``noiseprotocol`` library does the work and ends here: its exceptions are translated, its ephemeral keys come from
the caller's randomness. Both patterns take two messages, one each way. The accepting dial is IKpsk1, for the knocker
has not seen the owner's static key yet; every later one is KKpsk0, which sends no key at all. Neither message carries
a payload of ours, only padding, so that all of them have one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from noise.backends.default.keypairs import KeyPair25519  # type: ignore[import-untyped]
from noise.connection import Keypair, NoiseConnection  # type: ignore[import-untyped]
from noise.exceptions import NoiseInvalidMessage  # type: ignore[import-untyped]

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.limits import HANDSHAKE_SIZE
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.primitives import KEY_SIZE, TAG_SIZE, RandomBytes

LINK_VERSION: Final = 1
"""Version of handshake and framing, bound by the prologue. What is said inside is negotiated apart from it."""

_OTHER_ROLE: Final = {"knocker": "owner", "owner": "knocker"}


class Purpose(StrEnum):
    """What a stream is for. It is the label of the prologue, so no handshake for one passes for the other."""

    LINK = "chattor/v1/link"
    FILE = "chattor/v1/file"


class Pattern(StrEnum):
    """Which Noise pattern a link opens with."""

    IK = "IKpsk1"
    KK = "KKpsk0"

    @property
    def protocol_name(self) -> str:
        """Noise's own name of pattern and primitives."""
        return f"Noise_{self.value}_25519_AESGCM_SHA256"


_OVERHEAD: Final = {
    # Message 1 and message 2, without payload: ephemeral key, sealed static key (IK only), tag.
    Pattern.IK: (KEY_SIZE + KEY_SIZE + TAG_SIZE + TAG_SIZE, KEY_SIZE + TAG_SIZE),
    Pattern.KK: (KEY_SIZE + TAG_SIZE, KEY_SIZE + TAG_SIZE),
}


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """What one side knows before the handshake.

    ``own_static`` is our X25519 private key for this friendship, ``psk`` the session's link key, 32 bytes each.
    ``peer_static`` is the friend's X25519 public key; only the answering side of IK may have ``None`` there. ``role``
    is ours in the friendship, ``"knocker"`` or ``"owner"``. Only a link is opened with IK.

    Raises: ValueError when a part is missing, has a wrong length or does not fit the others.
    """

    own_static: bytes = field(repr=False)
    peer_static: bytes | None = field(repr=False)
    psk: bytes = field(repr=False)
    pattern: Pattern
    role: str
    purpose: Purpose = Purpose.LINK

    def __post_init__(self) -> None:
        keys = [self.own_static, self.psk] + ([] if self.peer_static is None else [self.peer_static])
        if any(len(key) != KEY_SIZE for key in keys):
            raise ValueError(f"a key of a link has {KEY_SIZE} bytes")
        if self.role not in _OTHER_ROLE:
            raise ValueError("the role is 'knocker' or 'owner'")
        if self.peer_static is None and (self.pattern is Pattern.KK or self.role == "owner"):
            raise ValueError("only a knocker being accepted (IK) does not know the static key of the other side")
        if self.purpose is not Purpose.LINK and self.pattern is Pattern.IK:
            raise ValueError("whoever is being accepted has no files yet")


def prologue(dialled: OnionKey, dialler_role: str, purpose: Purpose = Purpose.LINK) -> bytes:
    """What both sides must agree on before the handshake, byte by byte."""
    return cbor.encode([purpose.value, LINK_VERSION, bytes(dialled), dialler_role])


class Secured:
    """A completed handshake: who is there, and a cipher in each direction.

    ``handshake_hash`` (32 bytes) is unique to this link; ``peer_static`` is the key the other side proved to have.
    """

    def __init__(self, noise: NoiseConnection, peer_static: bytes) -> None:
        self._noise = noise
        self.peer_static = peer_static
        self.handshake_hash: bytes = noise.get_handshake_hash()

    def seal(self, plaintext: bytes) -> bytes:
        """The next message of ours, 16 bytes longer. The nonce counts up by itself."""
        sealed: bytes = self._noise.encrypt(plaintext)
        return sealed

    def open(self, message: bytes) -> bytes:
        """The plaintext of the next message of theirs. Raises: AuthenticationFailed."""
        try:
            plaintext: bytes = self._noise.decrypt(message)
        except NoiseInvalidMessage as error:
            raise AuthenticationFailed("a message of the link does not authenticate") from error
        return plaintext


class Dialling:
    """The dialling side: ``message`` goes out, `finish` takes the answer."""

    def __init__(self, keys: LinkKeys, dialled: OnionKey, random: RandomBytes) -> None:
        """Raises: AuthenticationFailed when the friend's static key is of small order."""
        if keys.peer_static is None or (keys.pattern is Pattern.IK and keys.role != "owner"):
            raise ValueError("only an owner dials with IK, and every dialler knows whom it calls")
        self._peer_static = keys.peer_static
        self._pattern = keys.pattern
        self._noise = _begin(keys, dialled, initiator=True, random=random)
        self.message = write_padded(self._noise, _OVERHEAD[keys.pattern][0])

    def finish(self, answer: bytes) -> Secured:
        """Raises: MalformedData, AuthenticationFailed."""
        read_padded(self._noise, answer, _OVERHEAD[self._pattern][1])
        return Secured(self._noise, self._peer_static)


def answer(
    candidates: Sequence[LinkKeys], dialled: OnionKey, random: RandomBytes, message: bytes
) -> tuple[int, bytes, Secured]:
    """Answer a dial with the first candidate that authenticates ``message``: its index, the reply, and the ciphers.

    One onion can be dialled with several keys while a knock is being accepted: each attempt of the knock has its own
    link key, an owner who never got the answer comes again with IK when we expect KK, and a friend may come for a file.

    Raises: AuthenticationFailed when no candidate fits, MalformedData.
    """
    for index, keys in enumerate(candidates):
        noise = _begin(keys, dialled, initiator=False, random=random)
        try:
            read_padded(noise, message, _OVERHEAD[keys.pattern][0])
        except AuthenticationFailed:
            continue
        peer_static: bytes = noise.noise_protocol.handshake_state.rs.public_bytes
        if keys.peer_static is not None and keys.peer_static != peer_static:
            continue
        reply = write_padded(noise, _OVERHEAD[keys.pattern][1])
        return index, reply, Secured(noise, peer_static)
    raise AuthenticationFailed("whoever dialled is not the friend this onion is for")


def _begin(keys: LinkKeys, dialled: OnionKey, *, initiator: bool, random: RandomBytes) -> NoiseConnection:
    noise = NoiseConnection.from_name(keys.pattern.protocol_name.encode("ascii"))
    if initiator:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.set_keypair_from_private_bytes(Keypair.STATIC, keys.own_static)
    if initiator or keys.pattern is Pattern.KK:
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, keys.peer_static)
    dialler_role = keys.role if initiator else _OTHER_ROLE[keys.role]
    start(noise, prologue(dialled, dialler_role, keys.purpose), keys.psk, random)
    return noise


def start(noise: NoiseConnection, prologue: bytes, psk: bytes, random: RandomBytes) -> None:
    """Begin a handshake whose static keys are set."""
    noise.set_prologue(prologue)
    noise.set_psks(psk=psk)
    noise.start_handshake()
    # Set behind the library's front door, which warns that only a test may choose the ephemeral key. Ours is random;
    # it is merely drawn from the caller's source.
    noise.noise_protocol.handshake_state.e = KeyPair25519.from_private_bytes(random(KEY_SIZE))


def write_padded(noise: NoiseConnection, overhead: int) -> bytes:
    """Our next handshake message, `HANDSHAKE_SIZE` bytes with an empty payload; ``overhead`` bytes of it are Noise's.

    Raises: AuthenticationFailed.
    """
    try:
        return bytes(noise.write_message(pad(b"", HANDSHAKE_SIZE - overhead)))
    except ValueError as error:
        raise AuthenticationFailed("a key agreement of the handshake gives nothing secret") from error


def read_padded(noise: NoiseConnection, message: bytes, overhead: int) -> None:
    """Take the other side's. Raises: MalformedData, AuthenticationFailed."""
    if len(message) != HANDSHAKE_SIZE:
        raise MalformedData("a handshake message has the wrong size")
    try:
        payload = bytes(noise.read_message(message))
    except (InvalidTag, ValueError) as error:
        # ValueError is an all-zero agreement (RFC 7748 section 6.1): a key of small order.
        raise AuthenticationFailed("the handshake does not authenticate") from error
    if payload != pad(b"", HANDSHAKE_SIZE - overhead):
        raise MalformedData("a handshake message carries something")
