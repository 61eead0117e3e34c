"""Where a port of tor's is: a unix socket, or a host and a TCP port."""

from __future__ import annotations

import ipaddress
from pathlib import Path

Address = Path | tuple[str, int]

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - read in what tor says, never listened at


def parse_address(text: str) -> Address:
    """``unix:/path`` (quotes around it or not), ``host:port`` or ``[v6]:port``. Raises: ValueError."""
    if "\0" in text:
        raise ValueError("no path has a NUL in it")
    if text.startswith("unix:"):
        return Path(text.removeprefix("unix:").strip('"'))
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def show(address: Address) -> str:
    """As a person writes it."""
    return f"unix:{address}" if isinstance(address, Path) else f"{address[0]}:{address[1]}"


def is_loopback(host: str) -> bool:
    """Whether it can be reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
