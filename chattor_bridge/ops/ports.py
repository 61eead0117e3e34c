"""TCP ports for what has to be told its port by number."""

from __future__ import annotations

import contextlib
import secrets
import socket

_PORTS = range(20_000, 32_768)
"""Of these. From 32768 on Linux gives them to whoever connects or asks for any port (``net.ipv4.ip_local_port_range``),
which on a busy machine happens between the choice of a port and its use, and while a server is down."""


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port at ``address`` that nobody used a moment ago, and that nobody is given by chance."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            return port
