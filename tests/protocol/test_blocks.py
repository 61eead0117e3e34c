"""docs/protocol/carriers.md, "Blocks"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.protocol.blocks import ROOM, fitting, open_block, seal_block
from chattor_bridge.protocol.limits import BLOCK_SIZE, ENVELOPE_SIZES
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.primitives import aead_seal, labelled
from tests.protocol.sources import Source, onion_key, session_pair

_KEY = Source("key")(32)


def _envelopes(sizes: list[int]) -> list[bytes]:
    return [Source(f"envelope {number}")(size) for number, size in enumerate(sizes)]


@given(st.lists(st.sampled_from(ENVELOPE_SIZES), min_size=1, max_size=40))
def test_what_fits_comes_out_in_order_and_one_more_does_not_fit(sizes: list[int]) -> None:
    count = fitting(sizes)
    assert count >= 1
    envelopes = _envelopes(sizes[:count])
    block = seal_block(_KEY, envelopes, Source("nonce"))
    assert len(block) == BLOCK_SIZE
    assert open_block(_KEY, block) == envelopes
    if count < len(sizes):
        with pytest.raises(ValueError):
            seal_block(_KEY, _envelopes(sizes[: count + 1]), Source("nonce"))


@pytest.mark.parametrize(("size", "count"), [(1_000, 16), (4_000, 4), (16_000, 1)])
def test_a_block_is_filled(size: int, count: int) -> None:
    assert fitting([size] * 50) == count
    assert fitting([]) == 0


def test_an_empty_block_is_not_made() -> None:
    with pytest.raises(ValueError):
        seal_block(_KEY, [], Source("nonce"))


def test_the_same_envelopes_give_blocks_that_have_nothing_in_common() -> None:
    source, envelopes = Source("nonces"), _envelopes([1_000])
    one, other = seal_block(_KEY, envelopes, source), seal_block(_KEY, envelopes, source)
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 200  # 64 by chance


@given(st.integers(0, BLOCK_SIZE - 1), st.integers(1, 255))
def test_a_changed_block_does_not_open(at: int, flipped: int) -> None:
    block = bytearray(seal_block(_KEY, _envelopes([4_000]), Source("nonce")))
    block[at] ^= flipped
    with pytest.raises(AuthenticationFailed):
        open_block(_KEY, bytes(block))


def test_keys_differ_by_shelf_direction_and_friendship_and_both_sides_have_them() -> None:
    knocker, owner = session_pair()
    other, _ = session_pair("other")
    onion = onion_key("shelf")
    keys = {
        knocker.block_key(onion, ours=True),
        owner.block_key(onion, ours=True),
        knocker.block_key(onion_key("another"), ours=True),
        other.block_key(onion, ours=True),
    }
    assert len(keys) == 4
    assert knocker.block_key(onion, ours=True) == owner.block_key(onion, ours=False)
    assert knocker.block_key(onion, ours=False) == owner.block_key(onion, ours=True)


_BAD = {
    "nothing": b"",
    "no envelope's size": (500).to_bytes(2, "big") + bytes(500),
    "an envelope cut short": (1_000).to_bytes(2, "big") + bytes(999),
    "half a length": b"\x03",
    "an empty envelope": bytes(2),
}


@pytest.mark.parametrize("content", _BAD.values(), ids=_BAD.keys())
def test_whoever_has_the_key_can_only_put_envelopes_in(content: bytes) -> None:
    block = bytes(12) + aead_seal(_KEY, bytes(12), pad(content, ROOM + 1), labelled("block"))
    with pytest.raises(MalformedData):
        open_block(_KEY, block)


@pytest.mark.parametrize("size", [0, BLOCK_SIZE - 1, BLOCK_SIZE + 1])
def test_another_size_is_no_block(size: int) -> None:
    with pytest.raises(MalformedData):
        open_block(_KEY, bytes(size))
