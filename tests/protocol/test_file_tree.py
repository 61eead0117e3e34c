"""docs/protocol/files.md, "Tree" and "Chunks"."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, FileChanged, MalformedData
from chattor_bridge.ids import FileId
from chattor_bridge.protocol.chunks import Content, Offered
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, MAX_FILE_SIZE
from chattor_bridge.protocol.tree import EMPTY_ROOT, OutlineBuilder, Tree, leaf_hash, root_of_path

GROUP_SIZE = CHUNKS_OF_GROUP * CHUNK_SIZE


def rfc9162(leaves: list[bytes]) -> bytes:
    """MTH as RFC 9162, section 2.1.1 defines it, over hashes of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    both = rfc9162(leaves[:half]) + rfc9162(leaves[half:])
    return hashlib.blake2b(b"\x01" + both, digest_size=32, person=b"chattor/v1/file").digest()


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(bytes([number % 256])) for number in range(count)]


def offered(data: bytes) -> Offered:
    builder = OutlineBuilder()
    for at in range(0, len(data), CHUNK_SIZE):
        builder.add(data[at : at + CHUNK_SIZE])
    outline = builder.outline()
    return Offered(Content(FileId(bytes(16)), bytes(range(32)), len(data), Tree(outline).root), outline)


def data_of(size: int) -> bytes:
    return hashlib.shake_256(b"data").digest(size)


@given(st.integers(1, 300))
def test_the_root_is_that_of_rfc_9162(count: int) -> None:
    leaves = leaves_of(count)
    assert Tree(b"".join(leaves)).root == rfc9162(leaves)


@given(st.integers(1, 300), st.data())
def test_the_path_of_every_leaf_leads_to_the_root_and_from_no_other_place(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    tree = Tree(b"".join(leaves))
    index = data.draw(st.integers(0, count - 1))
    path = tree.path(index)
    assert root_of_path(leaves[index], index, count, path) == tree.root
    elsewhere = data.draw(st.integers(0, count - 1))
    if elsewhere != index:
        with suppress(MalformedData):  # a path of another length belongs there
            assert root_of_path(leaves[index], elsewhere, count, path) != tree.root
    for wrong in (path[:-1], (*path, bytes(32))):
        if wrong != path:
            with pytest.raises(MalformedData):
                root_of_path(leaves[index], index, count, wrong)


@given(st.integers(1, 100))
def test_the_tree_over_the_groups_has_the_root_of_the_tree_over_the_chunks(count: int) -> None:
    builder = OutlineBuilder()
    for number in range(count):
        builder.add(bytes([number % 256]))
    assert Tree(builder.outline()).root == rfc9162(leaves_of(count))


def test_a_file_without_a_byte_has_a_root_of_its_own() -> None:
    assert offered(b"").content.root == EMPTY_ROOT
    assert offered(b"").content.count == 0


def test_an_inner_node_does_not_pass_for_a_chunk() -> None:
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != Tree(left + right).root


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(
        [1, CHUNK_SIZE, CHUNK_SIZE + 1, GROUP_SIZE - 1, GROUP_SIZE, GROUP_SIZE + 1, 2 * GROUP_SIZE + 70_000]
    )
)
def test_every_chunk_is_proved_and_opened_where_it_belongs(size: int) -> None:
    data = data_of(size)
    file = offered(data)
    again = bytearray()
    for group in range(-(-size // GROUP_SIZE)):
        start, length = file.bounds_of_group(group)
        count = -(-length // CHUNK_SIZE)
        sealed = file.sealed_chunks(group, data[start : start + length], group * CHUNKS_OF_GROUP, count)
        for chunk in sealed:
            again += file.content.check(chunk.index, chunk.sealed, chunk.path)
            for index in {0, file.content.count - 1} - {chunk.index}:
                with pytest.raises((MalformedData, AuthenticationFailed)):
                    file.content.check(index, chunk.sealed, chunk.path)
    assert again == data


def test_what_has_changed_since_it_was_offered_is_not_sealed() -> None:
    data = data_of(GROUP_SIZE + 10)
    file = offered(data)
    for changed in (b"\x00" + data[1:GROUP_SIZE], data[: GROUP_SIZE - 1], data[: GROUP_SIZE + 1]):
        with pytest.raises(FileChanged):
            file.sealed_chunks(0, changed, 0, 1)
    with pytest.raises(FileChanged):
        file.sealed_chunks(1, data[GROUP_SIZE:] + b"more", CHUNKS_OF_GROUP, 1)


def test_a_chunk_is_bound_to_the_file_its_size_and_the_root() -> None:
    data = data_of(3 * CHUNK_SIZE)
    file = offered(data)
    [chunk] = file.sealed_chunks(0, data, 1, 1)
    content = file.content
    others = (
        Content(FileId(bytes(15) + b"\x01"), content.key, content.size, content.root),
        Content(content.file_id, content.key, content.size - 1, content.root),
        Content(content.file_id, bytes(32), content.size, content.root),
        Content(content.file_id, content.key, content.size, bytes(32)),
    )
    for other in others:
        with pytest.raises(AuthenticationFailed):
            other.check(chunk.index, chunk.sealed, chunk.path)


@pytest.mark.parametrize("index", [-1, 3, 2**60])
def test_a_chunk_that_the_file_does_not_have_is_malformed(index: int) -> None:
    data = data_of(3 * CHUNK_SIZE)
    [chunk] = offered(data).sealed_chunks(0, data, 2, 1)
    with pytest.raises(MalformedData):
        offered(data).content.check(index, chunk.sealed, chunk.path)


def test_a_chunk_of_another_length_is_malformed_before_it_is_opened() -> None:
    data = data_of(2 * CHUNK_SIZE)
    file = offered(data)
    [chunk] = file.sealed_chunks(0, data, 0, 1)
    for sealed in (chunk.sealed[:-1], chunk.sealed + b"\x00", b""):
        with pytest.raises(MalformedData):
            file.content.check(0, sealed, chunk.path)


@pytest.mark.parametrize(
    ("file_id", "key", "size", "root"),
    [(15, 32, 1, 32), (16, 31, 1, 32), (16, 32, 1, 33), (16, 32, -1, 32), (16, 32, MAX_FILE_SIZE + 1, 32)],
)
def test_content_out_of_bounds(file_id: int, key: int, size: int, root: int) -> None:
    with pytest.raises(ValueError, match="a file"):
        Content(FileId(bytes(file_id)), bytes(key), size, bytes(root))


def test_a_file_has_no_chunks_and_groups_beyond_its_ends() -> None:
    file = offered(data_of(GROUP_SIZE))
    for index in (-1, CHUNKS_OF_GROUP):
        with pytest.raises(IndexError):
            file.content.length_of(index)
    for group in (-1, 1):
        with pytest.raises(IndexError):
            file.bounds_of_group(group)
    assert Content(FileId(bytes(16)), bytes(32), MAX_FILE_SIZE, bytes(32)).size == MAX_FILE_SIZE


def test_a_wrong_outline_is_noticed_at_once() -> None:
    content = offered(data_of(10)).content
    with pytest.raises(ValueError, match="outline"):
        Offered(content, bytes(32))
