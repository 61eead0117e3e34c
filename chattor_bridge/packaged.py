"""Files that are no Python: inside the package when it was installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def packaged_directory(name: str) -> Path:
    """The directory ``name`` (``config``, ``migrations``), wherever this installation keeps it."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
