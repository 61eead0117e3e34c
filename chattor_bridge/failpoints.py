"""Named places where the kill matrix of the tests ends this process as a power cut would: with SIGKILL.

``CHATTOR_FAILPOINT=name`` dies at the first pass through the point of that name, ``name:3`` at the third. Unset, which
is every run outside the tests, a failpoint is one comparison.
"""

from __future__ import annotations

import os
import signal

_name, _, _nth = os.environ.get("CHATTOR_FAILPOINT", "").partition(":")
_passes_left = int(_nth or "1")


def failpoint(name: str) -> None:
    """Die here if this is the point and the pass that was asked for."""
    global _passes_left
    if name != _name:
        return
    _passes_left -= 1
    if _passes_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
