"""What was decided is on disk before anything follows from it: a node killed in between does it after its restart."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from chattor_bridge.ids import PeerId
from tests.hostile.attacker import hosted_by
from tests.node.world import Person, World, until_gone

DECIDED_WITHIN = 60.0
"""Real seconds for a process to start and to be killed."""


async def killed_after(person: Person, what: str, peer_id: PeerId) -> None:
    """Let a process of its own decide this in the person's stopped house, and die at the commit."""
    house = person.house
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.programs.decide", house.url, house.key.secret.hex()),
        *(str(house.world.directory / "onions"), person.owner, what, peer_id.hex()),
        env={**os.environ, "CHATTOR_FAILPOINT": f"{what}-committed"},
    )
    try:
        assert await asyncio.wait_for(program.wait(), DECIDED_WITHIN) == -signal.SIGKILL
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


@pytest.mark.parametrize("what", ["block", "forget"])
async def test_a_friend_stays_parted_from(world: World, what: str) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await hosted_by(anna)
    await anna.house.stop()
    await killed_after(anna, what, peer_id)
    await anna.house.start()
    await world.clock.pass_slowly(300)
    await until_gone(world, onion, key)
    assert not ben.online(peer_id)
    assert [one.blocked for one in await anna.node.contacts()] == ([True] if what == "block" else [])


async def test_a_code_is_there(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await anna.house.stop()
    await killed_after(anna, "code", peer_id)
    await anna.house.start()
    (code,) = await anna.node.codes()
    assert code.one_time
    await world.clock.pass_until(anna.node.code_published(code.door_id))
