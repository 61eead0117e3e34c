"""The heavier proof of work on a knock, whose size is its knocker's choice (docs/protocol/knock.md, Proof).

A proof is 8 bytes; its effort is the number of leading zero bits of one argon2id over bundle nonce, knock hash and
proof. Finding an effort of n bits takes 2^n of them on average, checking one. 8 MiB each keep the price of a processor
with many small cores near that of an honest knocker's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13

from chattor_bridge.protocol.limits import MAX_EFFORT_BITS, PROOF_MEMORY
from chattor_bridge.protocol.primitives import labelled

PROOF_SIZE: Final = 8

_PASSES = 1
_SALT_SIZE = 16
_DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Proof:
    """What a knock claims to have cost: the bundle's ``nonce`` and the knock's hash, 32 bytes each, and the proof."""

    nonce: bytes
    knock_hash: bytes
    proof: bytes

    def effort(self) -> int:
        """Bits of work proven, 0 to 256. One argon2id: some milliseconds of a core, so call this in a thread."""
        secret = labelled("proof", [self.nonce, self.knock_hash, self.proof])
        digest: bytes = crypto_pwhash_alg(
            _DIGEST_SIZE, secret, self.nonce[:_SALT_SIZE], _PASSES, PROOF_MEMORY, crypto_pwhash_ALG_ARGON2ID13
        )
        return 8 * _DIGEST_SIZE - int.from_bytes(digest, "big").bit_length()


def find_proof(nonce: bytes, knock_hash: bytes, bits: int) -> bytes:
    """The lowest proof of an effort of at least ``bits``; takes 2^bits argon2id on average, ten milliseconds each.

    Raises: ValueError when ``bits`` is above 10.
    """
    if not 0 <= bits <= MAX_EFFORT_BITS:
        raise ValueError(f"an effort of {bits} bits is out of bounds")
    number = 0
    while True:
        proof = number.to_bytes(PROOF_SIZE, "big")
        if bits == 0 or Proof(nonce, knock_hash, proof).effort() >= bits:
            return proof
        number += 1
