"""The onions one tor hosts, and their publication, a few at a time.

A tor that is given many onions at once works itself to a standstill and most of them stay unreachable, while a few at
a time are done in a second each. So an onion waits for its turn, and its turn lasts until enough directories have
taken its descriptor. Who was of use last has the first turn. tor forgets every onion when the control connection ends:
then all of them queue again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.transport.tor.control import CommandRefused, Control
from chattor_bridge.transport.tor.onion import HostedOnion
from chattor_bridge.transport.tor.stage import Stage

log = logging.getLogger(__name__)

UPLOADS_AWAITED = 4
"""Directories that must have taken the descriptor before an onion counts as published. tor uploads to eight or more,
and a client asks several."""

PUBLICATION_TIMEOUT = 60.0
"""Seconds a publication may take before it is begun again; a real one takes ten or so."""

REPUBLICATION_PAUSE = 30.0
"""Seconds until an onion that no directory took is tried again; half to all of it, at random."""

NOT_TAKEN = "no directory of the onion network has taken its descriptor"
TOR_LOST = "tor went away, or was cut off from its network"

_jitter = secrets.SystemRandom().uniform


@dataclass(slots=True)
class _Upload:
    """What is known of one publication under way: directories that took the descriptor, and that would not."""

    uploaded: int = 0
    failed: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)


class Onions:
    """Every onion of one tor."""

    def __init__(self) -> None:
        self._hosted: dict[OnionKey, HostedOnion] = {}
        self._waiting: list[HostedOnion] = []
        self._uploads: dict[str, _Upload] = {}
        self._stage = Stage()
        self._work = asyncio.Event()
        self._under_way = 0
        self._control: Control | None = None

    def __len__(self) -> int:
        return len(self._hosted)

    def __contains__(self, onion: OnionKey) -> bool:
        return onion in self._hosted

    def __iter__(self) -> Iterator[HostedOnion]:
        return iter(list(self._hosted.values()))

    @property
    def published(self) -> int:
        """How many can be reached."""
        return sum(hosted.is_published for hosted in self)

    def add(self, hosted: HostedOnion) -> None:
        """Queue an onion for publication."""
        self._hosted[hosted.onion] = hosted
        self._queue(hosted)

    async def remove(self, hosted: HostedOnion) -> None:
        """Take an onion out of tor; does not raise when tor is gone, for then the onion is too."""
        if self._is_hosted(hosted):
            del self._hosted[hosted.onion]
        if (upload := self._uploads.get(hosted.service_id)) is not None:
            upload.enough.set()  # its turn is over
        await self._delete(hosted)

    async def keep_open(self) -> None:
        """Have somebody at each onion's socket, whoever removes its file."""
        for hosted in self:
            try:
                await hosted.doorway.keep()
            except OSError as error:
                log.warning("the socket of an onion cannot be made: %s", error.strerror)

    async def renew(self, hosted: HostedOnion, why: str) -> None:
        """Take an onion out of tor and queue it again, as the next: it is published, and nobody reaches it."""
        hosted.down(why)
        await self._delete(hosted)
        if not hosted.withdrawn and not self._is_under_way(hosted):
            self._queue(hosted)

    def descriptor_news(self, action: str, address: str) -> None:
        """Something happened to a descriptor, of ours or of somebody we dial."""
        upload = self._uploads.get(address)
        if upload is None:
            return
        if action == "FAILED":
            upload.failed += 1
        elif action == "UPLOADED":
            upload.uploaded += 1
            if upload.uploaded >= UPLOADS_AWAITED:
                upload.enough.set()

    async def keep_published(self, control: Control) -> None:
        """Publish everything there is, and what comes, through this fresh control connection; until cancelled, or
        the connection is lost."""
        self._control = control
        self._waiting.clear()
        self._under_way = 0
        for hosted in self:
            self._queue(hosted)
        async with asyncio.TaskGroup() as turns:
            while True:
                while self._waiting and self._under_way < self._stage.width:
                    hosted = max(self._waiting, key=lambda one: one.recency)  # of equals, who came first
                    self._waiting.remove(hosted)
                    if not hosted.withdrawn:
                        self._under_way += 1
                        turns.create_task(self._publish(control, hosted))
                self._work.clear()
                await self._work.wait()

    def cut_off(self, why: str) -> None:
        """Nobody reaches any of them, until `keep_published` begins anew."""
        for hosted in self:
            if hosted.is_published:
                hosted.down(why)

    async def take_down(self) -> None:
        """Take every onion out of tor, for `keep_published` to begin anew."""
        for hosted in self:
            hosted.down(TOR_LOST)
            await self._delete(hosted)

    def lost(self) -> None:
        """The control connection is gone, and every onion with it."""
        self._control = None
        for hosted in self:
            hosted.down(TOR_LOST)

    def _queue(self, hosted: HostedOnion) -> None:
        self._waiting.append(hosted)
        self._work.set()

    async def _publish(self, control: Control, hosted: HostedOnion) -> None:
        """The turn of one onion. Once that is withdrawn it is nobody's any more here, for the same onion may have been
        published anew: `remove` has taken it out of tor, after whatever was asked of tor before."""
        loop = asyncio.get_running_loop()
        upload = self._uploads[hosted.service_id] = _Upload()
        began = loop.time()
        try:
            if not self._is_hosted(hosted):
                return
            await control.command(hosted.add_command())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(upload.enough.wait(), PUBLICATION_TIMEOUT)
            if not self._is_hosted(hosted):
                return
            self._stage.ended(began, loop.time(), enough=upload.enough.is_set(), failed=upload.failed)
            if upload.uploaded:
                hosted.up()
            else:
                log.warning("no directory took the descriptor of an onion; trying again later")
                hosted.down(NOT_TAKEN)
                await self._delete(hosted)
                self._queue_later(hosted)
        except CommandRefused as error:
            if not self._is_hosted(hosted):
                return
            log.warning("an onion could not be added: %s; trying again later", error)
            hosted.down(str(error))
            await self._delete(hosted)
            self._queue_later(hosted)
        except TorUnavailable:
            log.info("tor went away during a publication")  # all onions queue again when it is back
        finally:
            if self._uploads.get(hosted.service_id) is upload:
                del self._uploads[hosted.service_id]
            self._under_way -= 1
            self._work.set()

    def _queue_later(self, hosted: HostedOnion) -> None:
        def queue() -> None:
            # Unless tor was restarted meanwhile, and the onion with it.
            if not hosted.withdrawn and not self._is_under_way(hosted):
                self._queue(hosted)

        asyncio.get_running_loop().call_later(REPUBLICATION_PAUSE * _jitter(0.5, 1.0), queue)

    def _is_hosted(self, hosted: HostedOnion) -> bool:
        return self._hosted.get(hosted.onion) is hosted

    def _is_under_way(self, hosted: HostedOnion) -> bool:
        """It is published, or waits for that."""
        return hosted.is_published or hosted in self._waiting or hosted.service_id in self._uploads

    async def _delete(self, hosted: HostedOnion) -> None:
        if self._control is not None:
            with contextlib.suppress(TorUnavailable):
                await self._control.command(f"DEL_ONION {hosted.service_id}")
