"""Messages a second, and processor time for each, over the memory network beside a bare mautrix echo.

Every series begins when one message has gone each of its ways: rooms are set up then, and connections are open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.ids import PeerId
from chattor_bridge.node.ports import Transport
from chattor_bridge.ops.person import JsonObject
from chattor_bridge.transport.memory import MemoryNetwork
from tests.bench.figures import Figure, processor_time
from tests.bench.floors import PATIENCE, bare_echo, each, encrypted_echo, say
from tests.bench.ground import Ground, laid
from tests.peer import Peer, chattor_user


@dataclass(frozen=True, slots=True)
class _Friend:
    """Somebody in Chattor, to whom Alice is ``alice``."""

    peer: Peer
    alice: PeerId


@dataclass(frozen=True, slots=True)
class _Bridged:
    """What the bridge did: messages a second, and milliseconds of its processor's time for each."""

    there: float
    there_cost: float
    back: float
    back_cost: float
    many: float
    many_cost: float


async def measure(directory: Path, messages: int, conversations: int) -> list[Figure]:
    """``messages`` each way, as fast as they are taken; friends in one conversation and in so many at once."""
    plain = directory / "plain"
    async with _laid(plain, encrypted=False) as (ground, transport):
        async with bare_echo(ground, plain, "at-once", 1) as echo:
            echoed, echo_cost = await echo.repeats(messages)
        async with bare_echo(ground, plain, "in-order", 1) as echo:
            in_turn, _ = await echo.repeats(messages)
        async with bare_echo(ground, plain, "unasked", 1) as echo:
            unasked = await echo.says(messages)
        async with bare_echo(ground, plain, "in-order", conversations) as echo:
            in_turns, _ = await echo.repeats(messages)
        bridge = await _bridged(ground, plain, transport, messages, conversations)
    figures = [
        Figure("a bare echo's messages (each heard and said)", echoed, "/s"),
        Figure("a bare echo, one request at a time", in_turn, "/s"),
        Figure("the same, of what nobody asked for", unasked, "/s"),
        Figure(f"a bare echo in {conversations} rooms, one in each", in_turns, "/s"),
        Figure("a bare echo's processor time for each", echo_cost, "ms"),
        Figure("Matrix to peer, messages", bridge.there, "/s", echoed, "1.00"),
        Figure("Matrix to peer, processor time for each", bridge.there_cost, "ms", echo_cost, "5 ms"),
        Figure("peer to Matrix, messages in one conversation", bridge.back, "/s", echoed, "1.00"),
        Figure("beside the echo of one request at a time", bridge.back, "/s", in_turn, "1.00"),
        Figure("beside one that says what nobody asked for", bridge.back, "/s", unasked, "1.00"),
        Figure("peer to Matrix, processor time for each", bridge.back_cost, "ms", echo_cost, "5 ms"),
        Figure(f"peers to Matrix, messages in {conversations} conversations", bridge.many, "/s", echoed, "1.00"),
        Figure(f"beside the echo in {conversations} rooms, one in each", bridge.many, "/s", in_turns, "1.00"),
        Figure("peers to Matrix, processor time for each", bridge.many_cost, "ms", echo_cost, "5 ms"),
    ]
    return figures + await _measure_encrypted(directory / "encrypted", messages, conversations)


async def _measure_encrypted(directory: Path, messages: int, conversations: int) -> list[Figure]:
    async with _laid(directory, encrypted=True) as (ground, transport):
        async with encrypted_echo(ground, directory, 1) as echo:
            echoed, echo_cost = await echo.repeats(messages)
        async with encrypted_echo(ground, directory, conversations) as echo:
            echoed_in_all, _ = await echo.repeats(messages)
        bridge = await _bridged(ground, directory, transport, messages, conversations)
    return [
        Figure("encrypted: a bare echo's messages", echoed, "/s"),
        Figure(f"encrypted: a bare echo in {conversations} rooms", echoed_in_all, "/s"),
        Figure("encrypted: a bare echo's processor time", echo_cost, "ms"),
        Figure("encrypted: Matrix to peer", bridge.there, "/s", echoed, "1.00"),
        Figure("encrypted: Matrix to peer, processor time", bridge.there_cost, "ms", echo_cost, "5 ms"),
        Figure("encrypted: peer to Matrix, one conversation", bridge.back, "/s", echoed, "1.00"),
        Figure("encrypted: peer to Matrix, processor time", bridge.back_cost, "ms", echo_cost, "5 ms"),
        Figure(f"encrypted: peers to Matrix, {conversations} conversations", bridge.many, "/s", echoed, "1.00"),
        Figure(f"beside the echo in {conversations} rooms", bridge.many, "/s", echoed_in_all, "1.00"),
        Figure("encrypted: peers to Matrix, processor time", bridge.many_cost, "ms", echo_cost, "5 ms"),
    ]


@asynccontextmanager
async def _laid(directory: Path, *, encrypted: bool) -> AsyncIterator[tuple[Ground, Transport]]:
    await asyncio.to_thread(directory.mkdir)
    network = directory / "network"
    transport = MemoryNetwork(network).transport()
    program = ("-m", "tests.programs.bridge_memory", "--network", str(network))
    try:
        async with laid(directory / "ground", transport, program, {}, encrypted=encrypted) as ground:
            yield ground, transport
    finally:
        await transport.stop()


async def _bridged(
    ground: Ground, directory: Path, transport: Transport, messages: int, conversations: int
) -> _Bridged:
    there, there_cost = await _to_peer(ground, messages)
    friend = _Friend(ground.conversation.peer, ground.conversation.friend)
    back, back_cost = await _to_matrix(ground, [friend], messages)
    async with AsyncExitStack() as stack:
        friends = [friend]
        while len(friends) < conversations:
            name = f"Bob {len(friends)}"
            peer = await stack.enter_async_context(chattor_user(directory / name, transport, name))
            friends.append(await _befriend(ground, peer))
        many, many_cost = await _to_matrix(ground, friends, messages)
    return _Bridged(there, there_cost, back, back_cost, many, many_cost)


async def _to_peer(ground: Ground, messages: int) -> tuple[float, float]:
    await _tell_peer(ground, ["first there"])
    before, began = processor_time(ground.bridge.pid), time.perf_counter()
    await _tell_peer(ground, [f"there {number}" for number in range(messages)])
    return messages / (time.perf_counter() - began), each(ground.bridge, before, messages)


async def _tell_peer(ground: Ground, texts: list[str]) -> None:
    talk, ears = ground.conversation, ground.conversation.peer.ears
    expected = len(ears.texts()) + len(texts)
    saying = asyncio.create_task(say(talk.alice, [(talk.room, text) for text in texts]))
    await ears.wait_until(lambda: len(ears.texts()) >= expected, PATIENCE)
    await saying


async def _befriend(ground: Ground, peer: Peer) -> _Friend:
    """Alice asks somebody else in Chattor, too; return once its room has been opened."""
    talk = ground.conversation
    ghosts = set(_ghosts(talk.alice.timeline))
    await talk.alice.say(talk.management, f"add {await peer.new_code()} hello")
    friend = _Friend(peer, await peer.accept_next(PATIENCE))
    await talk.alice.wait_for(lambda event: bool(set(_ghosts([event])) - ghosts), PATIENCE)
    return friend


def _ghosts(events: list[JsonObject]) -> list[str]:
    return [
        event["state_key"]
        for event in events
        if event["type"] == "m.room.member" and str(event.get("state_key", "")).startswith("@chattor_")
    ]


async def _to_matrix(ground: Ground, friends: list[_Friend], messages: int) -> tuple[float, float]:
    """``messages`` in all, each friend its share in a conversation of its own."""
    beside = f"of {len(friends)}"
    await _tell_alice(ground, friends, [f"first {number} {beside}" for number in range(len(friends))])
    before, began = processor_time(ground.bridge.pid), time.perf_counter()
    await _tell_alice(ground, friends, [f"back {number} {beside}" for number in range(messages)])
    return messages / (time.perf_counter() - began), each(ground.bridge, before, messages)


async def _tell_alice(ground: Ground, friends: list[_Friend], texts: list[str]) -> None:
    missing = set(texts)

    async def tell(friend: _Friend, texts: list[str]) -> None:
        for text in texts:
            await friend.peer.send(friend.alice, text)

    def all_came(event: JsonObject) -> bool:
        missing.discard(event["content"].get("body"))
        return not missing

    await asyncio.gather(*(tell(friend, texts[place :: len(friends)]) for place, friend in enumerate(friends)))
    await ground.conversation.alice.wait_for(all_came, PATIENCE)
