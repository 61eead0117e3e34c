"""docs/protocol/knock.md, Header and sealed part: the introduction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.introduction import Introduction, read_introduction
from chattor_bridge.protocol.limits import MAX_CAPABILITIES
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.ratchet import RatchetMessage
from tests.protocol.sources import onion_key

_FIRST = RatchetMessage(bytes(40), bytes(45))


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a" * 65},
        {"name": "é" * 33},
        {"name": "a\nb"},
        {"name": "a\x7f"},
        {"name": "a\x85"},
        {"note": "n" * 1_001},
        {"note": "bell\x07"},
        {"onion": OnionKey(bytes(32))},
        {"onion": OnionKey(b"short")},
        {"versions": ()},
        {"capabilities": ("B",)},
        {"capabilities": tuple(f"c{n:02}" for n in range(MAX_CAPABILITIES + 1))},
    ],
)
def test_introductions_nobody_takes(change: dict[str, object]) -> None:
    good = Introduction("Alice", "", onion_key("alice"))
    read_introduction(good.encode(_FIRST))
    with pytest.raises(MalformedData):
        replace(good, **change).encode(_FIRST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(4_096),
        pad(b"", 4_096),
        pad(cbor.encode({}), 4_096),
        pad(cbor.encode({"name": "A"}), 4_096),
        pad(cbor.encode({"name": "A"}), 4_095),
    ],
)
def test_malformed_introductions(padded: bytes) -> None:
    with pytest.raises(MalformedData):
        read_introduction(padded)


def test_the_largest_introduction_fits() -> None:
    largest = Introduction(
        "n" * 64,
        "n" * 1_000,
        onion_key("alice"),
        tuple(f"{n:02}" + "c" * 30 for n in range(32)),
        tuple(range(65_520, 65_536)),
    )
    assert read_introduction(largest.encode(_FIRST)) == (largest, _FIRST)


@pytest.mark.parametrize("ratchet", [None, [], [bytes(39), b""], [bytes(40)], [bytes(40), bytes(129)], [bytes(40), 5]])
def test_malformed_first_messages(ratchet: object) -> None:
    fields = {"name": "A", "note": "", "onion": onion_key("alice"), "versions": [1], "capabilities": []}
    with pytest.raises(MalformedData, match="ratchet"):
        read_introduction(pad(cbor.encode(fields | {"ratchet": ratchet}), 4_096))
