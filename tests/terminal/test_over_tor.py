"""`chattor` as it is shipped, over real tor processes: two people befriend, talk, and one is away for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from chattor_bridge.ops.tornet import TorNetwork
from tests.terminal.resident import residents

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
