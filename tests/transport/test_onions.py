"""The queue of publications, with a tor that does what it is told and says nothing by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from chattor_bridge.transport.tor import onions as onions_module
from chattor_bridge.transport.tor.control import CommandRefused, Control
from chattor_bridge.transport.tor.onion import HostedOnion
from chattor_bridge.transport.tor.onions import UPLOADS_AWAITED, Onions
from chattor_bridge.transport.tor.stage import WIDTH_FIRST
from tests.transport.streams import echo

WAIT = 10.0
"""Seconds that any one thing may take on a busy machine; each takes well under one."""


class Obedient:
    """Stands for the control connection: hosts what it is told to, and refuses as tor does."""

    def __init__(self) -> None:
        self.hosted: set[str] = set()
        self._said = asyncio.Event()

    async def command(self, line: str) -> list[str]:
        word, argument = line.split()[:2]
        if word == "DEL_ONION":
            if argument not in self.hosted:
                raise CommandRefused("552")
            self.hosted.discard(argument)
        else:
            if (address := _by_key[argument]) in self.hosted:
                raise CommandRefused("550")
            self.hosted.add(address)
        self._said.set()
        self._said = asyncio.Event()
        return ["OK"]

    async def hosts(self, onion: HostedOnion) -> None:
        async with asyncio.timeout(WAIT):
            while onion.service_id not in self.hosted:
                await self._said.wait()


_by_key: dict[str, str] = {}


class Queue:
    """Onions of a tor, and that tor."""

    def __init__(self, directory: Path) -> None:
        self.onions, self.tor = Onions(), Obedient()
        self._directory = directory

    def add(self, seed: bytes | None = None) -> HostedOnion:
        onion = HostedOnion(
            os.urandom(32) if seed is None else seed,
            self._directory / "socket",
            echo,
            clients=None,
            proof_of_work=False,
            recency=0,
            remove=self.onions.remove,
        )
        _by_key[onion.add_command().split()[1]] = onion.service_id
        self.onions.add(onion)
        return onion

    async def uploaded(self, onion: HostedOnion) -> None:
        for _ in range(UPLOADS_AWAITED):
            self.onions.descriptor_news("UPLOADED", onion.service_id)
        await asyncio.wait_for(onion.published(), WAIT)


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    queue = Queue(tmp_path)
    publishing = asyncio.create_task(queue.onions.keep_published(cast("Control", queue.tor)))
    yield queue
    assert not publishing.done()
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)


async def test_an_onion_that_is_withdrawn_before_it_is_published_leaves_its_successor_alone(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onions_module, "PUBLICATION_TIMEOUT", 0.2)
    seed = os.urandom(32)
    first = queue.add(seed)
    await queue.tor.hosts(first)
    await first.withdraw()
    assert not queue.tor.hosted
    second = queue.add(seed)  # to other readers, say
    await queue.tor.hosts(second)
    await queue.uploaded(second)
    await asyncio.sleep(0.4)
    assert queue.tor.hosted == {second.service_id}
    other = queue.add()
    await queue.tor.hosts(other)
    await queue.uploaded(other)


async def test_as_many_are_published_at_once_as_goes_well(queue: Queue) -> None:
    onions = [queue.add() for _ in range(3 * WIDTH_FIRST)]
    await queue.tor.hosts(onions[WIDTH_FIRST - 1])
    assert len(queue.tor.hosted) == WIDTH_FIRST
    for onion in onions[:WIDTH_FIRST]:
        await queue.uploaded(onion)
    await queue.tor.hosts(onions[2 * WIDTH_FIRST])
    assert len(queue.tor.hosted) == 2 * WIDTH_FIRST + 1  # one more at once than before


async def test_fewer_are_published_at_once_when_no_directory_takes_them(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onions_module, "PUBLICATION_TIMEOUT", 0.1)
    onions = [queue.add() for _ in range(WIDTH_FIRST + 2)]
    await queue.tor.hosts(onions[WIDTH_FIRST])  # the others were taken out of tor again
    assert len(queue.tor.hosted) == WIDTH_FIRST // 2


async def test_publishing_that_fails_begins_anew_with_another_control_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(onion: HostedOnion) -> str:
        raise RuntimeError(onion.service_id)

    monkeypatch.setattr(HostedOnion, "add_command", fail)
    tor = ManagedTor(TorSettings(tmp_path))
    tor.sockets.mkdir()
    tor._ready.set()
    transport, closed = TorTransport(tor), asyncio.Event()

    class Ending(Obedient):
        async def close(self) -> None:
            closed.set()

    onion = await transport.publish(os.urandom(32), echo, clients=None)
    await transport.attached(cast("Control", Ending()))
    await asyncio.wait_for(closed.wait(), WAIT)
    await transport.detached()
    assert "publishing onions failed with RuntimeError" in caplog.text
    assert onion.service_id not in caplog.text
    await onion.withdraw()
