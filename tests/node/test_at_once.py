"""Two who change something of one node at the same moment: both are heard. Only PostgreSQL lets transactions go on side
by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from chattor_bridge.errors import AlreadyExists
from chattor_bridge.node.happenings import KnockReceived
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import SHARED_AT_FIRST, Shared
from chattor_bridge.node.records import NodeRecord
from chattor_bridge.storage.transaction import sql
from tests.node.world import PATIENCE, Person, World

pytestmark = pytest.mark.engines("postgres")

WAITS = "SELECT cardinality(pg_blocking_pids($1)) > 0 AS value"
"""Whether this backend has come to where it has to wait for another."""

PICTURE = b"\x89PNG\r\n\x1a\n of somebody"

Work = Callable[[Transaction], Coroutine[Any, Any, object]]


async def _at_once(person: Person, first: Work, second: Work) -> None:
    """The second begins before the first is committed."""
    backend: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def do() -> None:
        async with person.house.store.transaction() as tx:
            backend.set_result(await sql(tx).fetch_value("SELECT pg_backend_pid() AS value"))
            await second(tx)

    async with person.house.store.transaction() as tx:
        await first(tx)
        doing = asyncio.create_task(do())
        async with asyncio.timeout(PATIENCE):
            while not await sql(tx).fetch_value(WAITS, await backend):
                assert not doing.done()
    await asyncio.wait_for(doing, PATIENCE)


async def _record(person: Person) -> NodeRecord:
    async with person.house.store.transaction() as tx:
        record = await person.house.store.nodes.get(tx, person.node_id)
    assert record is not None
    return record


async def test_none_of_two_changes_of_a_node_is_lost(world: World) -> None:
    anna = await world.person("Anna")
    node, host = anna.node, anna.house.host
    changes: list[tuple[Work, Callable[[NodeRecord], bool]]] = [
        (partial(node.carrying.quota.change, megabytes=1), lambda now: now.holds is not None),
        (partial(node.set_profile_name, name="Ann"), lambda now: now.profile_name == "Ann"),
        (partial(host.pause, node=node), lambda now: not now.running),
        (partial(node.share, peer_id=None, shared=Shared.PRESENCE, on=True), lambda now: Shared.PRESENCE in now.shares),
        (partial(node.share, peer_id=None, shared=Shared.TYPING, on=True), lambda now: Shared.TYPING in now.shares),
    ]
    for first, first_came in changes:
        for second, second_came in changes:
            if first is second:
                continue
            await _at_once(anna, first, second)
            now = await _record(anna)
            assert first_came(now)
            assert second_came(now)
            async with anna.house.store.transaction() as tx:
                await node.carrying.quota.change(tx, None)
                await node.set_profile_name(tx, "Anna")
                await host.resume(tx, node)
                for shared in (Shared.PRESENCE, Shared.TYPING):
                    await node.share(tx, None, shared, on=shared in SHARED_AT_FIRST)


async def test_the_same_friend_code_is_added_once(world: World) -> None:
    """Two requests would make two friendships with one person, and of each a half in two rooms."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    adding = partial(ben.node.add, code_text=await anna.code(), note="")
    with pytest.raises(AlreadyExists):
        await _at_once(ben, adding, adding)
    assert len(await ben.node.outgoing()) == 1


async def test_a_friend_sees_the_name_and_the_picture_that_are_new_at_once(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    anna_to_ben = await anna.befriend(ben)
    await _at_once(anna, partial(anna.node.set_profile_name, name="Ann"), partial(anna.node.set_picture, data=PICTURE))

    async def all_is_seen() -> None:
        while True:
            async with ben.house.store.transaction() as tx:
                seen = await ben.house.store.contacts.get(tx, ben.node_id, anna_to_ben)
                picture = await ben.house.store.pictures.of_friend(tx, ben.node_id, anna_to_ben)
            if seen is not None and seen.peer_name == "Ann" and picture is not None and picture.data == PICTURE:
                return
            await asyncio.sleep(0.02)

    await world.clock.pass_until(asyncio.wait_for(all_is_seen(), PATIENCE))


async def test_who_is_accepted_while_a_name_changes_sees_the_new_one(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await ben.add(await anna.code())
    await anna.until(lambda: bool(anna.of(KnockReceived)))
    (knock,) = anna.of(KnockReceived)
    await _at_once(
        anna, partial(anna.node.set_profile_name, name="Ann"), partial(anna.node.accept, knock_id=knock.knock_id)
    )

    async def new_name() -> None:
        while True:
            async with ben.house.store.transaction() as tx:
                friends = await ben.house.store.contacts.of_node(tx, ben.node_id)
            if [one.peer_name for one in friends] == ["Ann"]:
                return
            await asyncio.sleep(0.02)

    await world.clock.pass_until(asyncio.wait_for(new_name(), PATIENCE))
