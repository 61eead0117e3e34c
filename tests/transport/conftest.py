"""Two participants of an onion network: in memory, in the simulator, and over real tor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from chattor_bridge.node.ports import Transport
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.transport.memory import MemoryNetwork
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from tests.sim.network import SimNetwork, Weather


@dataclass(frozen=True, slots=True)
class Parties:
    """``host`` publishes and ``guest`` dials, as two processes or machines would."""

    host: Transport
    guest: Transport


@dataclass(frozen=True, slots=True)
class TorParty:
    """A transport and the tor it stands on."""

    tor: ManagedTor
    transport: TorTransport


def tor_party(network: TorNetwork, directory: Path, *, limit: int = 60) -> TorParty:
    tor = ManagedTor(TorSettings(directory, extra_torrc=network.client_torrc))
    return TorParty(tor, TorTransport(tor, limit=limit))


@pytest.fixture
async def memory_parties(tmp_path: Path) -> AsyncIterator[Parties]:
    network = MemoryNetwork(tmp_path / "memory")
    host, guest = network.transport(), network.transport()
    yield Parties(host, guest)
    await guest.stop()
    await host.stop()
    assert not list((tmp_path / "memory").iterdir())


@pytest.fixture
async def simulated_parties() -> AsyncIterator[Parties]:
    quick = Weather(latency=(0.0, 0.01), dial=(0.0, 0.01))
    network = SimNetwork(Random(1), quick)
    host, guest = network.transport(), network.transport()
    yield Parties(host, guest)
    await guest.stop()
    await host.stop()
    assert not network.onions
    assert not network.streams


@pytest.fixture(scope="session")
async def tor_host(tor_network: TorNetwork, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TorParty]:
    party = tor_party(tor_network, tmp_path_factory.mktemp("host"))
    await party.transport.start()
    yield party
    await party.transport.stop()


@pytest.fixture(scope="session")
async def tor_guest(tor_network: TorNetwork, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TorParty]:
    party = tor_party(tor_network, tmp_path_factory.mktemp("guest"))
    await party.transport.start()
    yield party
    await party.transport.stop()


@pytest.fixture(scope="session")
async def tor_parties(tor_host: TorParty, tor_guest: TorParty) -> Parties:
    async with asyncio.timeout(60):
        await tor_host.tor.ready()
        await tor_guest.tor.ready()
    return Parties(tor_host.transport, tor_guest.transport)


@pytest.fixture(params=["memory", "simulated", pytest.param("tor", marks=pytest.mark.tor)])
def parties(request: pytest.FixtureRequest) -> Parties:
    found = request.getfixturevalue(f"{request.param}_parties")
    assert isinstance(found, Parties)
    return found
