"""SIGKILL at every step of a resync, before and after its commit, on either side of it and on both engines.

`test_matrix.py` kills the bridge at some of them. Here one resync dies at one step after the other while both sides go
on talking: in the end everything was heard once and in order, and the session was renewed once.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.happenings import SESSION_RENEWED
from chattor_bridge.storage import open_store
from tests.kill.stage import PATIENCE
from tests.node.renewing import has, told
from tests.node.world import Person, World
from tests.peer import PACE
from tests.postgres import Databases
from tests.programs.mortal_node import notes, open_notes

pytestmark = pytest.mark.engines("sqlite", "postgres")

STARTING = ("begin:before", "begin:after", "finish:before", "finish:after")
ANSWERING = ("answer:before", "answer:after", "done:before", "hello:before", "hello:after")
"""What the third death has lost is seen in the hello of the next link."""
TOLD = ("done:after",)


@dataclass
class Pair:
    """Anna, who dies, and Ben, who does not."""

    anna: Person
    ben: Person
    peer_id: PeerId

    async def die(self, deaths: Sequence[str]) -> None:
        """Both talk, while Anna dies one death after the other and then lives."""
        sent: list[EventId] = []
        said: list[str] = []

        async def say(*texts: str) -> None:
            said.extend(texts)
            sent.extend(await self.ben.say(self.peer_id, *texts))

        for death in deaths:
            await say(f"before {death}", f"also before {death}")
            async with self._alive(death) as process:
                code = await asyncio.wait_for(process.wait(), PATIENCE)
            assert code == -signal.SIGKILL, f"it ended by itself with {code}"
        await say("when she is dead")
        async with self._alive("never", "at last"):
            await self.ben.until(lambda: has(self.ben, "at last") and set(sent) <= set(self.ben.delivered()))
            await say("under the new session")
            await self.ben.until(lambda: set(sent) <= set(self.ben.delivered()))
        store = open_store(self.anna.house.url, self.anna.house.key)
        async with store, store.transaction() as tx:
            assert await notes(tx, "heard") == said
            assert await notes(tx, "said") == self.ben.texts()
            assert await notes(tx, "told") == [SESSION_RENEWED]
        assert [one for one in self.ben.delivered() if one in sent] == sent
        assert len(told(self.ben, SESSION_RENEWED)) == 1

    @asynccontextmanager
    async def _alive(self, death: str, *texts: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Anna's program, which dies that death, and at the end of the block at the latest."""
        house = self.anna.house
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.programs.mortal_node", str(house.world.directory / "onions")),
            *(house.url, house.key.secret.hex(), death, f"until {death}", f"also until {death}", *texts),
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def pair(databases: Databases) -> AsyncIterator[Pair]:
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))  # short: it holds unix sockets
    world = World(directory, time=SystemClock(), pace=PACE, patience=PATIENCE, databases=databases)
    try:
        anna, ben = await world.person("Anna"), await world.person("Ben")
        pair = Pair(anna, ben, await anna.befriend(ben))
        async with anna.house.store.transaction() as tx:
            await open_notes(tx)
        yield pair
    finally:
        await world.stop()
        shutil.rmtree(directory)


async def _wish(person: Person, friend: Person, peer_id: PeerId) -> None:
    """This person wants the session renewed, and has no link on which it could be."""
    await friend.house.stop()
    await person.until(lambda: not person.online(peer_id))
    async with person.house.store.transaction() as tx:
        await person.node.renew_session(tx, peer_id)


async def test_who_starts_dies_at_every_step(pair: Pair) -> None:
    await _wish(pair.anna, pair.ben, pair.peer_id)
    await pair.anna.house.stop()
    await pair.ben.house.start()
    await pair.die(STARTING)


@pytest.mark.parametrize("deaths", [ANSWERING, TOLD], ids=["the end lost", "told the end"])
async def test_who_answers_dies_at_every_step(pair: Pair, deaths: Sequence[str]) -> None:
    await _wish(pair.ben, pair.anna, pair.peer_id)
    await pair.die(deaths)
