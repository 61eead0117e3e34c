"""Contacts are locked in one order; see docs/architecture.md, "Transactions and observers". Only PostgreSQL lets
transactions go on side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from chattor_bridge.errors import DatabaseUnavailable
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.carrying.records import Carrier
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Shared
from chattor_bridge.node.records import Contact
from tests.node.world import PATIENCE, Person, World

pytestmark = pytest.mark.engines("postgres")

UNTIL_IT_WAITS = 0.5
"""Seconds in which somebody comes to the lock that the test holds."""

Work = Callable[[Person, Transaction], Coroutine[Any, Any, object]]


async def _crowd(world: World) -> tuple[Person, list[PeerId]]:
    """Somebody with friends, the lowest first, who did not come in that order."""
    anna = await world.person("Anna")
    friends: list[PeerId] = []
    while len(friends) < 2 or friends == sorted(friends):
        friends.append(await anna.befriend(await world.person(f"Friend{len(friends)}")))
    return anna, sorted(friends)


async def _lock(person: Person, tx: Transaction, peer_id: PeerId) -> None:
    assert await person.house.store.contacts.for_update(tx, person.node_id, peer_id) is not None


async def _in_order_meanwhile(person: Person, friends: list[PeerId], work: Work) -> None:
    """Do the work while somebody else locks all in their order; neither fails."""

    async def do() -> None:
        async with person.house.store.transaction() as tx:
            await work(person, tx)

    async with person.house.store.transaction() as tx:
        await _lock(person, tx, friends[0])
        working = asyncio.create_task(do())
        await asyncio.wait({working}, timeout=UNTIL_IT_WAITS)
        assert not working.done()
        for peer_id in friends:
            await _lock(person, tx, peer_id)
    await asyncio.wait_for(working, PATIENCE)


async def test_whatever_changes_all_contacts_is_in_nobodys_way(world: World) -> None:
    anna, friends = await _crowd(world)
    await _in_order_meanwhile(anna, friends, lambda anna, tx: anna.node.set_profile_name(tx, "Ann"))
    await _in_order_meanwhile(anna, friends, lambda anna, tx: anna.node.merge(tx, friends[-1], friends[0]))
    await _in_order_meanwhile(anna, friends, lambda anna, tx: anna.node.share(tx, None, Shared.TYPING, on=True))
    await _in_order_meanwhile(anna, friends, lambda anna, tx: anna.node.retire_all(tx))
    await _in_order_meanwhile(anna, friends, lambda anna, tx: anna.node.forget(tx, friends[-1]))


async def test_two_that_are_in_each_others_way_both_come_to_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends one of them, and it is done again: here what we agree on with carriers, against somebody who
    locks in another order."""
    anna, friends = await _crowd(world)
    store, first, last = anna.house.store, friends[0], friends[-1]
    async with store.transaction() as tx:
        for peer_id in (first, last):
            await store.carriers.put(tx, anna.node_id, Carrier(peer_id, asked=True, shelves=1, blocks=1))
    us, lock, meets_us = asyncio.current_task(), store.contacts.for_update, asyncio.Event()

    async def for_update(tx: Transaction, node_id: NodeId, peer_id: PeerId) -> Contact | None:
        if peer_id == last and asyncio.current_task() is not us:
            meets_us.set()
        return await lock(tx, node_id, peer_id)

    monkeypatch.setattr(store.contacts, "for_update", for_update)
    ended = 0
    for _ in range(2):  # it may be us
        try:
            async with store.transaction() as tx:
                await _lock(anna, tx, last)
                anna.node.work.carrying.look_again()
                await asyncio.wait_for(meets_us.wait(), PATIENCE)
                await asyncio.sleep(0.1)  # and waits, with the first locked
                await _lock(anna, tx, first)
            break
        except DatabaseUnavailable:
            ended += 1

    trouble = anna.node.work.carrying.trouble
    async with asyncio.timeout(PATIENCE):  # who was ended rolls back meanwhile
        while not ended and not trouble.failures:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    async def all_is_well() -> None:
        while True:
            async with store.transaction() as tx:
                carriers = await store.carriers.of_node(tx, anna.node_id)
            if all(one.used for one in carriers) and not trouble.failures:
                return
            await asyncio.sleep(0.02)

    await world.clock.pass_until(all_is_well())
