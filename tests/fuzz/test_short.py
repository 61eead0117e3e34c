"""Every decoder under deterministic fire, and under every input that ever broke one (``found/<target>/``)."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.short import inputs
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

CHANGES = 400
"""Changed inputs for each target: a few seconds for all of them together. `make fuzz` is for the rest."""

FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_decoder_survives(target: Target) -> None:
    for number, data in enumerate(inputs(target, CHANGES)):
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"input {number} of {target.name}: {data.hex()}") from error


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_once_broke_it_does_no_more(target: Target) -> None:
    for file in sorted((FOUND / target.name).glob("*")):
        target.run(file.read_bytes())


REFUSES_NOTHING = {"framing", "signal", "at_a_door", "envelope", "html", "markdown", "terminal", "screen", "picture"}
REFUSES_EVERYTHING = {"at_a_shelf", "handshake", "sealed_value"}
"""There nobody gets in without a key."""


class Noting(suppress):
    """Counts what was not refused."""

    accepted = 0

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> bool:
        Noting.accepted += kind is None
        return bool(super().__exit__(kind, *rest))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_something_it_begins_with_is_accepted(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only ever refused at its first byte tries nothing."""
    monkeypatch.setattr(sys.modules[target.run.__module__], "suppress", Noting)
    monkeypatch.setattr(Noting, "accepted", 0)
    for seed in target.seeds:
        target.run(seed)
    assert bool(Noting.accepted) is not (target.name in REFUSES_NOTHING | REFUSES_EVERYTHING)


def test_names_are_all_different() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
