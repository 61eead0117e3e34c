"""An onion network without tor, for tests: unix sockets in a shared directory stand for published descriptors.

It keeps the promises of `Transport` that callers lean on: an onion nobody published is unreachable, a client without
the key is not authorised, streams push back, and a process that is killed takes its onions with it. Any number of
processes meet in one directory. It hides nothing from anybody: it is for tests.

A stream begins with the dialler's client public key (32 bytes, zeros for none) and the host's verdict (1 byte).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import socket
from collections.abc import Sequence
from pathlib import Path

from chattor_bridge.errors import LimitReached, OnionNotAuthorised, OnionUnreachable, TorUnavailable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import StreamHandler
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public
from chattor_bridge.transport.doorway import Doorway, socket_path
from chattor_bridge.transport.stream import SocketStream

ONIONS_PER_TRANSPORT = 60
"""Onions one transport hosts, the same as one tor process (see `chattor_bridge.transport.tor.transport`)."""

_KEY_LENGTH = 32
_NO_KEY = bytes(_KEY_LENGTH)
_WELCOME = b"\x01"
_NOT_AUTHORISED = b"\x00"


class MemoryNetwork:
    """The directory in which transports of any number of processes meet."""

    def __init__(self, directory: Path) -> None:
        """Raises: UsageError when the path of ``directory`` is too long for unix sockets."""
        self._directory = directory
        socket_path(directory, _socket_name(OnionKey(_NO_KEY)) + ".0000000")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def transport(self, *, limit: int = ONIONS_PER_TRANSPORT) -> MemoryTransport:
        """Another participant, which hosts ``limit`` onions at most."""
        return MemoryTransport(self._directory, limit)

    def hosts(self, onion: OnionKey) -> bool:
        """Whether anybody hosts this onion now."""
        return socket_path(self._directory, _socket_name(onion)).exists()


class FirmPublication:
    """Implements `chattor_bridge.node.ports.Publication` where nothing can happen to an onion: it is up as soon as this
    is made, and until it is withdrawn."""

    def __init__(self, onion: OnionKey) -> None:
        self._onion = onion
        self._withdrawn = False

    @property
    def onion(self) -> OnionKey:
        """Its public key."""
        return self._onion

    async def published(self) -> None:
        """Return at once.

        Raises: TorUnavailable when it was withdrawn.
        """
        if self._withdrawn:
            raise TorUnavailable("the onion was withdrawn")

    async def lost(self) -> str:
        """Wait for ever."""
        nothing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await nothing

    async def withdraw(self) -> None:
        """Take the onion down; open streams go on."""
        self._withdrawn = True


class MemoryPublication(FirmPublication):
    """A socket in the directory."""

    def __init__(self, transport: MemoryTransport, onion: OnionKey, doorway: Doorway) -> None:
        super().__init__(onion)
        self._transport = transport
        self._doorway = doorway

    async def withdraw(self) -> None:
        await super().withdraw()
        self._doorway.shut()
        self._transport.withdrawn(self._onion, self)


class MemoryTransport:
    """Implements `chattor_bridge.node.ports.Transport`. Made by `MemoryNetwork.transport`."""

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._hosted: dict[OnionKey, MemoryPublication] = {}
        self._doorways: list[Doorway] = []

    async def start(self) -> None:
        """Ready as soon as it is made; here because every transport has a start."""

    async def stop(self) -> None:
        """Withdraw every onion and end every stream that came in."""
        for publication in list(self._hosted.values()):
            await publication.withdraw()
        doorways, self._doorways = self._doorways, []
        for doorway in doorways:
            await doorway.stop()

    async def publish(
        self,
        seed: bytes,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool = False,
        recency: float = math.inf,
    ) -> MemoryPublication:
        """Host an onion; see `Transport.publish`. Tor's proof of work has nothing to stand for it here, and nobody
        waits for a turn.

        Raises: LimitReached, UsageError when it is published already.
        """
        onion = OnionKey(ed25519_public(seed))
        if onion in self._hosted:
            raise UsageError("this onion is published already")
        if len(self._hosted) >= self._limit:
            raise LimitReached(f"this transport hosts {self._limit} onions, as many as it may")
        allowed = None if clients is None else frozenset(clients)

        async def admission(stream: SocketStream) -> bool:
            return await _admit(stream, allowed)

        doorway = Doorway(socket_path(self._directory, _socket_name(onion)), handler, admission=admission)
        publication = MemoryPublication(self, onion, doorway)
        await doorway.open()
        self._hosted[onion] = publication
        self._doorways = [each for each in self._doorways if each.in_use]
        self._doorways.append(doorway)
        return publication

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> SocketStream:
        """Open a stream; see `Transport.dial`. All streams are equally isolated here.

        Raises: OnionUnreachable, OnionNotAuthorised.
        """
        public = _NO_KEY
        if client_key is not None:
            public = x25519_public(client_key)
        path = socket_path(self._directory, _socket_name(onion))
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(connected, str(path))
                await asyncio.get_running_loop().sock_sendall(connected, public)
                verdict = await asyncio.get_running_loop().sock_recv(connected, 1)
        except OSError as error:
            connected.close()
            raise OnionUnreachable("the onion service does not answer") from error
        except BaseException:
            connected.close()
            raise
        if verdict == _WELCOME:
            return await SocketStream.over(connected)
        connected.close()
        if verdict == _NOT_AUTHORISED:
            raise OnionNotAuthorised("the onion service does not know our client key")
        raise OnionUnreachable("the onion service hung up")

    async def forget(self, onion: OnionKey) -> None:
        """Keys are handed in at each dial; there is none to drop."""

    async def woken(self, slept: float) -> None:
        """Sockets in a directory sleep well."""

    def withdrawn(self, onion: OnionKey, publication: MemoryPublication) -> None:
        """Told by a publication that its onion is down."""
        if self._hosted.get(onion) is publication:
            del self._hosted[onion]


async def _admit(stream: SocketStream, allowed: frozenset[bytes] | None) -> bool:
    """Read the dialler's key and answer with the verdict."""
    key = await stream.read_exactly(_KEY_LENGTH)
    welcome = allowed is None or key in allowed
    await stream.write(_WELCOME if welcome else _NOT_AUTHORISED)
    return welcome


def _socket_name(onion: OnionKey) -> str:
    """Short, because the path of a unix socket is; a hash, because the name of a file is not secret."""
    return hashlib.blake2b(onion, digest_size=8, person=b"chattor memory").hexdigest()
