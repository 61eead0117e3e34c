"""What a node has read of itself comes to it after its owner has changed that: what the owner wants holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest

from chattor_bridge.ids import PeerId
from chattor_bridge.node.ports import Stream, Transaction
from chattor_bridge.node.work import NodeWork
from tests.node.world import PATIENCE, Person

Change = Callable[[Transaction], Awaitable[object]]
Overtakes = Callable[[Change], Awaitable[None]]


@pytest.fixture
def overtakes(anna: Person, monkeypatch: pytest.MonkeyPatch) -> Overtakes:
    """Change something of Anna's node between its reading of what is on disk and its heeding of that."""

    async def overtake(change: Change) -> None:
        really_read = NodeWork._read
        has_read, may_go_on = asyncio.Event(), asyncio.Event()

        async def read(work: NodeWork) -> Any:
            on_disk = await really_read(work)
            if work is anna.node.work:
                has_read.set()
                await may_go_on.wait()
            return on_disk

        monkeypatch.setattr(NodeWork, "_read", read)
        anna.node.work.look_again()
        await asyncio.wait_for(has_read.wait(), PATIENCE)
        async with anna.house.store.transaction() as tx:
            tx.after_commit(may_go_on.set)  # before anybody else hears of the change
            await change(tx)
        monkeypatch.setattr(NodeWork, "_read", really_read)

    return overtake


async def test_a_node_that_is_paused_just_as_it_has_read_that_it_runs_stops(
    anna: Person, ben: Person, peer: PeerId, overtakes: Overtakes
) -> None:
    node = anna.node
    await overtakes(lambda tx: anna.house.host.pause(tx, node))
    await ben.until(lambda: not ben.online(peer))
    assert not node.running
    async with anna.house.store.transaction() as tx:
        await anna.house.host.resume(tx, node)
    await ben.until(lambda: ben.online(peer), time_passes=True)


async def test_a_name_that_changes_just_as_the_node_has_read_it_is_the_new_one(
    anna: Person, overtakes: Overtakes
) -> None:
    node = anna.node
    await overtakes(lambda tx: node.set_profile_name(tx, "Ann"))
    await asyncio.sleep(0)  # the node goes on before us, and would have gone back to the former name
    assert node.profile_name == "Ann"


async def test_a_stream_that_comes_just_as_the_node_stops_is_not_begun_with(
    anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is cancelled before its first step, and Python warns of a coroutine that nobody ever awaits."""
    begun: list[Stream] = []

    async def answer(stream: Stream) -> None:
        begun.append(stream)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            monkeypatch.setattr(anna.node.work, "_group", group)
            await asyncio.sleep(0)  # the stream's task is made
            raise asyncio.CancelledError

    entering = asyncio.create_task(anna.node.work.hostings.enter(answer, Mock()))
    with pytest.raises(asyncio.CancelledError):
        await run()
    await entering
    assert begun == []
