"""The short form: a fixed number of deterministic changes to the seeds, without measuring coverage."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.fuzz.target import Target

_TELLING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff",
    b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xf6",
    b"<",
    b"\\",
)
"""Bytes at which decoders stumble: ends of ranges, the largest CBOR integer and its null, what opens an HTML tag."""


def inputs(target: Target, count: int) -> Iterator[bytes]:
    """The seeds, and ``count`` changed ones, the same in every run."""
    yield b""
    yield from target.seeds
    chance = random.Random(target.name)
    for _ in range(count):
        data = bytearray(chance.choice(target.seeds))
        for _ in range(chance.randint(1, 4)):
            _change(data, chance, target)
        yield bytes(data)


def _change(data: bytearray, chance: random.Random, target: Target) -> None:
    at = chance.randint(0, len(data))
    match chance.randrange(6):
        case 0 if data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        case 1:
            data[at : at + chance.randint(1, 8)] = b""
        case 2:
            data[at:at] = chance.choice(_TELLING)
        case 3 if data:
            data[at % len(data)] = chance.randrange(256)
        case 4:
            data[at:at] = data[at : at + chance.randint(1, 32)]
        case _:
            other = chance.choice(target.seeds)
            start = chance.randint(0, len(other))
            data[at : at + 16] = other[start : start + chance.randint(1, 64)]
