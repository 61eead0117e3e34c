"""Blocks: what a carrier holds without knowing what or whose it is. Implements docs/protocol/carriers.md, "Blocks".

A block has one size and hides everything but that it is one: how many envelopes are in it, of which sizes, and between
whom. The envelopes in it are the very ones that a link would carry, sealed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import BLOCK_SIZE, ENVELOPE_SIZES
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import NONCE_SIZE, TAG_SIZE, RandomBytes, aead_open, aead_seal, labelled

_HEAD: Final = 2
_PLAIN: Final = BLOCK_SIZE - NONCE_SIZE - TAG_SIZE

ROOM: Final = _PLAIN - 1
"""Bytes of envelopes with their heads that fit one block."""


def fitting(sizes: Sequence[int]) -> int:
    """How many envelopes of these sizes, from the first on, go into one block."""
    room = ROOM
    for count, size in enumerate(sizes):
        room -= _HEAD + size
        if room < 0:
            return count
    return len(sizes)


def seal_block(key: bytes, envelopes: Sequence[bytes], random: RandomBytes) -> bytes:
    """A block of `BLOCK_SIZE` bytes with 1 to `fitting` envelopes, under a key of one shelf (`Session.block_key`).

    Raises: ValueError when they do not fit, or there is none.
    """
    if not envelopes:
        raise ValueError("a block holds at least one envelope")
    content = b"".join(len(envelope).to_bytes(_HEAD, "big") + envelope for envelope in envelopes)
    nonce = random(NONCE_SIZE)
    return nonce + aead_seal(key, nonce, pad(content, _PLAIN), labelled("block"))


def open_block(key: bytes, block: bytes) -> list[bytes]:
    """The envelopes in a block, in the order in which they were put there.

    Raises: AuthenticationFailed when it was not sealed under this key; MalformedData when whoever has the key broke a
    rule.
    """
    if len(block) != BLOCK_SIZE:
        raise MalformedData("a block has not the size of one")
    content = unpad(aead_open(key, block[:NONCE_SIZE], block[NONCE_SIZE:], labelled("block")))
    envelopes = []
    while content:
        size = int.from_bytes(content[:_HEAD], "big")
        envelope, content = content[_HEAD : _HEAD + size], content[_HEAD + size :]
        if size not in ENVELOPE_SIZES or len(envelope) < size:
            raise MalformedData("a block holds something that is no envelope")
        envelopes.append(envelope)
    if not envelopes:
        raise MalformedData("a block holds nothing")
    return envelopes
