"""What the memory network does beyond the contract: processes meet, and take their onions with them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from chattor_bridge.errors import LimitReached, OnionUnreachable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.transport import stream as stream_module
from chattor_bridge.transport.doorway import STREAMS_PER_ONION
from chattor_bridge.transport.memory import MemoryNetwork
from chattor_bridge.transport.stream import SocketStream
from tests.transport.conftest import Parties
from tests.transport.streams import ANSWERED_WITHIN, dialled, echo, published, read_exactly, read_to_end

ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from chattor_bridge.transport.memory import MemoryNetwork

async def echo(stream):
    while data := await stream.read():
        await stream.write(data)

async def main():
    transport = MemoryNetwork(Path(sys.argv[1])).transport()
    await transport.publish(bytes.fromhex(sys.argv[2]), echo, clients=None)
    print("published", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_processes_meet_and_a_killed_one_is_unreachable(tmp_path: Path) -> None:
    seed = os.urandom(32)
    onion = OnionKey(ed25519_public(seed))
    guest = MemoryNetwork(tmp_path).transport()
    another = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ANOTHER_PROCESS, tmp_path, seed.hex()), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert another.stdout is not None
        assert await asyncio.wait_for(another.stdout.readline(), ANSWERED_WITHIN) == b"published\n"
        async with dialled(guest, onion) as stream:
            await stream.write(b"over there?")
            assert await read_exactly(stream, 11) == b"over there?"
            another.kill()
            await another.wait()
            assert await read_to_end(stream) == b""
        with pytest.raises(OnionUnreachable):
            await guest.dial(onion, client_key=None, isolation="x", timeout=5)
        async with published(guest, echo, seed=seed), dialled(guest, onion) as stream:
            await stream.write(b"here")
            assert await read_exactly(stream, 4) == b"here"
    finally:
        if another.returncode is None:
            another.kill()
            await another.wait()
        await guest.stop()


async def test_an_onion_taken_over_is_not_taken_down_by_its_former_host(tmp_path: Path) -> None:
    network = MemoryNetwork(tmp_path)
    former, heir = network.transport(), network.transport()
    seed = os.urandom(32)
    before = await former.publish(seed, echo, clients=None)
    async with published(heir, echo, seed=seed):
        await before.withdraw()
        async with dialled(former, before.onion) as stream:
            await stream.write(b"x")
            assert await stream.read() == b"x"
    await former.stop()
    await heir.stop()


async def test_a_full_transport_refuses(tmp_path: Path) -> None:
    transport = MemoryNetwork(tmp_path).transport(limit=2)
    async with published(transport, echo), published(transport, echo):
        with pytest.raises(LimitReached):
            await transport.publish(os.urandom(32), echo, clients=None)
    async with published(transport, echo):
        pass
    await transport.stop()


async def test_an_onion_hangs_up_on_more_streams_than_it_may_have(memory_parties: Parties) -> None:
    async with published(memory_parties.host, echo) as onion:
        streams = [
            await memory_parties.guest.dial(onion.onion, client_key=None, isolation="x", timeout=5)
            for _ in range(STREAMS_PER_ONION)
        ]
        with pytest.raises(OnionUnreachable):
            await memory_parties.guest.dial(onion.onion, client_key=None, isolation="x", timeout=5)
        for stream in streams:
            await stream.write(b"x")
            assert await stream.read() == b"x"
            await stream.close()


async def test_stopping_ends_the_streams_that_came_in(tmp_path: Path) -> None:
    network = MemoryNetwork(tmp_path)
    host, guest = network.transport(), network.transport()
    onion = await host.publish(os.urandom(32), echo, clients=None)
    async with dialled(guest, onion.onion) as stream:
        await stream.write(b"x")
        assert await stream.read() == b"x"
        await host.stop()
        assert await read_to_end(stream) == b""


@pytest.mark.parametrize("stops", [False, True])
async def test_whoever_dials_while_an_onion_goes_is_not_left_waiting(tmp_path: Path, stops: bool) -> None:
    network = MemoryNetwork(tmp_path)
    guest = network.transport()
    for turns in range(12):  # of the event loop, each of which does its part of a dial
        host = network.transport()
        onion = await host.publish(os.urandom(32), echo, clients=None)
        dial = guest.dial(onion.onion, client_key=None, isolation="x", timeout=2 * ANSWERED_WITHIN)
        dialling = asyncio.ensure_future(dial)
        for _ in range(turns):
            await asyncio.sleep(0)
        await (host.stop() if stops else onion.withdraw())
        await asyncio.wait_for(asyncio.wait({dialling}), ANSWERED_WITHIN)
        if dialling.exception() is not None:
            assert isinstance(dialling.exception(), OnionUnreachable)
        elif stops:
            assert await read_to_end(dialling.result()) == b""
            await dialling.result().close()
        else:  # it came in before, and goes on
            await dialling.result().write(b"x")
            assert await dialling.result().read() == b"x"
            await dialling.result().close()
        await host.stop()


async def test_a_publication_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    network = MemoryNetwork(tmp_path)
    transport = network.transport()
    for turns in range(3):
        seed = os.urandom(32)
        publishing = asyncio.ensure_future(transport.publish(seed, echo, clients=None))
        for _ in range(turns):
            await asyncio.sleep(0)
        publishing.cancel()
        await asyncio.wait({publishing})
        if not publishing.cancelled():
            await publishing.result().withdraw()
        assert not network.hosts(OnionKey(ed25519_public(seed)))
        # the next socket has the number of that one, and is heard all the same
        async with published(transport, echo) as onion, dialled(transport, onion.onion) as stream:
            await stream.write(b"x")
            assert await read_exactly(stream, 1) == b"x"
    await transport.stop()


async def test_a_directory_with_too_long_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        MemoryNetwork(tmp_path / ("x" * 100))


async def test_a_closed_stream_that_hands_over_the_rest_in_time_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "LINGER", 0.2)
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    try:
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
        one, other = await SocketStream.over(near), await SocketStream.over(far)
        writing = asyncio.ensure_future(one.write(bytes(4_000_000)))
        await asyncio.sleep(0)
        writing.cancel()
        await one.close()
        came = 0
        while data := await other.read():
            came += len(data)
        assert came == 4_000_000
        await other.close()
        await asyncio.sleep(0.3)  # past the moment at which what lingers is torn down
        one.abort()
    finally:
        loop.set_exception_handler(None)
    assert not complaints
