"""Booting and stopping a private Tor network.

A test network usually boots by voting every few seconds until every relay has made it into a consensus, and then has
consensuses, and with them onion descriptors, that go stale all the time. Here the first vote is scheduled far away;
when all authorities know all relays it is moved to now, by reloading their configuration. So the first consensus is
complete, it comes as soon as it can, and it lasts.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Self

from chattor_bridge.errors import TorUnusable
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.tornet.authority import Authority, make_authority
from chattor_bridge.transport.tor.binary import usable_tor
from chattor_bridge.transport.tor.process import DONE, Bootstrap, TorProcess

AUTHORITIES = 3
"""The fewest that vote as the real ones do: two make a majority."""

RELAYS = 4
"""Besides the authorities, which relay too. Seven in all leave an onion circuit with vanguards (four hops, and the
rendezvous and introduction points) a choice at every hop."""

BOOT_TIMEOUT = 120.0
"""Seconds until a network that is not up is given up; it takes 15 to 20 on two busy cores."""

VOTING_INTERVAL = 1800
"""Seconds, the longest a test network takes. Onions change their descriptors every 24 intervals and are hard to reach
around each change: twelve hours apart, no test and no demonstration meets one."""

VOTE_DELAY = 2
"""Seconds for exchanging votes, and as many for exchanging signatures: the least tor takes in a test network."""

FIRST_VOTE_MARGIN = 2
"""Seconds between rescheduling the first vote and its beginning; tor looks at its schedule once a second."""

DIRECTORY_POLL = 0.2
"""Seconds between looks at what an authority knows. It has no event for a relay that announced itself."""

DIRECTORY_ANSWER_LIMIT = 1 << 20
"""Bytes read of an authority's list of relays, a hundred times what a handful of relays need."""

# Shares of the whole boot, by its usual length, at which its stages begin.
_KEYS_MADE, _AUTHORITIES_UP, _VOTING = 0.1, 0.2, 0.3

_NO_COUNTRIES = ("GeoIPFile /dev/null", "GeoIPv6File /dev/null")  # which saves each tor a second of reading

Progress = Callable[[float, str], None]
"""Told how far along the boot is: a share of 1 that never falls, and words for a person."""


class TorNetwork:
    """Directory authorities and relays, every one a tor process of its own, with all their files in ``directory``.

    Use it as an asynchronous context manager, or call `start` and `stop`. A tor becomes its client with the torrc
    lines `client_torrc`.
    """

    def __init__(
        self, directory: Path, *, tor: str = "tor", relays: int = RELAYS, progress: Progress | None = None
    ) -> None:
        self._directory = directory
        self._tor = tor
        self._relays = relays
        self._progress = progress
        # A loopback address of its own: its ports meet nobody else's, whatever else runs on this machine.
        self._address = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        self._authorities: list[Authority] = []
        self._processes: dict[str, TorProcess] = {}
        self._up: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def client_torrc(self) -> tuple[str, ...]:
        """The torrc lines that make a tor a client of this network, and able to host onions in it."""
        return ("TestingTorNetwork 1", *_NO_COUNTRIES, *(authority.torrc_line for authority in self._authorities))

    async def start(self) -> None:
        """Boot; return when every relay is connected. On failure everything is stopped again.

        Raises: TorUnusable when tor is missing, too old, or the network does not come up within `BOOT_TIMEOUT`.
        """
        try:
            async with asyncio.timeout(BOOT_TIMEOUT):
                await self._boot()
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise TorUnusable(f"the private Tor network is not up after {BOOT_TIMEOUT:.0f} s") from error
            raise

    async def stop(self) -> None:
        """Stop every process and wait until they are gone. The directory stays, for whoever made it."""
        processes, self._processes = self._processes, {}
        await asyncio.gather(*(process.stop() for process in processes.values()))

    async def _boot(self) -> None:
        program, _ = await usable_tor(self._tor, allow_old=False)
        self._report(0.0, "making the keys of the directory authorities")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ports: set[int] = set()
        while len(ports) < 2 * AUTHORITIES + self._relays:
            ports.add(free_port(self._address))
        self._authorities = list(
            await asyncio.gather(
                *(
                    make_authority(
                        program,
                        self._directory / f"authority{number}",
                        nickname=f"authority{number}",
                        address=self._address,
                        or_port=ports.pop(),
                        dir_port=ports.pop(),
                    )
                    for number in range(AUTHORITIES)
                )
            )
        )
        far_away = int(time.time()) - VOTING_INTERVAL // 2
        for authority in self._authorities:
            await self._launch(program, authority.nickname, self._authority_torrc(authority, far_away))
        self._report(_KEYS_MADE, "starting the directory authorities")
        await self._while_all_run(self._directory_knows(AUTHORITIES))
        self._report(_AUTHORITIES_UP, "starting the relays")
        for number in range(self._relays):
            nickname = f"relay{number}"
            await self._launch(program, nickname, self._relay_torrc(nickname, ports.pop()))
        await self._while_all_run(self._directory_knows(AUTHORITIES + self._relays))
        self._report(_VOTING, "the authorities vote on the first consensus")
        soon = int(time.time()) + FIRST_VOTE_MARGIN + 2 * VOTE_DELAY
        for authority in self._authorities:
            self._processes[authority.nickname].reload(self._authority_torrc(authority, soon))
        await self._while_all_run(self._all_bootstrapped())

    async def _directory_knows(self, relays: int) -> None:
        """Wait until every authority has heard of this many relays."""
        for authority in self._authorities:
            while await _announced(authority) < relays:  # noqa: ASYNC110 - another process has no Event
                await asyncio.sleep(DIRECTORY_POLL)

    async def _all_bootstrapped(self) -> None:
        for process in self._processes.values():
            await process.bootstrapped()

    async def _while_all_run(self, milestone: Coroutine[None, None, None]) -> None:
        """Wait for a milestone of the boot.

        Raises: TorUnusable when a process ends before it.
        """
        reaching = asyncio.create_task(milestone)
        endings = {asyncio.create_task(process.ended()): process for process in self._processes.values()}
        try:
            await asyncio.wait({reaching, *endings}, return_when=asyncio.FIRST_COMPLETED)
            for ending, process in endings.items():
                if ending.done():
                    raise TorUnusable(f"a tor of the private network ended: {process.reason}")
            await reaching
        finally:
            for task in (reaching, *endings):
                task.cancel()
            await asyncio.gather(reaching, *endings, return_exceptions=True)

    async def _launch(self, program: Path, nickname: str, torrc: list[str]) -> None:
        def told(bootstrap: Bootstrap) -> None:
            if bootstrap.percent >= DONE:
                self._up.add(nickname)
                up, of = len(self._up), AUTHORITIES + self._relays
                self._report(_VOTING + (1 - _VOTING) * up / of, f"{up} of {of} relays are up")

        self._processes[nickname] = await TorProcess.launch(program, torrc, self._directory / nickname, told=told)

    def _relay_torrc(self, nickname: str, or_port: int) -> list[str]:
        return [
            *self.client_torrc,
            f"Nickname {nickname}",
            f"Address {self._address}",
            f"ORPort {self._address}:{or_port}",
            f"OutboundBindAddress {self._address}",
            "SocksPort 0",
            "ExitRelay 0",
            "AssumeReachable 1",
            "ShutdownWaitLength 0",
            "PathsNeededToBuildCircuits 0.67",
            "ContactInfo nobody@localhost",
        ]

    def _authority_torrc(self, authority: Authority, valid_after: int) -> list[str]:
        """``valid_after``, modulo the interval and in seconds since the epoch, is when a consensus takes effect."""
        return [
            *self._relay_torrc(authority.nickname, authority.or_port),
            f"DirPort {self._address}:{authority.dir_port}",
            "AuthoritativeDirectory 1",
            "V3AuthoritativeDirectory 1",
            f"V3AuthVotingInterval {VOTING_INTERVAL} seconds",
            f"V3AuthVoteDelay {VOTE_DELAY} seconds",
            f"V3AuthDistDelay {VOTE_DELAY} seconds",
            f"TestingV3AuthVotingStartOffset {valid_after % VOTING_INTERVAL}",
            f"TestingV3AuthInitialVotingInterval {VOTING_INTERVAL} seconds",
            f"TestingV3AuthInitialVoteDelay {VOTE_DELAY} seconds",
            f"TestingV3AuthInitialDistDelay {VOTE_DELAY} seconds",
            "TestingDirAuthVoteExit *",
            "TestingDirAuthVoteGuard *",
            "TestingDirAuthVoteHSDir *",
            "TestingMinExitFlagThreshold 0",
        ]

    def _report(self, share: float, words: str) -> None:
        if self._progress is not None:
            self._progress(share, words)


async def _announced(authority: Authority) -> int:
    """How many relays an authority knows; 0 while it does not answer."""
    try:
        reader, writer = await asyncio.open_connection(authority.address, authority.dir_port)
        try:
            writer.write(b"GET /tor/server/all HTTP/1.0\r\n\r\n")
            known = b""
            while len(known) < DIRECTORY_ANSWER_LIMIT and (more := await reader.read(DIRECTORY_ANSWER_LIMIT)):
                known += more
        finally:
            writer.close()
            await writer.wait_closed()
    except OSError:
        return 0
    return known.count(b"\nrouter-signature\n")
