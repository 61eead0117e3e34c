"""One onion of ours: its key, who may read its descriptor, who answers, and when it was last of use."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import Stream, StreamHandler
from chattor_bridge.protocol.primitives import KEY_SIZE, ed25519_public, expanded_ed25519, onion_address, x25519_public
from chattor_bridge.transport.doorway import Doorway

ONION_PORT = 9999
"""The virtual port of every onion of Chattor (docs/protocol/transport.md)."""

STREAMS_PER_CIRCUIT = 16
"""Streams tor lets one circuit open to an onion; a friend has a link and some transfers."""

POW_QUEUE_RATE = 25
POW_QUEUE_BURST = 100
"""Introductions per second, and at once, that tor passes on before it demands work of clients; a door needs a
fraction of one per second when nobody attacks it."""


class HostedOnion:
    """Implements `chattor_bridge.node.ports.Publication`."""

    def __init__(
        self,
        seed: bytes,
        socket: Path,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool,
        recency: float,
        remove: Callable[[HostedOnion], Awaitable[None]],
        mode: int = 0o600,
    ) -> None:
        """``recency`` as in `Transport.publish`; ``remove`` takes it out of tor; ``mode`` is the socket's."""
        self.onion = OnionKey(ed25519_public(seed))
        self.service_id = onion_address(self.onion).removesuffix(".onion")
        self.doorway = Doorway(socket, self._answer, mode=mode)
        self.recency = recency
        self.withdrawn = False
        self.streams = 0
        self.probed = False  # a stream that comes now may be our own
        self.reached_at = float("-inf")
        # A client more, which tor pads the list to sixteen anyway, lets us in to see whether others can come.
        self.probe_key = None if clients is None else secrets.token_bytes(KEY_SIZE)
        self._seed = seed
        self._handler = handler
        self._clients = clients
        self._proof_of_work = proof_of_work
        self._remove = remove
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._down.set()
        self._why_down = ""

    @property
    def is_published(self) -> bool:
        """Enough directories hold its descriptor, and nobody has found it deaf since."""
        return self._up.is_set() and not self.withdrawn

    async def published(self) -> None:
        """Wait until enough directories hold its descriptor.

        Raises: TorUnavailable when the publication was withdrawn.
        """
        await self._up.wait()
        if self.withdrawn:
            raise TorUnavailable("the onion was withdrawn")

    async def lost(self) -> str:
        """Wait until it is not published any more, and why; see `Publication.lost`."""
        await self._down.wait()
        return self._why_down

    async def withdraw(self) -> None:
        """Take the onion down; open streams go on."""
        if self.withdrawn:
            return
        self.withdrawn = True
        self.doorway.shut()
        self._up.set()
        await self._remove(self)

    def up(self) -> None:
        """Enough directories have taken the descriptor."""
        self._down.clear()
        self._up.set()
        self.recency = min(self.recency, time.time())  # nobody waits for it more than for others any longer

    def down(self, why: str) -> None:
        """It has to be published again, for this reason."""
        if not self.withdrawn:
            self._why_down = why
            self._up.clear()
            self._down.set()

    def add_command(self) -> str:
        """The ADD_ONION line of control-spec. Secret: it holds the key."""
        flags = ["DiscardPK"]
        words = [f"Port={ONION_PORT},unix:{self.doorway.path}", f"MaxStreams={STREAMS_PER_CIRCUIT}"]
        if self._clients is not None and self.probe_key is not None:
            flags.append("V3Auth")
            clients = sorted([*self._clients, x25519_public(self.probe_key)])
            words += [f"ClientAuthV3={base64.b32encode(key).decode().rstrip('=')}" for key in clients]
        if self._proof_of_work:
            words += [
                "PoWDefensesEnabled=1",
                f"PoWQueueRate={POW_QUEUE_RATE}",
                f"PoWQueueBurst={POW_QUEUE_BURST}",
            ]
        key = base64.b64encode(expanded_ed25519(self._seed)).decode()
        return " ".join(["ADD_ONION", f"ED25519-V3:{key}", f"Flags={','.join(flags)}", *words])

    async def _answer(self, stream: Stream) -> None:
        self.streams += 1
        own = self.probed
        self.reached_at = asyncio.get_running_loop().time()
        try:
            await self._handler(stream)
        finally:
            self.streams -= 1
            if not own:
                self.recency = time.time()
