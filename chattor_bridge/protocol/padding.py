"""Padding inside an encryption, so that sizes tell little (docs/protocol/encoding.md, Padding).

One byte 0x80, then zeros up to the size wanted (ISO/IEC 7816-4, padding method 2): the padding says where it begins
without a length field, and there is exactly one padding of a given text to a given size.
"""

from __future__ import annotations

from chattor_bridge.errors import MalformedData

_MARK = b"\x80"


def pad(data: bytes, size: int) -> bytes:
    """``data`` padded to exactly ``size`` bytes. Raises: ValueError when it does not fit with the mark."""
    room = size - len(data) - len(_MARK)
    if room < 0:
        raise ValueError(f"{len(data)} bytes do not fit a padded size of {size}")
    return data + _MARK + bytes(room)


def unpad(padded: bytes) -> bytes:
    """What was padded. Raises: MalformedData when this is no padding."""
    data, mark, zeros = padded.rpartition(_MARK)
    if not mark or zeros.strip(b"\x00"):
        raise MalformedData("the padding is broken")
    return data
