"""A carrier cannot tell one hand from two: see `tests.sim.unlinkable`. A broken node shows that each check fires."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from chattor_bridge.node.carrying import depositing, settling
from chattor_bridge.node.carrying.records import OwnShelf
from chattor_bridge.node.patience import jitter
from chattor_bridge.node.ports import RandomBytes
from chattor_bridge.protocol import deposit
from chattor_bridge.protocol.blocks import seal_block
from chattor_bridge.protocol.primitives import KEY_SIZE
from tests.sim.unlinkable import ROUND, View, differ, differ_from_even, view

SEED = 1

unbroken = cache(view)


@pytest.mark.parametrize("what", [View.gaps, View.amounts, View.frequencies, View.delays])
def test_what_a_carrier_sees_of_one_hand_is_distributed_as_what_it_sees_of_two(what: Any) -> None:
    one, two = unbroken(1, SEED), unbroken(2, SEED)
    assert not differ(what(one), what(two))


@pytest.mark.parametrize("hands", [1, 2])
def test_the_two_shelves_have_nothing_in_common(hands: int) -> None:
    seen = unbroken(hands, SEED)
    assert all(len(blocks) > 30 for blocks in seen.blocks)
    assert all(len(visits) > 30 for visits in seen.visits)
    assert not seen.in_common()


def test_a_visit_does_not_tell_when_something_was_said() -> None:
    assert not differ_from_even(unbroken(1, SEED).delays(), 0.0, 60.0)


def test_everything_that_comes_has_one_of_two_sizes() -> None:
    handshake, block = 1_024, 18_432
    for visits in unbroken(1, SEED).visits:
        for visit in visits:
            blocks, rest = divmod(len(visit.received) - handshake - 2, block + 2)
            assert blocks >= 1
            assert rest == 0


# --- that they fire --------------------------------------------------------------------------------------------------


def test_one_timer_for_all_shelves_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[tuple[RandomBytes, int], float] = {}

    def shared(source: RandomBytes, low: float, high: float) -> float:
        moment = int(asyncio.get_running_loop().time() // (ROUND / 3))
        return drawn.setdefault((source, moment), jitter(source, low, high))

    monkeypatch.setattr(depositing, "jitter", shared)
    assert differ(view(1, SEED).gaps(), unbroken(2, SEED).gaps())


def test_no_time_drawn_at_all_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depositing, "jitter", lambda source, low, high: low)
    assert differ_from_even(view(1, SEED).delays(), 0.0, 60.0)


def test_a_nonce_used_twice_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depositing, "seal_block", lambda key, envelopes, source: seal_block(key, envelopes, bytes))
    assert view(1, SEED).in_common()


def test_one_key_for_every_handshake_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    original = deposit.DepositorEnd.__init__
    monkeypatch.setattr(deposit.DepositorEnd, "__init__", lambda end, target, source: original(end, target, _same))
    assert view(1, SEED).in_common()


def test_one_capability_for_several_shelves_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared(*fields: Any, **more: Any) -> OwnShelf:
        return replace(OwnShelf(*fields, **more), capability=b"c" * KEY_SIZE)

    monkeypatch.setattr(settling, "OwnShelf", shared)
    assert view(2, SEED).in_common()


def _same(length: int) -> bytes:
    return b"k" * length
