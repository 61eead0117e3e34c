"""The smallest form of the benchmark works; nothing is asserted about its numbers but that there are some."""

from __future__ import annotations

import json
import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from pathlib import Path

import pytest

PARTS = {"throughput": 24, "memory": 2, "links": 1, "ghosts": 2, "carriers": 7}
"""Parts and how many figures each has. Latency over tor is left to `make bench`: what it consists of is tested
elsewhere."""


@pytest.mark.synapse
async def test_the_smallest_form(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench", "--smallest", "--json", str(file), *PARTS), stdout=DEVNULL
    )
    assert await process.wait() == 0
    figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    assert {part: len(each) for part, each in figures.items()} == PARTS
    assert all(figure["value"] > 0 for figure in figures["throughput"] + figures["links"] + figures["carriers"])
