"""A doorway whose socket is taken away is there again as soon as it can be."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from chattor_bridge.node.ports import Stream
from chattor_bridge.transport.doorway import Doorway

WAIT = 10.0
"""Seconds for what takes milliseconds."""


async def _greet(stream: Stream) -> None:
    await stream.write(b"here")


async def _said_at(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await asyncio.wait_for(reader.read(), WAIT)
    finally:
        writer.close()


async def test_a_socket_that_could_not_be_made_again_is_tried_at_the_next_look(tmp_path: Path) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    doorway = Doorway(sockets / "onion", _greet)
    await doorway.open()
    try:
        shutil.rmtree(sockets)
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                await doorway.keep()
        assert doorway.in_use
        sockets.mkdir()
        await doorway.keep()
        assert await _said_at(doorway.path) == b"here"
    finally:
        await doorway.stop()


async def test_who_comes_while_the_socket_is_made_again_is_answered_or_hung_up_on(tmp_path: Path) -> None:
    """And never waits for nothing, at whatever point of being accepted."""
    doorway = Doorway(tmp_path / "onion", _greet)
    await doorway.open()
    try:
        for turns in range(8):
            coming = asyncio.create_task(_said_at(doorway.path))
            for _ in range(turns):
                await asyncio.sleep(0)
            doorway.path.unlink()
            await doorway.keep()
            (said,) = await asyncio.gather(coming, return_exceptions=True)
            assert said in (b"here", b"") or isinstance(said, ConnectionError | FileNotFoundError)
    finally:
        await doorway.stop()


async def test_one_that_was_shut_stays_so(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path / "onion", _greet)
    await doorway.open()
    doorway.shut()
    await doorway.keep()
    assert not doorway.in_use
    assert not doorway.path.exists()
