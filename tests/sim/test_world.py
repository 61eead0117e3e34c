"""Small worlds with all faults, each in a process of its own, as `make sim` runs them."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

SMALL = ("--nodes", "8", "--days", "1", "--messages", "120")

WAIT = 300.0
"""Seconds for a world that takes ten on an idle machine."""


async def simulated(*arguments: str) -> tuple[int, str]:
    """How a world ended, and what was said of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sim", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(WAIT):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("seed", ["1", "2"])
async def test_nothing_is_lost_or_doubled_or_out_of_order(seed: str) -> None:
    code, said = await simulated(*SMALL, "--seed", seed, "--rough")
    assert code == 0, said
    assert "messages said: 120" in said
    assert "messages lost: 0" in said


async def test_a_seed_is_a_world_and_another_seed_another() -> None:
    digests = set()
    for seed in ("3", "3", "4"):
        code, said = await simulated("--nodes", "4", "--days", "0.3", "--messages", "20", "--seed", seed)
        assert code == 0, said
        found = re.search(r"digest of everything that happened: (\w+)", said)
        assert found is not None
        digests.add(found[1])
    assert len(digests) == 2
