"""docs/protocol/session.md, Acknowledgement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import MAX_RANGES, MAX_SEQ, MAX_SKIPPED
from chattor_bridge.protocol.window import NO_DIGEST, Ack, Kept, ReceiveWindow, SendWindow, envelope_digest

_DIGEST = envelope_digest(b"an envelope")


def _digest(seq: int) -> bytes:
    return envelope_digest(b"%d" % seq)


@given(st.lists(st.integers(1, 60), max_size=120))
def test_a_window_is_a_set_told_in_ranges(arrivals: list[int]) -> None:
    window = ReceiveWindow()
    accepted: set[int] = set()
    for seq in arrivals:
        assert window.contains(seq) == (seq in accepted)
        assert window.accept(seq, _digest(seq)) == (seq not in accepted)
        accepted.add(seq)
        ack = window.ack()
        assert {n for first, last in ack.covered() for n in range(first, last + 1)} == accepted
        assert all(ack.covers(n) == (n in accepted) for n in range(70))
        assert window.highest == max(accepted)
        assert window.missing == max(accepted) - len(accepted)
        assert window.first_gap == min(set(range(1, 62)) - accepted)
        assert window.cumulative == window.first_gap - 1
        for low, high in ((window.cumulative, 61), (window.cumulative, seq + 1), (max(seq, window.cumulative), 50)):
            assert window.missing_between(low, high) == len(set(range(low + 1, high)) - accepted) or high <= low
        assert Ack.from_cbor(ack.to_cbor()) == ack
        assert ReceiveWindow(ack).ack() == ack


@given(st.sets(st.integers(1, 60), min_size=1), st.data())
def test_what_is_given_up_is_not_waited_for(accepted: set[int], data: st.DataObject) -> None:
    window = ReceiveWindow()
    for seq in accepted:
        window.accept(seq, _digest(seq))
    window.given_up = data.draw(st.sampled_from(sorted(accepted)))
    start = max(window.given_up, window.cumulative)
    assert window.in_turn == min(set(range(start, 62)) - accepted - {start}) - 1
    assert window.held == len([seq for seq in accepted if seq > window.in_turn])
    assert ReceiveWindow(window.ack(), window.given_up).in_turn == window.in_turn


def test_an_empty_window() -> None:
    window = ReceiveWindow()
    assert (window.cumulative, window.highest, window.first_gap, window.missing) == (0, 0, 1, 0)
    assert window.ack() == Ack(0)
    assert window.ack().covered() == ()
    assert not window.contains(0)
    assert (window.in_turn, window.held) == (0, 0)


def test_only_so_many_may_be_missing() -> None:
    window = ReceiveWindow()
    assert not window.would_overflow(MAX_SKIPPED + 1)
    assert window.would_overflow(MAX_SKIPPED + 2)
    window.accept(MAX_SKIPPED + 1, _DIGEST)
    assert window.missing == MAX_SKIPPED
    assert not window.would_overflow(MAX_SKIPPED + 2)
    assert window.would_overflow(MAX_SKIPPED + 3)
    with pytest.raises(ValueError, match="full"):
        window.accept(MAX_SKIPPED + 3, _DIGEST)
    window.accept(1, _DIGEST)
    assert not window.would_overflow(MAX_SKIPPED + 3)


def test_only_so_many_runs_are_kept() -> None:
    window = ReceiveWindow()
    for run in range(MAX_RANGES):
        window.accept(3 + 4 * run, _DIGEST)
    last = 3 + 4 * (MAX_RANGES - 1)
    assert len(window.ack().ranges) == MAX_RANGES
    assert window.would_overflow(last + 2)
    assert not window.would_overflow(last + 1)
    assert window.would_overflow(5)  # between two runs, touching neither
    assert not window.would_overflow(4)  # touches one
    assert not window.would_overflow(3)  # known already
    assert not window.would_overflow(1)
    window.accept(1, _DIGEST)
    window.accept(2, _DIGEST)  # closes the first gap
    assert not window.would_overflow(last + 2)


def test_what_was_accepted_in_order_is_known_whether_or_not_more_came_ahead() -> None:
    window = ReceiveWindow(Ack(3))
    assert [window.contains(seq) for seq in range(5)] == [False, True, True, True, False]
    assert ReceiveWindow(Ack(3, ((7, 9),))).contains(3)


def test_a_run_that_closes_a_gap_joins_both_sides_whole() -> None:
    window = ReceiveWindow(Ack(2, ((5, 8),)))
    window.accept(4, _DIGEST)
    assert window.ack() == Ack(2, ((4, 8),), _DIGEST)
    window.accept(3, NO_DIGEST)
    assert window.ack() == Ack(8, (), _DIGEST)


def test_the_highest_number_and_as_many_ranges_as_may_be_are_read() -> None:
    assert Ack.from_cbor([MAX_SEQ, NO_DIGEST]) == Ack(MAX_SEQ)
    assert ReceiveWindow(Ack(MAX_SEQ - 1)).accept(MAX_SEQ, _DIGEST)
    ranges = tuple((3 * run, 3 * run) for run in range(1, MAX_RANGES + 2))
    assert Ack.from_cbor(Ack(0, ranges[:-1]).to_cbor()) == Ack(0, ranges[:-1])
    with pytest.raises(MalformedData):
        Ack.from_cbor(Ack(0, ranges).to_cbor())


@pytest.mark.parametrize("seq", [0, -1, MAX_SEQ + 1])
def test_what_is_no_sequence_number(seq: int) -> None:
    with pytest.raises(ValueError, match="no sequence number"):
        ReceiveWindow().accept(seq, _DIGEST)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [],
        [1],
        [1, 2],  # no digest
        [1, NO_DIGEST[1:]],
        [1, NO_DIGEST, 3],
        [NO_DIGEST, 1],
        [-1, NO_DIGEST],
        [True, NO_DIGEST],
        ["1", NO_DIGEST],
        [MAX_SEQ + 1, NO_DIGEST],
        [1, NO_DIGEST, 2, 2],  # touches the cumulative number
        [1, NO_DIGEST, 1, 1],
        [1, NO_DIGEST, 5, 4],  # ends before it begins
        [1, NO_DIGEST, 3, 4, 5, 6],  # touches the range before
        [1, NO_DIGEST, 5, 6, 3, 3],  # descends
        [0, NO_DIGEST, *range(2, 2 + 4 * (MAX_RANGES + 1), 2)],
    ],
)
def test_acknowledgements_have_one_form(value: object) -> None:
    with pytest.raises(MalformedData):
        Ack.from_cbor(value)


@given(st.data())
def test_what_arrived_is_acknowledged_and_nothing_else(data: st.DataObject) -> None:
    """Whatever arrives in whatever order, and whichever acknowledgements come: what is dropped has arrived. Under some
    numbers something else arrived, which the sender has forgotten; then nothing that covers one of them is meant."""
    sent, outbox = SendWindow(), dict[int, Kept]()
    for seq in range(1, data.draw(st.integers(1, 12), label="sent") + 1):
        outbox[seq] = sent.add(b"%d" % seq)
    forgotten = data.draw(st.sets(st.sampled_from(sorted(outbox)), max_size=3), label="forgotten")
    received, acks = ReceiveWindow(), list[Ack]()
    for seq in data.draw(st.permutations(sorted(outbox)), label="arrivals"):
        received.accept(seq, envelope_digest(b"another" if seq in forgotten else outbox[seq].envelope))
        acks.append(received.ack())
    heard = data.draw(st.lists(st.sampled_from(acks), max_size=8), label="heard")
    for ack in (*heard, acks[-1]):
        kept = {seq: outbox[seq] for end in sent.asks(ack) for seq in (end, end + 1) if seq in outbox}
        covered = {seq for seq in outbox if ack.covers(seq)}
        if sent.means(ack, kept):
            assert not any(ack.covers(seq) for seq in forgotten)
            for seq in covered:
                del outbox[seq]
        else:
            assert not covered or any(ack.covers(seq) for seq in forgotten)
    assert bool(outbox) == bool(forgotten)


def test_more_than_was_sent_is_not_meant() -> None:
    sent = SendWindow()
    kept = sent.add(b"1")
    assert sent.means(Ack(1, (), envelope_digest(b"1")), {1: kept})
    assert not sent.means(Ack(2, (), envelope_digest(b"1")), {1: kept})
    assert not sent.means(Ack(0, ((2, 2),), envelope_digest(b"1")), {1: kept})
