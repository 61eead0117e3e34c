"""Streams through tor's SOCKS socket, and what its answers mean.

tor's answers in the range F0 to F7 (``ExtendedErrors``; tor's proposal 304) are the only way to tell an onion that is
offline from one that does not know our key. python_socks does not know them: they are read out of its error here.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from pathlib import Path
from typing import Any

from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from chattor_bridge.errors import OnionNotAuthorised, OnionUnreachable, TorUnavailable, Unavailable
from chattor_bridge.transport.stream import SocketStream
from chattor_bridge.transport.tor.address import Address

SOCKS_ERRORS: dict[int, tuple[type[Unavailable], str]] = {
    0x01: (OnionUnreachable, "tor could not reach the onion service"),
    0x02: (TorUnavailable, "tor is configured not to make this connection"),
    0x03: (TorUnavailable, "tor has no way into its network"),
    0x04: (OnionUnreachable, "tor did not find a way to the onion service"),
    0x05: (OnionUnreachable, "the onion service is up, but nobody answers behind it"),
    0x06: (OnionUnreachable, "the way to the onion service took too long"),
    0x07: (TorUnavailable, "tor does not know how to make this connection"),
    0x08: (TorUnavailable, "tor does not know how to make this connection"),
    0xF0: (OnionUnreachable, "the onion service is offline: nothing is published under its address"),
    0xF1: (OnionUnreachable, "what is published for the onion service cannot be read"),
    0xF2: (OnionUnreachable, "the onion service did not answer the introduction; it may have just gone offline"),
    0xF3: (OnionUnreachable, "the meeting with the onion service failed"),
    0xF4: (OnionNotAuthorised, "the onion service is closed, and we hold no key for it"),
    0xF5: (OnionNotAuthorised, "the onion service is closed to the key we hold"),
    0xF6: (OnionUnreachable, "the address is not that of an onion service"),
    0xF7: (OnionUnreachable, "the introduction to the onion service took too long"),
}
"""SOCKS reply code: the error it becomes, and its message."""

_UNKNOWN_CODE = re.compile(r"Invalid reply code: 0X([0-9A-F]{1,2})")


class _UnixSocket(Proxy):
    """What python_socks calls the proxy before the proxy, which only has to hand it a connected socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(ProxyType.SOCKS5, host="", port=0)
        self._path = path

    async def connect(
        self, dest_host: str, dest_port: int, timeout: float | None = None, **kwargs: Any
    ) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connected, str(self._path))
        except BaseException:
            connected.close()
            raise
        return connected


async def connect_through(socks: Address, address: str, port: int, *, isolation: str, timeout: float) -> SocketStream:
    """Ask the tor behind the SOCKS port at ``socks`` for a stream to ``address``.

    ``isolation`` chooses the circuit; it is hashed, so it may be any text. ``timeout`` is in seconds.

    Raises: OnionUnreachable, OnionNotAuthorised, TorUnavailable; TimeoutError when the time is over.
    """
    host, tcp_port = ("", 0) if isinstance(socks, Path) else socks
    proxy = Proxy(
        ProxyType.SOCKS5,
        host=host,
        port=tcp_port,
        username="chattor",
        password=hashlib.blake2b(isolation.encode(), digest_size=16, person=b"chattor circuit").hexdigest(),
        rdns=True,
        forward=_UnixSocket(socks) if isinstance(socks, Path) else None,
    )
    try:
        connected = await proxy.connect(address, port, timeout=timeout)
    except ProxyError as error:
        raise _translated(error) from error
    except TimeoutError:
        raise
    except OSError as error:
        raise TorUnavailable("tor does not accept connections") from error
    return await SocketStream.over(connected)


def _translated(error: ProxyError) -> Unavailable:
    code = error.error_code
    if code is None and (match := _UNKNOWN_CODE.search(str(error))):
        code = int(match[1], 16)
    if code is None:
        return TorUnavailable("tor hung up without an answer")
    kind, message = SOCKS_ERRORS.get(code, (OnionUnreachable, f"tor answered with the unknown code {code:02X}"))
    return kind(message)
