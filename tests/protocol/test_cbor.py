"""docs/protocol/encoding.md, CBOR."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol import cbor

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=40), st.text(max_size=20)
)
_KEYS = st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=10))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=12,
)


@given(_VALUES)
def test_what_is_encoded_is_decoded(value: object) -> None:
    try:
        data = cbor.encode(value)
    except ValueError:
        return  # nested deeper than the profile allows
    assert cbor.decode(data) == value
    assert cbor.encode(cbor.decode(data)) == data


@given(st.binary(max_size=60))
def test_whatever_decodes_has_one_encoding(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except MalformedData:
        return
    assert cbor.encode(value) == data


def test_keys_are_sorted_bytewise_as_in_rfc_8949() -> None:
    # RFC 7049's length-first order, which cbor2's canonical mode still writes, puts -1 before 24.
    assert cbor.encode({-1: 1, 24: 2}).hex() == "a21818022001"
    # The example list of RFC 8949 section 4.2.1, less the key types this profile does not have.
    # And by their numbers: those below 0 count down.
    for keys in ([10, 100, -1, "z", "aa"], [0, 1, 23, 24, 256, -1, -2, -24, -25, -257, "", "b", "aa"]):
        ordered: list[object] = [*keys]
        assert list(cbor.decode(cbor.encode(dict.fromkeys(reversed(ordered), 0)))) == ordered  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "nothing"),
        ("0000", "a second value"),
        ("1800", "an integer that is longer than it need be"),
        ("1900ff", "an integer that is longer than it need be"),
        ("1a0000ffff", "an integer that is longer than it need be"),
        ("1b00000000ffffffff", "an integer that is longer than it need be"),
        ("5800", "a length that is longer than it need be"),
        ("5f4100ff", "a byte string in pieces"),
        ("7f6161ff", "a text in pieces"),
        ("9fff", "an array without a length"),
        ("bfff", "a map without a length"),
        ("a2010101 02", "a key twice"),
        ("a2 01 00 01 00", "a key twice, with the same value"),
        ("a2 02 00 01 00", "keys out of order"),
        ("a2 6161 00 01 00", "keys out of order, of two types"),
        ("a1 4100 00", "a key that is a byte string"),
        ("a1 f5 00", "a key that is true"),
        ("a1 80 00", "a key that is an array"),
        ("f93c00", "a float"),
        ("fb3ff8000000000000", "a float"),
        ("f7", "undefined"),
        ("e0", "an unassigned simple value"),
        ("f8ff", "an unassigned simple value"),
        ("c001", "a tag"),
        ("c11a514b67b0", "a date"),
        ("c249010000000000000000", "a big integer"),
        ("3bffffffffffffffff", "an integer below 64 bits"),
        ("a1 3bffffffffffffffff 00", "a key below 64 bits"),
        ("d81c81d81d00", "an array that contains itself"),
        ("d90100 80", "a string reference name space"),
        ("d90102 80", "a set"),
        ("62c328", "text that is not UTF-8"),
        ("63eda080", "text with a surrogate"),
        ("5bffffffffffffffff", "a string of 2^64 bytes that are not there"),
        ("9bffffffffffffffff", "an array of 2^64 items that are not there"),
        ("bb7fffffffffffffff", "a map of 2^63 items that are not there"),
        ("81" * 9 + "00", "nested nine deep"),
        ("81" * 100_000 + "00", "nested a hundred thousand deep"),
        ("1c", "a reserved length"),
        ("ff", "a lone break"),
    ],
)
def test_everything_else_is_refused(data: str, why: str) -> None:
    with pytest.raises(MalformedData):
        cbor.decode(bytes.fromhex(data.replace(" ", "")))


def test_the_depth_is_bounded_both_ways() -> None:
    deep: object = 0
    for _ in range(8):
        deep = [deep]
    assert cbor.decode(cbor.encode(deep)) == deep
    with pytest.raises(ValueError, match="deeply"):
        cbor.encode([deep])
    with pytest.raises(MalformedData):
        cbor.decode(cbor.encode([[0]]), max_depth=1)


def test_the_first_and_the_last_integer_are_values_and_keys() -> None:
    for value in (-(2**63), 2**64 - 1):
        assert cbor.decode(cbor.encode(value)) == value
        assert cbor.decode(cbor.encode({value: 0})) == {value: 0}


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        {b"": 0},
        {True: 0},
        {(): 0},
        {1, 2},
        object(),
        2**64,
        -(2**63) - 1,
        {2**64: 0},
        {-(2**63) - 1: 0},
        "\ud800",
    ],
)
def test_our_own_mistakes_are_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        cbor.encode(value)


@given(_VALUES, st.data())
def test_truncation_and_trailing_bytes(value: object, data: st.DataObject) -> None:
    try:
        encoded = cbor.encode(value)
    except ValueError:
        return
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(MalformedData):
        cbor.decode(encoded[:cut])
    with pytest.raises(MalformedData):
        cbor.decode(encoded + b"\x00")


def test_fields_say_which_one_is_wrong() -> None:
    fields = cbor.Fields({"b": b"12", "t": "é", "i": 5, "l": [1], "yes": True}, "thing")
    assert fields.bytes("b", length=2) == b"12"
    assert fields.text("t", at_most=2) == "é"
    assert fields.integer("i", low=5, high=5) == 5
    assert fields.list("l", at_most=1) == [1]
    assert fields.unread() == {"yes": True}
    assert fields.boolean("yes") is True
    assert "b" in fields
    assert "c" not in fields
    assert fields.names() == {"b", "t", "i", "l", "yes"}
    wrong: list[Callable[[], object]] = [
        lambda: fields.bytes("b", length=3),
        lambda: fields.bytes("b", at_most=1),
        lambda: fields.bytes("t"),
        lambda: fields.text("t", at_most=1),
        lambda: fields.text("none", at_most=1),
        lambda: fields.integer("i", low=6, high=9),
        lambda: fields.integer("yes", low=0, high=9),
        lambda: fields.list("l", at_most=0),
        lambda: fields.list("i", at_most=9),
        lambda: fields.boolean("i"),
        lambda: fields.boolean("none"),
    ]
    for read in wrong:
        with pytest.raises(MalformedData, match="is missing or wrong"):
            read()


@pytest.mark.parametrize("value", [[], {1: 2}, None, {"a": 1, 2: 3}])
def test_fields_are_a_map_with_text_keys(value: object) -> None:
    with pytest.raises(MalformedData):
        cbor.Fields(value, "thing")
