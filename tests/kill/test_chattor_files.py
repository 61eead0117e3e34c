"""A file goes on where it was, whichever side dies at whatever point; and takes no more memory for being large."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.terminal.resident import JsonObject, Program, Resident, befriend, residents

PATIENCE = 90.0
"""Seconds for a file to go over on a busy machine."""

SIZE = 12_000_000
"""Bytes: two hundred chunks, so that some are noted before others have come."""

RECEIVER = ("chunk-written:100", "chunks-noted", "file-arrived")
SENDER = ("chunk-sent:100", "file-offered")

LARGE = 256 * 1_048_576
MEMORY = 64 * 1_048_576
"""Bytes that a large file may take on either side, more than a small one did."""


@dataclass
class Pair:
    """Alice, who gets files, and Bob, who sends them, and their daemons."""

    alice: Resident
    bob: Resident
    alices: Program
    bobs: Program


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    directory = tmp_path_factory.mktemp("files")
    async with residents(directory, "Alice", "Bob") as (alice, bob):
        config = alice.home / "config.yaml"
        config.write_text(config.read_text().replace("auto_accept: 10", "auto_accept: 1000"))
        pair = Pair(alice, bob, await alice.start(), await bob.start())
        await befriend(alice, pair.alices, bob, pair.bobs)
        yield pair


async def listed(resident: Resident, name: str) -> JsonObject:
    found = [one for one in await resident.get("file", "list") if one["file_name"] == name]
    return found[0] if found else {"state": "nothing"}


async def until(resident: Resident, name: str, state: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await listed(resident, name))["state"] != state:
            pass


async def _goes_over(pair: Pair, path: Path) -> None:
    """The file arrives, exactly once, as it was."""
    await until(pair.alice, path.name, "arrived")
    await until(pair.bob, path.name, "done")
    target = path.parent / "saved"
    target.mkdir()
    await pair.alice.get("file", "save", path.name, str(target))
    saved = target / path.name
    assert saved.read_bytes() == path.read_bytes()  # noqa: ASYNC240
    history = await pair.alice.get("history", "1", "--limit", "1000")
    assert [one["file"]["file_name"] for one in history if one["kind"] == "file"].count(path.name) == 1


def _file(directory: Path, name: str) -> Path:
    path = directory / name
    path.write_bytes(hashlib.shake_256(name.encode()).digest(SIZE))
    return path


@pytest.mark.parametrize("failpoint", RECEIVER)
async def test_the_receiver_dies(pair: Pair, tmp_path: Path, failpoint: str) -> None:
    await pair.alices.stop()
    pair.alices = await pair.alice.launch("run", CHATTOR_FAILPOINT=failpoint)
    await pair.alices.saw("answering")
    path = _file(tmp_path, f"{failpoint.replace(':', '-')}.bin")
    await pair.bob.get("file", "send", "1", str(path))
    async with asyncio.timeout(PATIENCE):
        assert await pair.alices.process.wait() == -9
    pair.alices = await pair.alice.start()
    await _goes_over(pair, path)


@pytest.mark.parametrize("failpoint", SENDER)
async def test_the_sender_dies(pair: Pair, tmp_path: Path, failpoint: str) -> None:
    await pair.bobs.stop()
    pair.bobs = await pair.bob.launch("run", CHATTOR_FAILPOINT=failpoint)
    await pair.bobs.saw("answering")
    path = _file(tmp_path, f"{failpoint.replace(':', '-')}.bin")
    await pair.bob.do("file", "send", "1", str(path))
    async with asyncio.timeout(PATIENCE):
        assert await pair.bobs.process.wait() == -9
    pair.bobs = await pair.bob.start()
    await _goes_over(pair, path)


async def test_a_large_file_takes_no_more_memory(pair: Pair, tmp_path: Path) -> None:
    small, large = _file(tmp_path, "small.bin"), tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(LARGE)
    await pair.bob.get("file", "send", "1", str(small))
    await until(pair.alice, small.name, "arrived")
    before = [_peak(program) for program in (pair.alices, pair.bobs)]
    await pair.bob.get("file", "send", "1", str(large))
    await until(pair.alice, large.name, "arrived")
    after = [_peak(program) for program in (pair.alices, pair.bobs)]
    assert [late - early < MEMORY for early, late in zip(before, after, strict=True)] == [True, True], (before, after)


def _peak(program: Program) -> int:
    """The most memory that a process has ever had, in bytes."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1_024
