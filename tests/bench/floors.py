"""What throughput stands beside: services that say again what they hear, on mautrix and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from chattor_bridge.ops.person import JsonObject, Person
from tests.bench.figures import processor_time
from tests.bench.ground import DOMAIN, ECHO_BOT, PASSWORD, Ground
from tests.kill.stage import BridgeProcess

PATIENCE = 300.0
"""Seconds for any one series of messages."""

AT_ONCE = 8
"""Messages on their way into Synapse at a time, as from several people who type."""


class Echo:
    """One that runs, and the rooms in which it is alone with Alice."""

    def __init__(self, alice: Person, user: str, process: BridgeProcess, rooms: list[str]) -> None:
        self._alice = alice
        self._user = user
        self._process = process
        self._rooms = rooms

    async def repeats(self, messages: int) -> tuple[float, float]:
        """What Alice says, in all rooms as often, comes back: messages a second, and milliseconds of its processor's
        time for each."""
        await self._repeat([f"first in {room}" for room in self._rooms])
        before, began = processor_time(self._process.pid), time.perf_counter()
        await self._repeat([f"echo {number}" for number in range(messages)])
        took = time.perf_counter() - began
        return messages / took, each(self._process, before, messages)

    async def says(self, messages: int) -> float:
        """What it says in one room, in order, while nobody says anything to it."""
        await self._unasked(1)
        began = time.perf_counter()
        await self._unasked(messages)
        return messages / (time.perf_counter() - began)

    async def _repeat(self, texts: list[str]) -> None:
        saying = asyncio.create_task(
            say(self._alice, [(self._rooms[number % len(self._rooms)], text) for number, text in enumerate(texts)])
        )
        await self._alice.wait_for(self._all_of(texts), PATIENCE)
        await saying

    async def _unasked(self, messages: int) -> None:
        await self._alice.say(self._rooms[0], str(messages))
        texts = [f"unasked {number} of {messages}" for number in range(messages)]
        await self._alice.wait_for(self._all_of(texts), PATIENCE)

    def _all_of(self, texts: Iterable[str]) -> Callable[[JsonObject], bool]:
        missing = set(texts)

        def all_came(event: JsonObject) -> bool:
            if event["sender"] == self._user and event["room_id"] in self._rooms:
                missing.discard(event["content"].get("body"))
            return not missing

        return all_came


@asynccontextmanager
async def bare_echo(ground: Ground, directory: Path, mode: str, rooms: int) -> AsyncIterator[Echo]:
    """An application service in so many rooms, which does as ``mode`` says."""
    registration, address, port = ground.echo_registration, ground.synapse.address, ground.echo_port
    arguments = ("-m", "tests.bench.echo", str(registration), address, DOMAIN, str(port), mode)
    async with _echo(ground.conversation.alice, f"@{ECHO_BOT}:{DOMAIN}", arguments, directory, rooms) as echo:
        yield echo


@asynccontextmanager
async def encrypted_echo(ground: Ground, directory: Path, rooms: int) -> AsyncIterator[Echo]:
    """A user that encrypts, in so many rooms."""
    account = await ground.synapse.register(f"encryptedecho{rooms}", password=PASSWORD)
    arguments = ("-m", "tests.bench.encrypted_echo", ground.synapse.address, account.user_id, PASSWORD)
    async with _echo(ground.conversation.alice, account.user_id, arguments, directory, rooms) as echo:
        yield echo


@asynccontextmanager
async def _echo(
    alice: Person, user: str, arguments: tuple[str, ...], directory: Path, rooms: int
) -> AsyncIterator[Echo]:
    process = BridgeProcess(arguments, directory / "echo.log", {})
    await process.start()
    try:
        places = [await alice.open_chat(user) for _ in range(rooms)]
        for room in places:
            await alice.wait_for(partial(_joined, room, user), PATIENCE)
        yield Echo(alice, user, process, places)
    finally:
        await process.stop()


def _joined(room: str, user: str, event: JsonObject) -> bool:
    return event["room_id"] == room and event.get("state_key") == user and event["content"].get("membership") == "join"


async def say(person: Person, said: Iterable[tuple[str, str]]) -> None:
    """All of these, each a room and a text, `AT_ONCE` at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(room: str, text: str) -> None:
        async with places:
            await person.say(room, text)

    await asyncio.gather(*(one(*each) for each in said))


def each(process: BridgeProcess, before: float, messages: int) -> float:
    """Milliseconds of processor time for one message."""
    return (processor_time(process.pid) - before) * 1000 / messages
