"""Numbers of things as a person reads them."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """Such as ``1 shelf`` or ``1,200 messages``; ``several`` is the plural where it has more than another s."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"
