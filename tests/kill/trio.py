"""Alice in Matrix and Sam in Chattor, who write to each other and are never online together; Carl holds their mail."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol

import asyncpg

from chattor_bridge.bridge.statuses import PENDING, STATUS, SUCCESS
from chattor_bridge.ops.person import JsonObject, Person
from tests.kill.chattor import ChattorProcess
from tests.kill.conftest import Ground
from tests.kill.stage import BOT, PATIENCE, Acquaintance, BridgeProcess

LOOK = 0.2
"""Seconds between two looks at a database, of which nobody tells."""

TARGETS = "SELECT COUNT(*) FROM deposit_targets"
"""Where something can be left."""

LEFT = "SELECT COUNT(DISTINCT seq) FROM deposited"
"""What was left somewhere and is not known to have arrived."""

NOT_LEFT = (
    "SELECT COUNT(*) FROM outbox o JOIN deposit_targets t ON t.node_id = o.node_id AND t.peer_id = o.peer_id "
    "WHERE NOT EXISTS (SELECT 1 FROM deposited d WHERE d.node_id = o.node_id AND d.peer_id = o.peer_id "
    "AND d.seq = o.seq AND d.target_id = t.target_id)"
)
"""What waits for somebody who has a carrier, and is not there yet."""


OWED = "SELECT COALESCE(SUM(owed), 0) FROM deposit_targets"
"""What was collected, and is to be acknowledged yet."""


class Mortal(Protocol):
    """A program of somebody's that can be killed."""

    async def start(self, failpoint: str = "") -> None: ...
    async def dies(self) -> None: ...
    async def kill(self) -> None: ...


class Trio(Acquaintance):
    """Alice, Sam, who is contact 1 of hers, and Carl, contact 2 of both."""

    def __init__(
        self, ground: Ground, quick: BridgeProcess, alice: Person, sam: ChattorProcess, carl: ChattorProcess
    ) -> None:
        """``quick`` is the bridge where it has to leave something at a carrier, without waiting for minutes."""
        super().__init__(ground.synapse, ground.bridge, alice, sam)
        self.quick = quick
        self.sam = sam
        self.carl = carl
        self.alices_database = ground.database

    async def meet(self) -> None:
        """While all three are online everybody befriends everybody."""
        await self.start()
        await self.ask()
        await self.sam.accept_next(PATIENCE)
        await self.shown()
        await self.sam.add(await self.carl.new_code("--once"))
        await self.alice.say(self.management, f"add {await self.carl.new_code('--once')}")
        await self.alice.wait_for(lambda _: self.rooms_with_ghosts() == 2, PATIENCE)

    async def agree(self, *deaths: str) -> None:
        """Carl is asked to hold the mail of both, and dies over it."""

        async def ask() -> None:
            await self.alice.say(self.management, "carry ask 2")

        await survive(self.carl, deaths, ask)
        await until_count(database_of(self.sam), TARGETS, 1)
        await self.sam.resident.get("carry", "ask", "2")  # it may have died before it told its name
        await until_count(self.alices_database, TARGETS, 1)

    async def sam_writes(self, name: str, *deaths: str) -> None:
        """While the bridge is down; more after each death of Carl's."""

        async def write(*texts: str) -> None:
            said = [f"{name} {text}" for text in texts]
            assert await self.sam.say(said) == said
            self.told(said)

        await self.bridge.kill()
        await self.sam.restart()
        await survive(self.carl, deaths, partial(write, "at first", "and then"), write)
        await until_count(database_of(self.sam), NOT_LEFT, 0)
        await self.sam.kill()

    async def alice_collects(self, *deaths: str, bridge: Sequence[str] = ()) -> None:
        """With Sam away. ``bridge``: where her bridge dies at first."""
        for failpoint in bridge:
            await self.bridge.restart(failpoint)
            await self.bridge.dies()
        await survive(self.carl, deaths, self.bridge.restart)
        await self.alice.wait_for(lambda _: len(self._heard()) >= len(self._told), PATIENCE)
        await self.alice.sync()
        assert self._heard() == self._told

    async def alice_writes(self, name: str, *deaths: str, bridge: str = "") -> list[str]:
        """While Sam is away; more after each death of Carl's. ``bridge``: where her bridge dies before that. The events
        that hold it."""
        events: list[str] = []

        async def write(*texts: str) -> None:
            for text in texts:
                events.append(await self.alice.say(self.room, f"{name} {text}"))
                self._said.append(f"{name} {text}")

        await self.bridge.kill()
        await self.quick.restart(bridge)
        await write("at first")
        if bridge:
            await self.quick.dies()
            await self.quick.restart()
        await survive(self.carl, deaths, partial(write, "and then"), write)
        await until_count(self.alices_database, LEFT, len(events))
        await self.alice.wait_for(is_carried, PATIENCE)
        await self.alice.wait_for(lambda _: self._statuses(events[0]) == [PENDING], PATIENCE)  # noted with the notice
        await self.quick.kill()
        return events

    async def sam_collects(self, *deaths: str) -> None:
        """With the bridge down; what he acknowledges is at Carl's then, for Alice."""
        await survive(self.carl, deaths, self.sam.restart)
        await self.settled()
        await until_count(database_of(self.sam), OWED, 0)
        await self.sam.kill()

    async def alice_is_told(self, events: Sequence[str]) -> None:
        """With Sam away: that all these have arrived, instead of that friends hold them."""
        said = [event for event in self.alice.timeline if is_carried(event)]
        [notice_id] = {event["content"].get("m.relates_to", event)["event_id"] for event in said}  # edits are of one
        await self.bridge.restart()
        await self.receipted(events[-1])

        def is_taken_back(event: JsonObject) -> bool:
            return event["type"] == "m.room.redaction" and notice_id in (
                event.get("redacts"),
                event["content"].get("redacts"),
            )

        await self.alice.wait_for(is_taken_back, PATIENCE)
        await self.alice.wait_for(lambda _: self._statuses(events[0])[-1] == SUCCESS, PATIENCE)
        assert self._statuses(events[0]) == [PENDING, SUCCESS]

    def _statuses(self, event_id: str) -> list[str]:
        return [
            event["content"]["status"]
            for event in self.alice.timeline
            if event["type"] == STATUS and event["content"]["m.relates_to"]["event_id"] == event_id
        ]


def is_carried(event: JsonObject) -> bool:
    """Whether the bot says here that friends hold something."""
    return event["sender"] == BOT and "also when this bridge is not" in str(event["content"].get("body", ""))


async def survive(
    whoever: Mortal,
    failpoints: Sequence[str],
    begin: Callable[[], Awaitable[None]],
    then: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Have somebody die at each of these, one after the other, once something has begun, and be back in the end.
    ``then`` is done while it is dead, with the words for when that is."""
    if failpoints:
        await whoever.kill()
        await whoever.start(failpoints[0])
    await begin()
    for failpoint, following in zip(failpoints, (*failpoints[1:], ""), strict=False):
        await whoever.dies()
        if then is not None:
            await then(f"after {failpoint}")
        await whoever.start(following)


def database_of(whoever: ChattorProcess) -> str:
    """The URL of its database."""
    return f"sqlite:{whoever.resident.home / 'chattor.db'}"


async def until_count(database: str, query: str, wanted: int) -> None:
    """Wait until a query counts that many."""
    async with asyncio.timeout(PATIENCE):
        while await _number(database, query) != wanted:  # noqa: ASYNC110 - another process has no Event
            await asyncio.sleep(LOOK)


async def _number(url: str, query: str) -> int:
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(f"file:{url.removeprefix('sqlite:')}?mode=ro", uri=True)) as database:
            return int(database.execute(query).fetchone()[0])
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()
