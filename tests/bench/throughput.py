"""Messages a second, and processor time for each, over the memory network beside a bare mautrix echo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chattor_bridge.ids import PeerId
from chattor_bridge.ops.person import JsonObject, Person
from chattor_bridge.transport.memory import MemoryNetwork
from tests.bench.figures import Figure, processor_time
from tests.bench.ground import DOMAIN, ECHO_BOT, Ground, laid
from tests.kill.stage import BridgeProcess
from tests.peer import Peer, chattor_user

PATIENCE = 300.0
"""Seconds for any one series of messages."""

AT_ONCE = 8
"""Messages on their way into Synapse at a time, as from several people who type; and as many conversations."""

ECHO_USER = f"@{ECHO_BOT}:{DOMAIN}"


@dataclass(frozen=True, slots=True)
class _Friend:
    """Somebody in Chattor, to whom Alice is ``alice``."""

    peer: Peer
    alice: PeerId


async def measure(directory: Path, messages: int) -> list[Figure]:
    """``messages`` each way, as fast as they are taken."""
    network = directory / "network"
    transport = MemoryNetwork(network).transport()
    program = ("-m", "tests.programs.bridge_memory", "--network", str(network))
    try:
        async with laid(directory / "ground", transport, program, {}) as ground:
            echoed, echo_cost = await _echo(ground, directory, messages, rooms=1)
            in_turn, _ = await _echo(ground, directory, messages, rooms=1, mode="in-order")
            unasked = await _unasked(ground, directory, messages)
            in_turns, _ = await _echo(ground, directory, messages, rooms=AT_ONCE, mode="in-order")
            there, there_cost = await _to_peer(ground, messages)
            friend = _Friend(ground.conversation.peer, ground.conversation.friend)
            back, back_cost = await _to_matrix(ground, [friend], messages)
            async with AsyncExitStack() as stack:
                friends = [friend]
                while len(friends) < AT_ONCE:
                    place = directory / f"peer {len(friends)}"
                    peer = await stack.enter_async_context(chattor_user(place, transport, f"Bob {len(friends)}"))
                    friends.append(await _befriend(ground, peer))
                many, many_cost = await _to_matrix(ground, friends, messages)
    finally:
        await transport.stop()
    return [
        Figure("a bare echo's messages (each heard and said)", echoed, "/s"),
        Figure("a bare echo, one request at a time", in_turn, "/s"),
        Figure("the same, of what nobody asked for", unasked, "/s"),
        Figure(f"a bare echo in {AT_ONCE} rooms, one in each", in_turns, "/s"),
        Figure("a bare echo's processor time for each", echo_cost, "ms"),
        Figure("Matrix to peer, messages", there, "/s", echoed, "1.00"),
        Figure("Matrix to peer, processor time for each", there_cost, "ms", echo_cost, "5 ms"),
        Figure("peer to Matrix, messages in one conversation", back, "/s", echoed, "1.00"),
        Figure("beside the echo of one request at a time", back, "/s", in_turn, "1.00"),
        Figure("beside one that says what nobody asked for", back, "/s", unasked, "1.00"),
        Figure("peer to Matrix, processor time for each", back_cost, "ms", echo_cost, "5 ms"),
        Figure(f"peers to Matrix, messages in {AT_ONCE} conversations", many, "/s", echoed, "1.00"),
        Figure(f"beside the echo in {AT_ONCE} rooms, one in each", many, "/s", in_turns, "1.00"),
        Figure("peers to Matrix, processor time for each", many_cost, "ms", echo_cost, "5 ms"),
    ]


async def _say(person: Person, said: Iterable[tuple[str, str]]) -> None:
    """All of these, each a room and a text, `AT_ONCE` at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(room: str, text: str) -> None:
        async with places:
            await person.say(room, text)

    await asyncio.gather(*(one(*each) for each in said))


@asynccontextmanager
async def _echo_bot(
    ground: Ground, directory: Path, mode: str, rooms: int
) -> AsyncIterator[tuple[BridgeProcess, list[str]]]:
    """The bare application service, and rooms in which it is with Alice."""
    registration, address, port = ground.echo_registration, ground.synapse.address, ground.echo_port
    arguments = ("-m", "tests.bench.echo", str(registration), address, DOMAIN, str(port), mode)
    process = BridgeProcess(arguments, directory / "echo.log", {})
    alice = ground.conversation.alice
    await process.start()
    try:
        places = [await alice.open_chat(ECHO_USER) for _ in range(rooms)]
        for room in places:
            await alice.wait_for(partial(_joined, room, ECHO_USER), PATIENCE)
        yield process, places
    finally:
        await process.stop()


async def _echo(
    ground: Ground, directory: Path, messages: int, *, rooms: int, mode: str = "at-once"
) -> tuple[float, float]:
    """What Alice says in so many rooms, all of them as often, comes back."""
    alice = ground.conversation.alice
    async with _echo_bot(ground, directory, mode, rooms) as (process, places):
        texts = [f"echo {number}" for number in range(messages)]
        said = [(places[number % rooms], text) for number, text in enumerate(texts)]
        before, began = processor_time(process.pid), time.perf_counter()
        saying = asyncio.create_task(_say(alice, said))
        await alice.wait_for(_all_of(texts, places), PATIENCE)
        took = time.perf_counter() - began
        await saying
        return messages / took, _each(process, before, messages)


async def _unasked(ground: Ground, directory: Path, messages: int) -> float:
    """What it says in one room, in order, while nobody says anything to it."""
    alice = ground.conversation.alice
    async with _echo_bot(ground, directory, "unasked", 1) as (_, places):
        began = time.perf_counter()
        await alice.say(places[0], str(messages))
        await alice.wait_for(_all_of([f"unasked {number}" for number in range(messages)], places), PATIENCE)
        return messages / (time.perf_counter() - began)


def _all_of(texts: Iterable[str], rooms: list[str]) -> Callable[[JsonObject], bool]:
    """Whether the echo has said all of these in these rooms."""
    missing = set(texts)

    def all_came(event: JsonObject) -> bool:
        if event["sender"] == ECHO_USER and event["room_id"] in rooms:
            missing.discard(event["content"].get("body"))
        return not missing

    return all_came


def _joined(room: str, user: str, event: JsonObject) -> bool:
    return event["room_id"] == room and event.get("state_key") == user and event["content"].get("membership") == "join"


async def _to_peer(ground: Ground, messages: int) -> tuple[float, float]:
    talk, ears = ground.conversation, ground.conversation.peer.ears
    already = len(ears.texts())
    before, began = processor_time(ground.bridge.pid), time.perf_counter()
    saying = asyncio.create_task(_say(talk.alice, [(talk.room, f"there {number}") for number in range(messages)]))
    await ears.wait_until(lambda: len(ears.texts()) >= already + messages, PATIENCE)
    took = time.perf_counter() - began
    await saying
    return messages / took, _each(ground.bridge, before, messages)


async def _befriend(ground: Ground, peer: Peer) -> _Friend:
    """Alice asks somebody else in Chattor, too; return once its room has been opened."""
    talk = ground.conversation
    ghosts = set(_ghosts(talk.alice.timeline))
    await talk.alice.say(talk.management, f"add {await peer.new_code()} hello")
    friend = _Friend(peer, await peer.accept_next(PATIENCE))
    shown = await talk.alice.wait_for(lambda event: bool(set(_ghosts([event])) - ghosts), PATIENCE)
    await talk.alice.wait_for(
        lambda event: event["type"] == "m.room.message" and event["room_id"] == shown["room_id"], PATIENCE
    )
    return friend


def _ghosts(events: list[JsonObject]) -> list[str]:
    return [
        event["state_key"]
        for event in events
        if event["type"] == "m.room.member" and str(event.get("state_key", "")).startswith("@chattor_")
    ]


async def _to_matrix(ground: Ground, friends: list[_Friend], messages: int) -> tuple[float, float]:
    """``messages`` in all, each friend its share in a conversation of its own."""
    missing = {f"back {number} from {len(friends)}" for number in range(messages)}

    async def tell(friend: _Friend, texts: list[str]) -> None:
        for text in texts:
            await friend.peer.send(friend.alice, text)

    def all_came(event: JsonObject) -> bool:
        missing.discard(event["content"].get("body"))
        return not missing

    texts = sorted(missing)
    before, began = processor_time(ground.bridge.pid), time.perf_counter()
    saying = [tell(friend, texts[place :: len(friends)]) for place, friend in enumerate(friends)]
    await asyncio.gather(*saying)
    await ground.conversation.alice.wait_for(all_came, PATIENCE)
    return messages / (time.perf_counter() - began), _each(ground.bridge, before, messages)


def _each(process: BridgeProcess, before: float, messages: int) -> float:
    """Milliseconds of processor time for one message."""
    return (processor_time(process.pid) - before) * 1000 / messages
