"""Floods: an honest friend is served while they go on, and what they hold in memory is bounded.

Every attack goes on until the honest conversation is over, on a clock that stands still, so that no time limit comes to
the rescue. The measure, in memory and in processor time, is the same conversation without the attack.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from chattor_bridge.errors import ChattorError
from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.node.ports import Stream
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame, Frame, KeepAlive, ResyncAnswer, SignalFrame
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady, Receipt
from chattor_bridge.protocol.limits import ENVELOPE_SIZES, MAX_SIGNAL
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.window import Ack
from tests.hostile.attacker import hosted_by, open_stream
from tests.node.puppet import Puppet
from tests.node.world import PATIENCE, Person, World

MESSAGES = 6
"""Messages each way of the honest conversation."""

POURED = 20
"""Messages of 64 KiB that a hostile friend sends at once."""

MEMORY = 12 * 1024 * 1024
"""Bytes an attack may have on top of the peak of the conversation alone, the attacker's own share included, which
lives in this process too: some streams and their buffers, whatever the number of those that came."""

WORK = 3.0
"""Seconds of processor time an attack may add to what the conversation takes alone, with the attacker's own work and
that of watching the memory. Not of the clock: other work on the machine is nobody's attack."""

HELLO = frame(cbor.encode({"want": "knock", "versions": [1]}))


@dataclass
class Scene:
    """Anna, with Carol who is honest and Ben who is not, and a friend code that anybody has."""

    world: World
    anna: Person
    carol: Person
    carol_id: PeerId
    ben: Puppet
    door: OnionKey
    onion: OnionKey
    key: bytes
    landed: int = 0
    """How much of the attack got through to whatever defends itself."""


@pytest.fixture
async def scene(world: World) -> AsyncIterator[Scene]:
    anna, ben, carol = [await world.person(name) for name in ("Anna", "Ben", "Carol")]
    ben_id = await anna.befriend(ben)
    carol_id = await anna.befriend(carol)
    onion, key = await hosted_by(anna)
    door = FriendCode.parse(await anna.code("in public")).door
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(ben_id))
    yield Scene(world, anna, carol, carol_id, puppet, door, onion, key)
    await puppet.close()


async def _talk(scene: Scene) -> None:
    """Both say what they have to say, and both have all of it, in order."""
    before = len(scene.anna.texts()), len(scene.carol.texts())
    ours, theirs = [[f"{who} {number}" for number in range(MESSAGES)] for who in ("anna", "carol")]
    for one, other in zip(ours, theirs, strict=True):
        await scene.anna.say(scene.carol_id, one)
        await scene.carol.say(scene.carol_id, other)
    await scene.carol.until(lambda: scene.carol.texts()[before[1] :] == ours)
    await scene.anna.until(lambda: [text for text in scene.anna.texts()[before[0] :] if text in theirs] == theirs)


# --- the attacks -----------------------------------------------------------------------------------------------------


async def _open_and_say(scene: Scene, onion: OnionKey, key: bytes | None, said: bytes) -> None:
    """Stream after stream, each left open with this said on it."""
    held: list[Stream] = []
    try:
        while True:
            with suppress(ChattorError):
                stream = await open_stream(scene.world, onion, key)
                held.append(stream)
                await stream.write(said)
                scene.landed += 1
            if len(held) > 100:
                await held.pop(0).close()
            await asyncio.sleep(0)
    finally:
        for stream in held:
            await stream.close()


async def half_open_knocks(scene: Scene) -> None:
    await _open_and_say(scene, scene.door, None, HELLO)


async def slow_knocks(scene: Scene) -> None:
    await _open_and_say(scene, scene.door, None, HELLO[:1])


async def half_open_handshakes(scene: Scene) -> None:
    await _open_and_say(scene, scene.onion, scene.key, b"\x04")


async def wrong_handshakes(scene: Scene) -> None:
    await _open_and_say(scene, scene.onion, scene.key, frame(bytes(1024)))


async def envelopes_of_noise(scene: Scene) -> None:
    await _pour(scene, *[EnvelopeFrame(secrets.token_bytes(ENVELOPE_SIZES[-1]))] * 4)


async def the_same_envelope_again(scene: Scene) -> None:
    await _pour(scene, *[EnvelopeFrame(scene.ben.seal(Text("again")))] * 60)


async def frames_that_say_nothing(scene: Scene) -> None:
    await _pour(scene, *[KeepAlive()] * 4_000, *[SignalFrame(bytes(MAX_SIGNAL))] * 50)


async def acknowledgements_of_what_was_never_sent(scene: Scene) -> None:
    await _pour(scene, *[AckFrame(Ack(number)) for number in range(1_000, 5_000)])


async def resyncs_upon_resyncs(scene: Scene) -> None:
    """Each a start that is answered with new keys, and never finished, so that it does not count as the day's."""
    while True:
        with suppress(ChattorError, EOFError):
            await _greet(scene)
            await scene.ben.say(scene.ben.start_resync().frame)
            await scene.ben.hear(ResyncAnswer)
            scene.landed += 1


async def whole_knocks(scene: Scene) -> None:
    """Requests to be friends, from ever new people, with all the work that the door asks for."""
    code = FriendCode.of_door(scene.door)
    introduction = Introduction("Mallory", "let me in", OnionKey(ed25519_public(secrets.token_bytes(32))))
    while True:
        side = KnockingSide(
            code,
            introduction,
            static_key=secrets.token_bytes(32),
            random=secrets.token_bytes,
            now=scene.world.clock.now(),
        )
        receipts: list[Receipt] = []
        with suppress(ChattorError):
            stream = await open_stream(scene.world, scene.door)
            try:
                await stream.write(side.start())
                while not receipts and (data := await stream.read()):
                    for event in side.receive(data):
                        if isinstance(event, KnockReady):
                            await stream.write(event.message)
                        else:
                            receipts.append(event)
            finally:
                await stream.close()
            scene.landed += len(receipts)


async def messages_and_never_reading(scene: Scene) -> None:
    """The friend takes no acknowledgement and no message off the stream, and says as much as it can."""
    await _greet(scene)
    number = 0
    while True:
        number += 1
        await scene.anna.say(scene.ben.contact.peer_id, "x" * 10_000)
        await scene.ben.say(EnvelopeFrame(scene.ben.seal(Text(f"ben {number}"))))
        scene.landed += 1
        await asyncio.sleep(0)


async def links_upon_links(scene: Scene) -> None:
    while True:
        with suppress(ChattorError, EOFError):
            await _greet(scene)
            scene.landed += 1


async def _pour(scene: Scene, *frames: Frame) -> None:
    """These again and again, sealed beforehand: the attacker's own work is not what is measured."""
    await _greet(scene)
    for message in [scene.ben.sealed(*frames) for _ in range(POURED)]:
        await scene.ben.pour([message])
        scene.landed += 1
    await asyncio.get_running_loop().create_future()


ATTACKS: list[Callable[[Scene], Awaitable[None]]] = [
    half_open_knocks,
    slow_knocks,
    half_open_handshakes,
    wrong_handshakes,
    envelopes_of_noise,
    the_same_envelope_again,
    frames_that_say_nothing,
    acknowledgements_of_what_was_never_sent,
    messages_and_never_reading,
    links_upon_links,
    resyncs_upon_resyncs,
    whole_knocks,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_flood_keeps_no_friend_waiting_and_holds_little(
    scene: Scene, attack: Callable[[Scene], Awaitable[None]]
) -> None:
    await _talk(scene)  # what is made once is made
    tracemalloc.start()
    try:
        alone = await _cost_of(_talk(scene))
        attacking = asyncio.ensure_future(attack(scene))
        try:
            await asyncio.wait_for(_landing(scene), PATIENCE)
            attacked = await _cost_of(_talk(scene))
            assert not attacking.done(), attacking.exception()
        finally:
            attacking.cancel()
            await asyncio.wait([attacking])
    finally:
        tracemalloc.stop()
    assert attacked.memory < alone.memory + MEMORY
    assert attacked.work < alone.work + WORK


async def _landing(scene: Scene) -> None:
    while not scene.landed:  # noqa: ASYNC110 - an attack has no event
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Cost:
    """``memory``: bytes of Python's at the most, above what there was before; ``work``: seconds of processor time."""

    memory: int
    work: float


async def _cost_of(doing: Awaitable[None]) -> Cost:
    gc.collect()
    tracemalloc.reset_peak()
    held, worked = tracemalloc.get_traced_memory()[0], time.process_time()
    await doing
    return Cost(tracemalloc.get_traced_memory()[1] - held, time.process_time() - worked)


async def _greet(scene: Scene) -> None:
    await scene.ben.dial(scene.anna)
    await scene.ben.say(scene.ben.hello())
