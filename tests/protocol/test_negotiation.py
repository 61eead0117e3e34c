"""docs/protocol/link.md, "Negotiation"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import NoCommonVersion
from chattor_bridge.protocol.frames import Hello
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS, Agreed, Ours, negotiate

_offers = st.builds(
    Ours,
    st.sets(st.integers(1, 9)).map(lambda found: tuple(sorted(found))),
    st.sets(st.sampled_from("abcdef")).map(lambda found: tuple(sorted(found))),
)


def test_two_of_this_version_agree_on_everything_it_has() -> None:
    hello = Hello(PROTOCOL_VERSIONS, CAPABILITIES, bytes(16), 0, 0, 0)
    assert negotiate(Ours(), hello, 0) == Agreed(1, CAPABILITIES)
    assert tuple(sorted(CAPABILITIES)) == CAPABILITIES
    assert {"text", "edit", "epoch_offer", "receipt"} < set(CAPABILITIES)


def test_the_highest_common_version_wins() -> None:
    assert negotiate(Ours((1, 2, 3), ("a", "b")), Ours((2, 3, 4), ("b", "c")), 2) == Agreed(3, ("b",))


def test_a_version_used_before_is_the_floor() -> None:
    ours, older = Ours((1, 2)), Ours((1,))
    assert negotiate(ours, older, 1).version == 1
    with pytest.raises(NoCommonVersion, match="older than one used before"):
        negotiate(ours, older, 2)


def test_nothing_in_common_is_said_so() -> None:
    with pytest.raises(NoCommonVersion, match="no common version"):
        negotiate(Ours((1,)), Ours((2,)), 0)


@given(_offers, _offers, st.integers(0, 9))
def test_both_sides_come_to_the_same(one: Ours, other: Ours, floor: int) -> None:
    results: list[Agreed | None] = []
    for ours, theirs in ((one, other), (other, one)):
        try:
            results.append(negotiate(ours, theirs, floor))
        except NoCommonVersion:
            results.append(None)
    assert results[0] == results[1]
    if results[0] is not None:
        assert results[0].version >= floor
