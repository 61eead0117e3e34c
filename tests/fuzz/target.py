"""One decoder under fire: what it is fed at first, what it may raise, and what must hold of what it accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent.parent / "vectors"

_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` takes any bytes and returns; whatever it raises is a bug found. ``seeds`` are inputs worth beginning
    with, small ones of each kind."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def from_vectors(file: str, *names: str) -> tuple[bytes, ...]:
    """Every hexadecimal value of a file of vectors that stands under one of these names, at any depth; others there are
    passed over."""
    document = json.loads((VECTORS / file).read_text(encoding="utf-8"))
    found = (bytes.fromhex(text) for text in _texts(document, names) if _HEXADECIMAL.fullmatch(text))
    return tuple(dict.fromkeys(found))


def texts_from_vectors(file: str, *names: str) -> tuple[bytes, ...]:
    """The same for values that are text."""
    document = json.loads((VECTORS / file).read_text(encoding="utf-8"))
    return tuple(dict.fromkeys(text.encode() for text in _texts(document, names)))


def _texts(value: Any, names: Iterable[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name in names and isinstance(each, str):
                yield each
            else:
                yield from _texts(each, names)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, names)
