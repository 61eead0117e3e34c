"""The onions one tor hosts, and their publication, a few at a time.

A tor that is given many onions at once works itself to a standstill and most of them stay unreachable, while a few at
a time are done in a second each. So an onion waits for its turn, and its turn lasts until enough directories have
taken its descriptor. tor forgets every onion when the control connection ends: then all of them queue again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.primitives import expanded_ed25519, onion_address
from chattor_bridge.transport.doorway import Doorway
from chattor_bridge.transport.tor.control import CommandRefused, Control

log = logging.getLogger(__name__)

ONION_PORT = 9999
"""The virtual port of every onion of Chattor (docs/protocol/transport.md)."""

STREAMS_PER_CIRCUIT = 16
"""Streams tor lets one circuit open to an onion; a friend has a link and some transfers."""

POW_QUEUE_RATE = 25
POW_QUEUE_BURST = 100
"""Introductions per second, and at once, that tor passes on before it demands work of clients; a door needs a
fraction of one per second when nobody attacks it."""

UPLOADS_AWAITED = 4
"""Directories that must have taken the descriptor before an onion counts as published. tor uploads to eight or more,
and a client asks several."""

PUBLICATION_TIMEOUT = 60.0
"""Seconds a publication may take before it is begun again; a real one takes ten or so."""

REPUBLICATION_PAUSE = 30.0
"""Seconds until an onion that no directory took is tried again; half to all of it, at random."""

WIDTH_FIRST = 3
WIDTH_MOST = 4
"""Publications under way at once: at the start, and at most. Measured: 60 onions three at a time cost 4 seconds of
processor time, eight at a time 15, all at once 68 with a tenth of them reachable."""

QUICK = 5.0
SLOW = 20.0
"""Seconds: publications quicker than the one widen the stage by one, slower than the other halve it."""

_jitter = secrets.SystemRandom().uniform


class Pace:
    """How many publications may be under way, from how long the last ones took."""

    def __init__(self) -> None:
        self.width = WIDTH_FIRST

    def took(self, seconds: float) -> None:
        """Learn from a publication that ended."""
        if seconds < QUICK:
            self.width = min(WIDTH_MOST, self.width + 1)
        elif seconds > SLOW:
            self.width = max(1, self.width // 2)


class HostedOnion:
    """An onion of ours. Implements `chattor_bridge.node.ports.Publication`."""

    def __init__(
        self,
        onions: Onions,
        onion: OnionKey,
        seed: bytes,
        doorway: Doorway,
        *,
        clients: Sequence[bytes] | None,
        proof_of_work: bool,
    ) -> None:
        self.service_id = onion_address(onion).removesuffix(".onion")
        self.withdrawn = False
        self.doorway = doorway
        self._onions = onions
        self._onion = onion
        self._seed = seed
        self._clients = clients
        self._proof_of_work = proof_of_work
        self._settled = asyncio.Event()

    @property
    def onion(self) -> OnionKey:
        """Its public key."""
        return self._onion

    @property
    def is_published(self) -> bool:
        """Enough directories hold its descriptor."""
        return self._settled.is_set() and not self.withdrawn

    async def published(self) -> None:
        """Wait until enough directories hold its descriptor.

        Raises: TorUnavailable when the publication was withdrawn.
        """
        await self._settled.wait()
        if self.withdrawn:
            raise TorUnavailable("the onion was withdrawn")

    async def withdraw(self) -> None:
        """Take the onion down; open streams go on."""
        if self.withdrawn:
            return
        self.withdrawn = True
        self._settled.set()
        self.doorway.shut()
        await self._onions.remove(self)

    def settle(self, *, published: bool) -> None:
        """Told by `Onions` where the publication stands."""
        if published:
            self._settled.set()
        elif not self.withdrawn:
            self._settled.clear()

    def add_command(self) -> str:
        """The ADD_ONION line of control-spec. Secret: it holds the key."""
        flags = ["DiscardPK"]
        words = [f"Port={ONION_PORT},unix:{self.doorway.path}", f"MaxStreams={STREAMS_PER_CIRCUIT}"]
        if self._clients is not None:
            flags.append("V3Auth")
            words += [f"ClientAuthV3={base64.b32encode(key).decode().rstrip('=')}" for key in self._clients]
        if self._proof_of_work:
            words += [
                "PoWDefensesEnabled=1",
                f"PoWQueueRate={POW_QUEUE_RATE}",
                f"PoWQueueBurst={POW_QUEUE_BURST}",
            ]
        key = base64.b64encode(expanded_ed25519(self._seed)).decode()
        return " ".join(["ADD_ONION", f"ED25519-V3:{key}", f"Flags={','.join(flags)}", *words])


@dataclass(slots=True)
class _Upload:
    """What is known of one publication under way."""

    uploaded: int
    enough: asyncio.Event


class Onions:
    """Every onion of one tor."""

    def __init__(self) -> None:
        self._hosted: dict[OnionKey, HostedOnion] = {}
        self._waiting: deque[HostedOnion] = deque()
        self._uploads: dict[str, _Upload] = {}
        self._pace = Pace()
        self._work = asyncio.Event()
        self._under_way = 0
        self._control: Control | None = None

    def __len__(self) -> int:
        return len(self._hosted)

    def __contains__(self, onion: OnionKey) -> bool:
        return onion in self._hosted

    @property
    def published(self) -> int:
        """How many can be reached."""
        return sum(hosted.is_published for hosted in self._hosted.values())

    def add(self, hosted: HostedOnion) -> None:
        """Queue an onion for publication."""
        self._hosted[hosted.onion] = hosted
        self._queue(hosted)

    async def remove(self, hosted: HostedOnion) -> None:
        """Take an onion out of tor; does not raise when tor is gone, for then the onion is too."""
        if self._hosted.get(hosted.onion) is hosted:
            del self._hosted[hosted.onion]
        if self._control is not None:
            await _delete(self._control, hosted)

    def descriptor_news(self, action: str, address: str) -> None:
        """Something happened to a descriptor, of ours or of somebody we dial."""
        upload = self._uploads.get(address)
        if upload is not None and action == "UPLOADED":
            upload.uploaded += 1
            if upload.uploaded >= UPLOADS_AWAITED:
                upload.enough.set()

    async def keep_published(self, control: Control) -> None:
        """Publish everything there is, and what comes, through this fresh control connection; until cancelled, or
        the connection is lost."""
        self._control = control
        self._waiting.clear()
        self._under_way = 0
        for hosted in self._hosted.values():
            self._queue(hosted)
        async with asyncio.TaskGroup() as stage:
            while True:
                while self._waiting and self._under_way < self._pace.width:
                    hosted = self._waiting.popleft()
                    if not hosted.withdrawn:
                        self._under_way += 1
                        stage.create_task(self._publish(control, hosted))
                self._work.clear()
                await self._work.wait()

    def lost(self) -> None:
        """The control connection is gone, and every onion with it."""
        self._control = None
        for hosted in self._hosted.values():
            hosted.settle(published=False)

    def _queue(self, hosted: HostedOnion) -> None:
        hosted.settle(published=False)
        self._waiting.append(hosted)
        self._work.set()

    async def _publish(self, control: Control, hosted: HostedOnion) -> None:
        loop = asyncio.get_running_loop()
        upload = self._uploads[hosted.service_id] = _Upload(0, asyncio.Event())
        began = loop.time()
        try:
            await control.command(hosted.add_command())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(upload.enough.wait(), PUBLICATION_TIMEOUT)
            self._pace.took(loop.time() - began)
            if hosted.withdrawn:
                await _delete(control, hosted)
            elif upload.uploaded:
                hosted.settle(published=True)
            else:
                log.warning("no directory took the descriptor of an onion; trying again later")
                await _delete(control, hosted)
                self._queue_later(hosted)
        except CommandRefused as error:
            log.warning("an onion could not be added: %s; trying again later", error)
            await _delete(control, hosted)
            self._queue_later(hosted)
        except TorUnavailable:
            log.info("tor went away during a publication")  # all onions queue again when it is back
        finally:
            del self._uploads[hosted.service_id]
            self._under_way -= 1
            self._work.set()

    def _queue_later(self, hosted: HostedOnion) -> None:
        def queue() -> None:
            # Unless tor was restarted meanwhile, and the onion with it.
            under_way = hosted.is_published or hosted in self._waiting or hosted.service_id in self._uploads
            if not hosted.withdrawn and not under_way:
                self._queue(hosted)

        asyncio.get_running_loop().call_later(REPUBLICATION_PAUSE * _jitter(0.5, 1.0), queue)


async def _delete(control: Control, hosted: HostedOnion) -> None:
    with contextlib.suppress(TorUnavailable):
        await control.command(f"DEL_ONION {hosted.service_id}")
