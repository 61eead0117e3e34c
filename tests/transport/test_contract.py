"""What every `Transport` keeps, over the memory network and over real tor (docs/protocol/transport.md)."""

from __future__ import annotations

import asyncio
import os

import pytest

from chattor_bridge.errors import OnionNotAuthorised, OnionUnreachable, TorUnavailable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.ports import Stream
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public
from tests.transport.conftest import Parties
from tests.transport.streams import (
    ANSWERED_WITHIN,
    DIALLED_WITHIN,
    announcing,
    dialled,
    echo,
    published,
    read_exactly,
    read_to_end,
)

MEBIBYTE = 1 << 20

GIVEN_UP_WITHIN = 15.0
"""Seconds for a dial that must fail: tor knocks at the old introduction points for as long as one lets it."""


async def test_a_stream_carries_bytes_both_ways(parties: Parties) -> None:
    async with published(parties.host, echo) as onion, dialled(parties.guest, onion.onion) as stream:
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"


async def test_the_publication_knows_its_onion(parties: Parties) -> None:
    seed = os.urandom(32)
    async with published(parties.host, echo, seed=seed) as onion:
        assert onion.onion == ed25519_public(seed)


async def test_a_mebibyte_goes_both_ways_at_once(parties: Parties) -> None:
    there, back = os.urandom(MEBIBYTE), os.urandom(MEBIBYTE)
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def exchange(stream: Stream) -> None:
        received, _ = await asyncio.gather(read_exactly(stream, MEBIBYTE), stream.write(back))
        arrived.set_result(received)

    async with published(parties.host, exchange) as onion, dialled(parties.guest, onion.onion) as stream:
        received, _ = await asyncio.gather(read_exactly(stream, MEBIBYTE), stream.write(there))
        assert received == back
        assert await asyncio.wait_for(arrived, ANSWERED_WITHIN) == there


async def test_a_reader_that_waits_makes_the_writer_wait(parties: Parties) -> None:
    hungry = asyncio.Event()
    chunk, at_most = bytes(65_536), 256

    async def patient(stream: Stream) -> None:
        await hungry.wait()
        await stream.write(len(await read_to_end_mark(stream)).to_bytes(4, "big"))

    async def read_to_end_mark(stream: Stream) -> bytes:
        received = bytearray()
        while not received.endswith(b"end"):
            received += await stream.read()
        return bytes(received)

    async with published(parties.host, patient) as onion, dialled(parties.guest, onion.onion) as stream:
        written = 0
        while True:
            writing = asyncio.create_task(stream.write(chunk))
            written += 1
            assert written < at_most, "16 MiB were taken and nobody read any of them"
            done, _ = await asyncio.wait({writing}, timeout=1.0)
            if not done:
                break
            await writing
        hungry.set()
        await asyncio.wait_for(writing, ANSWERED_WITHIN)
        await stream.write(b"end")
        received = int.from_bytes(await read_exactly(stream, 4), "big")
        assert received == written * len(chunk) + len(b"end")


async def test_without_the_key_nobody_gets_in(parties: Parties) -> None:
    key = os.urandom(32)
    async with published(parties.host, echo, clients=[x25519_public(os.urandom(32)), x25519_public(key)]) as onion:
        for wrong in (None, os.urandom(32)):
            with pytest.raises(OnionNotAuthorised):
                await parties.guest.dial(onion.onion, client_key=wrong, isolation="x", timeout=DIALLED_WITHIN)
        async with dialled(parties.guest, onion.onion, client_key=key) as stream:
            await stream.write(b"in")
            assert await read_exactly(stream, 2) == b"in"


async def test_a_forgotten_key_can_be_given_again(parties: Parties) -> None:
    key = os.urandom(32)
    async with published(parties.host, echo, clients=[x25519_public(key)]) as onion:
        async with dialled(parties.guest, onion.onion, client_key=key):
            pass
        await parties.guest.forget(onion.onion)
        await parties.guest.forget(onion.onion)
        async with dialled(parties.guest, onion.onion, client_key=key) as stream:
            await stream.write(b"again")
            assert await read_exactly(stream, 5) == b"again"


async def test_a_public_onion_takes_anybody_even_with_a_key(parties: Parties) -> None:
    async with (
        published(parties.host, announcing(b"welcome")) as onion,
        dialled(parties.guest, onion.onion) as one,
        dialled(parties.guest, onion.onion, client_key=os.urandom(32)) as other,
    ):
        assert await read_to_end(one) == b"welcome"
        assert await read_to_end(other) == b"welcome"


async def test_an_onion_with_proof_of_work_is_reachable(parties: Parties) -> None:
    async with (
        published(parties.host, announcing(b"worth it"), proof_of_work=True) as onion,
        dialled(parties.guest, onion.onion) as stream,
    ):
        assert await read_to_end(stream) == b"worth it"


async def test_an_onion_nobody_published_is_unreachable(parties: Parties) -> None:
    nobody = OnionKey(ed25519_public(os.urandom(32)))
    with pytest.raises(OnionUnreachable):
        await parties.guest.dial(nobody, client_key=None, isolation="x", timeout=DIALLED_WITHIN)


async def test_a_withdrawn_onion_is_gone_but_its_streams_go_on(parties: Parties) -> None:
    async with published(parties.host, echo) as onion, dialled(parties.guest, onion.onion) as stream:
        await stream.write(b"before")
        assert await read_exactly(stream, 6) == b"before"
        await onion.withdraw()
        with pytest.raises(TorUnavailable):
            await onion.published()
        with pytest.raises(OnionUnreachable):
            await parties.guest.dial(onion.onion, client_key=None, isolation="later", timeout=GIVEN_UP_WITHIN)
        await stream.write(b"after")
        assert await read_exactly(stream, 5) == b"after"


async def test_a_withdrawn_onion_can_be_published_again(parties: Parties) -> None:
    seed = os.urandom(32)
    async with published(parties.host, announcing(b"first"), seed=seed) as onion:
        with pytest.raises(UsageError):
            await parties.host.publish(seed, echo, clients=None)
    async with (
        published(parties.host, announcing(b"second"), seed=seed) as onion,
        dialled(parties.guest, onion.onion) as stream,
    ):
        assert await read_to_end(stream) == b"second"


async def test_streams_to_two_onions_never_cross(parties: Parties) -> None:
    async with (
        published(parties.host, announcing(b"one")) as one,
        published(parties.host, announcing(b"two")) as two,
    ):

        async def answer(onion: OnionKey, turn: int) -> bytes:
            async with dialled(parties.guest, onion, isolation=f"{turn}") as stream:
                return await read_to_end(stream)

        turns = range(4)
        from_one, from_two = await asyncio.gather(
            asyncio.gather(*(answer(one.onion, turn) for turn in turns)),
            asyncio.gather(*(answer(two.onion, turn) for turn in turns)),
        )
        assert set(from_one) == {b"one"}
        assert set(from_two) == {b"two"}


@pytest.mark.parametrize("isolations", [["same"] * 8, [f"friend {number}" for number in range(8)]])
async def test_many_can_dial_one_onion_at_once(parties: Parties, isolations: list[str]) -> None:
    async with published(parties.host, echo) as onion:

        async def say(number: int, isolation: str) -> bytes:
            async with dialled(parties.guest, onion.onion, isolation=isolation) as stream:
                await stream.write(bytes([number]) * 1000)
                return await read_exactly(stream, 1000)

        answers = await asyncio.gather(*(say(number, isolation) for number, isolation in enumerate(isolations)))
        assert answers == [bytes([number]) * 1000 for number in range(8)]


async def test_a_handler_that_fails_closes_its_own_stream_only(
    parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    async def moody(stream: Stream) -> None:
        words = await stream.read()
        if words.startswith(b"fail"):
            raise ValueError(words.decode())
        await echo(stream)

    async with (
        published(parties.host, moody) as onion,
        dialled(parties.guest, onion.onion) as lucky,
        dialled(parties.guest, onion.onion) as unlucky,
    ):
        await lucky.write(b"fine")
        await unlucky.write(b"fail: secret words")
        assert await read_to_end(unlucky) == b""
        await lucky.write(b"still here")
        assert await read_exactly(lucky, 10) == b"still here"
    assert "ValueError" in caplog.text
    assert "secret words" not in caplog.text


async def test_the_host_sees_the_guest_leave(parties: Parties) -> None:
    left: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(stream: Stream) -> None:
        # An attempt of the dial that was given up while it got through is a stream that ends without a byte.
        if words := await read_to_end(stream):
            left.set_result(words)

    async with published(parties.host, listen) as onion:
        async with dialled(parties.guest, onion.onion) as stream:
            await stream.write(b"bye")
        assert await asyncio.wait_for(left, ANSWERED_WITHIN) == b"bye"


async def test_a_closed_stream_takes_no_more(parties: Parties) -> None:
    async with published(parties.host, echo) as onion, dialled(parties.guest, onion.onion) as stream:
        await stream.close()
        await stream.close()
        with pytest.raises(OnionUnreachable):
            await stream.write(b"too late")
