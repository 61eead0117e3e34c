"""docs/protocol/files.cddl describes what the vectors hold, and nothing wider than what is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pycddl import Schema, ValidationError  # type: ignore[import-untyped]

from tests.vectors import independent as plain

_DOCS = Path(__file__).parents[2] / "docs/protocol"
_CDDL = "\n".join((_DOCS / f"{name}.cddl").read_text(encoding="utf-8") for name in ("handshake", "wire", "files"))
_RULES = re.findall(r"^([a-z-]+) = [{[]", (_DOCS / "files.cddl").read_text(encoding="utf-8"), re.MULTILINE)
_SCHEMAS = {rule: Schema(f"start = {rule}\n{_CDDL}") for rule in _RULES}
_VECTORS = plain.load("files.json")


def _matches(rule: str, data: bytes) -> bool:
    try:
        _SCHEMAS[rule].validate_cbor(data)
    except ValidationError:
        return False
    return True


_STRUCTURES = [("file-prologue", bytes.fromhex(_VECTORS["stream"]["prologue"]))] + [
    (f"file-{vector['frame']['type']}", bytes.fromhex(vector["bytes"])[3:])
    for vector in _VECTORS["frames"]["good"]
    if vector["frame"]["type"] in ("open", "ready", "want")
]


def test_every_rule_has_a_vector() -> None:
    assert {rule for rule, _ in _STRUCTURES} == set(_RULES)


@pytest.mark.parametrize(("rule", "data"), _STRUCTURES)
def test_the_structures_of_the_vectors(rule: str, data: bytes) -> None:
    assert _matches(rule, data)


@pytest.mark.parametrize(("rule", "data"), _STRUCTURES[1:])
def test_each_field_is_described(rule: str, data: bytes) -> None:
    fields = plain.read_cbor(data)
    assert _matches(rule, plain.cbor(fields | {"later": 1}))
    for name in fields:
        without = plain.cbor({key: value for key, value in fields.items() if key != name})
        assert _matches(rule, without) is (name == "have")
        assert not _matches(rule, plain.cbor(fields | {name: None}))


def test_what_is_out_of_bounds_is_not_described() -> None:
    assert not _matches("file-want", plain.cbor({"first": 1_118_482, "count": 1}))
    assert not _matches("file-want", plain.cbor({"first": 0, "count": 17}))
    assert not _matches("file-prologue", plain.cbor(["chattor/v1/link", 1, bytes(32), "owner"]))
