"""What goes away without a word: the network of a tor, and the other end of its control connection."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.transport.tor import (
    ExternalSettings,
    ExternalTor,
    ManagedTor,
    TorSettings,
    TorState,
    TorStatus,
    TorTransport,
)
from chattor_bridge.transport.tor import control as control_module
from chattor_bridge.transport.tor import onions as onions_module
from chattor_bridge.transport.tor import probing as probing_module
from chattor_bridge.transport.tor import supervised as supervised_module
from chattor_bridge.transport.tor.network import has_network
from tests.transport.conftest import Parties
from tests.transport.foreign import ForeignTor
from tests.transport.road import road_to
from tests.transport.streams import PUBLISHED_WITHIN, announcing, dialled, published, read_to_end


@pytest.mark.parametrize(
    ("liveness", "relays", "onions", "there"),
    [
        pytest.param("up", "$AA~relay CONNECTED", "abc", True, id="connected"),
        pytest.param("down", "$AA~relay CONNECTED", "abc", False, id="nothing is answered"),
        pytest.param("up", "$AA~relay LAUNCHED", "abc", False, id="connecting in vain"),
        pytest.param("up", "", "abc", False, id="no relay"),
        pytest.param("up", "", "", True, id="nothing to be connected for"),
    ],
)
def test_what_tor_says_of_its_network(liveness: str, relays: str, onions: str, there: bool) -> None:
    said = [f"network-liveness={liveness}", f"orconn-status={relays}", f"onions/current={onions}", "OK"]
    assert has_network(said) is there


@pytest.mark.tor
async def test_onions_are_not_called_published_while_the_network_is_gone(
    tor_network: TorNetwork, tor_parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_module, "HEARTBEAT", 0.2)
    told: list[TorStatus] = []
    async with road_to(None) as road:
        lines = (*tor_network.client_torrc, f"Socks5Proxy 127.0.0.1:{road.port}")
        tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=lines), told=told.append)
        transport = TorTransport(tor)
        await transport.start()
        try:
            async with published(transport, announcing(b"here")) as onion:
                assert str(transport.status) == "tor is ready; 1 of 1 onions published"
                road.close()
                said = await asyncio.wait_for(onion.lost(), PUBLISHED_WITHIN)
                since = r"no connection to its network since 20\d\d-\d\d-\d\d \d\d:\d\d UTC"
                assert re.search(since, said)
                assert re.fullmatch(rf"tor is cut off \(.*{since}\); 0 of 1 onions published", str(transport.status))
                assert not tor.is_ready
                assert told[-1].state is TorState.CUT_OFF

                road.reopen()
                await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
                assert str(transport.status) == "tor is ready; 1 of 1 onions published"
                async with dialled(tor_parties.guest, onion.onion) as stream:
                    assert await read_to_end(stream) == b"here"
        finally:
            await transport.stop()


@pytest.mark.tor
async def test_a_control_connection_whose_other_end_has_vanished_is_made_again(
    tor_network: TorNetwork, tor_parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the container of a tor loses its network: no end of the connection hears that the other is not there.
    tor hosts the onions of the old one until it hears of its end, and takes no others meanwhile."""
    monkeypatch.setattr(supervised_module, "HEARTBEAT", 0.2)
    monkeypatch.setattr(control_module, "COMMAND_TIMEOUT", 2.0)
    monkeypatch.setattr(onions_module, "REPUBLICATION_PAUSE", 0.2)
    foreign = ForeignTor(tmp_path / "foreign", ["CookieAuthentication 1", *tor_network.client_torrc])
    async with foreign, road_to(foreign.control) as road:
        tor = ExternalTor(ExternalSettings(("127.0.0.1", road.port), tmp_path / "onions"))
        transport = TorTransport(tor)
        await transport.start()
        try:
            async with published(transport, announcing(b"here")) as onion:
                road.swallow()
                await asyncio.wait_for(onion.lost(), PUBLISHED_WITHIN)
                await _reach(tor, lambda status: "does not answer" in status.problem)
                await asyncio.wait_for(tor.ready(), PUBLISHED_WITHIN)
                assert tor.status.restarts == 1

                road.let_go()
                await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
                async with dialled(tor_parties.guest, onion.onion) as stream:
                    assert await read_to_end(stream) == b"here"
        finally:
            await transport.stop()


@pytest.mark.tor
async def test_a_tor_that_does_not_say_how_it_is_stays_in_use(
    tor_network: TorNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when something stands before its control port that lets only some commands through."""
    monkeypatch.setattr(supervised_module, "HEARTBEAT", 0.1)
    unknown = "GETINFO what-nobody-knows"
    monkeypatch.setattr(supervised_module, "LOOK", unknown)
    asked: asyncio.Queue[str] = asyncio.Queue()
    command = control_module.Control.command

    async def noted(control: control_module.Control, line: str) -> list[str]:
        if line == unknown:
            asked.put_nowait(line)
        return await command(control, line)

    monkeypatch.setattr(control_module.Control, "command", noted)
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=tor_network.client_torrc))
    transport = TorTransport(tor)
    await transport.start()
    try:
        async with published(transport, announcing(b"here")):
            for _ in range(3):
                await asyncio.wait_for(asked.get(), PUBLISHED_WITHIN)
            assert tor.status.restarts == 0
            assert str(transport.status) == "tor is ready; 1 of 1 onions published"
    finally:
        await transport.stop()


@pytest.mark.tor
async def test_sockets_that_are_removed_are_made_again(
    tor_network: TorNetwork, tor_parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_module, "HEARTBEAT", 0.2)
    monkeypatch.setattr(probing_module, "LOOK", 0.2)
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=tor_network.client_torrc))
    transport = TorTransport(tor)
    await transport.start()
    try:
        async with published(transport, announcing(b"here")) as onion:
            (doorway,) = transport._doorways
            doorway.path.unlink()
            async with asyncio.timeout(PUBLISHED_WITHIN):
                while not doorway.path.exists():  # noqa: ASYNC110 - there is no event for a file that is made
                    await asyncio.sleep(0.01)
            async with dialled(tor_parties.guest, onion.onion) as stream:
                assert await read_to_end(stream) == b"here"

            shutil.rmtree(tor.sockets)
            await asyncio.wait_for(onion.lost(), PUBLISHED_WITHIN)
            await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
            async with dialled(tor_parties.guest, onion.onion, isolation="another") as stream:
                assert await read_to_end(stream) == b"here"
            async with (
                published(tor_parties.host, announcing(b"there")) as other,
                dialled(transport, other.onion) as stream,
            ):
                assert await read_to_end(stream) == b"there"
    finally:
        await transport.stop()


async def _reach(tor: ExternalTor, wanted: Callable[[TorStatus], bool]) -> None:
    async with asyncio.timeout(PUBLISHED_WITHIN):
        while not wanted(tor.status):  # noqa: ASYNC110 - the test asks for no event of its own
            await asyncio.sleep(0.01)
