"""The tree of hashes over a file's chunks. Implements docs/protocol/files.md, "Tree".

The shape is RFC 9162's: a leaf for each chunk, and an inner node for each two neighbours, where the last of an odd
number goes up as it is. Leaves and nodes are hashed apart, so that neither passes for the other. A group of sixteen
neighbouring chunks is a subtree of its own, so the tree over the roots of the groups (the *outline*) has the same root
as the tree over all leaves. Whoever offers a file keeps the outline, and hashes a group again when it is asked for one
of its chunks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import CHUNKS_OF_GROUP

HASH_SIZE: Final = 32
"""Bytes of a hash: BLAKE2b-256."""

_PERSON: Final = b"chattor/v1/file"


def leaf_hash(chunk: bytes) -> bytes:
    """The leaf of a chunk."""
    hasher = hashlib.blake2b(b"\x00", digest_size=HASH_SIZE, person=_PERSON)
    hasher.update(chunk)
    return hasher.digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.blake2b(b"\x01" + left + right, digest_size=HASH_SIZE, person=_PERSON).digest()


EMPTY_ROOT: Final = hashlib.blake2b(b"", digest_size=HASH_SIZE, person=_PERSON).digest()
"""The root of a file without a chunk."""


class Tree:
    """A tree over some hashes, held in memory: 64 bytes for each."""

    def __init__(self, hashes: bytes) -> None:
        """``hashes``: one after the other. Raises: ValueError when these are not whole hashes."""
        if len(hashes) % HASH_SIZE:
            raise ValueError(f"a hash has {HASH_SIZE} bytes")
        self._levels = [hashes]
        while len(self._levels[-1]) > HASH_SIZE:
            self._levels.append(_level_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[-1] or EMPTY_ROOT

    def path(self, index: int) -> tuple[bytes, ...]:
        """The siblings on the way from this hash up to the root. Raises: IndexError when there is no such hash."""
        if not 0 <= index < len(self._levels[0]) // HASH_SIZE:
            raise IndexError(index)
        siblings = []
        for level in self._levels[:-1]:
            if sibling := _hash_at(level, index ^ 1):
                siblings.append(sibling)
            index >>= 1
        return tuple(siblings)


class OutlineBuilder:
    """Makes the outline of a file from its chunks, in order. What it keeps grows by 32 bytes for each group."""

    def __init__(self) -> None:
        self._outline = bytearray()
        self._group = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._group += leaf_hash(chunk)
        if len(self._group) == CHUNKS_OF_GROUP * HASH_SIZE:
            self._end_group()

    def outline(self) -> bytes:
        """The roots of all groups, one after the other; no chunk may follow."""
        if self._group:
            self._end_group()
        return bytes(self._outline)

    def _end_group(self) -> None:
        self._outline += Tree(bytes(self._group)).root
        self._group.clear()


def root_of_path(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """The root of a tree of ``count`` leaves in which this ``leaf`` is at ``index`` and has these siblings.

    Raises: MalformedData when the path has not exactly the length that the place asks for.
    """
    current, width, siblings = leaf, count, iter(path)
    while width > 1:
        if index ^ 1 < width:
            sibling = next(siblings, None)
            if sibling is None:
                raise MalformedData("the proof of a chunk is too short")
            current = _node_hash(sibling, current) if index & 1 else _node_hash(current, sibling)
        index >>= 1
        width = (width + 1) >> 1
    if next(siblings, None) is not None:
        raise MalformedData("the proof of a chunk is too long")
    return current


def _hash_at(level: bytes, index: int) -> bytes:
    return level[index * HASH_SIZE : (index + 1) * HASH_SIZE]


def _level_above(level: bytes) -> bytes:
    above = bytearray()
    for index in range(0, len(level) // HASH_SIZE, 2):
        left, right = _hash_at(level, index), _hash_at(level, index + 1)
        above += _node_hash(left, right) if right else left
    return bytes(above)
