"""Tells a file that was only touched from one that was written to: the times of both look alike, and Linux knows."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
"""What inotify(7) says of a file that was written to or cut, and of one whose times or rights were changed."""

_EVENT: Final = struct.Struct("iIII")
"""Watch, kind, cookie, and the length of a name, which a watch on a file never gives."""

_MOST_READ: Final = 64 * _EVENT.size
"""Bytes of events read at once. A row of equal ones is one."""


class Touches:
    """Watches one file, by its name and without opening it: see `SqliteFile._take`. Raises: OSError."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if libc.inotify_add_watch(self._descriptor, os.fsencode(path), IN_MODIFY | IN_ATTRIB) < 0:
            error = ctypes.get_errno()
            self.close()
            raise OSError(error, os.strerror(error))

    def were_all(self) -> bool:
        """Whether all that was done to the file since this was asked last were touches, and one was: nothing is known
        of what was done to it by another machine."""
        kinds: set[int] = set()
        while events := self._read():
            kinds.update(kind for _, kind, _, _ in _EVENT.iter_unpack(events))
        return kinds == {IN_ATTRIB}

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _MOST_READ)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._descriptor)
