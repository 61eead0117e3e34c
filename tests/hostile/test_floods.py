"""Floods: an honest friend is served while they go on, and what they hold in memory is bounded.

Every attack goes on until the honest conversation is over, on a clock that stands still, so that no time limit comes to
the rescue. The measure is the same conversation without the attack.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
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
from chattor_bridge.protocol.frames import EnvelopeFrame, Frame, KeepAlive, SignalFrame
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.limits import ENVELOPE_SIZES, MAX_SIGNAL
from tests.hostile.attacker import hosted_by, open_stream
from tests.node.puppet import Puppet
from tests.node.world import Person, World

MESSAGES = 6
"""Messages each way of the honest conversation."""

POURED = 20
"""Messages of 64 KiB that a hostile friend sends at once."""

MEMORY = 12 * 1024 * 1024
"""Bytes an attack may have on top of the peak of the conversation alone, the attacker's own share included, which
lives in this process too: some streams and their buffers, whatever the number of those that came."""

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


async def messages_and_never_reading(scene: Scene) -> None:
    """The friend takes no acknowledgement and no message off the stream, and says as much as it can."""
    await _greet(scene)
    number = 0
    while True:
        number += 1
        await scene.anna.say(scene.ben.contact.peer_id, "x" * 10_000)
        await scene.ben.say(EnvelopeFrame(scene.ben.seal(Text(f"ben {number}"))))
        await asyncio.sleep(0)


async def links_upon_links(scene: Scene) -> None:
    while True:
        with suppress(ChattorError, EOFError):
            await _greet(scene)


async def _pour(scene: Scene, *frames: Frame) -> None:
    """These again and again, sealed beforehand: the attacker's own work is not what is measured."""
    await _greet(scene)
    await scene.ben.pour([scene.ben.sealed(*frames) for _ in range(POURED)])
    await asyncio.get_running_loop().create_future()


ATTACKS: list[Callable[[Scene], Awaitable[None]]] = [
    half_open_knocks,
    slow_knocks,
    half_open_handshakes,
    wrong_handshakes,
    envelopes_of_noise,
    the_same_envelope_again,
    frames_that_say_nothing,
    messages_and_never_reading,
    links_upon_links,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_flood_keeps_no_friend_waiting_and_holds_little(
    scene: Scene, attack: Callable[[Scene], Awaitable[None]]
) -> None:
    await _talk(scene)  # what is made once is made
    tracemalloc.start()
    try:
        alone = await _peak_of(_talk(scene))
        attacking = asyncio.ensure_future(attack(scene))
        try:
            attacked = await _peak_of(_talk(scene))
            assert not attacking.done(), attacking.exception()
        finally:
            attacking.cancel()
            await asyncio.wait([attacking])
    finally:
        tracemalloc.stop()
    assert attacked < alone + MEMORY


async def _peak_of(work: Awaitable[None]) -> int:
    """Bytes of Python's memory at the most while ``work`` ran, above what there was before."""
    gc.collect()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    await work
    return tracemalloc.get_traced_memory()[1] - before


async def _greet(scene: Scene) -> None:
    await scene.ben.dial(scene.anna)
    await scene.ben.say(scene.ben.hello())
