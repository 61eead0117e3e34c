"""The carrier is killed between any two of its steps; see docs/protocol/carriers.md.

Whom it carries for and who writes to them are never online together: the bridge, with a real Synapse before it, and
`chattor`. Whoever goes, goes by SIGKILL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest

from chattor_bridge.ops.tornet import TorNetwork
from tests.kill.chattor import ChattorProcess
from tests.kill.conftest import Ground, over_memory, over_tor
from tests.kill.stage import PATIENCE
from tests.kill.trio import NOT_LEFT, TARGETS, Trio, database_of, survive, until_count
from tests.nio_person import NioPerson
from tests.postgres import PostgresCluster
from tests.terminal.resident import Resident

pytestmark = pytest.mark.synapse

AGREEING = (
    "carry-agreed",  # our word is on disk, and said to nobody
    "carry-offered",  # it is in the outbox
    "shelf-opened",  # on disk, with a key for its onion; the onion is not there yet, and nobody knows of it
    "shelf-answered",  # where it is, is in the outbox
)
KEEPING = (
    "block-kept",  # on disk, and whoever left it does not know
    "deposit-answered",
)
HANDING = (
    "blocks-written",  # handed over, still on disk
    "block-collected",  # deleted
)


@asynccontextmanager
async def trio_on(
    ground: Ground, deaths: Sequence[str] = (), *, torrc: Sequence[str] | None = None
) -> AsyncIterator[Trio]:
    """They have agreed, over these deaths of Carl's; Sam is away."""
    sam = ChattorProcess(Resident(ground.directory, "Sam", torrc=torrc, quick=True))
    carl = ChattorProcess(Resident(ground.directory, "Carl", torrc=torrc, quick=True), "--headless")
    quick = ground.bridge if torrc is None else ground.quick_bridge()
    try:
        async with ground.alice() as alice:
            trio = Trio(ground, quick, alice, sam, carl)
            await sam.init()
            await carl.init()
            await trio.meet()
            await trio.agree(*deaths)
            await sam.kill()
            yield trio
    finally:
        await quick.stop()
        await sam.leave()
        await carl.leave()


@pytest.fixture(scope="module")
async def trio_over_tor(tor_network: TorNetwork, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trio]:
    """Over real tor processes; the bridge as it is shipped, on SQLite; rooms that are encrypted."""
    async with (
        over_tor(tmp_path_factory.mktemp("kill"), tor_network, client=NioPerson) as ground,
        trio_on(ground, AGREEING, torrc=tor_network.client_torrc) as trio,
    ):
        yield trio


@pytest.fixture(scope="module")
async def trio(postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Trio]:
    """Over the memory network; the bridge on PostgreSQL."""
    settings = {"CHATTOR_DATABASE_URL": postgres.create_database()}
    async with over_memory(tmp_path_factory.mktemp("kill"), settings) as ground, trio_on(ground) as trio:
        yield trio


@pytest.mark.tor
async def test_a_carrier_dies_with_what_is_said_to_alice(trio_over_tor: Trio) -> None:
    await trio_over_tor.sam_writes("from Chattor ✓", *KEEPING)
    await trio_over_tor.alice_collects(*HANDING)


@pytest.mark.tor
async def test_a_carrier_dies_with_what_alice_says(trio_over_tor: Trio) -> None:
    events = await trio_over_tor.alice_writes("from Matrix ✓", "block-kept")
    await trio_over_tor.sam_collects("blocks-written")
    await trio_over_tor.alice_is_told(events)


@pytest.mark.postgres
async def test_the_bridge_dies_as_it_collects_and_as_it_leaves_something(trio: Trio) -> None:
    await trio.sam_writes("from Chattor ✓")
    await trio.alice_collects(bridge=("block-taken", "acknowledgement-due"))
    events = await trio.alice_writes("from Matrix ✓", bridge="block-left")
    await trio.sam_collects()
    await trio.alice_is_told(events)


@pytest.mark.postgres
async def test_the_bridge_dies_as_a_carrier(trio: Trio) -> None:
    """It holds what Sam says to Carl, and nobody there sees any of that."""
    before = len(trio.alice.timeline)
    await trio.sam.restart()

    async def ask() -> None:
        await trio.carl.resident.get("carry", "ask", "2")

    await survive(trio.bridge, AGREEING, ask)
    await until_count(database_of(trio.sam), TARGETS, 2)
    await trio.carl.kill()
    said: list[str] = []

    async def write(when: str) -> None:
        said.append(f"for Carl {when}")
        assert await trio.sam.say(said[-1:], to="2")

    await survive(trio.bridge, KEEPING, partial(write, "at first"), write)
    await until_count(database_of(trio.sam), NOT_LEFT, 0)
    await trio.sam.kill()
    await survive(trio.bridge, HANDING, trio.carl.restart)
    assert await trio.carl.heard(len(said), PATIENCE) == said
    await trio.alice.sync()
    assert not [event for event in trio.alice.timeline[before:] if "for Carl" in str(event)]
