"""The private Tor network leaves nothing behind, however its boot ends."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from chattor_bridge.errors import TorUnusable
from chattor_bridge.ops.tornet import TorNetwork

pytestmark = pytest.mark.tor

FIRST_FOR_ANYBODY = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
"""From this port on whoever connects may be given one, also between its choice and its use."""


def processes_in(directory: Path) -> list[str]:
    """Command lines that name the directory."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            lines.append(line)
    return lines


async def test_a_cancelled_boot_stops_what_it_started(tmp_path: Path) -> None:
    starting = asyncio.Event()

    def progress(share: float, words: str) -> None:
        if words == "starting the relays":
            starting.set()

    booting = asyncio.create_task(TorNetwork(tmp_path, progress=progress).start())
    await asyncio.wait_for(starting.wait(), 60)
    assert processes_in(tmp_path)
    booting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await booting
    assert not processes_in(tmp_path)


async def test_a_missing_tor_is_reported(tmp_path: Path) -> None:
    with pytest.raises(TorUnusable, match="apt install tor"):
        await TorNetwork(tmp_path, tor="there-is-no-such-tor").start()


async def test_a_network_that_is_up_lends_its_address_to_clients(tor_network: TorNetwork) -> None:
    lines = [line for line in tor_network.client_torrc if line.startswith("DirAuthority ")]
    assert len(lines) == 3
    assert all(" 127." in line for line in lines)
    ports = {int(port) for line in lines for port in re.findall(r"(?:orport=| 127\.[\d.]+:)(\d+)", line)}
    assert len(ports) == 6
    assert max(ports) < FIRST_FOR_ANYBODY
