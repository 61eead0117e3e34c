"""Message 1 of a link can be replayed by whoever recorded it: docs/protocol/link.md, "Replay"."""

from __future__ import annotations

import asyncio

from chattor_bridge.node.watching import WATCH_INTERVAL
from chattor_bridge.protocol.limits import HANDSHAKE_TIMEOUT, LINK_TIMEOUT, MAX_UNPROVEN_STREAMS
from tests.hostile.attacker import first_message_of, hosted_by, open_stream
from tests.node.world import PATIENCE, World, read_to_end

REPLAYS = 3 * MAX_UNPROVEN_STREAMS

UNPROVEN_AT_MOST = HANDSHAKE_TIMEOUT + WATCH_INTERVAL
"""Seconds from the handshake to the end of a stream on which nobody says hello."""


async def test_replays_hold_few_places_and_not_for_long(world: World) -> None:
    """A completed handshake proves nobody: until the hello its stream stays among the few, and has little time."""
    assert UNPROVEN_AT_MOST < LINK_TIMEOUT
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await hosted_by(anna)
    recorded = await first_message_of(ben, onion)
    streams = []
    for _ in range(REPLAYS):
        stream = await open_stream(world, onion, key)
        await stream.write(recorded)
        assert await asyncio.wait_for(stream.read(), PATIENCE)  # message 2 comes, and is of no use
        streams.append(stream)
    for stream in streams[:-MAX_UNPROVEN_STREAMS]:
        await read_to_end(stream)  # made room for the next, with the clock standing still
    await anna.say(peer_id, "all well?")
    await ben.until(lambda: ben.texts() == ["all well?"])

    # The friend is let in while every place is held, which its own hello gives back.
    await ben.house.stop()
    await ben.house.start()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    await world.clock.pass_slowly(UNPROVEN_AT_MOST)
    for stream in streams:
        await read_to_end(stream)
        await stream.close()
    await ben.say(peer_id, "as ever")
    await anna.until(lambda: anna.texts() == ["as ever"])


async def test_a_replay_that_goes_on_with_noise_is_hung_up_on(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await hosted_by(anna)
    stream = await open_stream(world, onion, key)
    await stream.write(await first_message_of(ben, onion) + b"\x04\x00" + bytes(1024))
    await read_to_end(stream)
    await stream.close()
    assert anna.online(peer_id)


async def test_a_replay_fed_byte_by_byte_is_not_held_longer(world: World) -> None:
    """Bytes that are no hello are no sign of life."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await hosted_by(anna)
    stream = await open_stream(world, onion, key)
    await stream.write(await first_message_of(ben, onion))
    ended = asyncio.ensure_future(read_to_end(stream))
    await asyncio.sleep(0)
    for byte in b"\x04\x00" + bytes(8):
        await stream.write(bytes([byte]))
        await world.clock.pass_slowly(UNPROVEN_AT_MOST / 8)
        if ended.done():
            break
    await ended
    await stream.close()
    assert anna.online(peer_id)
