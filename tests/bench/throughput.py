"""Messages a second, and processor time for each, over the memory network beside a bare mautrix echo."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from chattor_bridge.ops.person import Person
from chattor_bridge.transport.memory import MemoryNetwork
from tests.bench.figures import Figure, processor_time
from tests.bench.ground import DOMAIN, ECHO_BOT, Ground, laid
from tests.kill.stage import BridgeProcess

PATIENCE = 300.0
"""Seconds for any one series of messages."""

AT_ONCE = 8
"""Messages on their way into Synapse at a time, as from several people who type."""


async def measure(directory: Path, messages: int) -> list[Figure]:
    """``messages`` each way, as fast as they are taken."""
    network = directory / "network"
    transport = MemoryNetwork(network).transport()
    program = ("-m", "tests.programs.bridge_memory", "--network", str(network))
    try:
        async with laid(directory / "ground", transport, program, {}) as ground:
            echo = BridgeProcess(
                (
                    *("-m", "tests.bench.echo", str(ground.echo_registration), ground.synapse.address, DOMAIN),
                    str(ground.echo_port),
                ),
                directory / "echo.log",
                {},
            )
            await echo.start()
            try:
                echoed, echo_cost = await _echo(ground, echo, messages)
            finally:
                await echo.stop()
            there, there_cost = await _to_peer(ground, messages)
            back, back_cost = await _to_matrix(ground, messages)
    finally:
        await transport.stop()
    return [
        Figure("a bare echo's messages (each heard and said)", echoed, "/s"),
        Figure("a bare echo's processor time for each", echo_cost, "ms"),
        Figure("Matrix to peer, messages", there, "/s", echoed, "1.00"),
        Figure("Matrix to peer, processor time for each", there_cost, "ms", echo_cost, "5 ms"),
        Figure("peer to Matrix, messages", back, "/s", echoed, "1.00"),
        Figure("peer to Matrix, processor time for each", back_cost, "ms", echo_cost, "5 ms"),
    ]


async def _say(person: Person, room: str, texts: list[str]) -> None:
    """All of them, `AT_ONCE` at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(text: str) -> None:
        async with places:
            await person.say(room, text)

    await asyncio.gather(*(one(text) for text in texts))


async def _echo(ground: Ground, process: BridgeProcess, messages: int) -> tuple[float, float]:
    alice = ground.conversation.alice
    bot = f"@{ECHO_BOT}:{DOMAIN}"
    room = await alice.open_chat(bot)
    await alice.wait_for(
        lambda event: (
            event["room_id"] == room and event.get("state_key") == bot and event["content"].get("membership") == "join"
        ),
        PATIENCE,
    )
    before, began = processor_time(process.pid), time.perf_counter()
    saying = asyncio.create_task(_say(alice, room, [f"echo {number}" for number in range(messages)]))
    await alice.wait_for(lambda _: len(alice.messages(room, bot)) >= messages, PATIENCE)
    await saying
    return messages / (time.perf_counter() - began), _each(process, before, messages)


async def _to_peer(ground: Ground, messages: int) -> tuple[float, float]:
    talk, ears = ground.conversation, ground.conversation.peer.ears
    already = len(ears.texts())
    before, began = processor_time(ground.bridge.pid), time.perf_counter()
    saying = asyncio.create_task(_say(talk.alice, talk.room, [f"there {number}" for number in range(messages)]))
    await ears.wait_until(lambda: len(ears.texts()) >= already + messages, PATIENCE)
    took = time.perf_counter() - began
    await saying
    return messages / took, _each(ground.bridge, before, messages)


async def _to_matrix(ground: Ground, messages: int) -> tuple[float, float]:
    talk = ground.conversation
    already = len(talk.alice.messages(talk.room, talk.ghost))
    before, began = processor_time(ground.bridge.pid), time.perf_counter()
    for number in range(messages):
        await talk.peer.send(talk.friend, f"back {number}")
    await talk.alice.wait_for(lambda _: len(talk.alice.messages(talk.room, talk.ghost)) >= already + messages, PATIENCE)
    return messages / (time.perf_counter() - began), _each(ground.bridge, before, messages)


def _each(process: BridgeProcess, before: float, messages: int) -> float:
    """Milliseconds of processor time for one message."""
    return (processor_time(process.pid) - before) * 1000 / messages
