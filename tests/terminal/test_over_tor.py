"""`chattor` as it is shipped, over real tor processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from chattor_bridge.ops.tornet import TorNetwork
from tests.terminal.resident import Resident, residents
from tests.transport.road import road_to

pytestmark = pytest.mark.tor

PATIENCE = 240.0
"""Seconds for what crosses the private Tor network: jitter at start (10), a descriptor, and on a busy machine a whole
dial in vain (120) and another."""


async def test_two_people_talk_over_tor_and_wait_for_each_other(tor_network: TorNetwork, tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob", torrc=tor_network.client_torrc) as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()
        [code] = await alice.get("code", "new", "for bob")
        await alices.saw("ready", timeout=PATIENCE)
        await bobs.saw("ready", timeout=PATIENCE)
        await bob.get("add", code["code"])
        request = await alices.saw("request", timeout=PATIENCE)
        await alice.get("accept", request["request"])
        await bobs.saw("friend", timeout=PATIENCE)

        alice_hears, bob_hears = await alice.launch("follow"), await bob.launch("follow")
        await alice.get("send", "1", "Grüße über Tor")
        await bob.get("send", "1", "日本語 zurück")
        assert (await bob_hears.saw("text", timeout=PATIENCE))["text"] == "Grüße über Tor"
        assert (await alice_hears.saw("text", timeout=PATIENCE))["text"] == "日本語 zurück"

        assert await bobs.stop() == 0
        assert await bob_hears.ended() == 3
        await alice.get("send", "1", "for when you are back")
        await bob.start()
        bob_hears = await bob.launch("follow", "--after", "0")
        heard = await bob_hears.saw_all(lambda said: "text" in said, 2, timeout=PATIENCE)
        assert [each["text"] for each in heard] == ["Grüße über Tor", "for when you are back"]
        assert await alices.stop() == 0


async def test_status_says_when_tor_has_lost_its_network(tor_network: TorNetwork, tmp_path: Path) -> None:
    async with road_to(None) as road:
        torrc = (*tor_network.client_torrc, f"Socks5Proxy 127.0.0.1:{road.port}")
        async with residents(tmp_path, "Alice", torrc=torrc) as (alice,):
            daemon = await alice.start()
            await alice.get("code", "new", "for bob")
            await daemon.saw("ready", timeout=PATIENCE)
            before = await _status(alice, lambda said: "onions    1 of 1 published" in said)

            road.close()
            said = await _status(alice, lambda said: "onions    0 of 1 published" in said)
            since = r"no connection to its network since 20\d\d-\d\d-\d\d \d\d:\d\d UTC"
            assert re.search(rf"^tor       cut off \({since}\)$", said, re.MULTILINE)
            assert re.search(rf"^retrying  door: tor is cut off: {since}$", said, re.MULTILINE)

            road.reopen()
            assert "tor       connected" in before
            await _status(alice, lambda said: said == before)


async def _status(resident: Resident, wanted: Callable[[str], bool]) -> str:
    """What `chattor status` says to a person, once it is what is wanted."""
    async with asyncio.timeout(PATIENCE):
        while True:  # each look takes a process of its own, which is pause enough
            said = (await resident.do("status", json=False)).output
            if wanted(said):
                return said
