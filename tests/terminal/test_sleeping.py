"""A program that was stopped for a while notices, as one on a laptop that slept."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from tests.terminal.resident import WAIT, Resident, befriend, residents

STOPPED = 2.0
"""Seconds that the process is stopped: twice what it takes for a sleep in this test."""


async def test_whoever_was_asleep_dials_at_once(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices = await alice.launch("run", CHATTOR_PATIENT="1")
        await alices.saw("answering")
        bobs = await bob.start()
        await befriend(alice, alices, bob, bobs)
        await bobs.stop(signal.SIGKILL)
        async with asyncio.timeout(WAIT):
            while (trouble := await _trouble(alice)) is None or (trouble["next_try_in"] or 0) <= WAIT:
                pass  # until she waits to dial again
        alices.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED)  # which is what is tested
        alices.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(WAIT):
            while (again := await _trouble(alice)) is None or again["failures"] == trouble["failures"]:
                pass
        assert again["failures"] > trouble["failures"]


async def _trouble(alice: Resident) -> dict[str, Any] | None:
    """What keeps her from her friend."""
    (status,) = await alice.get("status")
    return next((one for one in status["trouble"] if (one["what"], one["name"]) == ("friend", "Bob")), None)
