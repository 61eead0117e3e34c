"""A file as it travels: cut into chunks, each sealed and each provable. Implements docs/protocol/files.md, "Chunks".

One key seals one file, as one offer names it, and no chunk has two contents under it: the number of the chunk is its
nonce, so the side that offers proves every chunk to be what it was when it was offered before it seals it. A chunk
therefore has one sealed form, whichever road it takes and however often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, FileChanged, MalformedData
from chattor_bridge.ids import FileId
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, FILE_ID_SIZE, MAX_FILE_SIZE
from chattor_bridge.protocol.primitives import KEY_SIZE, NONCE_SIZE, TAG_SIZE, aead_open, aead_seal, labelled
from chattor_bridge.protocol.tree import HASH_SIZE, Tree, leaf_hash, root_of_path

SEALED_SIZE: Final = CHUNK_SIZE + TAG_SIZE
"""Bytes of a sealed chunk, the last of a file being shorter."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an offer says of a file's content: ``size`` in bytes, ``root`` of its tree, and the ``key`` its chunks are
    sealed under (32 bytes each).

    Raises: ValueError when a part has a wrong length or the size is out of bounds.
    """

    file_id: FileId
    key: bytes = field(repr=False)
    size: int
    root: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.file_id) != FILE_ID_SIZE or len(self.key) != KEY_SIZE or len(self.root) != HASH_SIZE:
            raise ValueError("id, key and root of a file have 16, 32 and 32 bytes")
        if not 0 <= self.size <= MAX_FILE_SIZE:
            raise ValueError(f"a file has {MAX_FILE_SIZE} bytes at most")

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.size // CHUNK_SIZE)

    def length_of(self, index: int) -> int:
        """Bytes of this chunk. Raises: IndexError when there is none."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return min(CHUNK_SIZE, self.size - index * CHUNK_SIZE)

    def seal(self, index: int, chunk: bytes) -> bytes:
        """The one sealed form of a chunk, 16 bytes longer."""
        return aead_seal(self.key, _nonce(index), chunk, self._ad())

    def open(self, index: int, sealed: bytes) -> bytes:
        """The chunk. Raises: AuthenticationFailed when it was not sealed as this chunk of this file."""
        return aead_open(self.key, _nonce(index), sealed, self._ad())

    def check(self, index: int, sealed: bytes, path: Sequence[bytes]) -> bytes:
        """The chunk, once it is shown to be the one that was offered.

        Raises: AuthenticationFailed, MalformedData.
        """
        if not 0 <= index < self.count or len(sealed) != self.length_of(index) + TAG_SIZE:
            raise MalformedData("a chunk has the wrong size, or the file has no such chunk")
        chunk = self.open(index, sealed)
        if root_of_path(leaf_hash(chunk), index, self.count, path) != self.root:
            raise AuthenticationFailed("a chunk is not of the file that was offered")
        return chunk

    def _ad(self) -> bytes:
        parts = [self.file_id, self.count.to_bytes(8, "big"), self.size.to_bytes(8, "big")]
        return labelled("file-chunk", parts)


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """A chunk on its way: its number, its sealed form, and the siblings that lead from it to the root."""

    index: int
    path: tuple[bytes, ...] = field(repr=False)
    sealed: bytes = field(repr=False)


class Offered:
    """A file as the side that offers it knows it: the content and its outline."""

    def __init__(self, content: Content, outline: bytes) -> None:
        """Raises: ValueError when the outline is not that of this content."""
        self.content = content
        self._outline = outline
        self._tree = Tree(outline)
        if self._tree.root != content.root:
            raise ValueError("the outline is not that of this file")

    def bounds_of_group(self, group: int) -> tuple[int, int]:
        """Where a group begins in the file and how long it is, in bytes. Raises: IndexError when there is none."""
        start = group * CHUNKS_OF_GROUP * CHUNK_SIZE
        if group < 0 or start >= self.content.size:
            raise IndexError(group)
        return start, min(CHUNKS_OF_GROUP * CHUNK_SIZE, self.content.size - start)

    def sealed_chunks(self, group: int, data: bytes, first: int, count: int) -> list[SealedChunk]:
        """``count`` chunks from the one numbered ``first`` on, all of one group, whose bytes are ``data``.

        Raises: FileChanged when these are not the bytes that were offered; none is sealed then.
        """
        chunks = [data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE)]
        tree = Tree(b"".join(leaf_hash(chunk) for chunk in chunks))
        if len(data) != self.bounds_of_group(group)[1] or tree.root != self._root_of(group):
            raise FileChanged("the file is not what was offered: it has changed since")
        upper = self._tree.path(group)
        start = group * CHUNKS_OF_GROUP
        return [
            SealedChunk(index, tree.path(index - start) + upper, self.content.seal(index, chunks[index - start]))
            for index in range(first, first + count)
        ]

    def _root_of(self, group: int) -> bytes:
        return self._outline[group * HASH_SIZE : (group + 1) * HASH_SIZE]


def _nonce(index: int) -> bytes:
    return index.to_bytes(NONCE_SIZE, "big")
