"""docs/protocol/carriers.cddl describes what the vectors hold, and nothing wider than what is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycddl import Schema, ValidationError  # type: ignore[import-untyped]

from tests.vectors import independent as plain

_DOCS = Path(__file__).parents[2] / "docs/protocol"
_CDDL = "\n".join((_DOCS / f"{name}.cddl").read_text(encoding="utf-8") for name in ("handshake", "carriers"))
_STREAM = plain.load("carriers.json")["stream"]


def _matches(rule: str, value: object) -> bool:
    try:
        Schema(f"start = {rule}\n{_CDDL}").validate_cbor(plain.cbor(value))
    except ValidationError:
        return False
    return True


def test_the_prologue() -> None:
    label, version, onion = plain.read_cbor(bytes.fromhex(_STREAM["prologue"]))
    assert _matches("deposit-prologue", [label, version, onion])
    for other in ([label, version], [label, version, onion, "owner"], [label, 2, onion], ["chattor/v1/link", 1, onion]):
        assert not _matches("deposit-prologue", other)


@pytest.mark.parametrize("data", [part["frames"][0] for part in _STREAM["stream"][2:] if part["from"] == "answering"])
def test_what_a_carrier_says(data: str) -> None:
    fields = plain.read_cbor(bytes.fromhex(data))
    assert _matches("deposit-stored", fields | {"later": 1})
    for name in fields:
        assert not _matches("deposit-stored", {key: value for key, value in fields.items() if key != name})
        for wrong in (None, -1, {"stored": 2**32, "room": 129}[name]):
            assert not _matches("deposit-stored", fields | {name: wrong})
