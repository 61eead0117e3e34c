"""One Synapse and one bridge per engine for the whole matrix; Alice and her friend anew where it is about meeting."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from chattor_bridge.node.patience import Pace
from chattor_bridge.ops.person import Person
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.synapse import Synapse, ensure_synapse
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.transport.memory import MemoryNetwork
from chattor_bridge.transport.on_demand import ManagedTransport
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from tests.kill.stage import BridgeProcess, Conversation, run_to_end
from tests.nio_person import NioPerson
from tests.peer import PACE, chattor_user
from tests.postgres import PostgresCluster
from tests.programs.paces import QUICK_OVER_TOR
from tests.synapse import ENVIRONMENT

PASSWORD = "correct horse"

Road = Callable[[Path], ManagedTransport]
"""Makes a peer's way to the onion network, with its files in the directory it is given."""


class Ground:
    """What a whole matrix stands on."""

    def __init__(
        self,
        directory: Path,
        database: str,
        synapse: Synapse,
        bridge: BridgeProcess,
        road: Road,
        pace: Pace,
        client: type[Person],
    ) -> None:
        """``database`` is the URL of the bridge's."""
        self._client = client
        self.directory = directory
        self.database = database
        self.synapse = synapse
        self.bridge = bridge
        self._road = road
        self._pace = pace
        self._numbers = itertools.count()

    def quick_bridge(self) -> BridgeProcess:
        """The bridge, not running, less patient over tor than it is shipped."""
        program = ("-m", "tests.programs.quick_over_tor", "bridge", "--config", str(self.directory / "config.yaml"))
        return self.bridge.by(program)

    @asynccontextmanager
    async def strangers(self) -> AsyncIterator[Conversation]:
        """A new Matrix user with a node, and a new Chattor user, who do not know each other."""
        number = next(self._numbers)
        transport = self._road(self.directory / f"road{number}")
        await transport.start()
        try:
            async with (
                self.alice() as alice,
                chattor_user(self.directory / f"peer{number}", transport, pace=self._pace) as peer,
            ):
                conversation = Conversation(self.synapse, self.bridge, alice, peer)
                await conversation.start()
                yield conversation
        finally:
            await transport.stop()
            await self.bridge.restart()

    @asynccontextmanager
    async def alice(self) -> AsyncIterator[Person]:
        """A new Matrix user."""
        account = await self.synapse.register(f"alice{next(self._numbers)}", password=PASSWORD)
        alice = await self._client.login(self.synapse.address, account.user_id, PASSWORD)
        try:
            yield alice
        finally:
            await alice.close()


Place = Callable[[int, int], AbstractAsyncContextManager[Sequence[str]]]
"""Where the bridge runs, given the ports of the homeserver and of its own listener: what stands before its command."""


@asynccontextmanager
async def _here(homeserver: int, listener: int) -> AsyncIterator[Sequence[str]]:
    yield ()


@asynccontextmanager
async def grounded(
    directory: Path,
    program: tuple[str, ...],
    settings: dict[str, str],
    road: Road,
    pace: Pace,
    client: type[Person] = Person,
    *,
    place: Place = _here,
) -> AsyncIterator[Ground]:
    """A running Synapse, and a running bridge before it: ``program`` with these settings in its environment."""
    await ensure_synapse(ENVIRONMENT)
    config = directory / "config.yaml"
    synapse = Synapse(ENVIRONMENT, directory / "synapse", registrations=[directory / "registration.yaml"])
    listener = free_port()
    await run_to_end(
        *(sys.executable, "-m", "chattor_bridge.cli", "init", "--config", str(config), "--port", str(listener)),
        *("--homeserver", "http://localhost:8008", "--domain", "localhost"),
    )
    async with synapse, place(synapse.port, listener) as within:
        bridge = BridgeProcess(
            ("-m", *program, "--config", str(config)),
            directory / "bridge.log",
            settings
            | {
                "CHATTOR_HOMESERVER_ADDRESS": synapse.address,
                "CHATTOR_ENCRYPTION_ROOMS": "false" if client is Person else "true",
            },
            within=within,
        )
        await bridge.start()
        try:
            database = settings.get("CHATTOR_DATABASE_URL", f"sqlite:{directory / 'chattor-bridge.db'}")
            yield Ground(directory, database, synapse, bridge, road, pace, client)
        finally:
            await bridge.stop()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """The memory network, and each engine in turn, with rooms that are encrypted from end to end."""
    settings = {}
    if request.param == "postgresql":
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        settings["CHATTOR_DATABASE_URL"] = cluster.create_database()
    async with over_memory(tmp_path_factory.mktemp("kill"), settings, NioPerson) as ground:
        yield ground


@pytest.fixture(scope="module")
async def ground_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """The memory network, and the engine that needs no server."""
    async with over_memory(tmp_path_factory.mktemp("kill"), {}) as ground:
        yield ground


@asynccontextmanager
async def over_memory(
    directory: Path, settings: dict[str, str], client: type[Person] = Person
) -> AsyncIterator[Ground]:
    network = MemoryNetwork(directory / "net")
    program = ("tests.programs.bridge_memory", "--network", str(directory / "net"))
    async with grounded(directory, program, settings, lambda _: network.transport(), PACE, client) as ground:
        yield ground


@pytest.fixture(scope="module")
async def ground_over_tor(tor_network: TorNetwork, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Real tor processes, SQLite, and the bridge as it is shipped."""
    async with over_tor(tmp_path_factory.mktemp("kill"), tor_network) as ground:
        yield ground


@asynccontextmanager
async def over_tor(
    directory: Path,
    tor_network: TorNetwork,
    *,
    place: Place = _here,
    settings: Mapping[str, str] | None = None,
    client: type[Person] = Person,
) -> AsyncIterator[Ground]:
    torrc = tor_network.client_torrc

    def road(directory: Path) -> TorTransport:
        return TorTransport(ManagedTor(TorSettings(directory, extra_torrc=torrc)))

    program = ("chattor_bridge.cli", "run")
    variables = {"CHATTOR_TOR_TORRC_LINES": json.dumps(torrc), **(settings or {})}
    async with grounded(directory, program, variables, road, QUICK_OVER_TOR, client, place=place) as ground:
        yield ground


@pytest.fixture
async def strangers(ground: Ground) -> AsyncIterator[Conversation]:
    """Alice and somebody she is about to meet."""
    async with ground.strangers() as conversation:
        yield conversation


@pytest.fixture(scope="module")
async def conversation(ground: Ground) -> AsyncIterator[Conversation]:
    """Two friends, and one conversation through all the deaths."""
    async with ground.strangers() as conversation:
        await conversation.ask()
        await conversation.friends()
        yield conversation


@pytest.fixture(scope="module")
async def conversation_over_tor(ground_over_tor: Ground) -> AsyncIterator[Conversation]:
    """The same, over tor, with the bridge as the one who dials: tor may take most of a minute to notice that an onion
    it knows has moved to another process, which proves nothing about what is on disk."""
    async with ground_over_tor.strangers() as conversation:
        await conversation.be_asked()
        yield conversation
