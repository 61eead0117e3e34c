"""The private Synapse of tests and demo: it says why it does not start, and never outlives whoever started it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from pathlib import Path

import pytest

from chattor_bridge.errors import Unusable
from chattor_bridge.ops import synapse as module
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.synapse import Synapse, ensure_synapse
from tests.synapse import ENVIRONMENT, WAIT

pytestmark = pytest.mark.synapse

STARTER = """
import asyncio, sys
from pathlib import Path
from chattor_bridge.ops.synapse import Synapse

async def main():
    synapse = Synapse(Path(sys.argv[1]), Path(sys.argv[2]))
    await synapse.start()
    print(synapse._process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
async def installed() -> None:
    await ensure_synapse(ENVIRONMENT)


async def test_missing_program_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="Synapse ended at its start"):
        await Synapse(tmp_path / "nowhere", tmp_path / "files").start()


async def test_taken_port_is_replaced_at_the_first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        offered: list[int] = []

        def offer() -> int:
            offered.append(free_port() if offered else taken.getsockname()[1])
            return offered[-1]

        monkeypatch.setattr(module, "free_port", offer)
        async with Synapse(ENVIRONMENT, tmp_path) as synapse:
            assert synapse.port == offered[-1] != offered[0]
            assert (await synapse.register("ada", password="word")).user_id == "@ada:localhost"
            with pytest.raises(Unusable, match="ada"):
                await synapse.register("ada")


async def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(ENVIRONMENT), str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout is not None
    try:
        async with asyncio.timeout(WAIT):
            synapse_pid = int(await starter.stdout.readline())
    finally:
        starter.kill()
        await starter.wait()
    await asyncio.to_thread(_wait_for_end, synapse_pid)


def _wait_for_end(pid: int) -> None:
    """Wait until this process, which is not a child of ours, has ended. Raises: TimeoutError."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([process], [], [], WAIT)[0]:
            raise TimeoutError
    finally:
        os.close(process)
