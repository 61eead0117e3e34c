"""How long it takes over real tor from the start of a program until all its friends are there and all its onions are
published, beside a tor that does the same for nobody.

The friendships are made over the memory network, because how they came about is not measured. A node begins with every
friend and onion at a random moment of its own; so it is measured as it is, and with everything begun at once. The floor
of the latter is a tor in the same directory that dials the same onions of the same friends at once, and publishes as
many in the same stage.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.ids import OnionKey
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Stream
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.session import Session
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from tests.bench.crowd import OWNER
from tests.bench.crowds import PATIENCE, befriend, crowd_of_nodes, friends_of_crowd, hear
from tests.bench.figures import Figure, processor_time

DIAL_TIMEOUT = 120.0
"""Seconds for one bare dial, as the nodes have."""

POLL = 0.05
"""Seconds between two looks at how many onions are published."""


async def measure(directory: Path, friendships: tuple[int, ...]) -> list[Figure]:
    figures = []
    async with TorNetwork(directory / "tornet") as network:
        await _bare(directory / "tor", network, [], 0)  # whoever starts a program has mostly started it before
        for count in friendships:
            place = directory / str(count)
            place.mkdir()
            figures += await _measure(place, directory / "tor", network, count)
    return figures


async def _measure(place: Path, tor: Path, network: TorNetwork, count: int) -> list[Figure]:
    key = StoreKey(secrets.token_bytes(32))
    async with friends_of_crowd(place, count, key) as friends:
        await befriend(place, friends, count)
    friends_tor = ManagedTor(TorSettings(place / "tor", extra_torrc=network.client_torrc))
    async with friends_of_crowd(place, count, key, TorTransport(friends_tor)) as friends:
        async with asyncio.timeout(PATIENCE):
            for node in friends.host.nodes():
                while node.work.hostings.counts != (1, 1):  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(POLL)
        spread = await _start(place, tor, network, count, Pace().start_jitter)
        at_once = await _start(place, tor, network, count, 0.0)
        dialled, bare, spent = await _bare(tor, network, await _onions_of_friends(place), at_once.onions)
    return [
        Figure(f"start to all links up over Tor, {count} friendships", spread.up, "s"),
        Figure(f"start to {spread.onions} onions published over Tor", spread.published, "s"),
        Figure(f"links up, all begun at once, {count} friendships", at_once.up, "s", dialled),
        Figure(f"published, all begun at once, {at_once.onions} onions", at_once.published, "s", bare),
        Figure(f"processor time of the bare tor, {at_once.onions} onions", spent, "s"),
    ]


@dataclass(frozen=True, slots=True)
class _Start:
    """Seconds from the start of a program until all links were up, and all its onions published; how many."""

    up: float
    published: float
    onions: int


async def _start(place: Path, tor: Path, network: TorNetwork, count: int, jitter: float) -> _Start:
    torrc = json.dumps(network.client_torrc)
    async with crowd_of_nodes(place, 1, count, str(tor), torrc, str(jitter)) as crowd:
        up = await hear(crowd)
        published = await hear(crowd)
    return _Start(up["up"], published["published"], published["onions"])


async def _onions_of_friends(place: Path) -> list[tuple[OnionKey, bytes]]:
    """What the measured process dials, each with the key to its descriptor."""
    key = StoreKey.load(place / "store.key")
    async with open_store(f"sqlite:{place / 'crowd.db'}", key) as store, store.transaction() as tx:
        (node,) = [one for one in await store.nodes.all(tx) if one.owner == OWNER]
        contacts = await store.contacts.of_node(tx, node.node_id)
    return [
        (one.peer_onion, Session.deserialize(one.session).onion_auth_key(one.peer_onion))
        for one in contacts
        if one.peer_onion is not None
    ]


async def _bare(
    directory: Path, network: TorNetwork, dialled: list[tuple[OnionKey, bytes]], onions: int
) -> tuple[float, float, float]:
    """Seconds from the start of a tor until these onions were dialled, and until so many were published; and the
    seconds of processor time it took."""

    async def nobody(stream: Stream) -> None:
        await stream.close()

    async def dial(onion: OnionKey, key: bytes) -> None:
        await tor.ready()
        stream = await transport.dial(onion, client_key=key, isolation=onion.hex(), timeout=DIAL_TIMEOUT)
        await stream.close()

    async def publish() -> None:
        clients = [x25519_public(secrets.token_bytes(32))]
        onion = await transport.publish(secrets.token_bytes(32), nobody, clients=clients)
        await onion.published()

    async def since_start(*work: asyncio.Task[None]) -> float:
        await asyncio.gather(*work)
        return time.perf_counter() - began

    tor = ManagedTor(TorSettings(directory, extra_torrc=network.client_torrc))
    transport = TorTransport(tor)
    began = time.perf_counter()
    await transport.start()
    try:
        async with asyncio.timeout(PATIENCE):
            await tor.ready()
            dials = [asyncio.create_task(dial(*one)) for one in dialled]
            publications = [asyncio.create_task(publish()) for _ in range(onions)]
            took = await asyncio.gather(since_start(*dials), since_start(*publications))
        assert tor.pid is not None
        return *took, processor_time(tor.pid)
    finally:
        await transport.stop()
