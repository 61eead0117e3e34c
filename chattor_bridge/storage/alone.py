"""Whether a copy of a database is at work on this machine.

Two copies are one identity twice: both would publish the same onions, and each would go on from a state of its
sessions that the other does not know. The lock on the file cannot see that, because the files are two. A name in
Linux's abstract namespace of sockets is held by one process, and let go of however that ends.
"""

from __future__ import annotations

import hashlib
import socket
import sys

from chattor_bridge.errors import DatabaseUnusable


class OnlyCopy:
    """Holds the name of a database, which says nothing about it."""

    def __init__(self) -> None:
        self._guard: socket.socket | None = None

    def hold(self, identity: bytes) -> None:
        """Raises: DatabaseUnusable when another process on this machine holds it."""
        if sys.platform != "linux":
            return
        guard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            guard.bind(b"\0chattor/" + hashlib.sha256(b"chattor/v1/store/copy" + identity).hexdigest().encode())
        except OSError:
            guard.close()
            raise DatabaseUnusable(
                "a copy of this database is in use by another running process: stop that one first, and never use "
                "both, because they are one identity"
            ) from None
        self._guard = guard

    def release(self) -> None:
        """Let go of it, if it was held."""
        if self._guard is not None:
            self._guard.close()
            self._guard = None
