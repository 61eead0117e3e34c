"""Signals, after docs/protocol/link.md, "Signals"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.protocol.frames import SignalFrame, decode_frames, encode_frame
from chattor_bridge.protocol.limits import MAX_SIGNAL, SIGNAL_BURST, SIGNAL_PAUSE
from chattor_bridge.protocol.signals import (
    Here,
    Presence,
    Signal,
    SignalAllowance,
    Typing,
    encode_signal,
    read_signal,
)
from tests.vectors import independent as plain

SIGNALS = st.one_of(st.builds(Typing, st.booleans()), st.builds(Presence, st.sampled_from(Here)))


@given(SIGNALS)
def test_what_is_written_is_read(signal: Signal) -> None:
    frame = SignalFrame(encode_signal(signal))
    assert decode_frames(encode_frame(frame)) == [frame]
    assert read_signal(frame.signal) == signal


@given(st.binary(max_size=MAX_SIGNAL))
def test_whatever_comes_is_a_signal_or_passed_over(data: bytes) -> None:
    signal = read_signal(data)
    assert signal is None or read_signal(encode_signal(signal)) == signal


@pytest.mark.parametrize("vector", plain.load("signals.json")["passed_over"], ids=lambda vector: vector["why"])
def test_what_is_passed_over(vector: dict[str, str]) -> None:
    assert read_signal(bytes.fromhex(vector["bytes"])) is None


def test_a_flood_is_looked_at_no_more_than_agreed() -> None:
    allowance = SignalAllowance(100.0)
    assert sum(allowance.take(100.0) for _ in range(1_000)) == SIGNAL_BURST
    assert sum(allowance.take(100.0 + 10 * SIGNAL_PAUSE) for _ in range(1_000)) == SIGNAL_BURST
    assert sum(allowance.take(120.0 + each / 10) for each in range(600)) == pytest.approx(60, abs=1)


def test_who_keeps_to_the_rules_is_always_heard() -> None:
    allowance = SignalAllowance(0.0)
    types = 2
    assert all(allowance.take(float(at * SIGNAL_PAUSE)) for at in range(500) for _ in range(types))
