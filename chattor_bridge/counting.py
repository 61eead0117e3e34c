"""Numbers of things as a person reads them."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """Such as ``1 shelf`` or ``1,200 messages``; ``several`` is the plural where it has more than another s."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def sized(size: int) -> str:
    """A number of bytes, in powers of ten: ``512 bytes`` or ``12.3 MB``."""
    if size < 1000:
        return counted(size, "byte")
    amount, unit = size / 1e3, "kB"
    for larger in ("MB", "GB"):
        if amount < 999.95:
            break
        amount, unit = amount / 1e3, larger
    return f"{amount:.1f} {unit}"
