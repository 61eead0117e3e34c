"""What a door offers to one knock: its bundle (docs/protocol/knock.md, Bundle).

Fresh keys for every stream, signed by the onion key that the friend code names. There are no prekeys to run out of:
a door is online when it is knocked on.

Two clocks judge a bundle. Its expiry, five minutes on, was set by the door's clock and is enforced by the door, on
that same clock, when the knock arrives. The knocker's clock may be wrong by hours, and freshness does not hang on it
(only whoever holds the fresh private keys can use the knock); it only refuses a bundle more than a day off, which is
a broken clock or a bundle somebody kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData, NoCommonVersion
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.limits import BUNDLE_LIFETIME, CLOCK_TOLERANCE, MAX_EFFORT_BITS, MAX_TIME, MAX_WORK_BITS
from chattor_bridge.protocol.offer import read_capabilities, read_versions
from chattor_bridge.protocol.primitives import (
    KEM_PUBLIC_SIZE,
    KEY_SIZE,
    SIGNATURE_SIZE,
    ed25519_sign,
    ed25519_verify,
)

DOOR_NONCE_SIZE: Final = 32

_SIGNATURE_LABEL = "door"
_STAMP_KIND, _PROOF_KIND = "sha256", "argon2id"
_MAX_BUNDLE = 4_000  # bytes: the largest lists and the keys come to 2,600; the rest is for later versions


@dataclass(frozen=True, slots=True)
class Bundle:
    """``identity`` is the door's I_d, ``ephemeral`` E_d, ``kem`` K_d (1,184 bytes), ``nonce`` what the stamp covers,
    ``work_bits`` the stamp's leading zero bits, ``effort_bits`` the proof's, ``expires`` in seconds since the epoch by
    the door's clock."""

    door: OnionKey
    identity: bytes
    ephemeral: bytes
    kem: bytes
    nonce: bytes
    work_bits: int
    effort_bits: int
    expires: int
    versions: tuple[int, ...]
    capabilities: tuple[str, ...]

    def sign(self, onion_seed: bytes) -> bytes:
        """The door's message: the encoded bundle, opaque, and its signature."""
        bundle = cbor.encode(
            {
                "door": self.door,
                "identity": self.identity,
                "ephemeral": self.ephemeral,
                "kem": self.kem,
                "nonce": self.nonce,
                "work": {_STAMP_KIND: self.work_bits, _PROOF_KIND: self.effort_bits},
                "expires": self.expires,
                "versions": self.versions,
                "capabilities": self.capabilities,
            }
        )
        signature = ed25519_sign(onion_seed, _SIGNATURE_LABEL, bundle)
        return cbor.encode({"bundle": bundle, "signature": signature})

    @classmethod
    def verify(cls, message: bytes, door: OnionKey, *, now: int) -> Bundle:
        """Read a door's message; the signature is checked before anything inside is looked at.

        Raises: AuthenticationFailed when it is not signed by ``door``, or more than a day from ``now``.
        MalformedData, also when it asks for more work than anybody should. NoCommonVersion when it asks for a kind
        of work this version does not know.
        """
        fields = cbor.Fields(cbor.decode(message), "door message")
        signed = fields.bytes("bundle", at_most=_MAX_BUNDLE)
        ed25519_verify(door, _SIGNATURE_LABEL, signed, fields.bytes("signature", length=SIGNATURE_SIZE))
        bundle = cls._read(cbor.Fields(cbor.decode(signed), "bundle"))
        if bundle.door != door:
            raise AuthenticationFailed("a bundle was signed for another door")
        if abs(bundle.expires - BUNDLE_LIFETIME - now) > CLOCK_TOLERANCE:
            raise AuthenticationFailed("the door's clock and ours are more than a day apart")
        return bundle

    @classmethod
    def _read(cls, fields: cbor.Fields) -> Bundle:
        work = cbor.Fields(fields.raw("work"), "bundle: work")
        if work.names() != {_STAMP_KIND, _PROOF_KIND}:
            raise NoCommonVersion("this door asks for a kind of work that this program does not know; update it")
        bits = work.integer(_STAMP_KIND, low=0, high=256)
        effort = work.integer(_PROOF_KIND, low=0, high=256)
        if bits > MAX_WORK_BITS or effort > MAX_EFFORT_BITS:
            raise MalformedData("this door asks for more work than any knock should cost")
        return cls(
            door=OnionKey(fields.bytes("door", length=KEY_SIZE)),
            identity=fields.bytes("identity", length=KEY_SIZE),
            ephemeral=fields.bytes("ephemeral", length=KEY_SIZE),
            kem=fields.bytes("kem", length=KEM_PUBLIC_SIZE),
            nonce=fields.bytes("nonce", length=DOOR_NONCE_SIZE),
            work_bits=bits,
            effort_bits=effort,
            expires=fields.integer("expires", low=0, high=MAX_TIME),
            versions=read_versions(fields),
            capabilities=read_capabilities(fields),
        )
