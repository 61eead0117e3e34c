"""Friends we want no more while something of theirs is under way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from chattor_bridge.protocol.frames import Block, Collected
from tests.carrying.circle_of_three import Three, until_hosted, until_true


async def test_what_a_blocked_friend_left_is_not_shown(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "from somebody blocked")
    await three.until_held(1)
    for person in (three.sam, three.carl):
        await person.house.stop()
    await three.rita.house.start()
    async with three.rita.house.store.transaction() as tx:
        await three.rita.node.block(tx, three.with_sam)
    await three.carl.house.start()
    await three.until_held(0)
    assert three.rita.texts() == []


async def test_what_comes_when_its_sender_is_blocked_already_is_not_shown(three: Three) -> None:
    """Before anything else has been done about it."""
    await three.rita.house.stop()
    await three.sam.say(three.with_sam, "from somebody blocked")
    await three.until_held(1)
    carls = three.carl.house.store
    async with carls.transaction() as tx:
        [shelf] = await carls.carriages.shelves(tx, three.carl.node_id, three.with_carl)
        [held] = await carls.carriages.after(tx, three.carl.node_id, three.with_carl, shelf.shelf_id, 0, 1)
    for person in (three.sam, three.carl):
        await person.house.stop()
    await three.rita.house.start()
    ritas, said = three.rita.house.store, list[Collected]()
    async with ritas.transaction() as tx:
        contact = await ritas.contacts.for_update(tx, three.rita.node_id, three.with_sam)
        assert contact is not None
        await ritas.contacts.save(tx, replace(contact, blocked=True))
    _, collecting = three.rita.node.work.carrying.on_link(three.with_carl, said.append)
    running = asyncio.create_task(collecting.run())
    collecting.put(Block(held.shelf_id, held.number, held.block))
    await until_true(lambda: said)
    running.cancel()
    assert three.rita.texts() == []


async def test_nothing_is_left_for_a_friend_who_was_blocked(three: Three) -> None:
    await three.rita.house.stop()
    await three.sam.until(lambda: not three.sam.online(three.with_sam))
    await three.sam.say(three.with_sam, "not any more")
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.block(tx, three.with_sam)
    await three.sam.house.world.clock.pass_slowly(900)
    assert await three.held() == 0


async def test_who_is_blocked_and_unblocked_at_once_is_left_something_only_without_a_link(three: Three) -> None:
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.block(tx, three.with_sam)
    async with three.sam.house.store.transaction() as tx:
        await three.sam.node.unblock(tx, three.with_sam)
    work = three.sam.node.work

    def looks_at_its_link() -> bool:
        found = [one._friendship for one in work.carrying._depositing.values()]
        return bool(found) and found == [work.friendships.by_peer.get(three.with_sam)]

    await until_true(looks_at_its_link)


async def test_no_shelf_is_hosted_for_a_friend_who_is_blocked(three: Three) -> None:
    [target] = await three.targets()
    world, onion = three.carl.house.world, target.deposit.onion
    await world.clock.pass_until(until_hosted(world, onion))
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.block(tx, three.with_carl)
    await until_true(lambda: not world.network.hosts(onion))
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.unblock(tx, three.with_carl)
    await world.clock.pass_until(until_hosted(world, onion))
