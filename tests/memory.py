"""How much memory something takes at its peak, of this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def grows_less_than(limit: int, name: str) -> Iterator[None]:
    """Fails when this process had that many bytes more in memory at any moment of the block than before the first try
    of what is called ``name``: what a try leaves behind would hide what the next one takes."""
    before = _at_first(name)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    yield
    grown = _memory("VmHWM") - before
    assert grown < limit, f"{grown} bytes more"


@cache
def _at_first(name: str) -> int:
    return _memory("VmRSS")


def _memory(what: str) -> int:
    found = re.search(rf"^{what}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
