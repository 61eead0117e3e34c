"""The demo is the shortest proof: real tor processes, a real Synapse, both programs, a conversation both ways."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

PATIENCE = 240.0
"""Seconds; it takes 35 on two idle cores."""


@pytest.mark.tor
@pytest.mark.synapse
async def test_the_demo_plays_to_its_end_and_leaves_nothing_behind() -> None:
    with tempfile.TemporaryDirectory(prefix="chattor-") as directory:  # short, for the sockets in it
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chattor_bridge.cli", "demo", "--check"),
            stdout=PIPE,
            stderr=STDOUT,
            env=os.environ | {"TMPDIR": directory},
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, output.decode()
        assert "12 messages each way, each exactly once and in order" in output.decode()
        left = await asyncio.to_thread(lambda: list(Path(directory).iterdir()))
        assert left == []
