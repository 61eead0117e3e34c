"""`chattor init` and `chattor run`: where the terminal program's node, store and transport are put together."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from functools import partial

from chattor_bridge.errors import AddressInUse, AlreadyExists, DatabaseUnusable, UsageError
from chattor_bridge.ids import NodeId
from chattor_bridge.logs import set_up_logging
from chattor_bridge.node.carrying.records import CarryPolicy
from chattor_bridge.node.clock import SteadyClock, SystemClock
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.node.texts import check_profile_name
from chattor_bridge.onion_network import for_shelves, tor_of
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage import Store, StoreKey, open_store
from chattor_bridge.storage.holding import hold, start_patiently
from chattor_bridge.storage.parts import DiskParts
from chattor_bridge.terminal.bell import Bell, Changed
from chattor_bridge.terminal.carrying import Carrying
from chattor_bridge.terminal.codes import Codes
from chattor_bridge.terminal.connection import DONE, Connection
from chattor_bridge.terminal.conversation import Conversation
from chattor_bridge.terminal.filing import Filing
from chattor_bridge.terminal.forgetting import Forgetting
from chattor_bridge.terminal.friends import Friends
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.identity import Identity
from chattor_bridge.terminal.notices import Notices
from chattor_bridge.terminal.output import Output, neutralised, table
from chattor_bridge.terminal.pairing import AcceptingPairs, Pairing
from chattor_bridge.terminal.paths import PathSources
from chattor_bridge.terminal.person import PersonAnswers
from chattor_bridge.terminal.recorder import Recorder
from chattor_bridge.terminal.relating import Relating
from chattor_bridge.terminal.server import ControlServer
from chattor_bridge.terminal.service import Service
from chattor_bridge.terminal.settings import TerminalSettings, load_settings
from chattor_bridge.terminal.watching import Watching
from chattor_bridge.transport.on_demand import ManagedTransport, OnDemand
from chattor_bridge.transport.tor import TorState, TorStatus, TorTransport

OWNER = "local"
"""The owner of the one node of a home."""

NODE_ID_BYTES = 16

LOG_LEVEL = "WARNING"
"""The daemon's standard error is a person's terminal: troubles belong there, the course of things does not."""


TransportFactory = Callable[[TerminalSettings, Connection], ManagedTransport]


def tor_transport(settings: TerminalSettings, connection: Connection) -> ManagedTransport:
    """The onion network over tor. Raises: UsageError when the path of its directory is too long."""

    def told(status: TorStatus) -> None:
        percent = DONE if status.state is TorState.READY else min(status.percent, DONE - 1)
        words = status.summary or str(status.state)
        connection.update(percent, f"{words} ({status.problem})" if status.problem else words)

    return TorTransport(tor_of(settings.tor, told))


async def make_identity(home: Home, name: str | None, output: Output) -> None:
    """`chattor init`. Raises: AlreadyExists, UsageError, Unusable; what exists stays as it is."""
    taken = AlreadyExists(f"there is an identity in {home.directory} already: use it, or choose another --home")
    if name is None and not home.exists:
        name = _ask_name()
    if name is not None:
        check_profile_name(name)
    home.create()
    try:
        with home.locked():
            if not home.config.exists():
                shutil.copyfile(packaged_directory("config") / "example-chattor.yaml", home.config)
                home.config.chmod(0o600)
            key = StoreKey.load(home.key) if home.key.exists() else StoreKey.create(home.key)
            async with open_store(f"sqlite:{home.database}", key) as store, store.transaction() as tx:
                # a database without an identity is what an init leaves that was interrupted
                if await store.nodes.by_owner(tx, OWNER) is not None:
                    raise taken
                name = name or _ask_name()
                check_profile_name(name)
                await _add_node(store, tx, name)
    except AddressInUse:
        raise taken from None
    output.show(
        {"home": str(home.directory), "name": name},
        f"You are {neutralised(name)} now, in {home.directory}.",
        f"Back up {home.key}: without it nothing that is stored here can be read again.",
        "",
        *table(
            [
                [home.command("run"), "be online; leave it running and use another terminal for the rest"],
                [home.command("code new"), "make a friend code to hand to somebody"],
                [home.command("add CODE"), "ask the owner of a friend code to be your friend"],
            ],
            indent="",
        ),
    )


async def run_until_signalled(
    home: Home, output: Output, transport_factory: TransportFactory, pace: Pace | None, *, headless: bool = False
) -> None:
    """`chattor run`: until SIGINT or SIGTERM."""
    home.require()
    set_up_logging(LOG_LEVEL)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_daemon(home, output, transport_factory, stop, pace, headless=headless)


async def run_daemon(
    home: Home,
    output: Output,
    transport_factory: TransportFactory,
    stop: asyncio.Event,
    pace: Pace | None = None,
    *,
    headless: bool = False,
) -> None:
    """Hold the identity of this home until ``stop`` is set; commands are answered before tor has connected. ``pace``
    is how patient the node is; ``headless``: nobody is there to be asked.

    Raises: CommandError when there is no identity, AddressInUse when it is held already, ConfigError, Unusable.
    """
    home.require()
    with home.locked():
        settings = load_settings(home.config)
        key = StoreKey.load(home.key)
        async with AsyncExitStack() as stack:
            store = open_store(f"sqlite:{home.database}", key)
            stack.push_async_callback(store.stop)
            if not await start_patiently(store, stop):
                return
            clock, bell = SystemClock(), Bell()
            steady = SteadyClock(clock)
            connection = Connection(_Progress(output, bell).changed)
            transport = transport_factory(settings, connection)
            stack.push_async_callback(transport.stop)
            await transport.start()
            shelves = quiet = None
            if (tor := for_shelves(settings.tor)) is not None:
                # It is started when it is needed, and says nothing meanwhile: `status` does.
                quiet = Connection(lambda _connection: None)
                shelves = OnDemand(partial(transport_factory, replace(settings, tor=tor), quiet))
                stack.push_async_callback(shelves.stop)
            recorder = Recorder(
                store, clock, bell, Notices(home, output, named=output.as_json or sys.stdout.isatty()).notify
            )
            files = FileSettings(PathSources(), DiskParts(home.files), *settings.files)
            offered = settings.carrying
            host = NodeHost(
                store,
                transport,
                clock,
                secrets.token_bytes,
                recorder,
                pace=pace,
                files=files,
                carry_policy=CarryPolicy(offered.unasked or headless, offered.shelves, offered.blocks, offered.in_all),
                carrying_transport=shelves,
                steady=steady,
            )
            stack.push_async_callback(host.stop)
            await host.start()
            node = _node(host)
            recorder.files = node.files
            carrying = Carrying(node, store, home.directory, quiet, headless=headless)
            friends = Friends(node, store)
            service = Service(
                Codes(node, store),
                friends,
                Identity(node, store, clock, connection, carrying, friends),
                PersonAnswers(node, store, friends),
                Conversation(node, store, clock, bell),
                Relating(node, store, clock, bell),
                Filing(node, store, clock, bell),
                carrying,
                Pairing(node, store, clock, bell, headless=headless),
                Watching(node, store, bell, friends),
                bell,
            )
            stack.callback(home.socket.unlink, missing_ok=True)
            server = stack.enter_context(closing(ControlServer(home, service.answer)))
            async with asyncio.TaskGroup() as group:
                work = [
                    group.create_task(server.serve()),
                    *([group.create_task(AcceptingPairs(node, store, bell).run())] if headless else []),
                    group.create_task(Forgetting(store, node.node_id, steady, bell, settings.keep_days).run()),
                ]
                output.show(
                    {"answering": True},
                    f"Commands are answered now. {home.command('--help')} lists them; Ctrl-C stops.",
                )
                lost: DatabaseUnusable | None = None
                try:
                    await hold(store, stop)
                except DatabaseUnusable as error:  # raised below: a group would wrap it
                    lost = error
                output.say("Stopping.")
                for task in work:
                    task.cancel()
            if lost is not None:
                raise lost


async def _add_node(store: Store, tx: Transaction, name: str) -> None:
    record = NodeRecord(
        node_id=NodeId(secrets.token_bytes(NODE_ID_BYTES)),
        owner=OWNER,
        profile_name=name,
        running=True,
        created_at=SystemClock().now(),
    )
    await store.nodes.add(tx, record)


def _node(host: NodeHost) -> Node:
    node = host.node_of(OWNER)
    if node is None:
        raise DatabaseUnusable("there is no identity yet, because chattor init was interrupted: run it again")
    return node


def _ask_name() -> str:
    if not sys.stdin.isatty():
        raise UsageError("--name is missing, and there is no terminal to ask at")
    sys.stderr.write("The name that friends will see: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


class _Progress:
    """Shows how tor connects, and when it has."""

    def __init__(self, output: Output, bell: Bell) -> None:
        self._output = output
        self._bell = bell

    def changed(self, connection: Connection) -> None:
        self._bell.ring(Changed.STATUS)
        self._output.show(
            {"tor": connection.percent, "summary": connection.summary},
            f"tor {connection.percent:3}%  {neutralised(connection.summary)}",
        )
        if connection.ready:
            self._output.show({"ready": True}, "Ready: connected to the onion network.")
