"""One Synapse and one bridge per engine for the whole matrix; Alice and her friend anew where it is about meeting."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chattor_bridge.ops.person import Person
from chattor_bridge.ops.synapse import Synapse, ensure_synapse, free_port
from chattor_bridge.transport.memory import MemoryNetwork
from tests.kill.stage import BridgeProcess, Conversation, run_to_end
from tests.peer import chattor_user
from tests.postgres import PostgresCluster
from tests.synapse import ENVIRONMENT

PASSWORD = "correct horse"


class Ground:
    """What the whole matrix of one engine stands on."""

    def __init__(self, directory: Path, synapse: Synapse, bridge: BridgeProcess, network: MemoryNetwork) -> None:
        self._directory = directory
        self._synapse = synapse
        self._bridge = bridge
        self._network = network
        self._numbers = itertools.count()

    @asynccontextmanager
    async def strangers(self) -> AsyncIterator[Conversation]:
        """A new Matrix user with a node, and a new Chattor user, who do not know each other."""
        number = next(self._numbers)
        account = await self._synapse.register(f"alice{number}", password=PASSWORD)
        alice = await Person.login(self._synapse.address, account.user_id, PASSWORD)
        transport = self._network.transport()
        try:
            async with chattor_user(self._directory / f"peer{number}", transport) as peer:
                conversation = Conversation(self._synapse, self._bridge, alice, peer)
                await conversation.start()
                yield conversation
        finally:
            await transport.stop()
            await alice.close()
            await self._bridge.restart()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """A running Synapse and a running bridge on each engine in turn."""
    await ensure_synapse(ENVIRONMENT)
    directory = tmp_path_factory.mktemp("kill")
    config, network = directory / "config.yaml", directory / "network"
    synapse = Synapse(ENVIRONMENT, directory / "synapse", registrations=[directory / "registration.yaml"])
    await run_to_end(
        *(sys.executable, "-m", "chattor_bridge.cli", "init", "--config", str(config), "--port", str(free_port())),
        *("--homeserver", "http://localhost:8008", "--domain", "localhost"),
    )
    async with synapse:
        settings = {"CHATTOR_HOMESERVER_ADDRESS": synapse.address}
        if request.param == "postgresql":
            cluster: PostgresCluster = request.getfixturevalue("postgres")
            settings["CHATTOR_DATABASE_URL"] = cluster.create_database()
        command = ("-m", "tests.programs.bridge_memory", "--config", str(config), "--network", str(network))
        bridge = BridgeProcess(command, directory / "bridge.log", settings)
        await bridge.start()
        try:
            yield Ground(directory, synapse, bridge, MemoryNetwork(network))
        finally:
            await bridge.stop()


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
