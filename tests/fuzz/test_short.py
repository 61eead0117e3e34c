"""Every decoder under deterministic fire, and under every input that ever broke one (``found/<target>/``)."""

from __future__ import annotations

from pathlib import Path

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


def test_names_are_all_different() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
