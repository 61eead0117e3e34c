"""Onions that nobody can reach although tor believes them published are found and published again."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.ops.tornet.network import AUTHORITIES, RELAYS
from chattor_bridge.protocol.primitives import onion_address, x25519_public
from chattor_bridge.transport.tor import onions, probing
from chattor_bridge.transport.tor import transport as tor_transport
from chattor_bridge.transport.tor.onion import HostedOnion
from chattor_bridge.transport.tor.transport import LONG_SLEEP
from tests.transport.conftest import Parties, TorParty, tor_party
from tests.transport.streams import PUBLISHED_WITHIN, announcing, dialled, echo, published, read_exactly, read_to_end

pytestmark = pytest.mark.tor


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in doubt is probed at once, and not for long."""
    monkeypatch.setattr(probing, "PROBE_DOUBTED", (0.0, 0.0))
    monkeypatch.setattr(probing, "PROBE_PAUSE", (0.1, 0.1))
    monkeypatch.setattr(probing, "LOOK", 0.1)
    monkeypatch.setattr(tor_transport, "PROBE_TIMEOUT", 20.0)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onion is not published before each relay holds both of its descriptors, for this time period and the next:
    whoever asks one that holds an older descriptor finds whoever published that."""
    monkeypatch.setattr(onions, "UPLOADS_AWAITED", 2 * (AUTHORITIES + RELAYS))


async def test_an_onion_that_somebody_else_has_published_over_is_found_deaf_and_published_again(
    tor_host: TorParty, tor_parties: Parties, eager: None, everywhere: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host, seed, key = tor_host.transport, os.urandom(32), os.urandom(32)
    async with published(host, echo, seed=seed, clients=[x25519_public(key)]) as onion:
        assert isinstance(onion, HostedOnion)
        async with dialled(tor_parties.guest, onion.onion, client_key=key) as stream:
            # A copy of us elsewhere: the directories have its descriptor now, and it goes away.
            async with published(tor_parties.guest, echo, seed=seed, clients=[x25519_public(key)]):
                pass
            await stream.write(b"before")
            assert await read_exactly(stream, 6) == b"before"
        assert onion.is_published  # as far as tor knows
        async with asyncio.timeout(PUBLISHED_WITHIN):
            while host._probing.found_deaf == 0:
                await host.woken(0)
                await asyncio.sleep(0.1)
            await onion.lost()
            await onion.published()
        async with dialled(tor_parties.guest, onion.onion, client_key=key, isolation="again") as stream:
            await stream.write(b"after")
            assert await read_exactly(stream, 5) == b"after"
    assert onion_address(onion.onion).removesuffix(".onion") not in caplog.text


async def test_onions_that_answer_are_left_alone(
    tor_host: TorParty, tor_parties: Parties, eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, key = tor_host.transport, os.urandom(32)
    verdicts: list[bool] = []
    reaches = host._probing._reaches

    async def noted(hosted: object) -> bool:
        verdicts.append(await reaches(hosted))  # type: ignore[arg-type]
        return verdicts[-1]

    monkeypatch.setattr(host._probing, "_reaches", noted)
    before = host._probing.found_deaf
    async with (
        published(host, announcing(b"door"), proof_of_work=True) as door,
        published(host, announcing(b"mine"), clients=[x25519_public(key)]) as mine,
        published(host, echo) as used,
        dialled(tor_parties.guest, used.onion) as stream,
    ):
        await stream.write(b"here")
        assert await read_exactly(stream, 4) == b"here"
        assert isinstance(door, HostedOnion)
        assert isinstance(mine, HostedOnion)
        assert isinstance(used, HostedOnion)
        came = used.reached_at
        async with asyncio.timeout(PUBLISHED_WITHIN):
            while len(verdicts) < 2:
                await host.woken(0)
                await asyncio.sleep(0.1)
        assert all(verdicts)
        assert door.is_published
        assert mine.is_published
        assert used.reached_at == came  # whoever is there shows that one can come
        # The key of the probe was not left in tor, and a friend in this very process gets in with its own.
        async with dialled(host, mine.onion, client_key=key) as other:
            assert await read_to_end(other) == b"mine"
    assert host._probing.found_deaf == before


async def test_after_a_long_sleep_tor_begins_anew_and_open_streams_end(
    tor_network: TorNetwork, tmp_path: Path, tor_parties: Parties
) -> None:
    party = tor_party(tor_network, tmp_path / "sleeper")
    await party.transport.start()
    try:
        async with (
            published(party.transport, echo) as onion,
            published(tor_parties.host, announcing(b"there")) as there,
            dialled(tor_parties.guest, onion.onion) as stream,
        ):
            await stream.write(b"before")
            assert await read_exactly(stream, 6) == b"before"
            assert isinstance(onion, HostedOnion)
            waiting = await party.transport.publish(os.urandom(32), echo, clients=None)
            await party.transport.woken(LONG_SLEEP)  # while tor has not heard of one of the two yet
            assert not onion.is_published
            assert await read_to_end(stream) == b""
            await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
            await asyncio.wait_for(waiting.published(), PUBLISHED_WITHIN)
            async with dialled(tor_parties.guest, onion.onion, isolation="again") as again:
                await again.write(b"after")
                assert await read_exactly(again, 5) == b"after"
            async with dialled(party.transport, there.onion) as other:
                assert await read_to_end(other) == b"there"
    finally:
        await party.transport.stop()
