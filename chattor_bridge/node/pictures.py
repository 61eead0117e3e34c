"""Pictures of people: what kinds there are. See docs/protocol/events.md, "profile"."""

from __future__ import annotations

from typing import Final

_BEGINNINGS: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
}


PICTURE_TYPES: Final = frozenset({"image/webp", *_BEGINNINGS})
"""What `picture_type` tells apart."""


def picture_type(data: bytes) -> str | None:
    """The type of a picture made of dots, by how it begins; None for anything else: one made of instructions (SVG) can
    carry a script."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for kind, beginnings in _BEGINNINGS.items() if data.startswith(beginnings)), None)
