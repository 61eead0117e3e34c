"""Messages that disappear from two terminals, and from the disk."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.terminal.resident import WAIT, Resident
from tests.terminal.test_chattor import two_friends


def stored(home: Path) -> list[bytes]:
    """The sealed texts of a history, of those that are longer than a notice."""
    with closing(sqlite3.connect(f"file:{home / 'chattor.db'}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM history WHERE LENGTH(text) > 2000")]


def on_disk(home: Path, sealed: bytes) -> bool:
    """Whether any file of this home has this in it."""
    return any(sealed in path.read_bytes() for path in home.glob("chattor.db*"))


async def texts(resident: Resident) -> list[str]:
    said = await resident.get("history", "1", "--no-receipts")
    return [each["text"] for each in said if each["text"].startswith("long")]


async def until_gone(resident: Resident) -> None:
    async with asyncio.timeout(WAIT):
        while await texts(resident):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def test_what_was_said_is_gone_from_both_histories_and_disks(tmp_path: Path) -> None:
    async with two_friends(tmp_path) as friends:
        alice, bob = friends.alice, friends.bob
        (contact,) = await alice.get("disappearing", "1", "2s")
        assert contact["timer"] == 2
        await alice.get("send", "1", "long " + "x" * 3_000, "--wait")
        (at_alice,), (at_bob,) = stored(alice.home), stored(bob.home)
        assert on_disk(alice.home, at_alice)
        await until_gone(alice)
        assert not on_disk(alice.home, at_alice)
        assert len(await texts(bob)) == 1  # and nobody has read it yet
        assert on_disk(bob.home, at_bob)
        friends.bobs.process.send_signal(signal.SIGKILL)
        await friends.bobs.process.wait()
        await bob.start()
        await bob.get("history", "1")
        await until_gone(bob)
        assert not on_disk(bob.home, at_bob)
        (contact,) = await bob.get("contacts")
        assert contact["timer"] == 2
        (contact,) = await bob.get("disappearing", "1", "off")
        assert contact["timer"] == 0
