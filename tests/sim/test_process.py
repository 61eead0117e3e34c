"""What a process leaves behind that dies: what it committed, and on the network a broken stream or none."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from chattor_bridge.errors import DatabaseUnavailable, DatabaseUnusable, OnionUnreachable, TorUnavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import Stream
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage import Store, StoreKey
from tests.sim.engine import Disk
from tests.sim.loop import run
from tests.sim.network import SimNetwork, Weather
from tests.sim.process import Process
from tests.transport.streams import echo

KEY = StoreKey(b"k" * 32)
SEED = b"s" * 32
ONION = OnionKey(ed25519_public(SEED))


async def value(store: Store) -> str | None:
    async with store.transaction() as tx:
        return await store.get_setting(tx, "value")


async def put(store: Store, text: str) -> None:
    async with store.transaction() as tx:
        await store.set_setting(tx, "value", text)


async def test_at_whatever_step_it_dies_all_of_a_transaction_is_there_or_nothing() -> None:
    seen = set()
    for steps in range(1, 7):
        disk, process = Disk(), Process()
        told: list[str] = []
        async with disk.store(KEY, process) as store:
            process.doom(steps)
            try:
                async with store.transaction() as tx:
                    await store.set_setting(tx, "value", "one")
                    disk.with_commit(lambda told=told: told.append("committed"))  # type: ignore[misc]
                    await store.set_setting(tx, "other", "two")
            except DatabaseUnavailable:
                assert not process.alive
        async with disk.store(KEY) as again, again.transaction() as tx:
            both = [await again.get_setting(tx, name) for name in ("value", "other")]
        assert both in ([None, None], ["one", "two"])
        assert told == (["committed"] if both[0] else [])
        seen.add((process.alive, both[0]))
        disk.close()
    assert seen == {(False, None), (False, "one"), (True, "one")}


async def test_what_a_dead_process_still_does_reaches_no_disk() -> None:
    disk, process = Disk(), Process()
    async with disk.store(KEY, process) as store:
        await put(store, "before")
        with pytest.raises(DatabaseUnavailable):
            await _put_and_die(store, process)
        with pytest.raises(DatabaseUnavailable):
            await put(store, "later")
    async with disk.store(KEY) as again:
        assert await value(again) == "before"


async def test_a_disk_has_one_process_at_a_time() -> None:
    disk = Disk()
    async with disk.store(KEY):
        with pytest.raises(DatabaseUnusable):
            await disk.store(KEY).start()
    async with disk.store(KEY):
        pass


@pytest.mark.parametrize("silent", [False, True])
def test_the_other_end_sees_a_process_die_and_a_machine_not(silent: bool) -> None:
    async def meet() -> str:
        network, process = SimNetwork(Random(1)), Process()
        host, guest = network.transport("host", process), network.transport("guest")
        await host.publish(SEED, echo, clients=None)
        stream = await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
        await stream.write(b"there?")
        assert await stream.read() == b"there?"
        process.falls_silent = silent
        process.die()
        with pytest.raises(OnionUnreachable):
            await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
        with pytest.raises(TorUnavailable):
            await host.dial(ONION, client_key=None, isolation="", timeout=60.0)
        return await _what_comes(stream)

    assert run(meet()) == ("nothing" if silent else "broken")


def test_those_who_are_apart_do_not_reach_each_other_and_hear_nothing() -> None:
    async def meet() -> str:
        network = SimNetwork(Random(1))
        host, guest = network.transport("host"), network.transport("guest")
        await host.publish(SEED, echo, clients=None)
        stream = await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
        network.apart = lambda one, other: one != other
        network.part()
        await stream.write(b"there?")
        with pytest.raises(OnionUnreachable):
            await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
        network.apart = lambda one, other: False
        await stream.write(b"now?")  # what was cut stays cut
        other = await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
        await other.write(b"there?")
        assert await other.read() == b"there?"
        return await _what_comes(stream)

    assert run(meet()) == "nothing"


def test_bytes_take_their_time_and_keep_their_order() -> None:
    async def meet() -> tuple[float, bytes]:
        network = SimNetwork(Random(1), Weather(latency=(2.0, 2.0), dial=(1.0, 1.0)))
        host, guest = network.transport("host"), network.transport("guest")
        await host.publish(SEED, echo, clients=None)
        stream = await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
        for one in (b"a", b"b", b"c"):
            await stream.write(one)
        answer = b""
        while len(answer) < 3:
            answer += await stream.read()
        return asyncio.get_running_loop().time(), answer

    assert run(meet()) == (1.0 + 2 * 2.0, b"abc")


def test_streams_break_and_dials_are_lost_in_bad_weather() -> None:
    async def meet() -> tuple[int, int]:
        network = SimNetwork(Random(1), Weather(lost_dials=0.5, stream_life=100.0))
        host, guest = network.transport("host"), network.transport("guest")
        await host.publish(SEED, echo, clients=None)
        lost = broken = 0
        for _ in range(100):
            try:
                stream = await guest.dial(ONION, client_key=None, isolation="", timeout=60.0)
            except OnionUnreachable:
                lost += 1
            else:
                broken += await _what_comes(stream) == "broken"
                await stream.close()
        return lost, broken

    lost, broken = run(meet())
    assert 30 < lost < 70
    assert broken == 100 - lost


async def _put_and_die(store: Store, process: Process) -> None:
    async with store.transaction() as tx:
        await store.set_setting(tx, "value", "after")
        process.die()


async def _what_comes(stream: Stream) -> str:
    try:
        async with asyncio.timeout(10_000.0):
            return "an end" if not await stream.read() else "bytes"
    except OnionUnreachable:
        return "broken"
    except TimeoutError:
        return "nothing"
