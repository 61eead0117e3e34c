"""The work of knocks takes threads of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chattor_bridge.node.codes import MAX_CODES
from chattor_bridge.node.happenings import KnockLeft, KnockReceived
from chattor_bridge.node.labour import MAKERS
from chattor_bridge.protocol import knock
from chattor_bridge.protocol.stamp import find_stamp
from tests.node.world import PATIENCE, World


async def test_knocks_at_greedy_doors_hold_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doors may ask for most of a minute of a core. Meanwhile tor must be told what to host, and proofs be checked."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    codes = [await ben.code(f"code {number}") for number in range(MAX_CODES)]
    released, begun = threading.Event(), threading.Semaphore(0)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAKERS))  # as few as on a small machine

    def takes_long(nonce: bytes, knock_hash: bytes, bits: int) -> bytes:
        begun.release()
        released.wait(PATIENCE)
        return find_stamp(nonce, knock_hash, bits)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(knock, "find_stamp", takes_long)
            for code in codes:
                await anna.add(code)
            async with asyncio.timeout(PATIENCE):
                for _ in range(MAKERS):
                    while not begun.acquire(blocking=False):  # noqa: ASYNC110 - a thread tells nobody
                        await asyncio.sleep(0.01)
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "at once"), PATIENCE / 2) == "at once"
    finally:
        released.set()
    await anna.until(lambda: len(anna.of(KnockLeft)) == MAX_CODES, time_passes=True)
    assert len(ben.of(KnockReceived)) == MAX_CODES
