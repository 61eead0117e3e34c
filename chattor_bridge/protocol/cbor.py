"""Deterministic CBOR, strictly (docs/protocol/encoding.md, CBOR; RFC 8949 section 4.2.1).

Two byte strings that mean the same would let a signature, a hash or a deduplication be talked around, so one value
has one encoding here: minimal heads, definite lengths, map keys in the bytewise order of their encodings, no key
twice, nothing after the value. The value space is small: integers of 64 bits, byte strings, text, arrays, maps with
integer or text keys, true, false, null. No tags, no floats.

cbor2 does the work, with two things to mend: its ``canonical`` mode sorts keys by length first (the older RFC 7049),
and its decoder is lenient. Keys are therefore sorted here, and what was decoded must encode to the same bytes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cbor2

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import MAX_CBOR_DEPTH

_MIN_INT = -(2**63)
_MAX_INT = 2**64 - 1

_PLAIN = (str, bytes, bool)
_NESTING = (list, tuple, dict)

_UNSIGNED, _NEGATIVE, _TEXT = 0, 1, 3
"""Major types of keys (RFC 8949, section 3.1)."""


class _NoTags(Mapping[int, object]):
    """Makes cbor2 refuse every tag, built-in ones included, before it interprets it."""

    def __getitem__(self, tag: int) -> object:
        raise ValueError("tags are not part of this profile")

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS = _NoTags()


def encode(value: object) -> bytes:
    """The one encoding of ``value``.

    Takes int, bytes, str, bool, None, list, tuple and dict with int or str keys. Raises: TypeError or ValueError for
    anything else, which is a mistake of the caller.
    """
    return cbor2.dumps(_ordered(value, MAX_CBOR_DEPTH))


def decode(data: bytes, *, max_depth: int = MAX_CBOR_DEPTH) -> object:
    """The value that ``data`` is the encoding of: int, bytes, str, bool, None, list or dict.

    ``max_depth`` bounds nested arrays and maps. Raises: MalformedData for everything that is not exactly one value
    in its one encoding.
    """
    try:
        value = cbor2.loads(
            data,
            max_depth=max_depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,  # type: ignore[arg-type]
        )
        again = cbor2.dumps(_ordered(value, max_depth))
    except (cbor2.CBORError, TypeError, ValueError, RecursionError) as error:
        raise MalformedData("not deterministic CBOR") from error
    if again != data:
        raise MalformedData("not deterministic CBOR")
    return value


def _ordered(value: object, depth: int) -> object:
    """A copy that cbor2 will write deterministically, refusing what the profile does not have."""
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise ValueError("an integer of more than 64 bits")
        return value
    if not isinstance(value, _NESTING):
        raise TypeError(f"{type(value).__name__} is not part of this profile")
    if depth == 0:
        raise ValueError("nested too deeply")
    if not isinstance(value, dict):
        return [_ordered(item, depth - 1) for item in value]
    return {key: _ordered(value[key], depth - 1) for key in sorted(value, key=_place)}


def _place(key: object) -> tuple[int, int, bytes]:
    """What orders keys as their encodings are ordered: their major type, then what its head says, then the rest."""
    if isinstance(key, str):
        text = key.encode()
        return _TEXT, len(text), text
    if not isinstance(key, int) or isinstance(key, bool):
        raise TypeError("a map key is neither an integer nor text")
    if not _MIN_INT <= key <= _MAX_INT:
        raise ValueError("an integer of more than 64 bits")
    return (_UNSIGNED, key, b"") if key >= 0 else (_NEGATIVE, -1 - key, b"")


class Fields:
    """A decoded map with text keys, read field by field; every mismatch raises MalformedData naming the field.

    Fields nobody reads are allowed: later versions add some.
    """

    def __init__(self, value: object, what: str) -> None:
        """``what`` names the structure in error messages. Raises: MalformedData when ``value`` is no such map."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise MalformedData(f"{what}: not a map with text keys")
        self._fields: dict[str, object] = value
        self._what = what
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def names(self) -> frozenset[str]:
        """The names of all fields."""
        return frozenset(self._fields)

    def wrong(self, name: str) -> MalformedData:
        """The error that says this field is missing or not what it must be."""
        return MalformedData(f"{self._what}: {name} is missing or wrong")

    def unread(self) -> dict[str, object]:
        """The fields that nobody has asked for yet."""
        return {name: value for name, value in self._fields.items() if name not in self._read}

    def raw(self, name: str) -> object:
        """The field as decoded; None when it is missing."""
        self._read.add(name)
        return self._fields.get(name)

    def bytes(self, name: str, *, length: int | None = None, at_most: int | None = None) -> bytes:
        """A byte string of exactly ``length`` or ``at_most`` bytes."""
        value = self.raw(name)
        if not isinstance(value, bytes):
            raise self.wrong(name)
        if (length is not None and len(value) != length) or (at_most is not None and len(value) > at_most):
            raise self.wrong(name)
        return value

    def text(self, name: str, *, at_most: int) -> str:
        """A text of ``at_most`` bytes in UTF-8."""
        value = self.raw(name)
        if not isinstance(value, str) or len(value.encode()) > at_most:
            raise self.wrong(name)
        return value

    def integer(self, name: str, *, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        value = self.raw(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(name)
        return value

    def list(self, name: str, *, at_most: int) -> list[object]:
        """An array of ``at_most`` items."""
        value = self.raw(name)
        if not isinstance(value, list) or len(value) > at_most:
            raise self.wrong(name)
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.raw(name)
        if not isinstance(value, bool):
            raise self.wrong(name)
        return value
