"""docs/protocol/handshake.cddl describes what the vectors hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pycddl import Schema, ValidationError  # type: ignore[import-untyped]

from tests.vectors import independent as plain

_CDDL = (Path(__file__).parents[2] / "docs/protocol/handshake.cddl").read_text(encoding="utf-8")

# The checker is lax with a choice between arrays, so the branches of ``outer`` are tried one by one.
_OUTER = {(True, False): "event-outer", (True, True): "acking-outer", (False, True): "ack-outer"}
_ARRAYS = {"ack", *_OUTER.values()}


def _matches(rule: str, data: bytes) -> bool:
    try:
        Schema(f"start = {rule}\n{_CDDL}").validate_cbor(data)
    except ValidationError:
        return False
    return True


def _structures() -> list[tuple[str, bytes]]:
    """Every structure of the vectors, opened with the independent arithmetic."""
    knock = plain.load("knock.json")
    stream = {name: bytes.fromhex(value)[2:] for name, value in knock["stream"].items()}
    structures = [(name.replace("_", "-"), message) for name, message in stream.items()]
    structures.append(("bundle", plain.read_cbor(stream["door_message"])["bundle"]))
    structures.append(("knock-header", plain.read_cbor(stream["knock"])["header"]))
    introduction = knock["inputs"]["introduction"]
    introduction |= {"onion": bytes.fromhex(introduction["onion"]), "ratchet": [bytes(40), bytes(45)]}
    structures.append(("introduction", plain.cbor(introduction)))
    structures.append(("receipt-status", plain.cbor({"status": knock["results"]["receipt"]})))
    session = plain.load("session.json")
    transcript = bytes.fromhex(session["inputs"]["transcript"])
    epoch = plain.hkdf(bytes.fromhex(session["inputs"]["root"]), "epoch")
    for vector in session["envelopes"]:
        side, envelope = vector["from"].encode(), bytes.fromhex(vector["envelope"])
        ad = plain.labelled("envelope", plain.sha256("friendship-id", transcript)[:16], side)
        outer = plain.unseal(plain.hkdf(epoch, "envelope-key", side), envelope[:12], envelope[12:], ad)
        seq, _, _, ack = plain.read_cbor(outer)
        structures.append((_OUTER[seq > 0, ack is not None], outer))
        if vector["ack"] is not None:
            structures.append(("ack", plain.cbor(ack)))
    return structures


@pytest.mark.parametrize(("rule", "data"), _structures())
def test_the_structures_of_the_vectors(rule: str, data: bytes) -> None:
    assert _matches(rule, data)


@pytest.mark.parametrize(("rule", "data"), [pair for pair in _structures() if pair[0] not in _ARRAYS])
def test_each_field_is_described(rule: str, data: bytes) -> None:
    """Nothing can go missing or change its type unnoticed, and later fields may come."""
    fields: dict[str, Any] = plain.read_cbor(data)
    assert _matches(rule, plain.cbor(fields | {"later": 1}))
    for name in fields:
        assert not _matches(rule, plain.cbor({key: value for key, value in fields.items() if key != name}))
        assert not _matches(rule, plain.cbor(fields | {name: None}))


@pytest.mark.parametrize(
    "outer",
    [
        [0, bytes(40), bytes(300), None],
        [1, None, bytes(300), [1]],
        [1, bytes(39), bytes(300), None],
        [1, bytes(40), bytes(300)],
        [0, None, bytes(300), None],
    ],
)
def test_what_no_envelope_holds(outer: list[object]) -> None:
    assert not any(_matches(rule, plain.cbor(outer)) for rule in _OUTER.values())


@pytest.mark.parametrize("ack", [[], [1], [-1, bytes(16)], ["1", bytes(16)], [1, bytes(15)], [1, bytes(16), 3, "4"], 5])
def test_what_no_acknowledgement_is(ack: object) -> None:
    assert not _matches("ack", plain.cbor(ack))
