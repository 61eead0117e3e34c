"""The same nodes, over real tor processes in the private network, with time as it is."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from stem.descriptor.hidden_service import HiddenServiceDescriptorV3  # type: ignore[import-untyped]

from chattor_bridge.errors import OnionUnreachable
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.happenings import FileArrived, FileSent
from chattor_bridge.node.patience import Pace
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.primitives import onion_address
from chattor_bridge.transport.tor import ExternalSettings, ExternalTor, ManagedTor, TorSettings, TorTransport
from chattor_bridge.transport.tor.control import Control
from tests.hostile.attacker import hosted_by
from tests.node.test_files import accept, content, data_of, offer
from tests.node.world import Person, World
from tests.transport.foreign import ForeignTor

pytestmark = pytest.mark.tor

QUICK = Pace(start_jitter=0.5, dial_first=2.0, dial_most=8.0, knock_first=2.0, knock_most=8.0)
"""A private network answers at once or not at all."""

PATIENCE_OVER_TOR = 90.0
"""Real seconds: a tor process starts, and a dial of the cold network may fail a few times."""


@pytest.fixture
async def tor_world(tor_network: TorNetwork) -> AsyncIterator[World]:
    """Ben uses a tor that runs already; everybody else has one of their own."""
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))
    foreign = ForeignTor(directory / "foreign", ["CookieAuthentication 1", *tor_network.client_torrc])

    def road(name: str) -> TorTransport:
        if name == "Ben":
            return TorTransport(ExternalTor(ExternalSettings(foreign.control, directory / "onions")))
        return TorTransport(ManagedTor(TorSettings(directory / name, extra_torrc=tor_network.client_torrc)))

    world = World(directory, road=road, time=SystemClock(), pace=QUICK, patience=PATIENCE_OVER_TOR)
    try:
        async with foreign:
            try:
                yield world
            finally:
                await world.stop()
    finally:
        shutil.rmtree(directory)


async def test_two_nodes_become_friends_and_talk_over_tor(tor_world: World) -> None:
    anna, ben = await tor_world.person("Anna"), await tor_world.person("Ben")
    peer_id = await anna.befriend(ben)
    (door,) = await ben.node.codes()
    assert "pow-params v1" in await _descriptor(anna, FriendCode.parse(door.code).door)
    to_ben, to_anna = [f"to Ben {number}" for number in range(20)], [f"an Änna {number}" for number in range(20)]
    await asyncio.gather(anna.say(peer_id, *to_ben), ben.say(peer_id, *to_anna))
    await ben.until(lambda: len(ben.texts()) == 20)
    await anna.until(lambda: len(anna.texts()) == 20)
    assert ben.texts() == to_ben
    assert anna.texts() == to_anna

    # A file each way, on circuits of their own, whoever hosts.
    there, back = data_of(5_000_000, "there"), data_of(1_000_000, "back")
    to_him, to_her = await offer(anna, peer_id, there), await offer(ben, peer_id, back)
    await accept(ben, peer_id, to_him)
    await accept(anna, peer_id, to_her)
    for person in (anna, ben):
        await person.until(partial(_has_a_file, person))
    assert await content(ben, peer_id, to_him) == there
    assert await content(anna, peer_id, to_her) == back

    # The one who hosts goes away, with its tor; what is said meanwhile waits for it.
    await anna.house.stop()
    await ben.until(lambda: not ben.online(peer_id))
    said = await ben.say(peer_id, "Are you there?")
    await anna.house.start()
    await anna.until(lambda: anna.texts()[20:] == ["Are you there?"])
    await ben.until(lambda: set(said) <= set(ben.delivered()))

    # She forgets him, and her onion is gone.
    onion, _ = await hosted_by(anna)
    async with anna.house.store.transaction() as tx:
        await anna.node.forget(tx, peer_id)
    await ben.until(lambda: not ben.online(peer_id))
    with pytest.raises(OnionUnreachable):
        await ben.house.transport.dial(onion, client_key=None, isolation="later", timeout=15.0)


def _has_a_file(person: Person) -> bool:
    return bool(person.of(FileArrived)) and bool(person.of(FileSent))


async def _descriptor(reader: Person, onion: OnionKey) -> str:
    """What the tor of somebody who dialled this onion knows of it, decrypted."""
    control = await Control.connect(
        reader.house.world.directory / reader.house.name / "s" / "control", lambda action, address: None
    )
    try:
        address = onion_address(onion)
        text, *_ = await control.command(f"GETINFO hs/client/desc/id/{address.removesuffix('.onion')}")
    finally:
        await control.close()
    return str(HiddenServiceDescriptorV3.from_str(text.partition("=")[2].strip() + "\n").decrypt(address))
