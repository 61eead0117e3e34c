"""Pictures between people who are never there together, one in Matrix and the other not, by who holds their mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from chattor_bridge.ids import PeerId
from chattor_bridge.node.carrying.records import Target
from chattor_bridge.node.happenings import ContactAdded, FileArrived, FileSent
from chattor_bridge.node.node import Node
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.protocol.limits import MAX_SLICED_FILE
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.filing import all_erased, content_of, fetched, of_kind, offer, send_file, shown, until
from tests.bridge.town import Town, chattor_friend
from tests.homeserver_contract import PNG
from tests.peer import Peer


@pytest_asyncio.fixture
async def carl(town: Town) -> AsyncIterator[Peer]:
    async with chattor_friend(town.directory, town.network, "Carl") as carl:
        yield carl


async def carries(carl: Peer, whose: PeerId) -> None:
    async with carl.store.transaction() as tx:
        await carl.node.carrying.offer(tx, whose, 16, 128)


async def held(carl: Peer, blocks: int) -> None:
    """Wait until Carl holds that many at least."""
    async with asyncio.timeout(WAIT):
        while sum(one.held for one in await carl.node.carrying.overview()) < blocks:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def knows_where(store: NodeStore, node: Node, peer_id: PeerId) -> None:
    """Wait until this node has been told where to leave what is for a friend."""

    async def targets() -> list[Target]:
        async with store.transaction() as tx:
            return await store.deposits.targets(tx, node.node_id, peer_id)

    async with asyncio.timeout(WAIT):
        while not await targets():  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("size", [100_000, MAX_SLICED_FILE])
async def test_a_picture_of_the_owners_reaches_a_friend_who_is_away(
    town: Town, friend: Peer, carl: Peer, size: int
) -> None:
    room = await town.befriend(friend)
    await friend.add(await carl.new_code())
    with_carl = await carl.accept_next(WAIT)
    await until(friend, ContactAdded, 2)
    async with friend.store.transaction() as tx:
        await friend.node.carrying.ask(tx, with_carl)
    await carries(carl, with_carl)
    portal = await town.portal(room)
    node = town.bridge.host.node(portal.node_id)
    assert node is not None
    await knows_where(town.store, node, portal.peer_id)
    await friend.go_offline()
    data = Random(size).randbytes(size)
    event_id = await send_file(town, room, data, msgtype="m.image")
    await held(carl, 1 + size // 14_000)
    await town.homeserver.until(lambda: any("A friend of Bob holds" in said for said in room.bodies(BOT)))
    await town.stop()
    await friend.come_back()
    assert await fetched(friend) == data
    await town.start_again()
    await town.homeserver.until(lambda: room.receipts.get(BOT) == event_id)
    assert len(of_kind(friend, FileArrived)) == 1


async def test_a_picture_of_a_friends_comes_into_the_room_from_a_carrier(town: Town, friend: Peer, carl: Peer) -> None:
    room = await town.befriend(friend)
    management = await town.open_management()
    await town.ask(management, f"add {await carl.new_code()}")
    with_alice = await carl.accept_next(WAIT)
    await town.joined_portal()
    await carries(carl, with_alice)
    portal = await town.portal(room)
    node = town.bridge.host.node(portal.node_id)
    assert node is not None
    async with town.store.transaction() as tx:
        await node.carrying.ask(tx, with_alice)
    await knows_where(friend.store, friend.node, portal.peer_id)
    await town.stop()
    data = PNG + Random("picture").randbytes(100_000)
    await offer(friend, data, "cat.png", mime="image/png", kind="image", caption="look!")
    await held(carl, 8)
    await friend.go_offline()
    await town.start_again()
    event = await shown(town, room)
    assert await content_of(town, event) == data
    assert (event["content"]["msgtype"], event["content"]["body"]) == ("m.image", "look!")
    await all_erased(town)
    assert not of_kind(friend, FileSent)
    await friend.come_back()
    await until(friend, FileSent)
