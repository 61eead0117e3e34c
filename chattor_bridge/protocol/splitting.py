"""Cutting a long text into events. Implements docs/protocol/events.md, "text"."""

from __future__ import annotations

import unicodedata
from typing import Final

from chattor_bridge.protocol.limits import MAX_TEXT


def split_text(text: str) -> list[str]:
    """``text`` in pieces that each fit one event; joined, they are ``text`` again. None for an empty text.

    A piece ends after a line, else after a space, else between two characters that are not drawn as one; a line or
    space in the first half of a piece is passed over, so that there are at most about twice as many pieces as needed.
    """
    data = text.encode()
    pieces = []
    start = 0
    while len(data) - start > MAX_TEXT:
        end = _cut(data[start : start + MAX_TEXT + _LONGEST_CHARACTER])
        pieces.append(data[start : start + end].decode())
        start += end
    if start < len(data):
        pieces.append(data[start:].decode())
    return pieces


_LONGEST_CHARACTER: Final = 4
"""Bytes of UTF-8 that one character takes at most."""

_LONGEST_CLUSTER: Final = 16
"""Characters that are drawn as one, at most, as far as `split_text` cares (the longest emoji in use has 10)."""

_JOINER: Final = "\u200d"


def _cut(data: bytes) -> int:
    """Where to end the piece that begins with ``data``, in bytes; ``data`` goes on past the longest piece."""
    longest = MAX_TEXT
    for boundary in (b"\n", b" "):
        end = data.rfind(boundary, longest // 2, longest) + 1
        if end:
            return end
    while _is_continuation(data[longest]):
        longest -= 1
    end = longest
    for _ in range(_LONGEST_CLUSTER):
        if not _belong_together(data, end):
            return end
        end -= 1
        while _is_continuation(data[end]):
            end -= 1
    return longest


def _is_continuation(byte: int) -> bool:
    return byte & 0b1100_0000 == 0b1000_0000


def _belong_together(data: bytes, at: int) -> bool:
    """Whether the characters before and after byte ``at`` are drawn as one."""
    before = data[max(0, at - _LONGEST_CHARACTER) : at].decode(errors="ignore")[-1:]
    after = data[at : at + _LONGEST_CHARACTER].decode(errors="ignore")[:1]
    is_modifier = "\U0001f3fb" <= after <= "\U0001f3ff"
    return _JOINER in (before, after) or is_modifier or unicodedata.category(after).startswith("M")
