"""How long a message takes over real tor, beside Synapse alone and an onion alone, in the same run."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import Stream
from chattor_bridge.ops.person import JsonObject, Person
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from tests.bench.figures import Figure, p50, p95
from tests.bench.ground import Ground, laid

PATIENCE = 120.0
"""Seconds for anything that crosses the private Tor network."""

ECHO_SIZE = 1_024
"""Bytes there and back: the smallest message of a link."""


async def measure(directory: Path, messages: int) -> list[Figure]:
    """``messages`` each way, one after the other."""
    async with TorNetwork(directory / "tornet") as network:
        torrc = network.client_torrc
        peer, host = (
            TorTransport(ManagedTor(TorSettings(directory / name, extra_torrc=torrc)))
            for name in ("peer-tor", "host-tor")
        )
        await peer.start()
        await host.start()
        settings = {"CHATTOR_TOR_TORRC_LINES": json.dumps(list(torrc))}
        try:
            echo = await _onion(host, peer, messages)
            async with laid(directory / "ground", peer, ("-m", "chattor_bridge.cli", "run"), settings) as ground:
                return await _compare(ground, echo, messages)
        finally:
            await peer.stop()
            await host.stop()


async def _compare(ground: Ground, echo: list[float], messages: int) -> list[Figure]:
    carol = await ground.person("carol")
    try:
        raw = await _homeserver(ground.conversation.alice, carol, messages)
    finally:
        await carol.close()
    to_peer = await _to_peer(ground, messages)
    to_matrix = await _to_matrix(ground, messages)
    floor = p50(raw) + p50(echo), p95(raw) + p95(echo)
    return [
        Figure("Synapse alone, send to sync, p50", p50(raw), "ms"),
        Figure("Synapse alone, send to sync, p95", p95(raw), "ms"),
        Figure("onion alone, 1 KiB there and back, p50", p50(echo), "ms"),
        Figure("onion alone, 1 KiB there and back, p95", p95(echo), "ms"),
        Figure("Matrix to peer, p50", p50(to_peer), "ms", floor[0], "1.25"),
        Figure("Matrix to peer, p95", p95(to_peer), "ms", floor[1]),
        Figure("peer to Matrix, p50", p50(to_matrix), "ms", floor[0], "1.25"),
        Figure("peer to Matrix, p95", p95(to_matrix), "ms", floor[1]),
    ]


async def _onion(host: TorTransport, dialler: TorTransport, messages: int) -> list[float]:
    """An onion that gives back what it gets, dialled from another tor."""

    async def give_back(stream: Stream) -> None:
        while data := await stream.read():
            await stream.write(data)

    seed = secrets.token_bytes(32)
    published = await host.publish(seed, give_back, clients=None)
    async with asyncio.timeout(PATIENCE):
        await published.published()
    onion = OnionKey(ed25519_public(seed))
    stream = await dialler.dial(onion, client_key=None, isolation="bench", timeout=PATIENCE)
    times = []
    for _ in range(messages):
        data = secrets.token_bytes(ECHO_SIZE)
        began = time.perf_counter()
        await stream.write(data)
        came = b""
        while len(came) < ECHO_SIZE:
            came += await stream.read()
        times.append(time.perf_counter() - began)
        assert came == data
    await stream.close()
    await published.withdraw()
    return times


async def _homeserver(alice: Person, carol: Person, messages: int) -> list[float]:
    """From one user of Synapse to another."""
    room = await alice.open_chat(carol.user_id)
    await alice.say(room, "first")
    await carol.wait_for(lambda event: event["content"].get("body") == "first", PATIENCE)
    times = []
    for number in range(messages):
        waiting = asyncio.create_task(carol.wait_for(_says(f"raw {number}"), PATIENCE))
        await asyncio.sleep(0)  # lets it ask
        began = time.perf_counter()
        await alice.say(room, f"raw {number}")
        await waiting
        times.append(time.perf_counter() - began)
    return times


async def _to_peer(ground: Ground, messages: int) -> list[float]:
    talk, ears = ground.conversation, ground.conversation.peer.ears
    times = []
    for number in range(messages):
        before = len(ears.texts())
        began = time.perf_counter()
        await talk.alice.say(talk.room, f"to the peer {number}")
        await ears.wait_until(lambda before=before: len(ears.texts()) > before, PATIENCE)  # type: ignore[misc]
        times.append(time.perf_counter() - began)
    return times


async def _to_matrix(ground: Ground, messages: int) -> list[float]:
    talk = ground.conversation
    times = []
    for number in range(messages):
        waiting = asyncio.create_task(talk.alice.wait_for(_says(f"to matrix {number}"), PATIENCE))
        await asyncio.sleep(0)
        began = time.perf_counter()
        await talk.peer.send(talk.friend, f"to matrix {number}")
        await waiting
        times.append(time.perf_counter() - began)
    return times


def _says(text: str) -> Callable[[JsonObject], bool]:
    return lambda event: event["content"].get("body") == text
