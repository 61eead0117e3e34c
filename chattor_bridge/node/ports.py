"""What a node needs from outside: a store, a transport, a clock, randomness, and somebody to tell.

Every write takes the `Transaction` it belongs to, so that whoever embeds a node can put its own rows into the same
commit: that is how a Matrix event leaves the inbox exactly when its envelope enters the outbox. What a store
keeps is in `chattor_bridge.node.store_ports`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.happenings import Happening
from chattor_bridge.protocol.signals import Signal

RandomBytes = Callable[[int], bytes]


class Clock(Protocol):
    """Time as an argument: tests hand in their own."""

    def now(self) -> int:
        """Wall-clock time, in whole seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go backwards, and go on while the machine sleeps."""

    async def sleep(self, seconds: float) -> None:
        """Wait; longer by however long the machine sleeps meanwhile."""


class Transaction(Protocol):
    """One database transaction, held for a moment and never across a network call."""

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` (wake a worker, say) once this transaction is on disk; never if it is rolled back."""


# --- transport -----------------------------------------------------------------------------------------------------


class Stream(Protocol):
    """A byte stream to or from an onion."""

    async def read(self) -> bytes:
        """Some bytes as they come, ``b""`` at the end. Raises: OnionUnreachable when the stream broke."""

    async def write(self, data: bytes) -> None:
        """Write and wait until the buffer is below its mark. Raises: OnionUnreachable when the stream broke."""

    async def close(self) -> None:
        """Close at once; never raises."""


StreamHandler = Callable[[Stream], Awaitable[None]]


class Publication(Protocol):
    """An onion of ours, published for as long as this object lives."""

    @property
    def onion(self) -> OnionKey: ...

    async def published(self) -> None:
        """Wait until the descriptor has been uploaded. Raises: TorUnavailable when the publication was withdrawn."""

    async def lost(self) -> str:
        """Wait until it can no longer be reached, as far as is known; why, in words for `status`. It is published
        again by itself, and `published` waits for that."""

    async def withdraw(self) -> None:
        """Take the onion down (DEL_ONION); open streams go on."""


class Transport(Protocol):
    """The onion network. Implemented over tor, and in memory for tests; one contract suite runs over both."""

    async def publish(
        self,
        seed: bytes,
        handler: StreamHandler,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool = False,
        recency: float = math.inf,
    ) -> Publication:
        """Host an onion on a unix socket of its own; nothing in a stream ever chooses the handler.

        ``seed`` is the 32-byte Ed25519 seed. ``clients`` are the X25519 public keys (32 bytes each) allowed to read
        the descriptor, ``None`` for a public onion. ``proof_of_work`` turns on Tor's own defence. Returns at once
        when queued; publication is staged, and of those that wait the one with the latest ``recency`` is next: when
        it was last of use, in seconds since the epoch, or infinite when somebody waits for it now.

        Raises: LimitReached when this transport hosts as many onions as it can.
        """

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> Stream:
        """Open a stream. ``client_key`` is our X25519 private key for the descriptor; streams with different
        ``isolation`` never share a circuit; ``timeout`` in seconds covers everything.

        Raises: OnionUnreachable, OnionNotAuthorised, TorUnavailable.
        """

    async def forget(self, onion: OnionKey) -> None:
        """Drop the client key of an onion that will not be dialled again."""

    async def woken(self, slept: float) -> None:
        """The machine slept for this many seconds, or its clock jumped (0): see whether what is hosted can still be
        reached, and publish it again where not. Open streams go on, if they can."""


# --- files ---------------------------------------------------------------------------------------------------------


class FileSource(Protocol):
    """The content of a file we offer, where our owner has it."""

    async def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end of the file.

        Raises: FileChanged when it is gone; an Unavailable when it may be there later.
        """

    async def close(self) -> None:
        """Never raises."""


class FileSources(Protocol):
    """Opens what we offer. Implemented by whoever embeds nodes."""

    async def open(self, node_id: NodeId, reference: str) -> FileSource:
        """The content that was offered under this reference. Raises: as `FileSource.read`."""


class Part(Protocol):
    """The chunks of one incoming file, sealed as they came, on our disk."""

    async def write(self, index: int, sealed: bytes) -> None:
        """Keep a chunk, on disk after the next `sync`. Raises: FileUnavailable."""

    async def read(self, index: int, length: int) -> bytes:
        """The first ``length`` bytes of a chunk that was kept. Raises: FileUnavailable."""

    async def sync(self) -> None:
        """What was written is on disk now. Raises: FileUnavailable."""

    async def close(self) -> None:
        """Never raises."""


class Parts(Protocol):
    """Where chunks of incoming files are kept until the file is taken."""

    async def open(self, part_id: bytes) -> Part:
        """Make it, if it is not there. Raises: FileUnavailable."""

    async def remove(self, part_id: bytes) -> None:
        """Erase one; there may be none. Never raises."""

    async def all(self) -> set[bytes]:
        """The ids of all that are there."""


# --- whoever embeds nodes ------------------------------------------------------------------------------------------


class Observer(Protocol):
    """Told of everything that happens to a node."""

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        """Store what must not be lost, inside the transaction that made it happen. Must not wait for anything but
        the database. An exception rolls the whole happening back; it will be offered again."""

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        """A friend came online or went away. Nothing durable; must not block."""

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        """A friend's person shows this of itself from now on. Nothing durable; must not block."""
