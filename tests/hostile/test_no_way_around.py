"""No packet leaves but through tor: whole programs in a room without any other way, where each attempt is noted."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chattor_bridge.logs import BLOT
from chattor_bridge.ops.tornet import TorNetwork
from tests.cell import Cell, cell, needs_a_cell
from tests.kill.conftest import over_tor
from tests.terminal.resident import residents

pytestmark = needs_a_cell

PATIENCE = 240.0
"""Seconds for what crosses the private Tor network, on a busy machine."""

WAYS_AROUND = {
    "asyncio.open_connection('203.0.113.9', 80)": "tcp to 203.0.113.9 port 80",
    "asyncio.open_connection('2001:db8::9', 443)": "tcp to 2001:db8::9 port 443",
    "asyncio.open_connection('127.0.0.1', 9050)": "tcp to 127.0.0.1 port 9050",
    "asyncio.open_connection('example.org', 80)": "udp to 192.0.2.53 port 53",
    "aiohttp.ClientSession().get('http://example.org/')": "udp to 192.0.2.53 port 53",
    "datagram('203.0.113.9', 123)": "udp to 203.0.113.9 port 123",
    "datagram('224.0.0.251', 5353)": "udp to 224.0.0.251 port 5353",
}
"""What a program could do, and how it is noted."""

CULPRIT = """
import asyncio, socket, aiohttp
async def datagram(host, port):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (host, port))
async def main():
    await {way}
asyncio.run(main())
"""


async def test_each_way_around_tor_is_noted(tmp_path: Path) -> None:
    async with cell(tmp_path) as room:
        assert await room.attempts() == []
        for way, noted in WAYS_AROUND.items():
            await run(room, sys.executable, "-c", CULPRIT.format(way=way))
            assert noted in await room.attempts(), way


async def test_what_is_permitted_is_not_noted_and_everything_else_is(tmp_path: Path) -> None:
    async with cell(tmp_path, 9050) as room:
        for way in WAYS_AROUND:
            await run(room, sys.executable, "-c", CULPRIT.format(way=way))
        attempts = set(await room.attempts())
    assert set(WAYS_AROUND.values()) - attempts == {"tcp to 127.0.0.1 port 9050"}


@pytest.mark.tor
async def test_two_people_who_can_reach_nothing_but_tor_talk_and_try_nothing_else(
    tor_network: TorNetwork, tmp_path: Path
) -> None:
    torrc = tor_network.client_torrc
    async with (
        cell(tmp_path) as room,
        residents(tmp_path, "Alice", "Bob", torrc=torrc, within=room.within) as (alice, bob),
    ):
        alices, bobs = await alice.start(), await bob.start()
        assert room.holds(alices.process.pid)
        [code] = await alice.get("code", "new", "for bob")
        await alices.saw("ready", timeout=PATIENCE)
        await bobs.saw("ready", timeout=PATIENCE)
        await bob.get("add", "--note", "see https://example.org/", code["code"])
        request = await alices.saw("request", timeout=PATIENCE)
        await alice.get("accept", request["request"])
        await bobs.saw("friend", timeout=PATIENCE)

        alice_hears, bob_hears = await alice.launch("follow"), await bob.launch("follow")
        await alice.get("send", "1", "look: ![a picture](https://example.org/picture.png)")
        await bob.get("send", "1", "ftp://[2001:db8::9]/ and 203.0.113.9:80")
        await bob_hears.saw("text", timeout=PATIENCE)
        await alice_hears.saw("text", timeout=PATIENCE)
        (page := tmp_path / "page.html").write_bytes(b"<img src=https://example.org/picture.png>" * 5_000)
        *_, sent = await bob.get("file", "send", "1", str(page), "--wait")
        assert sent["state"] == "done"
        assert await alices.stop() == await bobs.stop() == 0
        assert await room.attempts() == []


@pytest.mark.tor
@pytest.mark.synapse
async def test_a_bridge_that_can_reach_tor_and_its_homeserver_tries_nothing_else(
    tor_network: TorNetwork, tmp_path: Path
) -> None:
    rooms: list[Cell] = []

    @asynccontextmanager
    async def closed(homeserver: int, listener: int) -> AsyncIterator[Sequence[str]]:
        async with cell(tmp_path, homeserver, listener) as room, room.way_out(homeserver), room.way_in(listener):
            rooms.append(room)
            yield (*room.within, "CHATTOR_LOGGING_LEVEL=DEBUG")

    async with over_tor(tmp_path, tor_network, place=closed) as ground:
        (room,) = rooms
        async with ground.strangers() as conversation:
            assert room.holds(ground.bridge.pid)
            await conversation.be_asked()
            await conversation.say("from Matrix: https://example.org/")
            await conversation.tell("from Chattor: https://example.org/")
            await conversation.settled()
            assert await room.attempts() == []
        await ground.bridge.stop()
        assert await room.attempts() == []
    lines = (tmp_path / "bridge.log").read_text(encoding="utf-8")
    assert "stopped" in lines
    assert [said for said in ("from Matrix", "from Chattor", "example.org", BLOT) if said in lines] == []


async def run(room: Cell, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(*room.within, *command, stdout=PIPE, stderr=STDOUT)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return output.decode()
