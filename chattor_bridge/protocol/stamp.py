"""Proof of work on a knock (docs/protocol/knock.md, Stamp).

A stamp is 8 bytes that make SHA-256 of (bundle nonce, knock hash, stamp) begin with enough zero bits. The nonce is
fresh for every stream, so nothing can be prepared; the knock hash covers the whole knock, so nothing can be reused.
Checking costs one hash and comes before anything that costs more.
"""

from __future__ import annotations

import hashlib
from typing import Final

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.protocol.limits import MAX_WORK_BITS
from chattor_bridge.protocol.primitives import hash256, labelled

STAMP_SIZE: Final = 8

_DIGEST_BITS = 256


def find_stamp(nonce: bytes, knock_hash: bytes, bits: int) -> bytes:
    """The lowest stamp with ``bits`` leading zero bits; takes 2^bits hashes on average, a microsecond each.

    Raises: ValueError when ``bits`` is above 24.
    """
    if not 0 <= bits <= MAX_WORK_BITS:
        raise ValueError(f"{bits} bits of work are out of bounds")
    # The labelled form of three parts is that of two, then the third after its length: hash the beginning once.
    begun = hashlib.sha256(labelled("stamp", [nonce, knock_hash]) + STAMP_SIZE.to_bytes(4, "big"))
    bound = 1 << (_DIGEST_BITS - bits)
    number = 0
    while True:
        stamp = number.to_bytes(STAMP_SIZE, "big")
        attempt = begun.copy()
        attempt.update(stamp)
        if int.from_bytes(attempt.digest(), "big") < bound:
            return stamp
        number += 1


def check_stamp(nonce: bytes, knock_hash: bytes, stamp: bytes, bits: int) -> None:
    """Raises: AuthenticationFailed when the stamp proves less than ``bits``."""
    if int.from_bytes(hash256("stamp", nonce, knock_hash, stamp), "big") >> (_DIGEST_BITS - bits):
        raise AuthenticationFailed("the stamp of a knock proves less work than was asked for")
