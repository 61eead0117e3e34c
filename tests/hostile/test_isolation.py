"""No two things that a process does share a circuit of tor's: docs/threat-model.md, "Two colluding friends"."""

from __future__ import annotations

from collections import defaultdict

import pytest

from chattor_bridge.ids import OnionKey
from chattor_bridge.node.happenings import FileArrived, KnockReceived
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.transport.memory import MemoryTransport
from chattor_bridge.transport.stream import SocketStream
from tests.carrying.circle_of_three import Three
from tests.node.test_files import accept, data_of, offer
from tests.node.world import World


class Dials:
    """Every dial of everybody: where to, and in whose isolation."""

    def __init__(self) -> None:
        self.isolations: defaultdict[OnionKey, set[str]] = defaultdict(set)
        self.onions: defaultdict[str, set[OnionKey]] = defaultdict(set)

    def note(self, onion: OnionKey, isolation: str) -> None:
        self.isolations[onion].add(isolation)
        self.onions[isolation].add(onion)


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> Dials:
    dials, dial = Dials(), MemoryTransport.dial

    async def noted(
        self: MemoryTransport, onion: OnionKey, *, client_key: bytes | None, isolation: str, timeout: float
    ) -> SocketStream:
        dials.note(onion, isolation)
        return await dial(self, onion, client_key=client_key, isolation=isolation, timeout=timeout)

    monkeypatch.setattr(MemoryTransport, "dial", noted)
    return dials


async def test_friends_strangers_and_files_have_circuits_of_their_own(world: World, dials: Dials) -> None:
    anna = await world.person("Anna")
    ben, carol, dora = [await world.person(name) for name in ("Ben", "Carol", "Dora")]
    with_ben = await ben.befriend(anna)  # who hosts: so it is Anna who dials
    await carol.befriend(anna)
    await anna.befriend(dora)
    assert len(dials.isolations) >= 6  # three doors, and an onion of each friend's
    for count, name in enumerate(("one", "another"), start=1):
        before = set(dials.onions)
        await accept(anna, with_ben, await offer(ben, with_ben, data_of(200_000, name), name))
        await anna.until(lambda count=count: len(anna.of(FileArrived)) == count, time_passes=True)  # type: ignore[misc]
        assert set(dials.onions) - before
    assert [isolation for isolation, onions in dials.onions.items() if len(onions) != 1] == []


async def test_two_nodes_of_one_process_have_circuits_of_their_own_to_the_same_onion(
    world: World, dials: Dials
) -> None:
    bridge = await world.house("bridge")
    anna, ben = await bridge.person("anna", "Anna"), await bridge.person("ben", "Ben")
    carol = await world.person("Carol")
    code = await carol.code()
    await anna.add(code)
    await ben.add(code)
    await carol.until(lambda: len(carol.of(KnockReceived)) == 2)
    assert len(dials.isolations[FriendCode.parse(code).door]) == 2


async def test_what_is_left_with_a_carrier_has_a_circuit_of_its_own(world: World, dials: Dials) -> None:
    three = await Three.meet(world)
    await three.agree()
    await three.rita.house.stop()
    before = set(dials.onions)
    await three.sam.say(three.with_sam, "while you are away")
    await three.until_held(1)
    [target] = await three.targets()
    assert dials.isolations[target.deposit.onion]
    assert not dials.isolations[target.deposit.onion] & before
    assert [isolation for isolation, onions in dials.onions.items() if len(onions) != 1] == []
