"""Who hosts which onion, and who decides between two links: docs/protocol/link.md, "Who hosts" and "Two links"."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chattor_bridge.errors import LimitReached, OnionUnreachable
from chattor_bridge.ids import NodeId, OnionKey
from chattor_bridge.node.friendship import DAY
from chattor_bridge.node.greeting import hosted_onion
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.node.records import Contact
from chattor_bridge.protocol.frames import Bye, Onions
from chattor_bridge.protocol.limits import (
    LINK_ONION_LIFETIME,
    MAX_LINKS,
    MAX_NEW_ONIONS,
    MAX_ONIONS,
    SPARE_ONIONS_UP_TO,
)
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.transport.memory import MemoryPublication, MemoryTransport
from tests.node.puppet import Puppet
from tests.node.world import PATIENCE, Person, World

STRANGERS = NodeId(b"another node of this process")


async def only_contact(person: Person) -> Contact:
    """The person's only friend, as it is on disk."""
    async with person.house.store.transaction() as tx:
        (contact,) = await person.house.store.contacts.of_node(tx, person.node_id)
    return contact


async def until_on_disk(person: Person, holds: Callable[[Contact], bool]) -> Contact:
    async with asyncio.timeout(PATIENCE):
        while True:
            if holds(contact := await only_contact(person)):
                return contact
            await asyncio.sleep(0.01)


async def both_host(knocker: Person, owner: Person) -> None:
    """Wait until each side hosts what the other dials."""
    for one, other in ((knocker, owner), (owner, knocker)):
        hosted = hosted_onion(await until_on_disk(one, lambda contact: contact.hosted_seed is not None))
        await until_on_disk(other, lambda contact, hosted=hosted: contact.peer_onion == hosted)  # type: ignore[misc]
        assert hosted is not None
        await asyncio.wait_for(one.node.work.hostings.reachable(hosted), PATIENCE)


def cannot_dial(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dial(*_: object, **__: object) -> None:
        raise OnionUnreachable("not today")

    monkeypatch.setattr(person.house.transport, "dial", dial)


async def test_who_was_knocked_on_hosts_a_spare_by_which_the_knocker_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    await anna.house.stop()
    cannot_dial(ben, monkeypatch)
    await ben.until(lambda: not ben.online(peer_id))
    await ben.say(peer_id, "welcome back")
    await anna.house.start()
    await anna.until(lambda: anna.texts() == ["welcome back"], time_passes=True)


async def test_a_spare_goes_when_there_are_many_onions_and_comes_again(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.befriend(ben)
    await both_host(anna, ben)
    budget = ben.house.host._around.budget
    budget.settle(STRANGERS, SPARE_ONIONS_UP_TO, [], lambda: None)
    await until_on_disk(anna, lambda contact: contact.peer_onion is None)
    assert (await only_contact(ben)).hosted_seed is None
    assert (await only_contact(anna)).hosted_seed is not None  # what is no spare stays
    budget.leave(STRANGERS)
    ben.node.work.look_again()
    await both_host(anna, ben)


async def test_a_full_process_makes_no_code_and_knocks_nowhere(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    anna.house.host._around.budget.settle(STRANGERS, MAX_ONIONS, [], lambda: None)
    async with anna.house.store.transaction() as tx:
        with pytest.raises(LimitReached, match="60 onion services"):
            await anna.node.create_code(tx, "one too many")
        with pytest.raises(LimitReached, match="60 onion services"):
            await anna.node.add(tx, code, "hello")


async def test_at_a_start_the_friend_last_heard_from_is_published_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    with_ben = await anna.befriend(ben)
    with_cleo = await anna.befriend(cleo)
    await cleo.house.stop()
    await anna.until(lambda: not anna.online(with_cleo))
    await world.clock.pass_slowly(2 * HOUSEKEEPING, step=60)  # in which Ben is there
    assert anna.online(with_ben)
    await anna.house.stop()
    asked: list[tuple[bytes, float]] = []
    publish = MemoryTransport.publish

    async def noted(transport: MemoryTransport, seed: bytes, *rest: Any, recency: float, **more: Any) -> Any:
        asked.append((seed, recency))
        return await publish(transport, seed, *rest, recency=recency, **more)

    monkeypatch.setattr(MemoryTransport, "publish", noted)
    await anna.house.start()
    async with anna.house.store.transaction() as tx:
        seeds = {one.peer_id: one.hosted_seed for one in await anna.house.store.contacts.of_node(tx, anna.node_id)}
    await world.clock.pass_until(_until(lambda: len(asked) == 2), step=1.0)
    assert [seed for seed, _ in asked] == [seeds[with_ben], seeds[with_cleo]]
    assert asked[0][1] > asked[1][1]
    asked.clear()
    await anna.code()
    assert asked[0][1] == math.inf  # its owner waits for it


async def test_at_a_start_the_friend_last_heard_from_is_dialled_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben, friends = await world.person("Ben"), [await world.person(name) for name in ("Anna", "Cleo", "Dora")]
    for friend in friends:
        await friend.befriend(ben)
        await friend.house.stop()
    await ben.house.stop()
    await ben.house.store.start()
    async with ben.house.store.transaction() as tx:
        contacts = await ben.house.store.contacts.of_node(tx, ben.node_id)
        for number, contact in enumerate(contacts):
            heard = world.clock.now() - int(DAY) * ((number + 2) % 3)  # neither their order on disk nor its reverse
            await ben.house.store.contacts.save(tx, replace(contact, heard_at=heard))
    await ben.house.store.stop()
    dialled: list[OnionKey] = []

    async def noted(_: MemoryTransport, onion: OnionKey, **__: object) -> None:
        dialled.append(onion)
        raise OnionUnreachable("not today")

    monkeypatch.setattr(MemoryTransport, "dial", noted)
    await ben.house.start()
    await world.clock.pass_until(_until(lambda: len(set(dialled)) == 3), step=0.5)
    assert list(dict.fromkeys(dialled)) == [contacts[number].peer_onion for number in (1, 2, 0)]


async def test_an_onion_that_was_lost_is_shown_as_such_until_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, back = asyncio.Event(), asyncio.Event()
    back.set()

    async def lost(_: MemoryPublication) -> str:
        await gone.wait()
        return "nobody reaches it"

    async def published(_: MemoryPublication) -> None:
        await back.wait()

    monkeypatch.setattr(MemoryPublication, "lost", lost)
    monkeypatch.setattr(MemoryPublication, "published", published)
    anna = await world.person("Anna")
    await anna.code()
    status = await anna.node.status()
    assert (status.onions, status.onions_published, status.codes_published) == (1, 1, 1)
    back.clear()
    gone.set()
    async with asyncio.timeout(PATIENCE):
        while (status := await anna.node.status()).onions_published:  # noqa: ASYNC110 - status has no event
            await asyncio.sleep(0.01)
    assert (status.onions, status.codes_published) == (1, 0)
    (line,) = [line for line in status.work if line.what == "door"]
    assert (line.reason, line.failures) == ("nobody reaches it", 1)
    gone.clear()
    back.set()
    async with asyncio.timeout(PATIENCE):
        while not (status := await anna.node.status()).onions_published:  # noqa: ASYNC110 - nor here
            await asyncio.sleep(0.01)
    assert not [line for line in status.work if line.failures]


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is watched has no event
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("away", [False, True])
async def test_another_onion_takes_the_place_of_an_old_one(world: World, away: bool) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    before = [await only_contact(anna), await only_contact(ben)]
    if away:
        await ben.house.stop()
    world.clock.suspend(LINK_ONION_LIFETIME)
    await world.clock.pass_slowly(3 * HOUSEKEEPING)
    if away:
        assert (await only_contact(anna)).former_seed == before[0].hosted_seed
        await ben.house.start()
        await ben.until(lambda: ben.online(peer_id), time_passes=True)
        await world.clock.pass_slowly(2 * HOUSEKEEPING)
    for one, was in zip((anna, ben), before, strict=True):
        changed = await until_on_disk(one, lambda contact: contact.former_seed is None)
        assert changed.hosted_seed not in (None, was.hosted_seed)
    await both_host(anna, ben)
    for person in (anna, ben):
        await person.house.stop()
    for person in (anna, ben):
        await person.house.start()
    await anna.say(peer_id, "found you")
    await ben.until(lambda: ben.texts() == ["found you"], time_passes=True)


async def test_two_who_dial_at_once_keep_one_link_and_lose_nothing(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    for turn in range(5):
        for person in (anna, ben):
            await person.house.die()
        for person in (anna, ben):
            await person.house.start()
        await anna.say(peer_id, f"a{turn}")
        await ben.say(peer_id, f"b{turn}")
        await asyncio.gather(
            anna.until(lambda turn=turn: len(anna.texts()) == turn + 1, time_passes=True),  # type: ignore[misc]
            ben.until(lambda turn=turn: len(ben.texts()) == turn + 1),  # type: ignore[misc]
        )
    assert anna.texts() == [f"b{turn}" for turn in range(5)]
    assert ben.texts() == [f"a{turn}" for turn in range(5)]
    async with asyncio.timeout(PATIENCE):
        while True:
            if all(len(one.node.work.friendships.by_peer[peer_id]._live) == 1 for one in (anna, ben)):
                break
            await asyncio.sleep(0.01)


async def test_the_owner_ends_no_link_but_one_too_many(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    puppet = await Puppet.of(anna)
    await ben.until(lambda: not ben.online(peer_id))
    opened = []
    for _ in range(MAX_LINKS + 1):
        await puppet.dial(ben)
        await puppet.say(puppet.hello())
        await puppet.hear(Onions)  # so its greeting was taken
        opened.append((puppet._link, puppet._stream))
    puppet._link, puppet._stream = opened[0]
    assert (await puppet.hear(Bye)).reason == "replaced"
    assert ben.online(peer_id)
    async with asyncio.timeout(PATIENCE):  # it ends after its last word
        while len(ben.node.work.friendships.by_peer[peer_id]._live) > MAX_LINKS:  # noqa: ASYNC110 - polled, no event
            await asyncio.sleep(0.01)
    await puppet.close()


async def test_a_friend_who_keeps_moving_is_not_followed_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    puppet = await Puppet.of(anna)
    await ben.until(lambda: not ben.online(peer_id))
    dialled: list[OnionKey] = []

    async def dial(onion: OnionKey, **_: object) -> None:
        dialled.append(onion)
        raise OnionUnreachable("nobody is there")

    monkeypatch.setattr(ben.house.transport, "dial", dial)
    moves = [OnionKey(ed25519_public(secrets.token_bytes(32))) for _ in range(MAX_NEW_ONIONS + 3)]
    for onion in moves:
        await puppet.dial(ben)
        await puppet.say(puppet.hello())
        await puppet.hear(Onions)
        await puppet.say(Onions(onion, None))
        await until_on_disk(ben, lambda contact, onion=onion: contact.peer_onion == onion)  # type: ignore[misc]
        await puppet.close()
        await ben.until(lambda: not ben.online(peer_id))
        await world.clock.pass_slowly(1_200, step=60)  # twice the longest wait between two dials
    assert [onion for onion in moves if onion in dialled] == moves[:MAX_NEW_ONIONS]
    await world.clock.pass_slowly(DAY, step=600)
    assert moves[-1] in dialled
