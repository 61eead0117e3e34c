"""What a probe of an onion of ours says, by what tor answers: a server on a socket plays tor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from chattor_bridge.transport.tor import transport as tor_transport
from chattor_bridge.transport.tor.control import Control
from tests.transport.streams import echo
from tests.transport.test_socks import ANSWERED, socks_server

NO_ANSWER = b"\x05\xf2\x00\x01" + bytes(6)
"""The introduction was not answered."""


class Knowing:
    """Stands for the control connection of a tor that has its network, or has not."""

    def __init__(self, network: str) -> None:
        self._network = network
        self.told: list[str] = []

    async def command(self, line: str) -> list[str]:
        self.told.append(line.split()[0])
        return [f"network-liveness={self._network}"] if line == "GETINFO network-liveness" else ["OK"]


@pytest.mark.parametrize(
    ("answer", "network", "ready", "verdict"),
    [
        pytest.param(ANSWERED, "up", True, True, id="reached"),
        pytest.param(NO_ANSWER, "up", True, False, id="deaf"),
        pytest.param(NO_ANSWER, "down", True, None, id="cut off"),
        pytest.param(NO_ANSWER, "up", False, None, id="not connected"),
        pytest.param(b"", "up", True, None, id="hung up"),
    ],
)
async def test_an_onion_is_deaf_only_when_it_is_not_tor_that_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, network: str, ready: bool, verdict: bool | None
) -> None:
    monkeypatch.setattr(tor_transport, "ATTEMPT_PAUSE", 0.0)
    monkeypatch.setattr(tor_transport, "REFRESH_TIMEOUT", 0.1)
    tor = ManagedTor(TorSettings(tmp_path))
    tor.sockets.mkdir()
    if ready:
        tor._ready.set()
    transport, control = TorTransport(tor), Knowing(network)
    transport._control = cast("Control", control)
    hosted = await transport.publish(os.urandom(32), echo, clients=[x25519_public(os.urandom(32))])
    assert isinstance(tor.socks, Path)
    async with socks_server(tor.socks, answer):
        if verdict is None:
            with pytest.raises(TorUnavailable):
                await transport._reaches(hosted)
        else:
            assert await transport._reaches(hosted) is verdict
    assert [told for told in control.told if told.startswith("ONION_")] == [
        "ONION_CLIENT_AUTH_ADD",
        "ONION_CLIENT_AUTH_REMOVE",
    ]
    await hosted.withdraw()
