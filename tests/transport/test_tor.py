"""What the tor transport does beyond the contract: it survives its tor, and keeps isolations apart."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chattor_bridge.errors import LimitReached
from chattor_bridge.ids import OnionKey
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.primitives import onion_address, x25519_public
from chattor_bridge.transport.tor import transport as tor_transport
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.onion import HostedOnion
from chattor_bridge.transport.tor.stage import WIDTH_FIRST
from tests.transport.conftest import Parties, TorParty, tor_party
from tests.transport.streams import PUBLISHED_WITHIN, announcing, dialled, echo, published, read_exactly, read_to_end

pytestmark = pytest.mark.tor


@pytest.fixture
async def fragile(tor_network: TorNetwork, tmp_path: Path) -> AsyncIterator[TorParty]:
    """A party whose tor a test may kill."""
    party = tor_party(tor_network, tmp_path / "fragile", limit=2)
    await party.transport.start()
    await asyncio.wait_for(party.tor.ready(), PUBLISHED_WITHIN)
    yield party
    await party.transport.stop()


async def test_onions_come_back_after_tor_was_killed(
    fragile: TorParty, tor_parties: Parties, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = os.urandom(32)
    async with (
        published(fragile.transport, announcing(b"open")) as public,
        published(fragile.transport, announcing(b"closed"), clients=[x25519_public(key)]) as private,
    ):
        with pytest.raises(LimitReached):
            await fragile.transport.publish(os.urandom(32), echo, clients=None)
        killed = fragile.tor.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await _not_ready(fragile)
        await asyncio.wait_for(public.published(), PUBLISHED_WITHIN)
        await asyncio.wait_for(private.published(), PUBLISHED_WITHIN)
        assert fragile.tor.pid != killed
        async with dialled(tor_parties.guest, public.onion) as stream:
            assert await read_to_end(stream) == b"open"
        async with dialled(tor_parties.guest, private.onion, client_key=key) as stream:
            assert await read_to_end(stream) == b"closed"
        for onion in (public.onion, private.onion):
            assert onion_address(onion).removesuffix(".onion") not in caplog.text
    assert fragile.transport.status.onions == 0


async def test_onions_come_back_after_the_control_connection_was_lost(fragile: TorParty, tor_parties: Parties) -> None:
    async with published(fragile.transport, announcing(b"here")) as onion:
        process, control = fragile.tor.pid, fragile.transport._control
        assert control is not None
        await control.close()
        await _not_ready(fragile)
        await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
        assert fragile.tor.pid != process
        async with dialled(tor_parties.guest, onion.onion) as stream:
            assert await read_to_end(stream) == b"here"


async def test_client_keys_come_back_after_tor_was_killed(fragile: TorParty, tor_parties: Parties) -> None:
    key = os.urandom(32)
    async with published(tor_parties.host, echo, clients=[x25519_public(key)]) as onion:
        async with dialled(fragile.transport, onion.onion, client_key=key) as stream:
            await stream.write(b"once")
            assert await read_exactly(stream, 4) == b"once"
        assert fragile.tor.pid is not None
        os.kill(fragile.tor.pid, signal.SIGKILL)
        await _not_ready(fragile)
        await asyncio.wait_for(fragile.tor.ready(), PUBLISHED_WITHIN)
        async with dialled(fragile.transport, onion.onion, client_key=key) as stream:
            await stream.write(b"more")
            assert await read_exactly(stream, 4) == b"more"


async def test_a_host_that_is_back_is_found_though_its_old_introduction_points_take_introductions(
    tor_network: TorNetwork, tmp_path: Path, tor_parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tor_transport, "ATTEMPT_FIRST", 3.0)
    seed, gone = os.urandom(32), tor_party(tor_network, tmp_path / "gone")
    await gone.transport.start()
    await asyncio.wait_for(gone.tor.ready(), PUBLISHED_WITHIN)
    assert gone.tor.pid is not None
    try:
        async with published(gone.transport, announcing(b"before"), seed=seed) as onion:
            async with dialled(tor_parties.guest, onion.onion) as stream:
                assert await read_to_end(stream) == b"before"
            # Stopped, and not ended: its circuits stay, as those of a tor that was killed do for a while.
            os.kill(gone.tor.pid, signal.SIGSTOP)
            try:
                async with (
                    published(tor_parties.host, announcing(b"back"), seed=seed),
                    dialled(tor_parties.guest, onion.onion, isolation="again") as stream,
                ):
                    assert await read_to_end(stream) == b"back"
            finally:
                os.kill(gone.tor.pid, signal.SIGCONT)
    finally:
        await gone.transport.stop()


async def test_different_isolations_never_share_a_circuit(tor_parties: Parties, tor_guest: TorParty) -> None:
    async with (
        published(tor_parties.host, echo) as onion,
        dialled(tor_parties.guest, onion.onion, isolation="one friend"),
        dialled(tor_parties.guest, onion.onion, isolation="one friend"),
    ):
        # Two at most: a dial whose introduction was lost tries again on a circuit of its own.
        friend = await _circuits(tor_guest, onion.onion)
        assert len(friend) == 2
        async with dialled(tor_parties.guest, onion.onion, isolation="another friend"):
            everyone = await _circuits(tor_guest, onion.onion)
    assert len(everyone) == 3
    assert len(set(everyone) - set(friend)) == 1


async def test_onions_are_published_a_few_at_a_time_and_those_of_use_last_first(
    tor_network: TorNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[str] = []
    published_before: list[int] = []
    add_command = HostedOnion.add_command

    def noted(onion: HostedOnion) -> str:
        added.append(onion.service_id)
        published_before.append(party.transport.status.published)
        return add_command(onion)

    monkeypatch.setattr(HostedOnion, "add_command", noted)
    party = tor_party(tor_network, tmp_path / "staged")
    party.tor.sockets.mkdir(parents=True)
    old = [await party.transport.publish(os.urandom(32), echo, clients=None, recency=at) for at in range(6)]
    new = await party.transport.publish(os.urandom(32), echo, clients=None)
    assert str(party.transport.status).endswith("0 of 7 onions published")
    await party.transport.start()
    try:
        await asyncio.wait_for(asyncio.gather(*(onion.published() for onion in [*old, new])), PUBLISHED_WITHIN)
        assert str(party.transport.status).endswith("7 of 7 onions published")
    finally:
        await party.transport.stop()
    assert added == [one.service_id for one in [new, *reversed(old)]]
    assert published_before[:WIDTH_FIRST] == [0] * WIDTH_FIRST
    assert published_before[WIDTH_FIRST] >= 1  # the fourth waited for one of the three before it


async def _not_ready(party: TorParty) -> None:
    """Wait until the loss has been noticed."""
    async with asyncio.timeout(PUBLISHED_WITHIN):
        while party.tor.is_ready:  # noqa: ASYNC110 - there is no event for the loss of readiness
            await asyncio.sleep(0.01)


async def _circuits(party: TorParty, onion: OnionKey) -> list[str]:
    """The circuits of this tor's streams to an onion."""
    control = await Control.connect(party.tor.sockets / "control", lambda action, address: None)
    try:
        lines = "\n".join(await control.command("GETINFO stream-status")).splitlines()
    finally:
        await control.close()
    words = [line.removeprefix("stream-status=").split() for line in lines]
    return [word[2] for word in words if len(word) == 4 and word[1] == "SUCCEEDED" and onion_address(onion) in word[3]]
