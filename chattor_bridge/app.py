"""The composition root of the bridge: everything is made, joined, started and stopped here, on visible lines."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from chattor_bridge.bot.bot import Bot
from chattor_bridge.bot.notices import Announcements
from chattor_bridge.bridge.bridge import Bridge
from chattor_bridge.bridge.files.source import MediaSources
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.config import BridgeConfig, KeySharing, TorOptions
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix import text
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.matrix.watch import Connection, ConnectionStatus
from chattor_bridge.node.carrying.records import CarryPolicy
from chattor_bridge.node.clock import SteadyClock, SystemClock
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Observer
from chattor_bridge.onion_network import for_shelves, tor_of
from chattor_bridge.registration import Registration
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.storage.holding import hold, start_patiently
from chattor_bridge.storage.parts import DiskParts
from chattor_bridge.transport.on_demand import ManagedTransport, OnDemand
from chattor_bridge.transport.tor import TorState, TorStatus, TorTransport

log = logging.getLogger(__name__)


TransportFactory = Callable[[TorOptions, Callable[[TorStatus], None]], ManagedTransport]
"""Makes the way to the onion network, which tells how it is connected as tor would."""


def tor_transport(options: TorOptions, told: Callable[[TorStatus], None]) -> ManagedTransport:
    """The onion network over tor. Raises: UsageError when the path of its directory is too long."""
    return TorTransport(tor_of(options, told))


async def run_until_signalled(config: BridgeConfig, registration: Registration) -> None:
    """`chattor-bridge run`: until SIGINT or SIGTERM. Raises what `run_bridge` does."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_bridge(config, registration, stop=stop)


async def run_bridge(
    config: BridgeConfig,
    registration: Registration,
    *,
    stop: asyncio.Event,
    transport_factory: TransportFactory = tor_transport,
    pace: Pace | None = None,
) -> None:
    """Run the bridge until ``stop`` is set, then stop it in the reverse order; every step of that is bounded.

    Neither homeserver nor database need answer, nor tor be connected, for this to start. ``pace`` is how patient the
    nodes are.

    Raises: WrongStoreKey, DatabaseUnusable (at the start, or when it is lost later), TorUnusable, AddressInUse.
    """
    key = StoreKey.find(config.store_key_file, os.environ, config.database.url)
    clock = SystemClock()
    steady = SteadyClock(clock)  # what the bridge gives up or forgets is gone for good
    readiness = _Readiness(f"@{registration.bot_localpart}:{registration.domain}")
    async with AsyncExitStack() as stack:
        log.info("opening the database")
        store = open_store(config.database.url, key)
        stack.push_async_callback(store.stop)
        if not await start_patiently(store, stop):
            return

        log.info("starting tor")
        transport = transport_factory(config.tor, readiness.tor_changed)
        stack.push_async_callback(transport.stop)
        await transport.start()
        shelves = None
        if (options := for_shelves(config.tor)) is not None:
            shelves = OnDemand(partial(transport_factory, options, lambda _status: None))
            stack.push_async_callback(shelves.stop)

        carrying = config.carrying

        def make_host(observer: Observer) -> NodeHost:
            files = FileSettings(
                sources=MediaSources(service.homeserver),
                parts=DiskParts(config.files.directory),
                auto_accept=0,  # the bridge weighs each, by what the homeserver takes
                per_friend=config.files.per_friend,
                in_all=config.files.in_all,
            )
            return NodeHost(
                store,
                transport,
                clock,
                secrets.token_bytes,
                observer,
                pace=pace,
                shared=True,
                files=files,
                carry_policy=CarryPolicy(carrying.unasked, carrying.shelves, carrying.blocks, carrying.in_all),
                carrying_transport=shelves,
                steady=steady,
            )

        async def accept(txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
            await bridge.accept(txn_id, events, ephemeral)

        service = MatrixService(_matrix_settings(config, registration), accept, steady, store)
        bridge = Bridge(
            store=store,
            make_host=make_host,
            make_bot=Bot,
            make_announcer=Announcements,
            homeserver=service.homeserver,
            conversion=text,
            clock=steady,
            level_of=_level_of(config),
            fetch_unasked=config.files.unasked,
        )

        def homeserver_changed(status: ConnectionStatus) -> None:
            readiness.homeserver_changed(status)
            if status.connection is Connection.CONNECTED:
                bridge.hurry()

        service.on_change(homeserver_changed)
        service.watched_by(bridge.lookout)
        service.on_keys(lambda: bridge.keys_came())
        # The bridge's workers speak through the service, so it is there before they start and until they have stopped.
        # What the homeserver brings before and after is stored, and worked off when they are there.
        stack.push_async_callback(service.stop)
        await service.start()
        log.info("listening on %s port %d for the homeserver", config.appservice.listen_host, service.port)
        stack.push_async_callback(bridge.stop)
        await bridge.start()
        log.info("%d nodes at work", len(bridge.host.nodes()))

        await hold(store, stop)
        log.info("stopping")
    log.info("stopped")


class _Readiness:
    """Says how the two connections come up, and once, in one line, that both are."""

    def __init__(self, bot: str) -> None:
        self._bot = bot
        self._tor = False
        self._homeserver = False
        self._said = False
        self._last_words = ""

    def tor_changed(self, status: TorStatus) -> None:
        self._tor = status.state is TorState.READY
        words = "connected" if self._tor else str(status).removeprefix("tor is ")
        if words != self._last_words:
            self._last_words = words
            log.info("tor: %s", words)
        self._look()

    def homeserver_changed(self, status: ConnectionStatus) -> None:
        self._homeserver = status.connection is Connection.CONNECTED
        self._look()

    def _look(self) -> None:
        if self._tor and self._homeserver and not self._said:
            self._said = True
            log.info("ready: start a chat with %s", self._bot)


def _matrix_settings(config: BridgeConfig, registration: Registration) -> MatrixSettings:
    return MatrixSettings(
        address=config.homeserver.address,
        domain=config.homeserver.domain,
        proxy=config.homeserver.proxy,
        appservice_id=registration.id,
        bot_localpart=registration.bot_localpart,
        as_token=registration.as_token,
        hs_token=registration.hs_token,
        listen_host=config.appservice.listen_host,
        listen_port=config.appservice.listen_port,
        encrypt_rooms=config.encryption.rooms,
        only_cross_signed=config.encryption.share_keys_with is KeySharing.CROSS_SIGNED,
    )


def _level_of(config: BridgeConfig) -> Callable[[MatrixUserId], Level]:
    return lambda user: Level(config.permissions.of(user).value)
