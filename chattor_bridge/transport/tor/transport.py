"""The onion network over tor."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
import secrets
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from chattor_bridge.errors import LimitReached, OnionNotAuthorised, OnionUnreachable, TorUnavailable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import StreamHandler
from chattor_bridge.protocol.primitives import ed25519_public, onion_address
from chattor_bridge.transport.doorway import Doorway, socket_path
from chattor_bridge.transport.stream import SocketStream
from chattor_bridge.transport.tor.control import CommandRefused, Control
from chattor_bridge.transport.tor.onion import ONION_PORT, HostedOnion
from chattor_bridge.transport.tor.onions import Onions
from chattor_bridge.transport.tor.probing import Probing
from chattor_bridge.transport.tor.socks import connect_through
from chattor_bridge.transport.tor.status import TorStatus
from chattor_bridge.transport.tor.supervised import SupervisedTor

log = logging.getLogger(__name__)

ONIONS_PER_TOR = 60
"""Onions one tor hosts. Its cost grows faster than their number: 60 are all reachable and cost it 4 seconds of
processor time, of 250 a tenth are not."""

DIAL_ATTEMPTS = 4
"""Tries within one dial, each but the last with at most half of the time that is left, and each with circuits of its
own. The first dial of an onion fails now and then on a healthy network: a circuit does, or an introduction is lost
with the tor it was for. Somebody who is offline stays so, and coming back to them later is for the caller."""

ATTEMPT_FIRST = 10.0
"""Seconds for the first attempt, doubled with each further one; the last has what is left. A cold dial takes a few on
a healthy network. An introduction to a tor that has just ended is taken by its introduction point and answered by
nobody, for a minute or more after that end: the sooner the attempt is given up, the sooner the friend is back."""

REFRESH_TIMEOUT = 10.0
"""Seconds for fetching a descriptor anew; a directory answers in one or two."""

PROBE_TIMEOUT = 60.0
"""Seconds for one probe of an onion of ours: three attempts."""

LONG_SLEEP = 150.0
"""Seconds of sleep after which no circuit is left at the other end: relays and providers' routers have let go of a
connection that was silent for so long."""

ATTEMPT_PAUSE = 2.0
"""Seconds before another attempt; half to all of it, at random."""

_jitter = secrets.SystemRandom().uniform


@dataclass(frozen=True, slots=True)
class TransportStatus:
    """How the onion network is, for a person: of ``onions`` hosted here, ``published`` can be reached."""

    tor: TorStatus
    onions: int
    published: int

    def __str__(self) -> str:
        return f"{self.tor}; {self.published} of {self.onions} onions published"


class TorTransport:
    """Implements `chattor_bridge.node.ports.Transport`, and SupervisedTor's `TorUser`."""

    def __init__(self, tor: SupervisedTor, *, limit: int = ONIONS_PER_TOR) -> None:
        """``limit`` is how many onions may be hosted at once."""
        self._tor = tor
        self._limit = limit
        self._onions = Onions()
        self._probing = Probing(self._onions, self._reaches)
        self._doorways: list[Doorway] = []
        self._client_keys: dict[OnionKey, bytes] = {}
        self._fetched: dict[str, asyncio.Event] = {}
        self._control: Control | None = None
        self._publishing: asyncio.Task[None] | None = None

    @property
    def status(self) -> TransportStatus:
        """How it is now."""
        return TransportStatus(self._tor.status, len(self._onions), self._onions.published)

    async def start(self) -> None:
        """Start tor, or go to one that runs; it connects, and onions are published, in the background.

        Raises: TorUnusable.
        """
        await self._tor.start(self)

    async def stop(self) -> None:
        """Stop tor, or leave it as it was, and end every stream that came in."""
        if not self._tor.ours:  # one that goes on would keep what leads to our friends
            for onion in list(self._client_keys):
                await self.forget(onion)
        await self._tor.stop()
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
    ) -> HostedOnion:
        """Host an onion; see `Transport.publish`.

        Raises: LimitReached, UsageError when it is published already.
        """
        onion = OnionKey(ed25519_public(seed))
        if onion in self._onions:
            raise UsageError("this onion is published already")
        if len(self._onions) >= self._limit:
            raise LimitReached(f"this tor hosts {self._limit} onions, as many as it may")
        name = hashlib.blake2b(onion, digest_size=8, person=b"chattor socket").hexdigest()
        hosted = HostedOnion(
            seed,
            socket_path(self._tor.sockets, name),
            handler,
            clients=clients,
            proof_of_work=proof_of_work,
            recency=recency,
            remove=self._onions.remove,
            mode=self._tor.socket_mode,
        )
        self._onions.add(hosted)
        self._doorways = [each for each in self._doorways if each.in_use]
        self._doorways.append(hosted.doorway)
        try:
            await hosted.doorway.open()
        except BaseException:
            await hosted.withdraw()
            raise
        return hosted

    async def dial(self, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float) -> SocketStream:
        """Open a stream; see `Transport.dial`. Tries `DIAL_ATTEMPTS` times within ``timeout``.

        Raises: OnionUnreachable, OnionNotAuthorised, TorUnavailable.
        """
        try:
            async with asyncio.timeout(timeout):
                if client_key is not None and self._client_keys.get(onion) != client_key:
                    await self._add_client_key(onion, client_key)
                    self._client_keys[onion] = client_key
                return await self._attempts(onion, isolation, timeout)
        except TimeoutError as error:
            if not self._tor.is_ready:
                raise TorUnavailable(str(self._tor.status)) from error
            raise OnionUnreachable(f"the onion service did not answer within {timeout:.0f} s") from error

    async def forget(self, onion: OnionKey) -> None:
        """Drop the client key of an onion that will not be dialled again."""
        if self._client_keys.pop(onion, None) is not None:
            await self._remove_client_key(onion)

    async def woken(self, slept: float) -> None:
        """See `Transport.woken`. After a long sleep nothing is left to probe: all begins anew, tor too if it is ours
        alone."""
        control = self._control
        if slept < LONG_SLEEP or control is None:
            self._probing.doubt()
            return
        log.info("the machine slept; every onion is published again")
        await self._begin_anew(control, drop_connections=self._tor.ours)

    def cut_off(self, why: str) -> None:
        """tor has lost its network, and nobody reaches our onions."""
        self._onions.cut_off(why)

    async def back(self) -> None:
        """tor has its network again. Where it introduces whom to our onions may be gone: all are published anew."""
        if self._control is not None:
            await self._begin_anew(self._control, drop_connections=False)

    async def attached(self, control: Control) -> None:
        """Put client keys and onions into a fresh tor."""
        self._control = control
        for onion, key in list(self._client_keys.items()):
            try:
                await self._add_client_key(onion, key)
            except OnionUnreachable as error:
                log.warning("a client key was not put back: %s", error)
                self._client_keys.pop(onion, None)
        self._publishing = asyncio.create_task(self._publish_when_ready(control))

    async def detached(self) -> None:
        """tor is gone: there is nothing to publish through."""
        self._control = None
        self._onions.lost()
        await self._stop_publishing()

    def descriptor_news(self, action: str, address: str) -> None:
        """Something happened to a descriptor."""
        self._onions.descriptor_news(action, address)
        if action in ("RECEIVED", "FAILED") and (fetched := self._fetched.get(address)) is not None:
            fetched.set()

    async def _begin_anew(self, control: Control, *, drop_connections: bool) -> None:
        await self._stop_publishing()
        await self._onions.take_down()
        try:
            # Connections that nobody answers any more would keep tor waiting for minutes. Nothing but these ends.
            for disabled in (1, 0) if drop_connections else ():
                await control.command(f"SETCONF DisableNetwork={disabled}")
        except TorUnavailable:
            log.info("tor went away while everything began anew")
        if self._control is control and self._publishing is None:
            self._publishing = asyncio.create_task(self._publish_when_ready(control))

    async def _publish_when_ready(self, control: Control) -> None:
        await self._tor.ready()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._onions.keep_published(control))
                group.create_task(self._probing.run())
        except ExceptionGroup as errors:
            first: Exception = errors
            while isinstance(first, ExceptionGroup):
                first = first.exceptions[0]
            # Where it happened, but not its message: that may quote a command. Without the connection all begins anew.
            where = "".join(traceback.format_tb(first.__traceback__))
            log.error("publishing onions failed with %s; beginning anew\n%s", type(first).__name__, where)
            await control.close()

    async def _stop_publishing(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
            self._publishing = None

    async def _reaches(self, hosted: HostedOnion) -> bool:
        """Whether an onion of ours answers to one who comes like a friend of it. Raises: TorUnavailable."""
        # Who of this process dials it, a friend on the same bridge, has a key in tor already: that serves, and stays.
        borrowed = hosted.onion in self._client_keys
        hosted.probed = True
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                if hosted.probe_key is not None and not borrowed:
                    await self._add_client_key(hosted.onion, hosted.probe_key)
                await self._refresh(hosted.onion)
                stream = await self._attempts(hosted.onion, f"probe {secrets.token_hex(8)}", PROBE_TIMEOUT)
            await stream.close()
        except (OnionUnreachable, OnionNotAuthorised, TimeoutError) as error:
            if not await self._has_network():
                raise TorUnavailable("tor is cut off from its network") from error
            return False
        finally:
            hosted.probed = False
            if hosted.probe_key is not None and hosted.onion not in self._client_keys:
                await self._remove_client_key(hosted.onion)
        return True

    async def _add_client_key(self, onion: OnionKey, key: bytes) -> None:
        if self._control is None:
            raise TorUnavailable(str(self._tor.status))
        line = f"ONION_CLIENT_AUTH_ADD {_service_id(onion)} x25519:{base64.b64encode(key).decode()}"
        try:
            await self._control.command(line)
        except CommandRefused as error:
            raise OnionUnreachable("tor does not accept the address or the key of the onion service") from error

    async def _remove_client_key(self, onion: OnionKey) -> None:
        if self._control is not None:
            try:
                await self._control.command(f"ONION_CLIENT_AUTH_REMOVE {_service_id(onion)}")
            except TorUnavailable:
                log.info("tor went away, and a client key with it")

    async def _has_network(self) -> bool:
        """Whether tor has heard from its network lately, as far as it knows. Raises: TorUnavailable."""
        if self._control is None or not self._tor.is_ready:
            return False
        return "network-liveness=up" in await self._control.command("GETINFO network-liveness")

    async def _attempts(self, onion: OnionKey, isolation: str, timeout: float) -> SocketStream:
        deadline = asyncio.get_running_loop().time() + timeout
        circuit = isolation
        for number in range(DIAL_ATTEMPTS - 1):
            left = deadline - asyncio.get_running_loop().time()
            try:
                return await self._attempt(onion, circuit, min(left / 2, ATTEMPT_FIRST * 2**number))
            except (OnionUnreachable, TimeoutError) as error:
                log.debug("a dial failed and is tried again: %s", error)
                if isinstance(error, TimeoutError):
                    await self._refresh(onion)
            # Away from a circuit on which an introduction got lost: tor would wait on it for two minutes.
            circuit = f"{isolation} {secrets.token_hex(8)}"
            await asyncio.sleep(ATTEMPT_PAUSE * _jitter(0.5, 1.0))
        return await self._attempt(onion, circuit, timeout)

    async def _refresh(self, onion: OnionKey) -> None:
        """Have tor look at what the directories hold now. By itself it goes on with the introduction points it knows
        for as long as one of them takes introductions, be it for a tor that is no more."""
        if self._control is None:
            return
        address = _service_id(onion)
        fetched = self._fetched[address] = asyncio.Event()
        try:
            await self._control.command(f"HSFETCH {address}")
            await asyncio.wait_for(fetched.wait(), REFRESH_TIMEOUT)
        except (TorUnavailable, TimeoutError) as error:
            log.debug("a descriptor was not fetched anew: %s", error)
        finally:
            if self._fetched.get(address) is fetched:
                del self._fetched[address]

    async def _attempt(self, onion: OnionKey, circuit: str, timeout: float) -> SocketStream:
        if self._tor.socks is None:
            raise TorUnavailable(str(self._tor.status))
        return await connect_through(
            self._tor.socks, onion_address(onion), ONION_PORT, isolation=circuit, timeout=timeout
        )


def _service_id(onion: OnionKey) -> str:
    return onion_address(onion).removesuffix(".onion")
